"""The package of this project, by the part of its API that the original has too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peer import AbstractPeer

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory


class Peer(AbstractPeer):
    def semaphore(self, name: str, value: int) -> NamedSemaphore:
        return NamedSemaphore(name, value, Flags.RAISE_IF_EXISTS)

    def queue(self, name: str, max_messages: int, max_message_size: int) -> NamedMessageQueue:
        return NamedMessageQueue(
            name, max_messages, max_message_size, handle_existence=Flags.RAISE_IF_EXISTS
        )

    def reopen(self, shared: Any) -> Any:
        return type(shared)(shared.name)

    def remove(self, shared: Any) -> None:
        shared.unlink()
        shared.close()

    @contextmanager
    def segment(self, name: str, size: int) -> Iterator[NamedSharedMemory]:
        shm = NamedSharedMemory(name, size, handle_existence=Flags.RAISE_IF_EXISTS)
        try:
            yield shm
        finally:
            self.remove(shm)

    def create_segment(self, name: str, size: int) -> None:
        shm = NamedSharedMemory(name, size, handle_existence=Flags.RAISE_IF_EXISTS)
        memory = shm.mmap()
        memory[0] = 1
        memory.close()
        shm.unlink()
        shm.close()

    def attach_segment(self, name: str) -> None:
        shm = NamedSharedMemory(name)
        shm.mmap().close()
        shm.close()
