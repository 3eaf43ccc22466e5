"""The classes of nob.posix_ipc, as its tests use them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nob import posix_ipc
from nob.posix_ipc import O_CREX, MessageQueue, Semaphore, SharedMemory
from support.kinds import QUEUE, SEGMENT, SEMAPHORE, Kind


@dataclass(frozen=True)
class Face:
    """A class, the function that removes its names, and what a small object is made with."""

    cls: Any
    unlink: Callable[[Any], None]
    kind: Kind
    small: dict[str, int]

    def create(self, name: Any, flags: int = O_CREX, **more: Any) -> Any:
        return self.cls(name, flags, **{**self.small, **more})

    def close(self, handle: Any) -> None:
        (handle.close_fd if self.cls is SharedMemory else handle.close)()

    @contextlib.contextmanager
    def made(self, name: Any, flags: int = O_CREX, **more: Any) -> Iterator[Any]:
        """A new object, which is gone afterwards."""
        handle = self.create(name, flags, **more)
        try:
            yield handle
        finally:
            for undo in (handle.unlink, lambda: self.close(handle)):
                with contextlib.suppress(posix_ipc.ExistentialError):
                    undo()


SEMAPHORES = Face(Semaphore, posix_ipc.unlink_semaphore, SEMAPHORE, {"initial_value": 3})
SEGMENTS = Face(SharedMemory, posix_ipc.unlink_shared_memory, SEGMENT, {"size": 64})
QUEUES = Face(
    MessageQueue,
    posix_ipc.unlink_message_queue,
    QUEUE,
    {"max_messages": 2, "max_message_size": 16},
)
each_face = pytest.mark.parametrize(
    "face", [SEMAPHORES, SEGMENTS, QUEUES], ids=lambda face: face.cls.__name__
)
