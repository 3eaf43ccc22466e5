"""How arguments are given, and what is said of those that are wrong (contract 2, 7)."""

import pytest
from support.kinds import CHANNEL, KINDS, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE, Kind, each_kind

from nob.ipc import Flags, InvalidArgument


@each_kind
def test_unknown_and_missing_arguments(kind: Kind, name: str) -> None:
    """Contract 7: Python's own TypeError."""
    calls = [
        kind.cls,
        lambda: kind.cls(name, colour="red"),
        lambda: kind.cls(name, handle=Flags.LINK_OR_CREATE),
        kind.cls.unlink_name,
        lambda: kind.cls.unlink_name(name, None, 1),
        lambda: kind.cls(name, *[None] * 12),
    ]
    handle = kind.create(name)
    calls += [lambda: handle.close(1), lambda: handle.unlink(1), lambda: handle.close(now=True)]
    for call in calls:
        with pytest.raises(TypeError) as caught:
            call()
        assert not isinstance(caught.value, InvalidArgument)
    assert kind.exists(name)


def test_unknown_and_missing_arguments_of_methods(name: str) -> None:
    semaphore, segment, queue, lock, permits, channel = (kind.create(name) for kind in KINDS)
    for call in (
        lambda: semaphore.acquire(True, 1, 2),
        lambda: semaphore.acquire(wait=1),
        lambda: semaphore.release(1, 2),
        segment.resize,
        lambda: segment.mmap(1),
        queue.send,
        lambda: queue.send(b"x", 0, 0, 0),
        lambda: queue.receive(0, 0),
        lambda: queue.request_notification(1, 2),
        lambda: lock.acquire(True, 1, 2),
        lambda: lock.acquire(wait=1),
        lambda: lock.release(1),
        lambda: lock.mark_repaired(1),
        lambda: lock.locked(1),
        lambda: permits.acquire(True, 1, 2),
        lambda: permits.release(2),
        lambda: permits.release(n=1),
        channel.send,
        channel.receive_into,
        lambda: channel.send(b"x", 0, 0, 0),
        lambda: channel.receive(0, 0),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert not isinstance(caught.value, InvalidArgument)


def test_what_is_keyword_only(name: str) -> None:
    flag, no = Flags.RAISE_IF_EXISTS, True
    for call in (
        lambda: SEMAPHORE.cls(name, 1, flag, no, 0o600),
        lambda: SEGMENT.cls(name, 1, False, flag, no, 0o600),
        lambda: QUEUE.cls(name, 1, 1, True, True, flag, no, 0o600),
        lambda: CHANNEL.cls(name, 1, 1, True, True, flag, no, 4096),
        lambda: LOCK.cls(name, flag, no, 0o600),
        lambda: PERMITS.cls(name, 1, flag, no, 0o600),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert not isinstance(caught.value, InvalidArgument)
    for kind in KINDS:
        assert not kind.exists(name)


def test_the_order_of_positional_arguments(name: str) -> None:
    """Contract 2: everything before `mode` may be given by position."""
    semaphore = SEMAPHORE.cls(name, 5, Flags.RAISE_IF_EXISTS, False)
    assert (semaphore.value, semaphore.unlink_on_delete) == (5, False)
    segment = SEGMENT.cls(name, 9, False, Flags.RAISE_IF_EXISTS, False)
    assert (segment.size, segment.read_only, segment.unlink_on_delete) == (9, False, False)
    queue = QUEUE.cls(name, 2, 9, True, True, Flags.RAISE_IF_EXISTS, False)
    assert (queue.max_messages, queue.max_message_size) == (2, 9)
    assert queue.unlink_on_delete is False
    channel = CHANNEL.cls(name, 2, 9, True, True, Flags.RAISE_IF_EXISTS, False)
    assert (channel.max_messages, channel.max_message_size) == (2, 9)
    assert channel.unlink_on_delete is False
    lock = LOCK.cls(name, Flags.RAISE_IF_EXISTS, False)
    assert (lock.linked_existing_object, lock.unlink_on_delete) == (False, False)
    permits = PERMITS.cls(name, 5, Flags.RAISE_IF_EXISTS, False)
    assert (permits.bound, permits.unlink_on_delete) == (5, False)


@each_kind
def test_an_invalid_argument_is_named(kind: Kind, name: str) -> None:
    """The text says which argument it is, and what it should be."""
    with pytest.raises(InvalidArgument, match="mode"):
        kind.create(name, mode="x")
    with pytest.raises(InvalidArgument, match="handle_existence"):
        kind.cls(name, handle_existence=3)
    with pytest.raises(InvalidArgument, match="unlink_on_delete"):
        kind.create(name, unlink_on_delete=1)


def test_other_invalid_arguments_are_named(name: str) -> None:
    semaphore, queue, channel = SEMAPHORE.create(name), QUEUE.create(name), CHANNEL.create(name)
    lock, permits = LOCK.create(name), PERMITS.create(name)
    for word, call in {
        "value must be 1 to 512, not 0": lambda: PERMITS.open(name, value=0),
        "value must be 1 to 512, not 513": lambda: PERMITS.open(name, value=513),
        "timeout .*-1": lambda: lock.acquire(timeout=-1),
        "blocking must be True or False, not 1": lambda: permits.acquire(blocking=1),
        "not 0.5 .float.; give a time by name: timeout=SECONDS": lambda: lock.acquire(0.5),
        "not 2 .int.; give a time by name": lambda: semaphore.acquire(2),
        "initial_value": lambda: SEMAPHORE.open(name, initial_value=-1),
        "size": lambda: SEGMENT.open(name, size=-1),
        "reserve": lambda: SEGMENT.open(name, reserve=1),
        "read_only": lambda: SEGMENT.open(name, read_only=1),
        "max_messages": lambda: QUEUE.open(name, max_messages=0),
        "max_message_size": lambda: QUEUE.open(name, max_message_size=0),
        "timeout": lambda: semaphore.acquire(timeout="x"),
        "blocking": lambda: semaphore.acquire(blocking=1),
        "priority": lambda: queue.send(b"", priority=-1),
        "message": lambda: queue.send(1),
        "max_messages must be": lambda: CHANNEL.open(name, max_messages=0),
        "max_message_size must be": lambda: CHANNEL.open(name, max_message_size=0),
        "capacity must be": lambda: CHANNEL.open(name, capacity=0),
        "priorities must be": lambda: CHANNEL.open(name, priorities=9),
        "priority .*priorities": lambda: channel.send(b"", priority=8),
        "priority must be": lambda: channel.send(b"", priority=-1),
        "message must be": lambda: channel.send(1),
        "buffer must be": lambda: channel.receive_into(b""),
        "timeout must be": lambda: channel.receive("x"),
        "reserve must be": lambda: CHANNEL.open(name, reserve=1),
        "a signal from 1 to 64, .callable, argument. or None": lambda: queue.request_notification(
            print
        ),
        "a signal from 1 to 64, not 65": lambda: queue.request_notification(65),
        "mode must be 0o0 to 0o777, not 0o1777": lambda: SEGMENT.open(name, mode=0o1777),
        "mode must be 0o0 to 0o777, not -0o1": lambda: SEGMENT.open(name, mode=-1),
    }.items():
        with pytest.raises(InvalidArgument, match=word):
            call()
