"""The plainest calls of acquire, release, send and receive have a short way in, and messages come
in tuples that may have been given out before: nobody can tell."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import QUEUE, SEMAPHORE

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


def test_what_the_collector_shows_stays_as_it_is(queue: NamedMessageQueue) -> None:
    queue.send(b"one")
    queue.receive()
    shown = [it for it in gc.get_objects() if type(it) is tuple and it == (b"one", 0)]
    queue.send(b"two")
    assert queue.receive() == (b"two", 0)
    assert all(it == (b"one", 0) for it in shown)


def test_a_pair_has_the_hash_of_its_equals(queue: NamedMessageQueue) -> None:
    for message in (b"one", b"two", b"two"):
        queue.send(message)
        assert hash(queue.receive()) == hash((message, 0))


def test_long_messages_do_not_stay(name: str) -> None:
    size = 4097
    queue = QUEUE.create(name, max_messages=1, max_message_size=size)
    queue.send(bytes(size))
    (message, _priority) = queue.receive()
    # The variable, and the argument of this call.
    assert sys.getrefcount(message) == 2


@contextmanager
def collecting() -> Iterator[None]:
    """The collector runs whenever something is made."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


def test_a_finalizer_may_receive(name: str) -> None:
    """While a tuple is made for a message, the collector may run a finalizer that receives, too."""
    queue = QUEUE.create(name, max_messages=10, max_message_size=16)
    found: list[Pair | None] = []

    class Receiver:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            found.append(queue.receive(timeout=0))

    sent = [b"%d" % number for number in range(200)]
    unsent = iter(sent)
    with collecting():
        for pair in zip(unsent, unsent, strict=True):
            for message in pair:
                queue.send(message)
            Receiver()
            found.append(queue.receive(timeout=0))
            gc.collect()
            while (rest := queue.receive(timeout=0)) is not None:
                found.append(rest)
    assert sorted(it[0] for it in found if it is not None) == sorted(sent)


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
    "send, no bytes": lambda it: it.send("x"),
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
    for other in (None, object(), NamedMessageQueue if cls is NamedSemaphore else NamedSemaphore):
        with pytest.raises(TypeError):
            method(other, *arguments)
    handle = cls.__new__(cls)
    with pytest.raises(TypeError, match="unexpected keyword"):
        method(handle, *arguments, unknown=1)
    with pytest.raises(TypeError, match="positional arguments"):
        method(handle, *arguments, None, None, None)


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
