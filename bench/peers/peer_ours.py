"""The package of this project, with what only it has."""

from collections.abc import Sequence
from typing import Any

import peer_nob

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSharedMemory,
)

Messages = NamedMessageQueue | NamedChannel


class Peer(peer_nob.Peer):
    def lock(self, name: str) -> NamedLock:
        return NamedLock(name, Flags.RAISE_IF_EXISTS)

    def bounded_semaphore(self, name: str, bound: int) -> NamedBoundedSemaphore:
        return NamedBoundedSemaphore(name, bound, Flags.RAISE_IF_EXISTS)

    def channel(self, name: str, size: int) -> Any:
        capacity = max(1 << 20, 16 * size)
        return NamedChannel(name, capacity=capacity, handle_existence=Flags.RAISE_IF_EXISTS)

    def create_sparse_segment(self, name: str, size: int) -> None:
        shm = NamedSharedMemory(name, size, handle_existence=Flags.RAISE_IF_EXISTS, reserve=False)
        memory = shm.mmap()
        memory[0] = 1
        memory.close()
        shm.unlink()
        shm.close()

    def send_batch(self, queue: Messages, messages: Sequence[bytes]) -> None:
        sent = queue.send_many(messages)
        assert sent == len(messages), sent

    def receive_batch(self, queue: Messages, count: int) -> None:
        received = queue.receive_many(count)
        assert len(received) == count, len(received)

    def receive_some(self, channel: Messages, most: int) -> int:
        return len(channel.receive_many(most))
