"""The plainest calls of acquire, release, send and receive have a short way in, and messages come
in tuples that may have been given out before: nobody can tell."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import QUEUE, SEMAPHORE, WATCHDOG

from nob.ipc import NamedMessageQueue, NamedSemaphore

Pair = tuple[bytes, int]


@given(
    st.lists(st.tuples(st.binary(max_size=16), st.integers(0, 32767), st.booleans()), max_size=20)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_somebody_has_stays_as_it_is(
    queue: NamedMessageQueue, messages: list[tuple[bytes, int, bool]]
) -> None:
    kept: list[tuple[Pair | None, Pair]] = []
    for message, priority, keep in messages:
        queue.send(message, priority=priority)
        received = queue.receive()
        assert received == (message, priority)
        if keep:
            kept.append((received, (message, priority)))
        del received
    for received, sent in kept:
        assert received == sent


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector runs when it is told to."""
    threshold = gc.get_threshold()
    gc.disable()
    yield
    gc.set_threshold(*threshold)
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_what_the_collector_shows_stays_as_it_is(queue: NamedMessageQueue) -> None:
    queue.send(b"held")
    # What is held is not filled anew: the next one is a new tuple, which the collector knows.
    held = queue.receive()
    message = b"%d" % id(queue)
    queue.send(message)
    queue.receive()
    pairs = [it for it in gc.get_objects() if type(it) is tuple and len(it) == 2]
    shown = [it for it in pairs if type(it[0]) is bytes and it[0] == message]
    assert shown or sys.version_info >= (3, 14)
    queue.send(b"other")
    assert queue.receive() == (b"other", 0)
    assert held == (b"held", 0)
    assert all(it == (message, 0) for it in shown)


def test_what_nobody_has_is_gone(queue: NamedMessageQueue) -> None:
    """Of those that were given out, one stays."""
    kept, others = [], []
    for number in range(10):
        queue.send(b"%d" % number)
        kept.append(queue.receive())
        others.append((b"%d" % number, 0))
    *counts, last = [sys.getrefcount(pair) for pair in kept]
    *expected, once = [sys.getrefcount(pair) for pair in others]
    assert counts == expected
    assert last in (once, once + 1)


def test_a_pair_has_the_hash_of_its_equals(queue: NamedMessageQueue) -> None:
    for message in (b"one", b"two", b"two"):
        queue.send(message)
        assert hash(queue.receive()) == hash((message, 0))


def test_long_messages_do_not_stay(name: str) -> None:
    size = 4097
    queue = QUEUE.create(name, max_messages=1, max_message_size=size)
    queue.send(bytes(size))
    (message, _priority) = queue.receive()
    other = bytes(bytearray(size))
    assert sys.getrefcount(message) == sys.getrefcount(other)


@pytest.mark.usefixtures("uncollected")
def test_a_finalizer_may_receive(queue: NamedMessageQueue) -> None:
    """Making a tuple for a message may run the collector, and that a finalizer that receives."""
    found: list[Pair | None] = []
    receiving, inside = False, []

    class Receiver:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            inside.append(receiving)
            found.append(queue.receive())

    gc.set_threshold(1)
    hoard: list[Any] = []
    for number in range(50):
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
        (b"%d" % number, priority) for number in range(50) for priority in (0, 1)
    )
    # Later interpreters collect between two instructions.
    assert True in inside or sys.version_info >= (3, 12)


Calls = dict[str, Callable[[Any], object]]
SEMAPHORE_CALLS: Calls = {
    "acquire": lambda it: it.acquire(),
    "acquire, by keyword": lambda it: it.acquire(blocking=True),
    "release": lambda it: it.release(),
    "release, by position": lambda it: it.release(1),
}
QUEUE_CALLS: Calls = {
    "send": lambda it: it.send(b"x"),
    "send, by keyword": lambda it: it.send(message=b"x"),
    "send, a str": lambda it: it.send("x"),
    "receive": lambda it: it.receive(),
    "receive, by keyword": lambda it: it.receive(timeout=None),
}


@pytest.mark.parametrize("call", SEMAPHORE_CALLS.values(), ids=SEMAPHORE_CALLS)
def test_a_semaphore_that_is_not_open(name: str, call: Callable[[Any], object]) -> None:
    semaphore = SEMAPHORE.create(name)
    semaphore.close()
    with pytest.raises(ValueError, match="closed"):
        call(semaphore)
    with pytest.raises(ValueError, match="never opened"):
        call(NamedSemaphore.__new__(NamedSemaphore))


@pytest.mark.parametrize("call", QUEUE_CALLS.values(), ids=QUEUE_CALLS)
def test_a_queue_that_is_not_open(queue: NamedMessageQueue, call: Callable[[Any], object]) -> None:
    queue.close()
    with pytest.raises(ValueError, match="closed"):
        call(queue)
    with pytest.raises(ValueError, match="never opened"):
        call(NamedMessageQueue.__new__(NamedMessageQueue))


@pytest.mark.parametrize(
    ("cls", "name", "arguments"),
    [
        (NamedSemaphore, "acquire", ()),
        (NamedSemaphore, "release", ()),
        (NamedMessageQueue, "send", (b"x",)),
        (NamedMessageQueue, "receive", ()),
    ],
)
def test_what_they_are_not_called_with(cls: type, name: str, arguments: tuple[bytes, ...]) -> None:
    method = getattr(cls, name)
    with pytest.raises(TypeError):
        method()
    other = NamedMessageQueue if cls is NamedSemaphore else NamedSemaphore
    for wrong in (None, object(), cls, other, other.__new__(other)):
        with pytest.raises(TypeError):
            method(wrong, *arguments)
    handle = cls.__new__(cls)
    with pytest.raises(TypeError, match="unexpected keyword"):
        method(handle, *arguments, unknown=1)
    with pytest.raises(TypeError, match="positional arguments"):
        method(handle, *arguments, None, None, None)


class Bytes(bytes):
    pass


@pytest.mark.parametrize("message", [b"x", Bytes(b"x"), bytearray(b"x"), memoryview(b"x"), "x"])
def test_all_that_is_like_bytes(queue: NamedMessageQueue, message: Any) -> None:
    assert queue.send(message) is True
    received = queue.receive()
    assert received == (b"x", 0)
    assert type(received[0]) is bytes


def test_the_package_is_imported_again(name: str) -> None:
    code = """
import sys

import nob.ipc

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


def test_a_subclass_has_them_too(name: str) -> None:
    class Counting(NamedSemaphore):
        count = 0

        def acquire(self, *args: Any, **kwargs: Any) -> bool:
            self.count += 1
            return super().acquire(*args, **kwargs)

    SEMAPHORE.create(name, initial_value=1).unlink_on_delete = False
    semaphore = Counting(name, unlink_on_delete=True)
    assert semaphore.acquire()
    semaphore.release()
    assert semaphore.acquire(timeout=0)
    assert semaphore.count == 2
