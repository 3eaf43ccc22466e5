"""The types of what `list_objects` and `reap` return, for annotations: each is a dict.

Listed: one object of `list_objects()`; its `kind` says which of the others it is.
Reaped: one of `reap()`.
"""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = [
    "Holder",
    "Listed",
    "ListedBoundedSemaphore",
    "ListedChannel",
    "ListedLock",
    "ListedQueue",
    "ListedSegment",
    "ListedSemaphore",
    "Object",
    "Reaped",
    "ReapedBoundedSemaphore",
    "ReapedChannel",
    "ReapedLock",
    "ReapedQueue",
    "ReapedSegment",
    "ReapedSemaphore",
]


class Holder(TypedDict):
    """A process that has an object open."""

    pid: int
    command: str


class Object(TypedDict):
    """What is said of every object; sizes are in bytes, `None` is what this user may not see."""

    name: str
    mode: str
    uid: int
    gid: int
    holders: list[Holder]
    orphan: bool | None


class ListedSemaphore(Object):
    """A semaphore."""

    kind: Literal["sem"]
    value: int | None


class ListedSegment(Object):
    """A segment of shared memory."""

    kind: Literal["shm"]
    size: int


class ListedQueue(Object):
    """A message queue."""

    kind: Literal["mq"]
    messages: int | None
    max_messages: int | None
    max_message_size: int | None


class ListedLock(Object):
    """A lock; its owner is a process, or None."""

    kind: Literal["lock"]
    owner: int | None
    owner_died: bool | None
    waiters: int | None
    deaths: int | None


class ListedBoundedSemaphore(Object):
    """A bounded semaphore; its owners are processes."""

    kind: Literal["permits"]
    value: int | None
    bound: int | None
    owners: list[int] | None
    waiters: int | None
    deaths: int | None


class ListedChannel(Object):
    """A channel."""

    kind: Literal["channel"]
    messages: int | None
    max_messages: int | None
    max_message_size: int | None
    used_bytes: int | None
    capacity: int | None
    priorities: int | None
    waiters: int | None
    deaths: int | None


class _Reaped(TypedDict):
    """What `reap` adds: what became of it."""

    outcome: str


class ReapedSemaphore(ListedSemaphore, _Reaped):
    """What `reap` says of one."""


class ReapedSegment(ListedSegment, _Reaped):
    """What `reap` says of one."""


class ReapedQueue(ListedQueue, _Reaped):
    """What `reap` says of one."""


class ReapedLock(ListedLock, _Reaped):
    """What `reap` says of one."""


class ReapedBoundedSemaphore(ListedBoundedSemaphore, _Reaped):
    """What `reap` says of one."""


class ReapedChannel(ListedChannel, _Reaped):
    """What `reap` says of one."""


Listed = (
    ListedSemaphore
    | ListedSegment
    | ListedQueue
    | ListedLock
    | ListedBoundedSemaphore
    | ListedChannel
)

Reaped = (
    ReapedSemaphore
    | ReapedSegment
    | ReapedQueue
    | ReapedLock
    | ReapedBoundedSemaphore
    | ReapedChannel
)
