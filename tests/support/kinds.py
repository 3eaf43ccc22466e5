"""What the tests share: the three kinds of objects, and looks at the system past the library."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory

WATCHDOG = 30.0
"""Seconds after which something that should have happened counts as hanging."""

NOBODY = 65534

SEM_VALUE_MAX = 2_147_483_647

libc = ctypes.CDLL(None, use_errno=True)

_counter = itertools.count()


def rounds(short: int) -> int:
    """How often a loop runs: `short` times in the short suite, NOB_IPC_STRESS times as often."""
    return max(short, int(short * float(os.environ.get("NOB_IPC_STRESS", "1"))))


def seconds(short: float) -> float:
    """How long a loop runs: `short` in the short suite, NOB_IPC_STRESS times as long."""
    return max(short, short * float(os.environ.get("NOB_IPC_STRESS", "1")))


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

conformance = pytest.mark.conformance
"""Names the assertions of docs/conformance.md that a test covers."""


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


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they refer to."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return {number: what for number, what in found.items() if "/proc/" not in what}


def made_by(pid: int) -> set[str]:
    """The files of /dev/shm that are marked as made by the process, and not yet removed by it."""
    made = set()
    for entry in os.listdir("/dev/shm"):
        with contextlib.suppress(OSError):
            mark = os.getxattr(f"/dev/shm/{entry}", "user.nob-ipc")
            if int(mark.split()[1]) == pid:
                made.add(entry)
    return made


def records() -> Iterator[Path]:
    """The records of queues that this user's processes were due to unlink."""
    user = os.geteuid()
    for directory in (f"/run/user/{user}/nob-ipc", f"/tmp/nob-ipc-{user}"):
        yield from Path(directory).glob("*")


def records_of(names: str) -> list[Path]:
    """Those of queues whose names begin so, or that this process has not finished."""
    found = []
    for record in records():
        with contextlib.suppress(FileNotFoundError):
            unfinished = record.name.startswith(f"new-{os.getpid()}-")
            if unfinished or record.read_bytes().partition(b"\n")[2].startswith(names.encode()):
                found.append(record)
    return found


def mappings(file: int) -> int:
    """How often this process has mapped the file with this inode of /dev/shm."""
    device = os.stat("/dev/shm").st_dev
    where = f"{os.major(device):02x}:{os.minor(device):02x} {file} "
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum(where in line for line in maps)


def sysctl(limit: str) -> int:
    """A limit of message queues, such as msg_max."""
    with open(f"/proc/sys/fs/mqueue/{limit}", encoding="ascii") as file:
        return int(file.read())


def digits(text: str) -> str:
    """The text without what groups the digits of numbers."""
    return text.replace(",", "").replace("_", "").replace("\u202f", "")


def helpful(error: OSError, name: str | None, number: int) -> str:
    """Checks what every error promises, and returns its sentence."""
    assert error.errno == number, error
    assert error.filename == name
    sentence = error.strerror
    assert isinstance(sentence, str)
    assert len(sentence.split()) >= 4, f"not a sentence: {sentence!r}"
    assert not sentence.endswith("."), sentence
    assert sentence != os.strerror(number)
    return sentence


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Waits until the condition is true, and returns what it gave; fails after the watchdog."""
    end = time.monotonic() + WATCHDOG
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about in {WATCHDOG} s"
        time.sleep(0.002)
    return found


class Number:
    """Something that counts as an integer by its `__index__` only."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


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
