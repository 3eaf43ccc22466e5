"""What `make demo` shows: processes that talk, take turns and share memory, here and on a server.

Each process is a program of its own; they have nothing in common but the names of some objects.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# queue.py has the name of a module of the standard library: nothing is to be imported from here.
sys.path.pop(0)

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nob import ipc
from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory

HERE = Path(__file__).resolve().parent

TALK = "/test_queue"
"""The queue of queue.py."""

PATIENCE = 10.0
"""Seconds after which something that should have happened counts as failed."""

COLOURS = ("cyan", "magenta")
SENTENCES = ("after you, please! ", "NO NO, I INSIST! ")

PICTURE = """\
..........#......#..........
..........#.................
###...##..###....#.###...###
#..#.#..#.#..#...#.#..#.#...
#..#.#..#.#..#...#.#..#.#...
#..#..##..###..#.#.###...###
...................#........
...................#........
"""
SPOTS = [spot for spot, cell in enumerate(PICTURE) if cell == "#"]
random.Random(1).shuffle(SPOTS)

SENTENCE = "Many machines can share one queue and one lock, and the program stays as it is."

SERVERS = ("redis-server", "valkey-server")

console = Console(highlight=False)


class DemoError(Exception):
    """What went wrong, as a sentence."""


def main() -> None:
    console.print("\n[bold]nob.ipc[/]: what processes of one machine can share by name")
    names = [*talk(), *take_turns(), *share_memory()]
    for cls, name in names:
        if exists(cls, name):
            raise DemoError(f"{name} should be gone, and is not")
    beyond()
    console.print(f"\n[green]All done.[/] Of the {len(names)} objects nothing is left.\n")


def talk() -> list[tuple[type, str]]:
    """Two processes and a queue: the program queue.py, run twice."""
    title("a queue: two processes talk")
    if exists(NamedMessageQueue, TALK):
        raise DemoError(
            f"the queue {TALK} exists: end the `queue.py receive` that runs elsewhere, or remove"
            f' it with NamedMessageQueue.unlink_name("{TALK}")'
        )
    words = ("Hello there!",)
    with program("queue.py", "receive", stdout=subprocess.PIPE) as receiver:
        show_command(receiver, "queue.py receive")
        until_created(TALK, receiver)
        with program("queue.py", "send", *words, stdout=subprocess.PIPE) as sender:
            show_command(sender, f'queue.py send "{words[0]}"')
        for who, process, colour in zip(
            ("send", "receive"), (sender, receiver), COLOURS, strict=True
        ):
            output, _ = process.communicate(timeout=PATIENCE)
            console.print(Text(f"  {who:8} ", "dim").append(output.rstrip(), colour))
    return [(NamedMessageQueue, TALK)]


def take_turns() -> list[tuple[type, str]]:
    """Two processes that speak letter by letter; a semaphore is the right to speak."""
    title("a semaphore: two processes take turns")
    heard = created(NamedMessageQueue, max_messages=8, max_message_size=8)
    start = created(NamedSemaphore, initial_value=0)
    turn = created(NamedSemaphore, initial_value=1)
    listen("without", heard, start)
    text = listen("with it", heard, start, turn.name)
    if text not in {"".join(SENTENCES), "".join(reversed(SENTENCES))}:
        raise DemoError(f"the semaphore did not keep the processes apart: {text}")
    return [(type(each), each.name) for each in (heard, start, turn)]


def listen(how: str, heard: NamedMessageQueue, start: NamedSemaphore, *turn: str) -> str:
    """Print what two speakers say as it comes; it is returned, too."""
    console.print(f"  [dim]{how:8}[/] ", end="")
    text = ""
    with contextlib.ExitStack() as stack:
        for who in "01":
            stack.enter_context(program("demo.py", "speak", who, heard.name, start.name, *turn))
        for _ in SENTENCES:
            hear(heard)  # The speaker is ready.
        start.release(len(SENTENCES))
        for _ in "".join(SENTENCES):
            said = hear(heard)
            console.print(Text(said[1:], COLOURS[int(said[0])]), end="")
            text += said[1:]
    console.print()
    return text


def hear(heard: NamedMessageQueue) -> str:
    received = heard.receive(timeout=PATIENCE)
    if received is None:
        raise DemoError("a speaker fell silent")
    return received[0].decode()


def speak(who: str, heard_name: str, start_name: str, turn_name: str = "") -> None:
    """What a speaker does, in its own process."""
    heard = NamedMessageQueue(heard_name, read=False)
    heard.send("ready")
    if not NamedSemaphore(start_name).acquire(timeout=PATIENCE):
        raise DemoError("nobody gave the start")
    turn = NamedSemaphore(turn_name) if turn_name else contextlib.nullcontext()
    with turn:
        for letter in SENTENCES[int(who)]:
            heard.send(who + letter, timeout=PATIENCE)
            time.sleep(0.02)


def share_memory() -> list[tuple[type, str]]:
    """Two processes that paint one picture; its bytes are a segment that three processes see."""
    title("shared memory: two processes paint, a third looks on")
    turn = created(NamedSemaphore)
    canvas = created(NamedSharedMemory, size=1 + len(SPOTS))
    with canvas.mmap() as memory, Live(console=console, refresh_per_second=25) as live:
        with (
            program("demo.py", "paint", "1", canvas.name, turn.name) as first,
            program("demo.py", "paint", "2", canvas.name, turn.name) as second,
        ):
            while first.poll() is None or second.poll() is None:
                live.update(picture(memory))
                time.sleep(0.03)
        live.update(picture(memory))
        painted = Counter(memory[1:])
    if set(painted) != {1, 2}:
        raise DemoError(f"a spot was left out or painted twice: {painted}")
    shares = [Text(str(painted[who]), COLOURS[who - 1]) for who in (1, 2)]
    console.print(
        "  painted by one:", shares[0], "spots, by the other:", shares[1], "and none twice"
    )
    return [(type(each), each.name) for each in (turn, canvas)]


def paint(who: str, canvas_name: str, turn_name: str) -> None:
    """What a painter does, in its own process."""
    turn = NamedSemaphore(turn_name)
    with NamedSharedMemory(canvas_name).mmap() as memory:
        while True:
            with turn:  # Nobody else reads the number of the next spot before it is counted up.
                taken = memory[0]
                memory[0] = min(taken + 1, len(SPOTS))
            if taken == len(SPOTS):
                return
            memory[1 + taken] += int(who)
            time.sleep(0.04)


def picture(memory: Any) -> Text:
    painters = dict(zip(SPOTS, memory[1:], strict=True))
    looks = {0: ("··", "dim"), 1: ("██", COLOURS[0]), 2: ("▓▓", COLOURS[1])}
    text = Text()
    for spot, cell in enumerate(PICTURE):
        if cell == "#":
            text.append(*looks[painters[spot]])
        else:
            text.append("  " if cell == "." else "\n")
    return text


def beyond() -> None:
    """A queue and a lock on a server, if there is one: what changes is the URL."""
    title("a server: the same classes for many machines")
    found = os.environ.get("NOB_IPC_REDIS_SERVER") or next(
        filter(None, map(shutil.which, SERVERS)), ""
    )
    if not found:
        console.print(f"  left out: there is no {' and no '.join(SERVERS)} on this machine")
        return
    with tempfile.TemporaryDirectory(prefix="nob-demo-") as folder, server(found, folder) as url:
        with ipc.connect(url) as place:
            share_words(place)
        with ipc.connect(url) as place:
            if left := place.list_objects():
                raise DemoError(f"on the server nothing should be left: {left}")


def share_words(place: ipc.Connection) -> None:
    """Two processes say the words that they receive; the lock keeps them in order."""
    new = Flags.RAISE_IF_EXISTS
    sentence = SENTENCE.split()
    words = place.NamedMessageQueue(None, len(sentence) + 2, 64, handle_existence=new)
    said = place.NamedMessageQueue(None, 16, 64, handle_existence=new)
    lock = place.NamedLock(None, new)
    names = (words.name, said.name, lock.name)
    with (
        program("demo.py", "say", "0", place.url, *names) as first,
        program("demo.py", "say", "1", place.url, *names) as second,
    ):
        for number, process in enumerate((first, second)):
            console.print(Text(f"  process {process.pid}", COLOURS[number]), f"on {place.url}")
        # Both are ready.
        hear(said)
        hear(said)
        words.send_many([*sentence, "", ""])
        console.print("  ", end="")
        heard, fences = [], []
        for _ in sentence:
            who, fence, word = hear(said).split()
            console.print(Text(word, COLOURS[int(who)]), end=" ")
            heard.append(word)
            fences.append(int(fence))
        console.print()
    if heard != sentence or fences != sorted(set(fences)):
        raise DemoError(f"words came out of order, or twice: {heard} {fences}")
    console.print("  each word once and in its place, and the lock's numbers grew")


def say(who: str, url: str, words_name: str, said_name: str, lock_name: str) -> None:
    """What a process does that says words."""
    with ipc.connect(url) as place:
        words, said = place.NamedMessageQueue(words_name), place.NamedMessageQueue(said_name)
        lock = place.NamedLock(lock_name)
        said.send("ready")
        while True:
            with lock:
                received = words.receive(timeout=PATIENCE)
                if received is None:
                    raise DemoError("no word came")
                if received[0] == b"":
                    return
                said.send(f"{who} {lock.fence} {received[0].decode()}", timeout=PATIENCE)
            time.sleep(0.05)


@contextlib.contextmanager
def server(file: str, folder: str) -> Iterator[str]:
    """A server that keeps nothing, and that only this user reaches; its URL."""
    socket = Path(folder, "socket")
    command = [file, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--save", "", "--appendonly", "no", "--dir", folder]
    console.print(f"  [dim]$ {Path(file).name} --port 0 --unixsocket ...[/]")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise DemoError(f"{file} does not start")
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def title(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left", style="dim")


def show_command(process: subprocess.Popen[str], command: str) -> None:
    console.print(f"  [dim]process {process.pid:<8}[/] $ python examples/{command}")


def created(cls: Any, **arguments: int) -> Any:
    """A new object with a random name; it goes with its handle."""
    return cls(None, handle_existence=Flags.RAISE_IF_EXISTS, **arguments)


def exists(cls: Any, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        cls(name).close()
        return True
    return False


def until_created(name: str, creator: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not exists(NamedMessageQueue, name):
        if creator.poll() is not None or time.monotonic() > end:
            raise DemoError(f"the queue {name} did not appear")
        time.sleep(0.01)


@contextlib.contextmanager
def program(file: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that runs beside this one; at the end of the block it is expected to end well."""
    command = [sys.executable, str(HERE / file), *arguments]
    # Ctrl-C waits until there is a process that we can end.
    pressed = threading.Event()
    usual = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    process = subprocess.Popen(command, text=True, **options)
    try:
        signal.signal(signal.SIGINT, usual)
        if pressed.is_set():
            raise KeyboardInterrupt
        yield process
        if process.wait(PATIENCE) != 0:
            raise DemoError(f"{file} {arguments[0]} ended with status {process.returncode}")
    finally:
        # As Ctrl-C does: what the program has created goes with it.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


if __name__ == "__main__":
    try:
        roles: dict[str, Callable[..., None]] = {
            "speak": speak,
            "paint": paint,
            "server": beyond,
            "say": say,
        }
        role = roles[sys.argv[1]] if len(sys.argv) > 1 else main
        role(*sys.argv[2:])
    except DemoError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
