"""Types and ranges of all arguments but timeouts (contract 2, 3.4, 6, 7)."""

import inspect
from fractions import Fraction

import pytest
from support.checks import Number, conformance, values
from support.kinds import (
    CHANNEL,
    LOCK,
    MESSAGES,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEM_VALUE_MAX,
    SEMAPHORE,
    Kind,
    each_kind,
)

from nob.ipc import Flags, InvalidArgument

NO_INTEGERS = [True, False, 1.0, "1", b"1", None, [1], 1j, Fraction(1), object()]
NO_SWITCHES = [1, 0, "yes", "", b"", [], 1.0, object()]
BEYOND_64_BITS = [2**63, -(2**63) - 1, 2**64, 2**200, -(2**200)]


@conformance("S2")
@values(NO_INTEGERS, BEYOND_64_BITS, [-1, SEM_VALUE_MAX + 1, 2**32, 2**32 + 1, Number(-1)])
@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
def test_initial_value(name: str, value: object, flag: Flags) -> None:
    """S2: it is checked with every flag, before anything is touched, and no file is left."""
    with pytest.raises(InvalidArgument):
        SEMAPHORE.open(name, flag, initial_value=value)
    assert not SEMAPHORE.exists(name)


@values(NO_INTEGERS, BEYOND_64_BITS, [0, -1, 513, 2**32, 2**32 + 1, Number(0)])
@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
def test_value(name: str, value: object, flag: Flags) -> None:
    """Likewise the number of permits of a bounded semaphore: 1 to 512."""
    with pytest.raises(InvalidArgument):
        PERMITS.open(name, flag, value=value)
    assert not PERMITS.exists(name)


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
def test_queue_attributes(
    message_kind: Kind, name: str, which: str, value: object, flag: Flags
) -> None:
    """M3: 0, negative numbers and what is no integer; nothing is created."""
    with pytest.raises(InvalidArgument):
        message_kind.create(name, flag, **{which: value})
    assert not message_kind.exists(name)


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
def test_a_default_that_is_given(kind: Kind, name: str) -> None:
    """It is as good as left out."""
    parameters = list(inspect.signature(kind.cls).parameters.values())
    given = {
        parameter.name: parameter.default
        for parameter in parameters[1:]
        if parameter.name != "handle_existence"
    }
    # A new segment needs a size.
    given |= {"size": 64} if kind is SEGMENT else {}
    assert not kind.cls(name, handle_existence=Flags.RAISE_IF_EXISTS, **given).closed


@each_kind
def test_a_flag_in_the_place_of_another_argument(kind: Kind, name: str) -> None:
    """As if the flag always came second: the error says how to give it."""
    flag = Flags.LINK_OR_CREATE
    parameters = inspect.signature(kind.cls).parameters
    defaults = [parameter.default for parameter in parameters.values()]
    for before in range(1, list(parameters).index("handle_existence")):
        with pytest.raises(InvalidArgument, match=r"handle_existence=Flags\.LINK_OR_CREATE"):
            kind.cls(name, *defaults[1:before], flag)
    with pytest.raises(InvalidArgument, match=r"such as Flags\.LINK_OR_CREATE, not 3 \(int\)$"):
        kind.cls(name, handle_existence=3)
    with pytest.raises((FileNotFoundError, InvalidArgument), match=r"Flags\.LINK_OR_CREATE"):
        kind.cls(name, 3)
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
    for kind, switches in ((QUEUE, ("read", "write")), (CHANNEL, ("read", "write", "reserve"))):
        for switch in switches:
            with pytest.raises(InvalidArgument):
                kind.create(name, **{switch: value})
        assert not kind.exists(name)
    assert not SEGMENT.exists(name)
    for kind in (SEMAPHORE, LOCK, PERMITS):
        handle = kind.create(name)
        with pytest.raises(InvalidArgument):
            handle.acquire(value)
        assert not kind.is_stamped(handle)
    for kind in MESSAGES:
        queue = kind.create(name)
        with pytest.raises(InvalidArgument):
            queue.block = value
        assert queue.block is True


