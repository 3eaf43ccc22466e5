"""Several messages in one call, and iterating."""

from __future__ import annotations

import io
import math
import signal
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.checks import Number, rounds
from support.kinds import Kind, Messages
from support.scripts import Script
from support.waits import Background

from nob.ipc import InvalidArgument


class RaisedError(Exception):
    """What a signal handler raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[float], object]]:
    """Has a handler raise RaisedError in so many seconds."""

    def handler(*_: object) -> None:
        raise RaisedError

    old = signal.signal(signal.SIGALRM, handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


def test_all_are_checked_before_one_is_sent(queue: Messages) -> None:
    with pytest.raises(ValueError, match="message 1 has 17 bytes"):
        queue.send_many([b"fits", b"x" * 17])
    for bad in (3, None, object(), memoryview(bytes(8))[::2]):
        with pytest.raises(InvalidArgument):
            queue.send_many([b"fits", bad])  # type: ignore[list-item]
    for one in (b"one message", "one message", bytearray(b"one message"), 3, None):
        with pytest.raises(InvalidArgument, match="iterable"):
            queue.send_many(one)  # type: ignore[arg-type]
    for priority in (-1, 32768, None, True, "1"):
        with pytest.raises(InvalidArgument, match="priority"):
            queue.send_many([b"fits"], 0, priority)  # type: ignore[arg-type]
    for timeout in (-1, math.nan, True, "1"):
        with pytest.raises(InvalidArgument, match="timeout"):
            queue.send_many([b"fits"], timeout)  # type: ignore[arg-type]
    assert queue.current_messages == 0


def test_an_iterable_that_raises(queue: Messages) -> None:
    def messages() -> Iterator[bytes]:
        yield b"1"
        raise RaisedError

    with pytest.raises(RaisedError):
        queue.send_many(messages())
    assert queue.current_messages == 0


def test_an_iterable_that_closes_the_queue(queue: Messages) -> None:
    def messages() -> Iterator[bytes]:
        yield b"1"
        queue.close()

    with pytest.raises(ValueError, match="closed"):
        queue.send_many(messages())


def test_any_iterable_of_any_messages(queue: Messages) -> None:
    for messages in ([], (), iter([]), {}):
        assert queue.send_many(messages) == 0
    kinds = [b"1", "ü", bytearray(b"3"), memoryview(b"4"), array("i", [5]), b""]
    for messages in (kinds, tuple(kinds), iter(kinds), (kind for kind in kinds)):
        received: list[tuple[bytes, int]] = []
        taking = Background(lambda got=received: [got.append(queue.receive()) for _ in kinds])  # type: ignore[misc]
        assert queue.send_many(messages, priority=7) == len(kinds)
        taking.result()
        expected = [
            bytes(kind, "utf-8") if isinstance(kind, str) else bytes(kind) for kind in kinds
        ]
        assert received == [(message, 7) for message in expected]


def test_the_time_is_for_all(queue: Messages) -> None:
    start = time.monotonic()
    assert queue.send_many([b"1", "2", b"3"], timeout=0.1) == 2
    assert time.monotonic() - start >= 0.1
    assert queue.send_many([b"4"], timeout=0) == 0
    assert queue.receive_many(1) == [(b"1", 0)]
    assert queue.receive_many() == [(b"2", 0)]
    start = time.monotonic()
    assert queue.receive_many(timeout=0.1) == []
    assert time.monotonic() - start >= 0.1
    assert queue.receive_many(timeout=0) == []


def test_receive_many_waits_for_the_first_only(queue: Messages) -> None:
    receiving = Background(queue.receive_many)
    receiving.wait_until_asleep()
    queue.send(b"1")
    assert receiving.result() == [(b"1", 0)]


def test_the_most_urgent_come_first(message_kind: Kind, name: str) -> None:
    with message_kind.create(name, max_messages=6) as queue:
        for priority in (1, 5, 3):
            assert queue.send_many([b"a", b"b"], priority=priority) == 2
        received = queue.receive_many(4)
        assert received == [(b"a", 5), (b"b", 5), (b"a", 3), (b"b", 3)]
        assert queue.receive_many(10**18) == [(b"a", 1), (b"b", 1)]


def test_how_many(queue: Messages) -> None:
    queue.send(b"x")
    for count in (0, -1, True, 1.0, "1", 2**63):
        with pytest.raises(InvalidArgument, match="max_messages"):
            queue.receive_many(count)  # type: ignore[arg-type]
    for timeout in (-1, math.nan, True):
        with pytest.raises(InvalidArgument, match="timeout"):
            queue.receive_many(timeout=timeout)
    assert queue.receive_many(Number(1)) == [(b"x", 0)]


def test_directions_and_closed_handles(message_kind: Kind, queue: Messages, name: str) -> None:
    queue.send(b"x")
    with (
        message_kind.open(name, write=False) as receiver,
        message_kind.open(name, read=False) as sender,
    ):
        with pytest.raises(io.UnsupportedOperation):
            receiver.send_many([b"y"])
        with pytest.raises(io.UnsupportedOperation):
            sender.receive_many()
        with pytest.raises(io.UnsupportedOperation):
            next(sender)
    for use in (lambda: sender.send_many([]), receiver.receive_many, lambda: next(receiver)):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert queue.current_messages == 1


def test_a_queue_that_does_not_block(queue: Messages) -> None:
    queue.block = False
    assert queue.receive_many() == []
    assert queue.send_many([b"1", b"2", b"3"]) == 2
    assert queue.receive_many(timeout=60) == [(b"1", 0), (b"2", 0)]


def test_many_messages(message_kind: Kind, name: str) -> None:
    """A list that is far longer than the queue, to a process that takes as fast as it can."""
    many = rounds(100_000)
    code = f"queue = {message_kind.class_name}(name)\nsay('ready')\nfor number in range({many}):\n"
    code += "    assert queue.receive() == (str(number).encode(), 0)"
    with message_kind.create(name, max_messages=10) as queue, Script(code, name) as receiver:
        receiver.expect("ready")
        assert queue.send_many([str(number) for number in range(many)]) == many
        receiver.finish()


@pytest.mark.parametrize("receives", [False, True])
def test_others_have_their_turn(message_kind: Kind, name: str, receives: bool) -> None:
    """Other threads run while a batch that need not wait goes on and on."""
    with message_kind.create(name, max_messages=10) as queue:
        many = rounds(60_000)
        code = f"queue = {message_kind.class_name}(name)\nsay('ready')\n"
        if receives:
            code += f"queue.send_many([b'x'] * {many})"
        else:
            code += f"for _ in range({many}): queue.receive()"
        with Script(code, name) as other:
            other.expect("ready")
            if receives:
                batch = Background(lambda: take(queue, many))
            else:
                batch = Background(lambda: queue.send_many([b"x"] * many))
            turns = 0
            while batch.is_running():
                turns += 1
                time.sleep(0)
            assert batch.result() == many
            other.finish()
        assert turns > 10


def take(queue: Messages, many: int) -> int:
    taken = 0
    while taken < many:
        taken += len(queue.receive_many(many - taken))
    return taken


def test_a_handler_raises_before_the_first(
    queue: Messages, alarm: Callable[[float], object]
) -> None:
    alarm(0.1)
    with pytest.raises(RaisedError):
        queue.receive_many()
    queue.send_many([b"1", b"2"])
    alarm(0.1)
    with pytest.raises(RaisedError):
        queue.send_many([b"3"])
    assert queue.receive_many() == [(b"1", 0), (b"2", 0)]


def test_a_handler_raises_amid_a_batch(queue: Messages, alarm: Callable[[float], object]) -> None:
    """What has been done is returned, and what the handler raised comes out right after."""
    result: list[Any] = []
    alarm(0.1)
    with pytest.raises(RaisedError):  # noqa: PT012
        result.append(queue.send_many([b"1", b"2", b"3"]))
        for _ in range(1000):
            time.sleep(0.01)
    assert result in ([2], [])
    assert queue.receive_many() == [(b"1", 0), (b"2", 0)]


def test_a_handler_raises_amid_a_batch_that_need_not_wait(
    message_kind: Kind, name: str, alarm: Callable[[float], object]
) -> None:
    """It does not run to its end, and nothing that was sent or taken is unaccounted for."""
    code = f"queue = {message_kind.class_name}(name)\nsay('ready')\n"
    code += "while queue.receive()[0] != b'end': pass"
    with message_kind.create(name, max_messages=10) as queue, Script(code, name) as receiver:
        receiver.expect("ready")
        messages = [b"x"] * 5_000_000
        alarm(0.2)
        with pytest.raises(RaisedError):  # noqa: PT012
            sent = queue.send_many(messages)
            for _ in range(1000):
                time.sleep(0.01)
            assert sent < len(messages)
        queue.send(b"end")
        receiver.finish()


def test_iterating(queue: Messages) -> None:
    iterating = Background(lambda: [next(queue) for _ in range(3)])
    iterating.wait_until_asleep()
    queue.send_many([b"1", b"2"], priority=1)
    queue.send(b"3")
    assert iterating.result() == [(b"1", 1), (b"2", 1), (b"3", 0)]
    assert iter(queue) is queue
    queue.send_many([b"4", b"5"])
    queue.block = False
    assert list(queue) == [(b"4", 0), (b"5", 0)]
    assert list(queue) == []


def test_closing_ends_the_iteration(queue: Messages) -> None:
    iterating = Background(lambda: list(queue))
    iterating.wait_until_asleep()
    queue.close()
    with pytest.raises(ValueError, match="closed"):
        iterating.result()
