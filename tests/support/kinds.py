"""The three kinds of objects: how to make, use, mark and remove one, also past the library."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory
from support.system import libc

SEM_VALUE_MAX = 2_147_483_647

_counter = itertools.count()


def unique() -> str:
    """A name that nobody else uses."""
    return f"/nob-test-{os.getpid()}-{next(_counter)}-{secrets.token_hex(4)}"


@dataclass(frozen=True, eq=False)
class Kind:
    """One of the three kinds: its class, and what a small new object of it is made with."""

    word: str
    cls: Any
    small: dict[str, int]

    def open(self, name: str | None, flag: Flags = Flags.RAISE_IF_NOT_EXISTS, **more: Any) -> Any:
        return self.cls(name, handle_existence=flag, **more)

    def create(self, name: str | None, flag: Flags = Flags.RAISE_IF_EXISTS, **more: Any) -> Any:
        return self.cls(name, handle_existence=flag, **{**self.small, **more})

    def stamp(self, handle: Any) -> None:
        """Leaves in the object what tells it from a new one."""
        if self is SEMAPHORE:
            handle.release()
        elif self is SEGMENT:
            with handle.mmap() as memory:
                memory[:5] = b"stamp"
        else:
            assert handle.send(b"stamp")

    def is_stamped(self, handle: Any) -> bool:
        if self is SEMAPHORE:
            return bool(handle.value == self.small["initial_value"] + 1)
        if self is SEGMENT:
            with handle.mmap() as memory:
                return bytes(memory[:5]) == b"stamp"
        return bool(handle.current_messages == 1)

    def use(self, handle: Any) -> None:
        """Shows that the handle works, and leaves the object's state as it is."""
        if self is SEMAPHORE:
            handle.release()
            assert handle.acquire(timeout=0)
        elif self is SEGMENT:
            with handle.mmap() as memory:
                memory[-1:] = b"u"
                assert memory[-1:] == b"u"
        else:
            assert handle.send(b"used", timeout=0, priority=9)
            assert handle.receive(timeout=0) == (b"used", 9)

    def path(self, name: str) -> str:
        """The file that the object is, of the two kinds that are files."""
        assert self is not QUEUE
        return "/dev/shm/" + ("sem." if self is SEMAPHORE else "") + name.lstrip("/")

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
        # The longest name of another kind is too long for a semaphore.
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
        if self is SEMAPHORE:
            return os.stat(self.path(handle.name))
        return os.fstat(handle.fileno())


SEMAPHORE = Kind("semaphore", NamedSemaphore, {"initial_value": 3})
SEGMENT = Kind("segment", NamedSharedMemory, {"size": 64})
QUEUE = Kind("queue", NamedMessageQueue, {"max_messages": 2, "max_message_size": 16})
KINDS = (SEMAPHORE, SEGMENT, QUEUE)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
each_file_kind = pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.word)


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
}
