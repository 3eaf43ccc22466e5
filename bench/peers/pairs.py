"""Hand-over between two processes: this one and a forked partner with handles of its own.

Linux keeps two processes that wake each other either on one processor or each on its own, which
makes a tenfold difference. So each sample begins with the two moved apart, if they may be. Whether
they then stay is the worker's placement: `free` lets them run anywhere, `apart` keeps them. Those
that are `settled` may run anywhere, too, but go to and fro, untimed, until Linux has put them
apart, if it does within `SETTLING` round trips."""

import os
import struct
from itertools import repeat
from mmap import mmap
from pathlib import Path
from time import perf_counter_ns as clock
from typing import Any

from forked import end, fork
from operation import Operation
from peer import AbstractPeer

WORK_NS = 200_000  # how long the partner keeps a waiter waiting: no waiter spins that long
SETTLING, STEP = 20_000, 500  # round trips in which Linux may find out that there are two at work
_COUNT = struct.Struct("q")


def processor(pid: int) -> str:
    """Where a process runs, or ran last."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return after_name.split()[36]


class Placement:
    """Of this process and its partners: `free`, `settled`, `apart`, or `one`, all on one
    processor."""

    def __init__(self) -> None:
        self.allowed = sorted(os.sched_getaffinity(0))
        self.stay = self.settles = False

    def choose(self, placement: str) -> None:
        if placement == "one":
            self.allowed = self.allowed[:1]
            os.sched_setaffinity(0, self.allowed)
        self.stay = placement == "apart"
        self.settles = placement == "settled"

    def move_to(self, processor: int) -> None:
        """None of the peer's code runs while a process that is to be free is confined."""
        os.sched_setaffinity(0, {processor})
        if not self.stay:
            os.sched_setaffinity(0, self.allowed)


PLACEMENT = Placement()


class Pair(Operation):
    """`there` leads to the partner, `back` from it."""

    def __init__(self, peer: AbstractPeer, there: Any, back: Any) -> None:
        self.peer, self.there, self.back = peer, there, back
        self.page = mmap(-1, 4096)
        self.stamp = memoryview(self.page).cast("q")  # when the partner gave
        self.commands, self.command = os.pipe()
        self.answers, self.ready = os.pipe()
        self.partner = fork(self._serve)

    def _serve(self) -> None:
        there, back = self.peer.reopen(self.there), self.peer.reopen(self.back)
        while True:
            (n,) = _COUNT.unpack(os.read(self.commands, _COUNT.size))
            PLACEMENT.move_to(PLACEMENT.allowed[-1])
            os.write(self.ready, b"!")
            self.answer(there, back, n)

    def begin(self, n: int) -> int:
        """The partner is about to answer `n` times; returns how many times more it answers then."""
        spare = SETTLING if PLACEMENT.settles else 0
        os.write(self.command, _COUNT.pack(n + spare))
        os.read(self.answers, 1)
        PLACEMENT.move_to(PLACEMENT.allowed[0])
        while spare > 0 and processor(self.partner) == processor(os.getpid()):
            self.round_trips(STEP)
            spare -= STEP
        return spare

    def round_trips(self, n: int) -> None:
        """`n` answers, one after the other."""
        raise NotImplementedError

    def answer(self, there: Any, back: Any, n: int) -> None:
        """The partner's part."""
        raise NotImplementedError

    def run(self, n: int) -> list[int]:
        spare = self.begin(n)
        start = clock()
        self.round_trips(n)
        took = clock() - start
        self.round_trips(spare)
        return [took]

    def close(self) -> None:
        end(self.partner)
        for fd in (self.commands, self.command, self.answers, self.ready):
            os.close(fd)
        self.peer.remove(self.there)
        self.peer.remove(self.back)
        self.stamp.release()
        self.page.close()


class SemaphorePair(Pair):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        super().__init__(
            peer, peer.semaphore(f"{name}-there", 0), peer.semaphore(f"{name}-back", 0)
        )


class QueuePair(Pair):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.message = b"x" * size
        super().__init__(
            peer, peer.queue(f"{name}-there", 1, limit), peer.queue(f"{name}-back", 1, limit)
        )


class SemaphoreRoundTrip(SemaphorePair):
    def answer(self, there: Any, back: Any, n: int) -> None:
        for _ in repeat(None, n):
            there.acquire()
            back.release()

    def round_trips(self, n: int) -> None:
        there, back = self.there, self.back
        for _ in repeat(None, n):
            there.release()
            back.acquire()

    def trace(self, n: int) -> list[int]:
        there, back = self.there, self.back
        times = []
        spare = self.begin(n)
        for _ in repeat(None, n):
            start = clock()
            there.release()
            back.acquire()
            times.append(clock() - start)
        self.round_trips(spare)
        return times


class SemaphoreWakeUp(SemaphorePair):
    """From the partner's release to the return of the sleeper's acquire."""

    def answer(self, there: Any, back: Any, n: int) -> None:
        stamp = self.stamp
        for _ in repeat(None, n):
            there.acquire()
            over = clock() + WORK_NS
            while clock() < over:
                pass
            stamp[0] = clock()
            back.release()

    def trace(self, n: int) -> list[int]:
        there, back, stamp = self.there, self.back, self.stamp
        times = []
        self.begin(n)
        for _ in repeat(None, n):
            there.release()
            back.acquire()
            times.append(clock() - stamp[0])
        return times


class QueueRoundTrip(QueuePair):
    def answer(self, there: Any, back: Any, n: int) -> None:
        message = self.message
        for _ in repeat(None, n):
            there.receive()
            back.send(message)

    def round_trips(self, n: int) -> None:
        there, back, message = self.there, self.back, self.message
        for _ in repeat(None, n):
            there.send(message)
            back.receive()

    def trace(self, n: int) -> list[int]:
        there, back, message = self.there, self.back, self.message
        times = []
        spare = self.begin(n)
        for _ in repeat(None, n):
            start = clock()
            there.send(message)
            back.receive()
            times.append(clock() - start)
        self.round_trips(spare)
        return times


class QueueWakeUp(QueuePair):
    """From the partner's send to the return of the sleeper's receive."""

    def answer(self, there: Any, back: Any, n: int) -> None:
        stamp, message = self.stamp, self.message
        for _ in repeat(None, n):
            there.receive()
            over = clock() + WORK_NS
            while clock() < over:
                pass
            stamp[0] = clock()
            back.send(message)

    def trace(self, n: int) -> list[int]:
        there, back, message, stamp = self.there, self.back, self.message, self.stamp
        times = []
        self.begin(n)
        for _ in repeat(None, n):
            there.send(message)
            back.receive()
            times.append(clock() - stamp[0])
        return times
