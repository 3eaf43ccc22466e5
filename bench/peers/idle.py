"""What it costs to wait for nothing."""

import os
import struct
import time
from collections.abc import Callable, Sequence
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


def _acquire(own: Any) -> Any:
    return own.acquire()


def _acquire_in_time(own: Any) -> Any:
    return own.acquire(timeout=_LONG)


def _receive(own: Any) -> Any:
    return own.receive()


def _receive_in_time(own: Any) -> Any:
    return own.receive(timeout=_LONG)


class Idle(Operation):
    """Processor time of waiters: for a semaphore, a message of a queue, a lock, a permit of a
    bounded semaphore and a message of a channel, each without a timeout and with one, while nothing
    comes for `n` milliseconds."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer = peer
        self.semaphores = [peer.semaphore(f"{name}-{i}", 0) for i in range(2)]
        self.queues = [peer.queue(f"{name}-{i}", 1, limit) for i in range(2)]
        self.locks = [peer.lock(f"{name}-lock-{i}") for i in range(2)]
        self.permits = [peer.bounded_semaphore(f"{name}-permits-{i}", 1) for i in range(2)]
        self.channels = [peer.channel(f"{name}-{i}", limit) for i in range(2, 4)]

    def pair(self, shared: Sequence[Any], *waits: Callable[[Any], Any]) -> list[Waiter]:
        return [Waiter(self.peer, *each) for each in zip(shared, waits, strict=True)]

    def run(self, n: int) -> list[int]:
        for held in (*self.locks, *self.permits):
            held.acquire()
        waiters = [
            *self.pair(self.semaphores, _acquire, _acquire_in_time),
            *self.pair(self.queues, _receive, _receive_in_time),
            *self.pair(self.locks, _acquire, _acquire_in_time),
            *self.pair(self.permits, _acquire, _acquire_in_time),
            *self.pair(self.channels, _receive, _receive_in_time),
        ]
        time.sleep(n / 1000)
        for held in (*self.semaphores, *self.locks, *self.permits):
            held.release()
        for messages in (*self.queues, *self.channels):
            messages.send(b"x")
        return [waiter.result() for waiter in waiters]

    def close(self) -> None:
        held = (*self.locks, *self.permits)
        for shared in (*self.semaphores, *self.queues, *held, *self.channels):
            self.peer.remove(shared)
