"""The kinds of objects: how to make, use, mark and remove one, also past the library."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
    list_objects,
)
from support.system import libc

SEM_VALUE_MAX = 2_147_483_647

_counter = itertools.count()


def unique() -> str:
    """A name that nobody else uses."""
    return f"/nob-test-{os.getpid()}-{next(_counter)}-{secrets.token_hex(4)}"


@dataclass(frozen=True, eq=False)
class Kind:
    """One of the kinds: its class, what a small new object of it is made with, and what stands
    before the name in that of its file."""

    word: str
    cls: Any
    small: dict[str, int]
    prefix: str = ""

    def open(self, name: str | None, flag: Flags = Flags.RAISE_IF_NOT_EXISTS, **more: Any) -> Any:
        return self.cls(name, handle_existence=flag, **more)

    def create(self, name: str | None, flag: Flags = Flags.RAISE_IF_EXISTS, **more: Any) -> Any:
        return self.cls(name, handle_existence=flag, **{**self.small, **more})

    @property
    def class_name(self) -> str:
        return str(self.cls.__name__)

    @property
    def highest(self) -> int:
        """The highest priority of a small object's messages."""
        return 32767 if self is QUEUE else self.small["priorities"] - 1

    def source(self, flag: object, **more: object) -> str:
        """Python that makes or opens the small object called `name`, for scripts."""
        options = {**self.small, **more}
        words = [f"{word}={value!r}" for word, value in options.items()]
        return f"{self.class_name}({', '.join(['name', f'handle_existence={flag}', *words])})"

    def stamp(self, handle: Any) -> None:
        """Leaves in the object what tells it from a new one."""
        if self is SEMAPHORE:
            handle.release()
        elif self is SEGMENT:
            with handle.mmap() as memory:
                memory[:5] = b"stamp"
        elif self in MESSAGES:
            assert handle.send(b"stamp")
        else:
            # It stays for as long as the handle is open.
            assert handle.acquire(timeout=0)

    def is_stamped(self, handle: Any) -> bool:
        if self is SEMAPHORE:
            return bool(handle.value == self.small["initial_value"] + 1)
        if self is SEGMENT:
            with handle.mmap() as memory:
                return bytes(memory[:5]) == b"stamp"
        if self in MESSAGES:
            return bool(handle.current_messages == 1)
        return bool(handle.locked() if self is LOCK else handle.value < handle.bound)

    def use(self, handle: Any) -> None:
        """Shows that the handle works, and leaves the object's state as it is."""
        if self is SEMAPHORE:
            handle.release()
            assert handle.acquire(timeout=0)
        elif self is SEGMENT:
            with handle.mmap() as memory:
                memory[-1:] = b"u"
                assert memory[-1:] == b"u"
        elif self in OWNED:
            # Another handle may have all there is, as after a stamp of the lock.
            free = not handle.locked() if self is LOCK else handle.value > 0
            assert handle.acquire(timeout=0) is free
            if free:
                handle.release()
        else:
            assert handle.send(b"used", timeout=0, priority=3)
            assert handle.receive(timeout=0) == (b"used", 3)

    def path(self, name: str) -> str:
        """The file that the object is, of the kinds that are files."""
        assert self is not QUEUE
        return "/dev/shm/" + self.prefix + name.lstrip("/")

    def exists(self, name: str) -> bool:
        """Whether anything has the name; asked of the system, past the library."""
        if self is QUEUE:
            return queue_exists(name)
        return os.path.lexists(self.path(name))

    def remove(self, name: str) -> None:
        """Removes whatever has the name, past the library."""
        if self is QUEUE:
            libc.mq_unlink(name.encode())
            return
        path = self.path(name)
        # The longest name of another kind is too long for this one.
        if not os.path.lexists(path):
            return
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)

    def mode(self, handle: Any) -> int:
        """The permission bits of the object."""
        return stat.S_IMODE(self.status(handle).st_mode)

    def status(self, handle: Any) -> os.stat_result:
        if self in (SEGMENT, QUEUE):
            return os.fstat(handle.fileno())
        return os.stat(self.path(handle.name))


Messages = NamedMessageQueue | NamedChannel

