"""What is a timeout, and what is none (contract 5.3)."""

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from support.checks import Number, conformance, values
from support.kinds import CHANNEL, LOCK, PERMITS, QUEUE, SEMAPHORE, Kind

from nob.ipc import Flags, InvalidArgument

NO_TIMEOUTS = [True, False, "1", b"1", [1], 1j, object(), Flags.LINK_OR_CREATE]


class Element:
    """Like an array of numpy with one element: both methods, and the one that fits works."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __index__(self) -> int:
        return operator.index(self.value)  # type: ignore[arg-type]

    def __float__(self) -> float:
        return float(self.value)


def waits(name: str) -> list[Callable[[Any], Any]]:
    """Every way to wait, on objects where none needs to."""
    semaphore, queue = SEMAPHORE.create(name), QUEUE.create(name)
    lock, permits = LOCK.create(name), PERMITS.create(name)
    channel, buffer = CHANNEL.create(name, max_messages=3), bytearray(16)
    queue.send(b"there")
    channel.send_many([b"there", b"there too"])
    return [
        lambda timeout: semaphore.acquire(timeout=timeout),
        lambda timeout: semaphore.acquire(True, timeout),
        lambda timeout: queue.send(b"x", timeout),
        queue.receive,
        lambda timeout: channel.send(b"x", timeout),
        channel.receive,
        lambda timeout: channel.receive_into(buffer, timeout),
        lambda timeout: lock.acquire(timeout=timeout),
        lambda timeout: permits.acquire(True, timeout),
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
    assert CHANNEL.open(name).current_messages == 2
    assert not LOCK.open(name).locked()
    assert PERMITS.open(name).value == 3
    assert len(ways) == 9


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
@pytest.mark.parametrize("kind", [SEMAPHORE, LOCK, PERMITS], ids=lambda kind: kind.word)
def test_blocking_false_takes_no_timeout(kind: Kind, name: str, value: object) -> None:
    semaphore = kind.create(name)
    if value is None:
        assert semaphore.acquire(False, value) is True
        return
    with pytest.raises(InvalidArgument):
        semaphore.acquire(blocking=False, timeout=value)
    with pytest.raises(InvalidArgument):
        semaphore.acquire(False, value)
    if kind is LOCK:
        assert not semaphore.locked()
    else:
        assert semaphore.value == 3
