"""One process of the chaos: does to shared names whatever comes to its mind, and ends.

    python chaos_player.py FOLDER SEED SECONDS {calm|deadly}

The folder is where the players of a round leave what they saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
    list_objects,
)
from stress.exclusion import keep_exclusive

FOLDER, SEED, SECONDS, MOOD = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
ME = f"{os.getpid()}-{SEED}"
END = time.monotonic() + SECONDS
PREFIX = f"/nob-chaos-{FOLDER.name}"
NAMES = [f"{PREFIX}-{number}" for number in range(4)]
KINDS: tuple[tuple[type, tuple[int, ...]], ...] = (
    (NamedSemaphore, (1,)),
    (NamedSharedMemory, (5000,)),
    (NamedMessageQueue, (3, 32)),
    (NamedLock, ()),
    (NamedBoundedSemaphore, (2,)),
    (NamedChannel, (3, 5000)),
)
MESSAGES = NamedMessageQueue, NamedChannel
PERMITS = NamedSemaphore, NamedLock, NamedBoundedSemaphore

chance = random.Random(SEED)
handles: list[Any] = []
children: list[int] = []
waits: list[tuple[threading.Thread, str]] = []


class HandlerError(Exception):
    """What a signal handler raises."""


class Handler:
    """Whether the signal's handler may raise."""

    armed = False


def on_signal(*_: object) -> None:
    if chance.random() < 0.3 and handles:
        chance.choice(handles).close()
    if Handler.armed and chance.random() < 0.3:
        raise HandlerError


def open_one(*kinds: type) -> Any:
    kind, small = chance.choice([each for each in KINDS if not kinds or each[0] in kinds])
    handle: Any = kind(
        chance.choice(NAMES),
        *small,
        handle_existence=chance.choice([*Flags]),
        unlink_on_delete=chance.choice([None, None, True]),
    )
    handles.append(handle)
    if len(handles) > 8:
        del handles[chance.randrange(len(handles))]
    return handle


def a_handle(*kinds: type) -> Any:
    """One that is there, of one of the kinds, or a new one."""
    found = [handle for handle in handles if isinstance(handle, kinds)]
    return chance.choice(found) if found else open_one(*kinds)


def semaphore() -> None:
    handle = a_handle(NamedSemaphore)
    chance.choice(
        [
            lambda: handle.acquire(timeout=chance.random() * 0.02),
            lambda: handle.release(chance.choice([1, 3])),
            lambda: handle.value,
        ]
    )()


def lock() -> None:
    handle = a_handle(NamedLock, NamedBoundedSemaphore)
    # Whoever holds nothing may not release.
    with contextlib.suppress(RuntimeError):
        chance.choice(
            [
                lambda: handle.acquire(timeout=chance.random() * 0.02),
                handle.release,
                lambda: handle.owner if isinstance(handle, NamedLock) else handle.holders,
                lambda: handle.mark_repaired() if isinstance(handle, NamedLock) else handle.value,
            ]
        )()


def memory() -> None:
    # Nobody makes a segment smaller: that would be a bus error in the others, as documented.
    handle = a_handle(NamedSharedMemory)
    if chance.random() < 0.3:
        handle.resize(handle.size + chance.choice([0, 1, 5000]))
    with handle.mmap() as mapped:
        mapped[chance.randrange(len(mapped))] = 7


def queue() -> None:
    handle = a_handle(NamedMessageQueue)
    pause = chance.random() * 0.02
    chance.choice(
        [
            lambda: handle.send(b"x" * chance.randrange(33), pause, chance.randrange(9)),
            lambda: handle.receive(pause),
            lambda: handle.receive_many(timeout=pause, into=[]),
            lambda: handle.send_many((b"y" for _ in range(5)), pause),
            lambda: tell(handle),
            lambda: handle.request_notification(signal.SIGUSR2),
            handle.request_notification,
        ]
    )()