SEMAPHORE = Kind("semaphore", NamedSemaphore, {"initial_value": 3}, "sem.")
SEGMENT = Kind("segment", NamedSharedMemory, {"size": 64})
QUEUE = Kind("queue", NamedMessageQueue, {"max_messages": 2, "max_message_size": 16})
LOCK = Kind("lock", NamedLock, {}, "nob.lock.")
PERMITS = Kind("permits", NamedBoundedSemaphore, {"value": 3}, "nob.permits.")
CHANNEL = Kind(
    "channel",
    NamedChannel,
    {"max_messages": 2, "max_message_size": 16, "priorities": 8},
    "nob.channel.",
)
KINDS = (SEMAPHORE, SEGMENT, QUEUE, LOCK, PERMITS, CHANNEL)
MESSAGES = (QUEUE, CHANNEL)
OWNED = (LOCK, PERMITS)
"""What a handle has of these goes with it, and a stamp is something that a handle has."""

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
each_file_kind = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not QUEUE], ids=lambda kind: kind.word
)
each_owned_kind = pytest.mark.parametrize("kind", OWNED, ids=lambda kind: kind.word)


def remove_what_killed_runs_left() -> None:
    """Removes the objects of earlier runs that did not come to their end: a name says whose it is.

    Above all the queues, of which a user has few.
    """
    for found in list_objects():
        made_by = re.match(r"/nob-(?:test|rust)-(\d+)-", found["name"])
        if made_by and not found["holders"] and not os.path.exists(f"/proc/{made_by[1]}"):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _CLASSES[found["kind"]].unlink_name(found["name"])


_CLASSES: dict[str, Any] = {
    "sem": NamedSemaphore,
    "shm": NamedSharedMemory,
    "mq": NamedMessageQueue,
    "lock": NamedLock,
    "permits": NamedBoundedSemaphore,
    "channel": NamedChannel,
}


def queue_exists(name: str) -> bool:
    descriptor = libc.mq_open(name.encode(), os.O_RDONLY | os.O_NONBLOCK)
    if descriptor >= 0:
        os.close(descriptor)
        return True
    return ctypes.get_errno() != errno.ENOENT


@contextlib.contextmanager
def removed(*names: str) -> Iterator[None]:
    """Removes the objects of these names afterwards, of whatever kind."""
    try:
        yield
    finally:
        for name, kind in itertools.product(names, KINDS):
            kind.remove(name)


# What needs an open handle, by kind.
USES = {
    "semaphore": [
        lambda h: h.acquire(),
        lambda h: h.acquire(timeout=0),
        lambda h: h.release(),
        lambda h: h.value,
        lambda h: h.__enter__(),
    ],
    "segment": [
        lambda h: h.size,
        lambda h: h.fd,
        lambda h: h.fileno(),
        lambda h: h.mmap(),
        lambda h: h.resize(64),
        lambda h: h.__enter__(),
    ],
    "queue": [
        lambda h: h.send(b"x"),
        lambda h: h.receive(),
        lambda h: h.receive(0),
        lambda h: h.current_messages,
        lambda h: h.mqd,
        lambda h: h.mdq,
        lambda h: h.fileno(),
        lambda h: h.block,
        lambda h: setattr(h, "block", False),
        lambda h: h.request_notification(None),
        lambda h: h.request_notification(10),
        lambda h: h.__enter__(),
    ],
    "channel": [
        lambda h: h.send(b"x"),
        lambda h: h.receive(),
        lambda h: h.receive(0),
        lambda h: h.receive_into(bytearray(9)),
        lambda h: h.current_messages,
        lambda h: h.max_messages,
        lambda h: h.capacity,
        lambda h: h.priorities,
        lambda h: h.fileno(),
        lambda h: h.block,
        lambda h: setattr(h, "block", False),
        lambda h: h.__enter__(),
    ],
    "lock": [
        lambda h: h.acquire(),
        lambda h: h.acquire(timeout=0),
        lambda h: h.release(),
        lambda h: h.owner_died,
        lambda h: h.mark_repaired(),
        lambda h: h.locked(),
        lambda h: h.held,
        lambda h: h.owner,
        lambda h: h.fence,
        lambda h: h.__enter__(),
    ],
    "permits": [
        lambda h: h.acquire(),
        lambda h: h.acquire(timeout=0),
        lambda h: h.release(),
        lambda h: h.value,
        lambda h: h.bound,
        lambda h: h.holders,
        lambda h: h.__enter__(),
    ],
}
