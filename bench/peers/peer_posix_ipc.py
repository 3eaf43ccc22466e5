"""The package `posix_ipc`, with the standard library's `mmap` for memory."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import posix_ipc
from peer import AbstractPeer


class Peer(AbstractPeer):
    def semaphore(self, name: str, value: int) -> Any:
        return posix_ipc.Semaphore(name, posix_ipc.O_CREX, initial_value=value)

    def lock(self, name: str) -> Any:
        return self.semaphore(name, 1)

    def bounded_semaphore(self, name: str, bound: int) -> Any:
        return self.semaphore(name, bound)

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Any:
        return posix_ipc.MessageQueue(
            name, posix_ipc.O_CREX, max_messages=max_messages, max_message_size=max_message_size
        )

    def channel(self, name: str, size: int) -> Any:
        """Of as many messages as a queue holds by default."""
        return self.queue(name, 10, size)

    def reopen(self, shared: Any) -> Any:
        return type(shared)(shared.name)

    def remove(self, shared: Any) -> None:
        shared.unlink()
        shared.close()

    @contextmanager
    def segment(self, name: str, size: int) -> Iterator[Any]:
        shm = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, size=size)
        try:
            yield shm
        finally:
            shm.unlink()
            shm.close_fd()

    def create_segment(self, name: str, size: int) -> None:
        shm = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, size=size)
        memory = mmap.mmap(shm.fd, shm.size)
        memory[0] = 1
        memory.close()
        shm.unlink()
        shm.close_fd()

    def attach_segment(self, name: str) -> None:
        shm = posix_ipc.SharedMemory(name)
        mmap.mmap(shm.fd, shm.size).close()
        shm.close_fd()
