"""How soon a lock is had after its owner was killed."""

import os
import random
import signal
import time
from mmap import mmap
from time import perf_counter_ns as clock
from typing import Any

from forked import fork
from operation import Operation
from peer import AbstractPeer

_ASLEEP = 0.1  # seconds after which a waiter has come to rest
_SPREAD = 0.02  # seconds: the death comes at any point of what a waiter does then


class LockDeath(Operation):
    """A process takes the lock and is killed, and the next has it."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.lock = peer, peer.lock(name)

    def owner(self) -> int:
        """The pid of a child that has the lock."""
        ready, tell = os.pipe()

        def own() -> None:
            lock: Any = self.peer.reopen(self.lock)
            lock.acquire()
            os.write(tell, b"!")
            signal.pause()

        pid = fork(own)
        os.close(tell)
        assert os.read(ready, 1) == b"!"
        os.close(ready)
        return pid

    def trace(self, n: int) -> list[int]:
        """How long an acquire takes that begins when the owner is dead."""
        times = []
        for _ in range(n):
            owner = self.owner()
            os.kill(owner, signal.SIGKILL)
            os.waitpid(owner, 0)
            start = clock()
            self.lock.acquire()
            times.append(clock() - start)
            self.lock.release()
        return times

    def close(self) -> None:
        self.peer.remove(self.lock)


class LockDeathAsleep(LockDeath):
    def trace(self, n: int) -> list[int]:
        """From the kill to the return of an acquire that slept."""
        page = mmap(-1, 4096)
        stamp = memoryview(page).cast("q")
        times = []
        for _ in range(n):
            owner = self.owner()

            def kill(owner: int = owner) -> None:
                time.sleep(_ASLEEP + random.uniform(0, _SPREAD))
                stamp[0] = clock()
                os.kill(owner, signal.SIGKILL)

            killer = fork(kill)
            self.lock.acquire()
            times.append(clock() - stamp[0])
            self.lock.release()
            os.waitpid(owner, 0)
            os.waitpid(killer, 0)
        return times