def channel() -> None:
    handle = a_handle(NamedChannel)
    pause = chance.random() * 0.02
    chance.choice(
        [
            lambda: handle.send(b"x" * chance.randrange(5001), pause),
            lambda: handle.receive(pause),
            lambda: handle.receive_into(bytearray(5000), pause),
            lambda: handle.receive_many(timeout=pause, into=[]),
            lambda: handle.send_many((b"y" * 3000 for _ in range(5)), pause),
            handle.fileno,
        ]
    )()


def tell(handle: NamedMessageQueue) -> None:
    # A handler that raises while threading starts a thread leaves that half-started.
    Handler.armed = False
    handle.request_notification((lambda _: None, None))


def wait_in_a_thread() -> None:
    def wait(handle: Any) -> None:
        with expected():
            handle.acquire(timeout=0.2) if isinstance(handle, PERMITS) else handle.receive(0.2)

    handle = a_handle(*PERMITS, *MESSAGES)
    thread = threading.Thread(target=wait, args=(handle,), daemon=True)
    waits.append((thread, handle.name))
    thread.start()


def tell_who_waits() -> None:
    """Writes down the names in whose objects daemon threads wait when the interpreter ends."""
    for thread, name in waits:
        if thread.is_alive():
            (FOLDER / "waits" / name.strip("/")).touch()


def wait_in_asyncio() -> None:
    async def waits() -> None:
        begun = []
        for handle in handles:
            if isinstance(handle, PERMITS):
                begun.append(handle.acquire_async(chance.random() * 0.02))
            if isinstance(handle, MESSAGES):
                begun.append(handle.receive_async(chance.random() * 0.02))
            if isinstance(handle, NamedChannel):
                begun.append(handle.send_async(b"z" * 4000, chance.random() * 0.02))
        tasks = [asyncio.ensure_future(each) for each in begun]
        await asyncio.sleep(chance.random() * 0.01)
        for task in chance.sample(tasks, len(tasks) // 2):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What a handler raises inside asyncio itself ends up in its log.
    Handler.armed = False
    asyncio.run(waits())


def fork() -> None:
    if (pid := os.fork()) != 0:
        children.append(pid)
        return
    with expected():
        for _ in range(chance.randrange(4)):
            chance.choice(PLAYS)()
    if MOOD == "deadly" and chance.random() < 0.5:
        os._exit(0)
    tell_who_waits()
    sys.exit()


def close() -> None:
    handle = a_handle(*(kind for kind, _ in KINDS))
    chance.choice(
        [
            handle.close,
            handle.unlink,
            lambda: handles.remove(handle),
            lambda: setattr(handle, "unlink_on_delete", True),
            lambda: handles.append(pickle.loads(pickle.dumps(handle))),
            list_objects,
            gc.collect,
        ]
    )()


PLAYS: list[Callable[[], Any]] = [open_one, open_one, semaphore, lock, memory, queue, close]
PLAYS += [channel, channel]
PLAYS += [wait_in_a_thread, wait_in_asyncio]


@contextlib.contextmanager
def expected() -> Any:
    """Lets pass what one of many must expect; writes down everything else."""
    try:
        yield
    except (HandlerError, FileNotFoundError, FileExistsError, ValueError, BufferError):
        pass
    except Exception:
        (FOLDER / "faults" / f"{ME}-{time.monotonic_ns()}").write_text(traceback.format_exc())


def signal_again() -> None:
    """Keeps signals coming, from a thread that no handler runs in."""
    while time.monotonic() < END:
        time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGUSR1)


def play() -> None:
    while time.monotonic() < END:
        try:
            with expected():
                Handler.armed = True
                chance.choice([*PLAYS * 4, fork])()
            Handler.armed = False
        except HandlerError:
            continue  # as the block ended


def main() -> None:
    faulthandler.enable()
    signal.signal(signal.SIGUSR1, on_signal)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    for function in (signal_again, lambda: keep_exclusive(FOLDER, PREFIX, ME, END, expected)):
        threading.Thread(target=function).start()
    play()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for child in children:
        _, status = os.waitpid(child, 0)
        if status:
            (FOLDER / "faults" / f"{ME}-{child}").write_text(f"a forked child: status {status}")
    tell_who_waits()


main()
