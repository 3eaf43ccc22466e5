"""The plainest calls of acquire, release, send and receive have a fast path: nobody can tell."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.checks import WATCHDOG
from support.kinds import KINDS, LOCK, PERMITS, SEMAPHORE, Kind, Messages

from nob.ipc import (
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
)

each_permit_kind = pytest.mark.parametrize(
    "kind", [SEMAPHORE, LOCK, PERMITS], ids=lambda kind: kind.word
)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector runs when it is told to."""
    threshold = gc.get_threshold()
    gc.disable()
    yield
    gc.set_threshold(*threshold)
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_a_finalizer_may_receive(queue: Messages) -> None:
    """Making a tuple for a message may run the collector, and that a finalizer that receives."""
    found: list[tuple[bytes, int] | None] = []
    receiving, inside = False, []

    class Receiver:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            inside.append(receiving)
            found.append(queue.receive())

    gc.set_threshold(1)
    hoard: list[Any] = []
    for number in range(10):
        queue.send(b"%d" % number, priority=1)
        queue.send(b"%d" % number)
        # More than the interpreter has ready: a tuple has to be made.
        hoard += [(number, other) for other in range(3000)]
        Receiver()
        gc.enable()
        receiving = True
        found.append(queue.receive())
        receiving = False
        gc.disable()
        gc.collect()
    assert sorted(it for it in found if it is not None) == sorted(
        (b"%d" % number, priority) for number in range(10) for priority in (0, 1)
    )
    # Later interpreters collect between two instructions.
    assert True in inside or sys.version_info >= (3, 12)


Calls = dict[str, Callable[[Any], object]]
PERMIT_CALLS: Calls = {
    "acquire": lambda it: it.acquire(),
    "acquire, by keyword": lambda it: it.acquire(blocking=True),
    "release": lambda it: it.release(),
    "enter": lambda it: it.__enter__(),
    "exit": lambda it: it.__exit__(None, None, None),
}
QUEUE_CALLS: Calls = {
    "send": lambda it: it.send(b"x"),
    "send, by keyword": lambda it: it.send(message=b"x"),
    "send, a str": lambda it: it.send("x"),
    "receive": lambda it: it.receive(),
    "receive, by keyword": lambda it: it.receive(timeout=None),
}


@each_permit_kind
@pytest.mark.parametrize("call", PERMIT_CALLS.values(), ids=PERMIT_CALLS)
def test_a_semaphore_that_is_not_open(kind: Kind, name: str, call: Callable[[Any], object]) -> None:
    semaphore = kind.create(name)
    semaphore.close()
    with pytest.raises(ValueError, match="closed"):
        call(semaphore)
    with pytest.raises(ValueError, match="never opened"):
        call(kind.cls.__new__(kind.cls))


def test_permits_by_number_of_a_semaphore_that_is_not_open(name: str) -> None:
    semaphore = SEMAPHORE.create(name)
    semaphore.close()
    with pytest.raises(ValueError, match="closed"):
        semaphore.release(1)
    with pytest.raises(ValueError, match="never opened"):
        NamedSemaphore.__new__(NamedSemaphore).release(1)


@pytest.mark.parametrize("call", QUEUE_CALLS.values(), ids=QUEUE_CALLS)
def test_a_queue_that_is_not_open(queue: Messages, call: Callable[[Any], object]) -> None:
    queue.close()
    with pytest.raises(ValueError, match="closed"):
        call(queue)
    with pytest.raises(ValueError, match="never opened"):
        call(type(queue).__new__(type(queue)))


@pytest.mark.parametrize(
    ("cls", "name", "arguments"),
    [
        *itertools.product(
            (NamedSemaphore, NamedLock, NamedBoundedSemaphore), ("acquire", "release"), ((),)
        ),
        (NamedMessageQueue, "send", (b"x",)),
        (NamedMessageQueue, "receive", ()),
        (NamedChannel, "send", (b"x",)),
        (NamedChannel, "receive", ()),
    ],
)
def test_what_they_are_not_called_with(cls: type, name: str, arguments: tuple[bytes, ...]) -> None:
    method = getattr(cls, name)
    with pytest.raises(TypeError):
        method()
    for other in {kind.cls for kind in KINDS} - {cls}:
        for wrong in (None, object(), cls, other, other.__new__(other)):
            with pytest.raises(TypeError):
                method(wrong, *arguments)
    handle = cls.__new__(cls)
    # The release of what is owned has no arguments at all.
    with pytest.raises(TypeError, match=r"unexpected keyword|takes no keyword arguments"):
        method(handle, *arguments, unknown=1)
    with pytest.raises(TypeError, match=r"positional arguments|takes no arguments"):
        method(handle, *arguments, None, None, None)


class Bytes(bytes):
    pass


@pytest.mark.parametrize("message", [b"x", Bytes(b"x"), bytearray(b"x"), memoryview(b"x"), "x"])
def test_all_that_is_like_bytes(queue: Messages, message: Any) -> None:
    assert queue.send(message) is True
    received = queue.receive()
    assert received == (b"x", 0)
    assert type(received[0]) is bytes


def test_the_package_is_imported_again(name: str) -> None:
    code = """
import sys

import nob.ipc

nob.ipc.NamedSemaphore(sys.argv[1], handle_existence=nob.ipc.Flags.LINK_OR_CREATE)
for module in [module for module in sys.modules if module.partition(".")[0] == "nob"]:
    del sys.modules[module]

from nob.ipc import Flags, NamedSemaphore

semaphore = NamedSemaphore(sys.argv[1], 1, Flags.RAISE_IF_EXISTS)
assert semaphore.acquire() and not semaphore.acquire(timeout=0.01)
semaphore.close()
try:
    semaphore.acquire()
except ValueError:
    print("closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


@each_permit_kind
def test_a_subclass_has_them_too(kind: Kind, name: str) -> None:
    class Counting(kind.cls):  # type: ignore[name-defined, misc]
        count = 0

        def acquire(self, *args: Any, **kwargs: Any) -> bool:
            self.count += 1
            return bool(super().acquire(*args, **kwargs))

    kind.create(name).unlink_on_delete = False
    semaphore = Counting(name, unlink_on_delete=True)
    assert semaphore.acquire()
    semaphore.release()
    assert semaphore.acquire(timeout=0)
    assert semaphore.count == 2
