"""The standard library: `multiprocessing`, whose semaphores and queues have no names and reach
another process by inheritance only."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from peer import AbstractPeer

_context = get_context("fork")


class Queue(SimpleQueue):  # type: ignore[type-arg]  # generic in the stubs only
    """A pipe and two locks: nothing in the standard library is nearer to a message queue."""

    send = SimpleQueue.put
    receive = SimpleQueue.get


class Peer(AbstractPeer):
    def semaphore(self, name: str, value: int) -> Any:
        return _context.Semaphore(value)

    def lock(self, name: str) -> Any:
        return _context.Lock()

    def bounded_semaphore(self, name: str, bound: int) -> Any:
        return _context.BoundedSemaphore(bound)

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(ctx=_context)

    def channel(self, name: str, size: int) -> Queue:
        return Queue(ctx=_context)

    def reopen(self, shared: Any) -> Any:
        return shared

    def remove(self, shared: Any) -> None:
        if isinstance(shared, Queue):
            shared.close()

    @contextmanager
    def segment(self, name: str, size: int) -> Iterator[SharedMemory]:
        shm = SharedMemory(name, create=True, size=size)
        try:
            yield shm
        finally:
            shm.close()
            shm.unlink()

    def create_segment(self, name: str, size: int) -> None:
        shm = SharedMemory(name, create=True, size=size)
        shm.buf[0] = 1  # type: ignore[index]  # None only once it is closed
        shm.close()
        shm.unlink()

    def attach_segment(self, name: str) -> None:
        SharedMemory(name).close()
