"""Each primitive against a model of a few lines: any sequence of calls through two handles of this
process and one of another must do what the model does."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.checks import WATCHDOG, rounds
from support.kinds import SEM_VALUE_MAX, unique

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
)

SETTINGS = settings(
    max_examples=rounds(15),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

ACTORS = st.sampled_from(["first", "second", "stranger"])
NOT_WAITING = st.sampled_from([{"blocking": False}, {"timeout": 0}, {"timeout": 1e-9}])


def _stranger(pipe: Any, cls: Any, name: str) -> None:
    """Another process: does what it is told to its own handle, and says what came of it."""
    handle = cls(name)
    while True:
        told = pipe.recv()
        pipe.send(_outcome(functools.partial(_do, handle, *told)))


def _do(handle: Any, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if method in ("peek", "poke"):
        at, data = arguments
        with handle.mmap() as memory:
            if method == "peek":
                return bytes(memory[at : at + data])
            memory[at : at + len(data)] = data
            return None
    if method == "receive_into":
        buffer = bytearray(*arguments)
        received = handle.receive_into(buffer, timeout=0)
        return received and (bytes(buffer[: received[0]]), received[1])
    attribute = getattr(handle, method)
    return attribute(*arguments, **options) if callable(attribute) else attribute


def _outcome(call: Callable[[], Any]) -> Any:
    """The result of a call, or the name of what it raised."""
    try:
        return call()
    except (ValueError, OverflowError, BufferError, RuntimeError) as error:
        return type(error).__name__


class Machine(RuleBasedStateMachine):
    """Two handles here and one in another process, on one new object."""

    cls: Any
    options: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        name = unique()
        first = self.cls(name, handle_existence=Flags.RAISE_IF_EXISTS, **self.options)
        self.handles = {"first": first, "second": self.cls(name)}
        context = multiprocessing.get_context("fork")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_stranger, args=(end, self.cls, name), daemon=True)
        self.process.start()
        end.close()

    def do(self, actor: str, method: str, *arguments: Any, **options: Any) -> Any:
        handle = self.handles.get(actor)
        if handle is not None:
            return _outcome(lambda: _do(handle, method, arguments, options))
        self.pipe.send((method, arguments, options))
        assert self.pipe.poll(WATCHDOG), "the other process hangs"
        return self.pipe.recv()

    def teardown(self) -> None:
        # It holds nothing, and how the interpreter ends is not what this is about.
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()
        for handle in self.handles.values():
            handle.close()
        self.handles.popitem()
        self.handles["first"].unlink()


class SemaphoreMachine(Machine):
    """The model is a number."""

    cls = NamedSemaphore
    options = {"initial_value": 2}  # noqa: RUF012 (read only)

    def __init__(self) -> None:
        super().__init__()
        self.value = 2

    @rule(actor=ACTORS, way=NOT_WAITING)
    def acquire(self, actor: str, way: dict[str, Any]) -> None:
        assert self.do(actor, "acquire", **way) is (self.value > 0)
        self.value = max(0, self.value - 1)

    @rule(actor=ACTORS, count=st.integers(1, 5) | st.sampled_from([SEM_VALUE_MAX, 2**40]))
    def release(self, actor: str, count: int) -> None:
        fits = self.value + count <= SEM_VALUE_MAX
        if fits and count > 1_000:
            return
        assert self.do(actor, "release", count) == (None if fits else "OverflowError")
        self.value += count if fits else 0

    @invariant()
    def all_see_the_value(self) -> None:
        for actor in ("first", "second", "stranger"):
            assert self.do(actor, "value") == self.value


class SegmentMachine(Machine):
    """The model is a bytearray."""

    cls = NamedSharedMemory
    options = {"size": 100}  # noqa: RUF012 (read only)

    def __init__(self) -> None:
        super().__init__()
        self.bytes = bytearray(100)

    @rule(actor=ACTORS, at=st.integers(0, 9000), data=st.binary(min_size=1, max_size=50))
    def write(self, actor: str, at: int, data: bytes) -> None:
        if at + len(data) <= len(self.bytes):
            assert self.do(actor, "poke", at, data) is None
            self.bytes[at : at + len(data)] = data

    @rule(actor=ACTORS, at=st.integers(0, 9000), length=st.integers(1, 5000))
    def read(self, actor: str, at: int, length: int) -> None:
        expected = bytes(self.bytes[at : at + length]) if self.bytes else "ValueError"
        assert self.do(actor, "peek", at, length) == expected

    @rule(actor=ACTORS, size=st.integers(0, 9000))
    def resize(self, actor: str, size: int) -> None:
        assert self.do(actor, "resize", size) is None
        del self.bytes[size:]
        self.bytes.extend(bytes(size - len(self.bytes)))

    @rule(size=st.integers(0, 9000))
    def attach_larger(self, size: int) -> None:
        with NamedSharedMemory(self.handles["first"].name, size) as segment:
            self.bytes.extend(bytes(max(0, size - len(self.bytes))))
            assert segment.size == len(self.bytes)

    @invariant()
    def all_see_the_size(self) -> None:
        for actor in ("first", "second", "stranger"):
            assert self.do(actor, "size") == len(self.bytes)


class QueueMachine(Machine):
    """The model is a list, sorted by priority and order of arrival."""

    cls = NamedMessageQueue
    options = {"max_messages": 3, "max_message_size": 8}  # noqa: RUF012 (read only)

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[int, int, bytes]] = []
        self.arrivals = 0

    @rule(
        actor=ACTORS,
        message=st.binary(max_size=10),
        priority=st.integers(0, 2) | st.just(32767),
        timeout=st.sampled_from([0, 1e-9]),
    )
    def send(self, actor: str, message: bytes, priority: int, timeout: float) -> None:
        outcome = self.do(actor, "send", message, timeout, priority)
        if len(message) > 8:
            assert outcome == "ValueError"
        else:
            assert outcome is (len(self.messages) < 3)
            if outcome is True:
                self.arrivals += 1
                self.messages.append((-priority, self.arrivals, message))
                self.messages.sort()

    @rule(actor=ACTORS, timeout=st.sampled_from([0, 1e-9]))
    def receive(self, actor: str, timeout: float) -> None:
        outcome = self.do(actor, "receive", timeout)
        if not self.messages:
            assert outcome is None
            return
        priority, _, message = self.messages.pop(0)
        assert outcome == (message, -priority)

    @rule(actor=ACTORS, most=st.integers(1, 3))
    def receive_many(self, actor: str, most: int) -> None:
        expected = [(message, -priority) for priority, _, message in self.messages[:most]]
        assert self.do(actor, "receive_many", most, 0) == expected
        del self.messages[:most]

    @invariant()
    def all_see_the_count(self) -> None:
        for actor in ("first", "second", "stranger"):
            assert self.do(actor, "current_messages") == len(self.messages)


class ChannelMachine(QueueMachine):
    """The model is the queue's, and the room that each message takes in its ring."""

    cls = NamedChannel
    options = {  # noqa: RUF012 (read only)
        "max_messages": 6,
        "max_message_size": 3000,
        "capacity": 4096,
        "priorities": 3,
    }

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def sends(self, lengths: list[int], priority: int) -> list[bytes]:
        """Those of new messages that there is room for, from the first on."""
        ring = [message for negative, _, message in self.messages if -negative == priority]
        used = sum(_place(message) for message in ring)
        sent: list[bytes] = []
        for length in lengths:
            message = self.numbers.to_bytes(8, "little") * (length // 8 + 1)
            message = message[:length]
            used += _place(message)
            if used > 4096 or len(self.messages) + len(sent) == 6:
                break
            self.numbers += 1
            sent.append(message)
        return sent

    def sent(self, messages: list[bytes], priority: int) -> None:
        for message in messages:
            self.arrivals += 1
            self.messages.append((-priority, self.arrivals, message))
        self.messages.sort()

    @rule(
        actor=ACTORS,
        length=st.integers(0, 20) | st.integers(0, 3000) | st.sampled_from([3001, 4080, 4081]),
        priority=st.integers(0, 2),
        timeout=st.sampled_from([0, 1e-9]),
    )
    def send(self, actor: str, length: int, priority: int, timeout: float) -> None:
        if length > 3000:
            assert self.do(actor, "send", bytes(length), timeout, priority) == "ValueError"
            return
        fit = self.sends([length], priority)
        message = fit[0] if fit else bytes(length)
        assert self.do(actor, "send", message, timeout, priority) is bool(fit)
        self.sent(fit, priority)

    @rule(
        actor=ACTORS,
        lengths=st.lists(st.integers(0, 20) | st.integers(0, 2000), max_size=8),
        priority=st.integers(0, 2),
    )
    def send_many(self, actor: str, lengths: list[int], priority: int) -> None:
        fit = self.sends(lengths, priority)
        rest = [bytes(length) for length in lengths[len(fit) :]]
        assert self.do(actor, "send_many", fit + rest, 0, priority) == len(fit)
        self.sent(fit, priority)

    @rule(actor=ACTORS, room=st.sampled_from([0, 10, 1000, 3000]))
    def receive_into(self, actor: str, room: int) -> None:
        """What was received stands at the buffer's beginning; what does not fit stays."""
        outcome = self.do(actor, "receive_into", room)
        if not self.messages:
            assert outcome is None
        elif len(self.messages[0][2]) > room:
            assert outcome == "ValueError"
        else:
            priority, _, message = self.messages.pop(0)
            assert outcome == (message, -priority)


def _place(message: bytes) -> int:
    """The bytes of a ring that a message takes: its length, and itself, in words of eight bytes."""
    return 8 + (len(message) + 7) // 8 * 8


class LockMachine(Machine):
    """The model is who holds it, and the number of the hold."""

    cls = NamedLock
    options = {}  # noqa: RUF012 (read only)

    def __init__(self) -> None:
        super().__init__()
        self.owner: str | None = None
        self.holds = 0

    @rule(actor=ACTORS, way=NOT_WAITING)
    def acquire(self, actor: str, way: dict[str, Any]) -> None:
        assert self.do(actor, "acquire", **way) is (self.owner is None)
        if self.owner is None:
            self.owner = actor
            self.holds += 1

    @rule(actor=ACTORS)
    def release(self, actor: str) -> None:
        mine = self.owner == actor
        assert self.do(actor, "release") == (None if mine else "RuntimeError")
        self.owner = None if mine else self.owner

    @rule(actor=ACTORS)
    def mark_repaired(self, actor: str) -> None:
        expected = None if self.owner == actor else "RuntimeError"
        assert self.do(actor, "mark_repaired") == expected

    @invariant()
    def all_see_the_owner(self) -> None:
        pid = self.process.pid if self.owner == "stranger" else os.getpid()
        for actor in ("first", "second", "stranger"):
            mine = self.owner == actor
            assert self.do(actor, "locked") is (self.owner is not None)
            assert self.do(actor, "held") is mine
            assert self.do(actor, "owner") == (pid if self.owner else None)
            assert self.do(actor, "fence") == (self.holds if mine else "RuntimeError")
            assert self.do(actor, "owner_died") is False


class PermitsMachine(Machine):
    """The model is how many permits each has."""

    cls = NamedBoundedSemaphore
    options = {"value": 3}  # noqa: RUF012 (read only)

    def __init__(self) -> None:
        super().__init__()
        self.held = dict.fromkeys(("first", "second", "stranger"), 0)

    @rule(actor=ACTORS, way=NOT_WAITING)
    def acquire(self, actor: str, way: dict[str, Any]) -> None:
        free = sum(self.held.values()) < 3
        assert self.do(actor, "acquire", **way) is free
        self.held[actor] += free

    @rule(actor=ACTORS)
    def release(self, actor: str) -> None:
        some = self.held[actor] > 0
        assert self.do(actor, "release") == (None if some else "RuntimeError")
        self.held[actor] -= some

    @invariant()
    def all_see_the_holders(self) -> None:
        pids = [os.getpid()] * (self.held["first"] + self.held["second"])
        pids += [self.process.pid] * self.held["stranger"]
        for actor in ("first", "second", "stranger"):
            assert self.do(actor, "bound") == 3
            assert self.do(actor, "value") == 3 - len(pids)
            assert sorted(self.do(actor, "holders")) == sorted(pids)


for machine in (
    SemaphoreMachine,
    SegmentMachine,
    QueueMachine,
    ChannelMachine,
    LockMachine,
    PermitsMachine,
):
    machine.TestCase.settings = SETTINGS

TestSemaphore = SemaphoreMachine.TestCase
TestSegment = SegmentMachine.TestCase
TestQueue = QueueMachine.TestCase
TestChannel = ChannelMachine.TestCase
TestLock = LockMachine.TestCase
TestPermits = PermitsMachine.TestCase
