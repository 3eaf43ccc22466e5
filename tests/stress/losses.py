"""What is lost and doubled when a server ends: the figures of docs/guides/servers.md.

    python -m stress.losses [rounds]

Two senders and two receivers use one queue of fifty messages while something happens to the
server. A message is acknowledged if its `send` returned True; lost if it was acknowledged and
never came, doubled if it came more than once. The gap is the longest time in which no `send`
returned. A line for each round, as a row of a table; at the end what a failover can undo at worst.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.servers import Server, programs, watched

from nob import ipc
from nob.ipc import Flags

NAME = "/losses"
BEFORE, AFTER = 2.0, 3.0
"""Seconds of traffic on each side of what happens."""


class Traffic:
    """Senders and receivers, and what they have seen."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._drained = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.received: Counter[str] = Counter()
        self.stale = 0
        self.gap = 0.0
        self._last = time.monotonic()
        self._failures: list[BaseException] = []
        self._senders = [self._start(self._send, number) for number in range(2)]
        self._receivers = [self._start(self._receive) for _ in range(2)]

    def _start(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                target(*arguments)
            except BaseException as error:
                self._failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _open(self, place: ipc.Connection) -> ipc.NamedMessageQueue:
        return place.NamedMessageQueue(NAME, 50, handle_existence=Flags.LINK_OR_CREATE)

    def _send(self, number: int) -> None:
        with ipc.connect(self._url) as place:
            queue = self._open(place)
            count = 0
            while not self._over.is_set():
                message = f"{number}:{count}"
                count += 1
                try:
                    done = sent(queue, message)
                except ipc.StaleHandle:
                    self.stale += 1
                    queue = self._open(place)
                    continue
                if done:
                    with self._lock:
                        self.acknowledged.add(message)
                        now = time.monotonic()
                        self.gap = max(self.gap, now - self._last)
                        self._last = now

    def _receive(self) -> None:
        with ipc.connect(self._url) as place:
            queue = self._open(place)
            while True:
                try:
                    got = queue.receive(timeout=1)
                except ipc.ServerUnavailable:
                    continue
                except ipc.StaleHandle:
                    self.stale += 1
                    queue = self._open(place)
                    continue
                if got is not None:
                    with self._lock:
                        self.received[got[0].decode()] += 1
                elif self._drained.is_set():
                    return

    def end(self) -> None:
        """Stop sending, and receive what is left."""
        self._over.set()
        for thread in self._senders:
            thread.join(60)
        self._drained.set()
        for thread in self._receivers:
            thread.join(60)
        if self._failures:
            raise self._failures[0]
        alive = [thread for thread in (*self._senders, *self._receivers) if thread.is_alive()]
        assert not alive, "somebody still waits"

    def row(self, what: str) -> str:
        lost = len(self.acknowledged - set(self.received))
        doubled = sum(1 for count in self.received.values() if count > 1)
        return (
            f"| {what} | {len(self.acknowledged):,} | {len(self.received):,} | {lost} | {doubled}"
            f" | {self.gap:.1f} s | {self.stale} |"
        )


def sent(queue: ipc.NamedMessageQueue, message: str) -> bool:
    """Send a message once, however long the server is away."""
    try:
        return queue.send(message, timeout=1)
    except ipc.ServerUnavailable:
        return False
    except ipc.OutcomeUnknown as unknown:
        error = unknown
    while True:
        try:
            return bool(error.retry())
        except ipc.OutcomeUnknown as unknown:
            error = unknown


def killed(program: str, folder: Path, what: str, *options: str) -> str:
    """The server is killed, and started again."""
    with Server(program, folder, *options) as server:
        traffic = Traffic(server.url)
        time.sleep(BEFORE)
        server.kill()
        time.sleep(0.3)
        server.start()
        time.sleep(AFTER)
        traffic.end()
        return traffic.row(what)


def cut_off(primary: Server, replica: Server) -> None:
    """From now on the replica hears nothing: it is stopped, and its connection is gone."""
    os.kill(replica.pid, signal.SIGSTOP)
    primary.command("CLIENT", "KILL", "TYPE", "replica")


def replaced(program: str, folder: Path, what: str, *, planned: bool, behind: float) -> str:
    """The replica takes the place of the primary, which it has not heard of for so many seconds."""
    with watched(program, folder) as (primary, replica, sentinel):
        traffic = Traffic(sentinel.url)
        time.sleep(BEFORE)
        if behind:
            cut_off(primary, replica)
            time.sleep(behind)
        if planned:
            answer = sentinel.command("SENTINEL", "FAILOVER", "primary")
            assert answer.startswith("+OK"), answer
        else:
            primary.kill()
        if behind:
            os.kill(replica.pid, signal.SIGCONT)
        time.sleep(AFTER + 3)
        traffic.end()
        return traffic.row(what)


def undone(program: str, folder: Path, count: int = 100) -> str:
    """What was done while the replica heard nothing: so many sent, so many received, a lock."""
    with (
        watched(program, folder) as (primary, replica, sentinel),
        ipc.connect(sentinel.url, patience=30) as place,
        ipc.connect(sentinel.url, durability="replica") as careful,
    ):
        queue = place.NamedMessageQueue(NAME, 1000, handle_existence=Flags.RAISE_IF_EXISTS)
        one = place.NamedLock(NAME, Flags.RAISE_IF_EXISTS)
        other = place.NamedLock(NAME)
        queue.send_many([f"early {number}" for number in range(count)])
        time.sleep(0.5)
        cut_off(primary, replica)
        received = Counter(queue.receive_many(count))
        for number in range(count):
            assert queue.send(f"late {number}")
        assert one.acquire(timeout=1)
        fence = one.fence
        unconfirmed = 0
        try:
            careful.NamedMessageQueue(NAME).send("with a promise")
        except ipc.Unconfirmed:
            unconfirmed += 1
        primary.kill()
        os.kill(replica.pid, signal.SIGCONT)
        assert other.acquire(timeout=30)
        both = one.held and other.held
        while got := queue.receive_many(1000, timeout=1):
            received.update(got)
        texts = {message.decode(): number for (message, _), number in received.items()}
        lost = count - sum(1 for text in texts if text.startswith("late"))
        doubled = sum(1 for number in texts.values() if number > 1)
        return (
            f"{count} sent and {count} received while the replica was cut off: {lost} lost,"
            f" {doubled} doubled; the lock had {'two owners' if both else 'one owner'},"
            f" the later fence {'larger' if other.fence > fence else 'NOT larger'};"
            f" of 1 send with durability, {unconfirmed} unconfirmed"
        )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found = programs()
    if not found:
        print("skipped: there is no redis-server and no valkey-server")
        return
    every = ("--appendonly", "yes", "--appendfsync", "everysec")
    cases: list[Callable[[str, Path], str]] = [
        lambda program, folder: killed(program, folder, "killed, `appendonly yes`", *every),
        lambda program, folder: killed(
            program, folder, "killed, `appendonly no`", "--appendonly", "no"
        ),
        lambda program, folder: replaced(
            program, folder, "`SENTINEL FAILOVER`", planned=True, behind=0
        ),
        lambda program, folder: replaced(
            program, folder, "primary killed, replica up to date", planned=False, behind=0
        ),
        lambda program, folder: replaced(
            program, folder, "primary killed, replica cut off for 0.5 s", planned=False, behind=0.5
        ),
    ]
    print("| what | acknowledged | received | lost | doubled | gap | stale handles |")
    print("|---|---|---|---|---|---|---|")
    for program in found:
        print(f"{Path(program).name}: {version(program)}", file=sys.stderr)
        for case in cases:
            for _ in range(rounds):
                with tempfile.TemporaryDirectory(prefix="nob-losses-") as folder:
                    print(case(program, Path(folder)), flush=True)
        with tempfile.TemporaryDirectory(prefix="nob-losses-") as folder:
            print(undone(program, Path(folder)), flush=True)


def version(program: str) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="nob-losses-") as folder,
        Server(program, Path(folder)) as server,
    ):
        lines = server.command("INFO", "server").splitlines()
        return ", ".join(line for line in lines if "_version:" in line)


if __name__ == "__main__":
    main()
