"""What it costs to wait in asyncio for nothing, and how soon such waits wake."""

import asyncio
import os
import time
from mmap import mmap
from time import perf_counter_ns as clock

from forked import fork
from operation import Operation
from peer import AbstractPeer

_SETTLE = 0.5  # seconds until the waits have come to rest
_PAUSE = 0.005  # seconds between two releases


class Coroutines(Operation):
    """`size` coroutines of one loop that wait for as many semaphores."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer = peer
        self.semaphores = [peer.semaphore(f"{name}-{number}", 0) for number in range(size)]

    async def begin(self) -> list[asyncio.Task[bool]]:
        waits = [asyncio.create_task(each.acquire_async()) for each in self.semaphores]
        await asyncio.sleep(_SETTLE)
        return waits

    def run(self, n: int) -> list[int]:
        """The processor time of this process while nothing comes for `n` milliseconds."""

        async def idle() -> int:
            waits = await self.begin()
            used = time.process_time_ns()
            await asyncio.sleep(n / 1000)
            assert not any(wait.done() for wait in waits)
            return time.process_time_ns() - used

        return [asyncio.run(idle())]

    def trace(self, n: int) -> list[int]:
        """From another process's release to the return of the wait, of `n` waits in turn."""
        page = mmap(-1, 8 * n)
        stamps = memoryview(page).cast("q")

        def give() -> None:
            for number, semaphore in zip(range(n), self.semaphores, strict=False):
                time.sleep(_PAUSE)
                stamps[number] = clock()
                semaphore.release()

        async def wake() -> list[int]:
            waits = await self.begin()
            giver = fork(give)
            times = []
            for number in range(n):
                await waits[number]
                times.append(clock() - stamps[number])
            os.waitpid(giver, 0)
            return times

        return asyncio.run(wake())

    def close(self) -> None:
        for semaphore in self.semaphores:
            self.peer.remove(semaphore)
