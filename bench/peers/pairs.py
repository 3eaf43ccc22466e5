"""Hand-over between two processes: this one and a forked partner with handles of its own.

Linux keeps two processes that wake each other either on one processor or each on its own, which
makes a tenfold difference. So each sample begins with the two moved apart, if they may be. Whether
they then stay is the worker's placement: `free` lets them run anywhere, `apart` keeps them. Those
that are `settled` may run anywhere, too, but go to and fro, untimed, until Linux has put them
apart, if it does within `SETTLING` round trips."""

import os
import struct
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, repeat
from mmap import mmap
from pathlib import Path
from time import perf_counter_ns as clock
from typing import Any

from forked import end, fork
from operation import Operation
from peer import AbstractPeer

WORK_NS = 200_000  # how long the partner keeps a waiter waiting: no waiter spins that long
SHORT_WORK_NS = 3_000  # one that spins still does
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
    """What the two hand over, or hand over by, is `shared`."""

    def __init__(self, peer: AbstractPeer, *shared: Any) -> None:
        self.peer, self.shared = peer, shared
        self.page = mmap(-1, 4096)
        self.stamp = memoryview(self.page).cast("q")  # when the partner gave
        self.commands, self.command = os.pipe()
        self.answers, self.ready = os.pipe()
        self.partner = fork(self._serve)

    def _serve(self) -> None:
        own = [self.peer.reopen(each) for each in self.shared]
        self.enter(*own)
        while True:
            (n,) = _COUNT.unpack(os.read(self.commands, _COUNT.size))
            PLACEMENT.move_to(PLACEMENT.allowed[-1])
            os.write(self.ready, b"!")
            self.answer(n, *own)

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

    def enter(self, *own: Any) -> None:
        """What the partner does first, with its own handles."""

    def answer(self, n: int, *own: Any) -> None:
        """The partner's part, with its own handles."""
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
        for each in self.shared:
            self.peer.remove(each)
        self.stamp.release()
        self.page.close()


class SemaphorePair(Pair):
    """`there` leads to the partner, `back` from it."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.there = peer.semaphore(f"{name}-there", 0)
        self.back = peer.semaphore(f"{name}-back", 0)
        super().__init__(peer, self.there, self.back)


class QueuePair(Pair):
    """As semaphores."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.message = b"x" * size
        self.there = self.way(peer, f"{name}-there", size, limit)
        self.back = self.way(peer, f"{name}-back", size, limit)
        super().__init__(peer, self.there, self.back)

    def way(self, peer: AbstractPeer, name: str, size: int, limit: int) -> Any:
        return peer.queue(name, 1, limit)


class SemaphoreRoundTrip(SemaphorePair):
    def answer(self, n: int, there: Any, back: Any) -> None:
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

    def answer(self, n: int, there: Any, back: Any) -> None:
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
    def answer(self, n: int, there: Any, back: Any) -> None:
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


class ChannelRoundTrip(QueueRoundTrip):
    def way(self, peer: AbstractPeer, name: str, size: int, limit: int) -> Any:
        return peer.channel(name, size)


class QueueWakeUp(QueuePair):
    """From the partner's send to the return of the sleeper's receive."""

    def answer(self, n: int, there: Any, back: Any) -> None:
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


class LockPair(Pair):
    """Three locks in a ring, of which each process holds one. A step takes the next lock, and then
    gives up the one before. The partner is a step ahead, so each of the two waits for the lock that
    the other has just used: they take turns by nothing but the locks."""

    work_ns = 0  # how long the partner holds what the other waits for

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.locks = [peer.lock(f"{name}-{number}") for number in range(3)]
        self.locks[0].acquire()
        self.steps = 0
        super().__init__(peer, *self.locks)

    def ring(self, locks: Sequence[Any], n: int) -> Iterator[tuple[Any, Any]]:
        """The lock to take and the one to give up, in each of the next `n` steps."""
        first = self.steps
        self.steps += n
        ends = [(locks[(step + 1) % 3], locks[step % 3]) for step in range(first, first + 3)]
        return islice(cycle(ends), n)

    def enter(self, *own: Any) -> None:
        own[1].acquire()
        self.steps = 1

    def answer(self, n: int, *own: Any) -> None:
        ring = self.ring(own, n)
        stamp, work_ns = self.stamp, self.work_ns
        if work_ns == 0:
            for following, held in ring:
                following.acquire()
                held.release()
            return
        for following, held in ring:
            following.acquire()
            over = clock() + work_ns
            while clock() < over:
                pass
            stamp[0] = clock()
            held.release()

    def round_trips(self, n: int) -> None:
        for following, held in self.ring(self.locks, n):
            following.acquire()
            held.release()

    def close(self) -> None:
        self.locks[self.steps % 3].release()
        super().close()


class LockRoundTrip(LockPair):
    """A step of each."""

    def trace(self, n: int) -> list[int]:
        times = []
        spare = self.begin(n)
        for following, held in self.ring(self.locks, n):
            start = clock()
            following.acquire()
            held.release()
            times.append(clock() - start)
        self.round_trips(spare)
        return times


class LockHandOver(LockPair):
    """From the partner's release to the return of the acquire that waits for it."""

    work_ns = SHORT_WORK_NS

    def trace(self, n: int) -> list[int]:
        stamp, times = self.stamp, []
        spare = self.begin(n + 1)
        self.round_trips(1)  # the partner was a step ahead, and did not have to wait
        for following, held in self.ring(self.locks, n):
            following.acquire()
            times.append(clock() - stamp[0])
            held.release()
        self.round_trips(spare)
        return times


class LockWakeUp(LockHandOver):
    """The same, asleep."""

    work_ns = WORK_NS
