"""Types and ranges of all arguments (contract 2, 3.4, 5.3, 6, 7)."""

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from support.checks import Number, conformance
from support.kinds import QUEUE, SEGMENT, SEM_VALUE_MAX, SEMAPHORE, Kind, each_kind

from nob.ipc import Flags, InvalidArgument

NO_INTEGERS = [True, False, 1.0, "1", b"1", None, [1], 1j, Fraction(1), object()]
NO_SWITCHES = [1, 0, "yes", "", b"", [], 1.0, object()]
NO_TIMEOUTS = [True, False, "1", b"1", [1], 1j, object(), Flags.LINK_OR_CREATE]
BEYOND_64_BITS = [2**63, -(2**63) - 1, 2**64, 2**200, -(2**200)]


class Element:
    """Like an array of numpy with one element: both methods, and the one that fits works."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __index__(self) -> int:
        return operator.index(self.value)  # type: ignore[arg-type]

    def __float__(self) -> float:
        return float(self.value)


def short(value: object) -> str:
    return repr(value) if len(repr(value)) < 30 else type(value).__name__


def values(*several: object) -> Any:
    return pytest.mark.parametrize("value", [v for s in several for v in s], ids=short)  # type: ignore[attr-defined]


@conformance("S2")
@values(NO_INTEGERS, BEYOND_64_BITS, [-1, SEM_VALUE_MAX + 1, 2**32, 2**32 + 1, Number(-1)])
@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
def test_initial_value(name: str, value: object, flag: Flags) -> None:
    """S2: it is checked with every flag, before anything is touched, and no file is left."""
    with pytest.raises(InvalidArgument):
        SEMAPHORE.open(name, flag, initial_value=value)
    assert not SEMAPHORE.exists(name)


@conformance("H3")
@values([*NO_INTEGERS, *BEYOND_64_BITS, -1, Number(-1)])
@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
def test_size(name: str, value: object, flag: Flags) -> None:
    """H3: likewise the size of a segment."""
    with pytest.raises(InvalidArgument):
        SEGMENT.open(name, flag, size=value)
    assert not SEGMENT.exists(name)


@conformance("M3")
@pytest.mark.parametrize("which", ["max_messages", "max_message_size"])
@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
@values([v for v in NO_INTEGERS if v is not None], BEYOND_64_BITS, [0, -1, Number(0)])
def test_queue_attributes(name: str, which: str, value: object, flag: Flags) -> None:
    """M3: 0, negative numbers and what is no integer; nothing is created."""
    with pytest.raises(InvalidArgument):
        QUEUE.create(name, flag, **{which: value})
    assert not QUEUE.exists(name)


@each_kind
@values(NO_INTEGERS, BEYOND_64_BITS, [-1, 2**32, 2**32 + 0o600])
def test_mode(kind: Kind, name: str, value: object) -> None:
    with pytest.raises(InvalidArgument):
        kind.create(name, mode=value)
    assert not kind.exists(name)


@each_kind
@values([0, 1, 2, 3, "RAISE_IF_EXISTS", None, True, "LINK_OR_CREATE", object(), Flags])
def test_handle_existence_is_one_of_the_flags(kind: Kind, name: str, value: object) -> None:
    with pytest.raises(InvalidArgument):
        kind.cls(name, handle_existence=value)
    assert not kind.exists(name)


@each_kind
@values(NO_SWITCHES)
def test_unlink_on_delete(kind: Kind, name: str, value: object) -> None:
    with pytest.raises(InvalidArgument):
        kind.create(name, unlink_on_delete=value)
    assert not kind.exists(name)
    handle = kind.create(name)
    with pytest.raises(InvalidArgument):
        handle.unlink_on_delete = value
    assert handle.unlink_on_delete is True


@values(NO_SWITCHES, [None])
def test_other_switches(name: str, value: object) -> None:
    """A switch is a bool and nothing else."""
    for switch in ("read_only", "reserve"):
        with pytest.raises(InvalidArgument):
            SEGMENT.create(name, **{switch: value})
    for switch in ("read", "write"):
        with pytest.raises(InvalidArgument):
            QUEUE.create(name, **{switch: value})
    assert not SEGMENT.exists(name)
    assert not QUEUE.exists(name)
    with pytest.raises(InvalidArgument):
        SEMAPHORE.create(name).acquire(value)
    queue = QUEUE.create(name)
    with pytest.raises(InvalidArgument):
        queue.block = value
    assert queue.block is True


def test_a_queue_is_for_something(name: str) -> None:
    """Contract 6: one of read and write must be true."""
    for flag in Flags:
        with pytest.raises(InvalidArgument):
            QUEUE.create(name, flag, read=False, write=False)
    assert not QUEUE.exists(name)


def test_integers_are_what_has_an_index(name: str) -> None:
    """`__index__` is enough, wherever an integer is asked for."""
    semaphore = SEMAPHORE.create(name, initial_value=Number(2), mode=Number(0o640))
    assert semaphore.value == 2
    semaphore.release(Number(2))
    assert semaphore.value == 4
    segment = SEGMENT.create(name, size=Number(100))
    segment.resize(Number(50))
    assert segment.size == 50
    queue = QUEUE.create(name, max_messages=Number(1), max_message_size=Number(8))
    assert (queue.max_messages, queue.max_message_size) == (1, 8)
    queue.send(b"x", Number(0), Number(7))
    assert queue.receive(Number(0)) == (b"x", 7)
    assert semaphore.acquire(timeout=Number(0)) is True


def test_an_index_that_raises_is_heard(name: str) -> None:
    class Broken:
        def __index__(self) -> int:
            raise ZeroDivisionError

    semaphore, queue = SEMAPHORE.create(name), QUEUE.create(name)
    for call in (
        lambda: semaphore.release(Broken()),
        lambda: semaphore.acquire(timeout=Broken()),
        lambda: queue.send(b"x", priority=Broken()),
        lambda: SEGMENT.create(name, size=Broken()),
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    assert semaphore.value == 3
    assert queue.current_messages == 0
    assert not SEGMENT.exists(name)


def waits(name: str) -> list[Callable[[Any], Any]]:
    """Every way to wait, on objects where none needs to."""
    semaphore, queue = SEMAPHORE.create(name), QUEUE.create(name)
    queue.send(b"there")
    return [
        lambda timeout: semaphore.acquire(timeout=timeout),
        lambda timeout: semaphore.acquire(True, timeout),
        lambda timeout: queue.send(b"x", timeout),
        queue.receive,
    ]


@conformance("S15", "M29")
@values(
    NO_TIMEOUTS,
    [-1, -1e-9, -5e-324, math.nan, -math.inf, -(10**400), Fraction(-1, 3)],
    [Fraction(-(10**400)), Element(-0.5)],
)
def test_timeouts_that_are_none(name: str, value: object) -> None:
    """S15, M29: refused also where nothing would have to wait, and nothing is taken."""
    ways = waits(name)
    for wait in ways:
        with pytest.raises(InvalidArgument):
            wait(value)
    assert SEMAPHORE.open(name).value == 3
    assert QUEUE.open(name).current_messages == 1


@conformance("S13", "S15", "M27", "M33")
@values(
    [0, 0.0, -0.0, 5e-324, 1e-12, 1e-9, 0.9999999999, 1.9999999999999998, 4.999999999e-10],
    [1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 1e18, 1e300, 10**400, math.inf],
    [Fraction(1, 3), Decimal("0.1"), Decimal("Infinity"), Number(1), Number(10**30)],
    [Fraction(10**400), Decimal("1e400"), Element(0.5), Element(2)],
)
def test_timeouts_of_every_size(name: str, value: object) -> None:
    """S13, S15, M27, M33: none becomes an invalid time, however small or large."""
    for wait in waits(name):
        assert wait(value)


@values([0, 0.0, 1, None])
def test_blocking_false_takes_no_timeout(name: str, value: object) -> None:
    semaphore = SEMAPHORE.create(name)
    if value is None:
        assert semaphore.acquire(False, value) is True
        return
    with pytest.raises(InvalidArgument):
        semaphore.acquire(blocking=False, timeout=value)
    with pytest.raises(InvalidArgument):
        semaphore.acquire(False, value)
    assert semaphore.value == 3


@values(NO_INTEGERS, BEYOND_64_BITS, [0, -1, Number(0)])
def test_release(name: str, value: object) -> None:
    """Contract 6: less than 1 is invalid; beyond 64 bits as well."""
    semaphore = SEMAPHORE.create(name)
    with pytest.raises(InvalidArgument):
        semaphore.release(value)
    assert semaphore.value == 3


@conformance("M22")
@values(NO_INTEGERS, BEYOND_64_BITS, [-1, 32768, 2**32, 2**32 + 1, 2**31])
def test_priority(name: str, value: object) -> None:
    """M22: 0 to 32767; the others send nothing."""
    queue = QUEUE.create(name)
    with pytest.raises(InvalidArgument):
        queue.send(b"x", priority=value)
    assert queue.current_messages == 0


@values([None, 1, 1.0, True, ["x"], object(), {}])
def test_messages_are_bytes_or_text(name: str, value: object) -> None:
    queue = QUEUE.create(name)
    with pytest.raises(InvalidArgument):
        queue.send(value)
    assert queue.current_messages == 0


@each_kind
def test_unknown_and_missing_arguments(kind: Kind, name: str) -> None:
    """Contract 7: Python's own TypeError."""
    calls = [
        kind.cls,
        lambda: kind.cls(name, colour="red"),
        lambda: kind.cls(name, handle=Flags.LINK_OR_CREATE),
        kind.cls.unlink_name,
        lambda: kind.cls.unlink_name(name, 1),
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
    semaphore, segment, queue = (kind.create(name) for kind in (SEMAPHORE, SEGMENT, QUEUE))
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
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert not isinstance(caught.value, InvalidArgument)
    for kind in (SEMAPHORE, SEGMENT, QUEUE):
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
    semaphore, queue = SEMAPHORE.create(name), QUEUE.create(name)
    for word, call in {
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
        "a signal from 1 to 64, .callable, argument. or None": lambda: queue.request_notification(
            print
        ),
        "a signal from 1 to 64, not 65": lambda: queue.request_notification(65),
        "mode must be 0o0 to 0o777, not 0o1777": lambda: SEGMENT.open(name, mode=0o1777),
        "mode must be 0o0 to 0o777, not -0o1": lambda: SEGMENT.open(name, mode=-1),
    }.items():
        with pytest.raises(InvalidArgument, match=word):
            call()