def test_a_queue_is_for_something(message_kind: Kind, name: str) -> None:
    """Contract 6: one of read and write must be true."""
    for flag in Flags:
        with pytest.raises(InvalidArgument):
            message_kind.create(name, flag, read=False, write=False)
    assert not message_kind.exists(name)


def test_integers_are_what_has_an_index(name: str) -> None:
    """`__index__` is enough, wherever an integer is asked for."""
    semaphore = SEMAPHORE.create(name, initial_value=Number(2), mode=Number(0o640))
    assert semaphore.value == 2
    semaphore.release(Number(2))
    assert semaphore.value == 4
    segment = SEGMENT.create(name, size=Number(100))
    segment.resize(Number(50))
    assert segment.size == 50
    for kind in MESSAGES:
        queue = kind.create(name, max_messages=Number(1), max_message_size=Number(8))
        assert (queue.max_messages, queue.max_message_size) == (1, 8)
        queue.send(b"x", Number(0), Number(7))
        assert queue.receive(Number(0)) == (b"x", 7)
    options = {"capacity": Number(5000), "priorities": Number(3)}
    channel = CHANNEL.open(name, Flags.UNLINK_AND_CREATE, **options)
    assert (channel.capacity, channel.priorities) == (8192, 3)
    assert semaphore.acquire(timeout=Number(0)) is True
    lock = LOCK.create(name, mode=Number(0o640))
    assert LOCK.mode(lock) == 0o640
    assert [lock.acquire(timeout=Number(0)) for _ in range(2)] == [True, False]
    assert PERMITS.create(name, value=Number(512)).bound == 512


def test_an_index_that_raises_is_heard(name: str) -> None:
    class Broken:
        def __index__(self) -> int:
            raise ZeroDivisionError

    semaphore, queue, lock = SEMAPHORE.create(name), QUEUE.create(name), LOCK.create(name)
    channel = CHANNEL.create(name)
    for call in (
        lambda: lock.acquire(timeout=Broken()),
        lambda: PERMITS.create(name, value=Broken()),
        lambda: semaphore.release(Broken()),
        lambda: semaphore.acquire(timeout=Broken()),
        lambda: queue.send(b"x", priority=Broken()),
        lambda: channel.send(b"x", priority=Broken()),
        lambda: channel.receive(Broken()),
        lambda: CHANNEL.create(name + "-new", capacity=Broken()),
        lambda: SEGMENT.create(name, size=Broken()),
    ):
        with pytest.raises(ZeroDivisionError):
            call()
    assert semaphore.value == 3
    assert queue.current_messages == channel.current_messages == 0
    assert not CHANNEL.exists(name + "-new")
    assert not lock.locked()
    assert not SEGMENT.exists(name)
    assert not PERMITS.exists(name)


@values(NO_INTEGERS, BEYOND_64_BITS, [0, -1, Number(0)])
def test_release(name: str, value: object) -> None:
    """Contract 6: less than 1 is invalid; beyond 64 bits as well."""
    semaphore = SEMAPHORE.create(name)
    with pytest.raises(InvalidArgument):
        semaphore.release(value)
    assert semaphore.value == 3


@conformance("M22")
@values(NO_INTEGERS, BEYOND_64_BITS, [-1, 32768, 2**32, 2**32 + 1, 2**31])
def test_priority(message_kind: Kind, name: str, value: object) -> None:
    """M22: 0 to 32767 (of a channel, less than it was made with); the others send nothing."""
    queue = message_kind.create(name)
    with pytest.raises(InvalidArgument):
        queue.send(b"x", priority=message_kind.highest + 1)
    with pytest.raises(InvalidArgument):
        queue.send(b"x", priority=value)
    assert queue.current_messages == 0


@values([None, 1, 1.0, True, ["x"], object(), {}])
def test_messages_are_bytes_or_text(message_kind: Kind, name: str, value: object) -> None:
    queue = message_kind.create(name)
    with pytest.raises(InvalidArgument):
        queue.send(value)
    assert queue.current_messages == 0
