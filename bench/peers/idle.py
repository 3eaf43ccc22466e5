"""What it costs to wait for nothing."""

import os
import struct
import time
from collections.abc import Callable
from typing import Any

from forked import fork
from operation import Operation
from peer import AbstractPeer

_NS = struct.Struct("q")
_LONG = 3600.0  # seconds: a timeout that does not come into it


class Waiter:
    """A process that waits once, and tells how much processor time that took."""

    def __init__(self, peer: AbstractPeer, shared: Any, wait: Callable[[Any], Any]) -> None:
        self.report, report = os.pipe()

        def body() -> None:
            own = peer.reopen(shared)
            start = time.process_time_ns()
            wait(own)
            os.write(report, _NS.pack(time.process_time_ns() - start))

        self.pid = fork(body)
        os.close(report)

    def result(self) -> int:
        os.waitpid(self.pid, 0)
        try:
            return int(_NS.unpack(os.read(self.report, _NS.size))[0])
        finally:
            os.close(self.report)


class Idle(Operation):
    """Processor time of four waiters: for a semaphore and for a message, each without a timeout
    and with one, while nothing comes for `n` milliseconds."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer = peer
        self.semaphores = [peer.semaphore(f"{name}-{i}", 0) for i in range(2)]
        self.queues = [peer.queue(f"{name}-{i}", 1, limit) for i in range(2)]

    def run(self, n: int) -> list[int]:
        waiters = [
            Waiter(self.peer, self.semaphores[0], lambda own: own.acquire()),
            Waiter(self.peer, self.semaphores[1], lambda own: own.acquire(timeout=_LONG)),
            Waiter(self.peer, self.queues[0], lambda own: own.receive()),
            Waiter(self.peer, self.queues[1], lambda own: own.receive(timeout=_LONG)),
        ]
        time.sleep(n / 1000)
        for semaphore in self.semaphores:
            semaphore.release()
        for queue in self.queues:
            queue.send(b"x")
        return [waiter.result() for waiter in waiters]

    def close(self) -> None:
        for shared in (*self.semaphores, *self.queues):
            self.peer.remove(shared)
