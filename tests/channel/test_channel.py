"""What a channel has that a queue has not (contract 10). The rest has the tests of the queue."""

from __future__ import annotations

import array
import ctypes
import gc
import os
import select
import threading
import time
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance, eventually
from support.children import in_child
from support.kinds import CHANNEL
from support.scripts import Script
from support.system import mappings
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags, InvalidArgument, NamedChannel

QUICK = 64 << 10
"""Messages up to this size are copied with the GIL held."""


@pytest.fixture
def channel(name: str) -> NamedChannel:
    channel: NamedChannel = NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS)
    return channel


def test_the_defaults(channel: NamedChannel) -> None:
    assert channel.capacity == 1 << 20
    assert channel.max_message_size == channel.capacity - 16
    assert channel.max_messages == channel.capacity // 8
    assert (channel.priorities, channel.block, channel.current_messages) == (1, True, 0)


@pytest.mark.parametrize(
    ("options", "capacity", "size"),
    [
        ({"capacity": 1}, 4096, 4080),
        ({"capacity": 4097}, 8192, 8176),
        ({"capacity": 1 << 24}, 1 << 24, (1 << 24) - 16),
        ({"max_messages": 3, "max_message_size": 5000}, 16384, 5000),
        ({"max_message_size": 3_000_000}, 1 << 22, 3_000_000),
        ({"max_message_size": 100}, 1 << 20, 100),
        ({"max_messages": 1, "max_message_size": 1}, 4096, 1),
        ({"max_messages": 1, "max_message_size": 4096}, 8192, 4096),
    ],
)
def test_how_much_room_there_is(
    name: str, options: dict[str, int], capacity: int, size: int
) -> None:
    channel = NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS, **options)
    assert (channel.capacity, channel.max_message_size) == (capacity, size)
    for _ in range(options.get("max_messages", 1)):
        assert channel.send(bytes(size), timeout=0)
    linked = NamedChannel(name, capacity=1 << 30, priorities=8, max_messages=7)
    assert (linked.capacity, linked.max_message_size, linked.priorities) == (capacity, size, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"capacity": 0},
        {"capacity": -1},
        {"capacity": (1 << 40) + 1},
        {"capacity": 2**64},
        {"capacity": "4096"},
        {"max_messages": 0},
        {"max_messages": 1 << 24},
        {"max_message_size": 0},
        {"max_message_size": 4081, "capacity": 4096},
        {"max_message_size": 1 << 41},
        {"max_messages": 1 << 23, "max_message_size": 1 << 23},
        {"priorities": 0},
        {"priorities": 9},
        {"priorities": True},
        {"reserve": 1},
        {"read": False, "write": False},
    ],
)
def test_limits_out_of_range(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"\w+ \w+ \w+"):
        NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS, **options)
    assert not CHANNEL.exists(name)


@conformance("N2")
@pytest.mark.parametrize("reserve", [True, False])
def test_messages_of_all_sizes(name: str, reserve: bool) -> None:
    options = {"capacity": 1 << 20, "reserve": reserve}
    channel = NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS, **options)
    sizes = [0, 1, 7, 8, 9, 4096, QUICK - 1, QUICK, QUICK + 1, 500_000, (1 << 20) - 16]
    for size in [*sizes, *reversed(sizes)]:
        message = os.urandom(size)
        assert channel.send(message, timeout=0)
        assert channel.receive(timeout=0) == (message, 0)
    with pytest.raises(ValueError, match=r"1048561 bytes.* 1048560 at the most"):
        channel.send(bytes((1 << 20) - 15))
    assert channel.current_messages == 0


def test_mixed_sizes_in_one_ring(name: str) -> None:
    """The ring's end comes at every place within messages."""
    channel = NamedChannel(name, capacity=4096, handle_existence=Flags.RAISE_IF_EXISTS)
    waiting: list[bytes] = []
    for number in range(3000):
        message = bytes([number % 251]) * (number * 37 % 900)
        while not channel.send(message, timeout=0):
            assert channel.receive(timeout=0) == (waiting.pop(0), 0)
        waiting.append(message)
    assert [message for message, _ in channel.receive_many()] == waiting


def test_receive_into(channel: NamedChannel) -> None:
    channel.send(b"hello")
    buffer = bytearray(b"0123456789")
    assert channel.receive_into(buffer) == (5, 0)
    assert buffer == b"hello56789"
    channel.send(b"")
    assert channel.receive_into(bytearray()) == (0, 0)
    assert channel.receive_into(bytearray(1), timeout=0) is None
    assert channel.receive_into(bytearray(1), 0.01) is None
    large = os.urandom(QUICK * 3)
    channel.send(large)
    target = array.array("B", bytes(len(large)))
    assert channel.receive_into(memoryview(target)) == (len(large), 0)
    assert target.tobytes() == large


@conformance("N10")
@pytest.mark.parametrize("size", [6, QUICK + 6])
def test_a_buffer_that_is_too_small_leaves_the_message(channel: NamedChannel, size: int) -> None:
    channel.send(bytes(size))
    for room in (0, 5, size - 1):
        with pytest.raises(ValueError, match=rf"{size} bytes.* {room}\b"):
            channel.receive_into(bytearray(room))
    assert channel.current_messages == 1
    assert channel.receive_into(bytearray(size)) == (size, 0)


@pytest.mark.parametrize("buffer", [b"constant", "text", None, 5, memoryview(bytes(9)), [1, 2]])
def test_what_is_no_buffer_to_receive_into(channel: NamedChannel, buffer: Any) -> None:
    channel.send(b"x")
    with pytest.raises(InvalidArgument, match=r"\w+ \w+ \w+"):
        channel.receive_into(buffer)
    with pytest.raises(InvalidArgument):
        channel.receive_into(memoryview(bytearray(20))[::2])
    assert channel.current_messages == 1


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int32), ("y", ctypes.c_double))


@pytest.mark.parametrize("form", [lambda point: point, memoryview], ids=["itself", "memoryview"])
def test_receive_into_what_ctypes_makes(channel: NamedChannel, form: Any) -> None:
    channel.send(Point(7, 0.5))
    point = Point()
    assert channel.receive_into(form(point)) == (ctypes.sizeof(Point), 0)
    assert (point.x, point.y) == (7, 0.5)


def test_a_message_that_needs_more_capacity(channel: NamedChannel, name: str) -> None:
    with pytest.raises(ValueError, match="more capacity"):
        channel.send(bytes(channel.capacity))
    flag = Flags.UNLINK_AND_CREATE
    limited = NamedChannel(
        name, max_message_size=channel.max_message_size - 1, handle_existence=flag
    )
    with pytest.raises(ValueError, match="a larger max_message_size"):
        limited.send(bytes(limited.capacity))


def test_receive_into_waits(channel: NamedChannel, name: str) -> None:
    buffer = bytearray(9)
    waiter = Background(lambda: channel.receive_into(buffer))
    waiter.wait_until_asleep()
    NamedChannel(name).send(b"hi")
    assert waiter.result() == (2, 0)


@conformance("N11")
def test_priorities(name: str) -> None:
    channel = NamedChannel(name, priorities=3, handle_existence=Flags.RAISE_IF_EXISTS)
    for number, priority in enumerate((0, 2, 1, 2, 0)):
        channel.send(str(number), priority=priority)
    assert channel.current_messages == 5
    received = [(message.decode(), rank) for message, rank in channel.receive_many()]
    assert received == [("1", 2), ("3", 2), ("2", 1), ("0", 0), ("4", 0)]
    with pytest.raises(InvalidArgument, match="priorities"):
        channel.send(b"x", priority=3)
    with pytest.raises(InvalidArgument):
        channel.send_many([b"x"], priority=3)
    assert channel.current_messages == 0


def test_each_priority_has_room_of_its_own(name: str) -> None:
    channel = NamedChannel(
        name, capacity=4096, priorities=2, handle_existence=Flags.RAISE_IF_EXISTS
    )
    assert channel.send(bytes(4080), timeout=0)
    assert not channel.send(b"x", timeout=0)
    assert channel.send(bytes(4080), timeout=0, priority=1)
    assert not channel.send(b"x", timeout=0, priority=1)


@conformance("N13")
def test_max_messages_counts_all_priorities(name: str) -> None:
    channel = NamedChannel(name, 3, priorities=2, handle_existence=Flags.RAISE_IF_EXISTS)
    assert channel.send_many([b"a", b"b"], timeout=0) == 2
    assert channel.send_many([b"c", b"d"], timeout=0, priority=1) == 1
    assert not channel.send(b"e", timeout=0)
    assert channel.receive() == (b"c", 1)
    assert channel.send(b"e", timeout=0)


@conformance("N6")
def test_a_batch_is_seen_as_a_whole(name: str) -> None:
    """Another process never sees a part of it."""
    channel = NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS)
    code = """
channel = NamedChannel(name)
say("ready")
while hear():
    assert channel.send_many([b"x"] * 50) == 50
"""
    with Script(code, name) as sender:
        sender.expect("ready")
        for _ in range(200):
            sender.say("go")
            while (there := channel.current_messages) == 0:
                pass
            assert there == 50
            assert len(channel.receive_many()) == 50


@conformance("N6")
def test_a_batch_larger_than_the_ring(name: str) -> None:
    channel = NamedChannel(name, capacity=4096, handle_existence=Flags.RAISE_IF_EXISTS)
    messages = [bytes([number]) * 1000 for number in range(20)]
    assert channel.send_many(messages, timeout=0.05) == 4
    sending = Background(lambda: channel.send_many(messages[4:]))
    received = []
    while len(received) < 20:
        received += [message for message, _ in channel.receive_many(timeout=WATCHDOG)]
    assert received == messages
    assert sending.result() == 16
    with pytest.raises(ValueError, match=r"message 1 has 5000 bytes.*nothing was sent"):
        channel.send_many([b"x", bytes(5000)])
    assert channel.current_messages == 0


def test_a_large_batch(channel: NamedChannel) -> None:
    """More than is copied with the GIL held, and more than one turn takes."""
    messages = [bytes([number % 256]) * 300 for number in range(2500)]
    assert channel.send_many(messages) == len(messages)
    received = channel.receive_many()
    assert [message for message, _ in received] == messages


def test_block_is_the_handles_own(channel: NamedChannel, name: str) -> None:
    other = NamedChannel(name)
    channel.block = False
    assert (channel.block, other.block) == (False, True)
    assert channel.receive() is None
    assert channel.receive(timeout=5) is None
    assert channel.receive_into(bytearray(5)) is None
    assert channel.receive_many() == []
    assert list(channel) == []
    while channel.send(bytes(100_000)):
        pass
    assert channel.send_many([bytes(100_000)]) == 0
    assert other.send(bytes(100_000), timeout=0.01) is False


def test_setting_block_ends_a_wait(channel: NamedChannel) -> None:
    waiter = Background(channel.receive)
    waiter.wait_until_asleep()
    channel.block = False
    assert waiter.result() is None


def readable(descriptor: int, timeout: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout)[0])


def test_fileno_is_readable_while_there_is_a_message(channel: NamedChannel, name: str) -> None:
    descriptor = channel.fileno()
    assert channel.fileno() == descriptor
    assert not readable(descriptor, 0.05)
    other = NamedChannel(name)
    for message in (b"one", bytes(QUICK * 2)):
        other.send(message)
        assert readable(descriptor, WATCHDOG)
        assert channel.receive(0) == (message, 0)
        assert channel.receive(0) is None
        assert not readable(descriptor, 0.05)
    other.send_many([b"a", b"b"])
    assert readable(descriptor, WATCHDOG)
    assert channel.receive_into(bytearray(9)) == (1, 0)
    assert readable(descriptor, 0)
    assert len(channel.receive_many()) == 1
    assert channel.receive_many(timeout=0) == []
    assert not readable(descriptor, 0.05)


def test_fileno_tells_of_another_process(channel: NamedChannel, name: str) -> None:
    descriptor = channel.fileno()
    with Script("channel = NamedChannel(name); hear(); channel.send('hi'); hear()", name) as other:
        assert not readable(descriptor, 0.05)
        other.say("send")
        assert readable(descriptor, WATCHDOG)
        assert channel.receive(0) == (b"hi", 0)


@conformance("N12")
def test_one_message_and_two_processes_that_poll(channel: NamedChannel, name: str) -> None:
    """Both are told; one gets it, and the other one's descriptor is not readable after its try."""
    code = """
import select
channel = NamedChannel(name)
descriptor = channel.fileno()
say("ready")
while select.select([descriptor], [], [])[0]:
    say(channel.receive(0) is not None)
"""
    with Script(code, name) as first, Script(code, name) as second:
        for process in (first, second):
            process.expect("ready")
        for _ in range(20):
            channel.send(b"x")
            eventually(lambda: channel.current_messages == 0)
        said = b""

        def quiet() -> bool:
            nonlocal said
            pipes = [process.process.stdout for process in (first, second)]
            ready, _, _ = select.select(pipes, [], [], 0.2)
            said += b"".join(os.read(pipe.fileno(), 65536) for pipe in ready)  # type: ignore[union-attr]
            return not ready

        # One that found its descriptor readable for ever would say so for ever.
        eventually(quiet)
        assert said.split().count(b"True") == 20
        # Each of them may try once in vain for each message.
        assert said.split().count(b"False") <= 40


def test_fileno_in_a_forked_child(channel: NamedChannel) -> None:
    """It has a descriptor of its own, and does not take the parent's readiness away."""
    descriptor = channel.fileno()

    def child() -> bool:
        own = channel.fileno()
        assert own != descriptor
        channel.send(b"x")
        assert readable(own, WATCHDOG)
        assert channel.receive(0) is not None
        assert channel.receive(0) is None
        channel.send(b"y")
        return readable(own, WATCHDOG)

    assert in_child(child)
    assert readable(descriptor, WATCHDOG)
    assert channel.receive(0) == (b"y", 0)


@pytest.mark.parametrize("end", ["close", "__exit__", "__del__"])
def test_fileno_of_a_closed_handle(channel: NamedChannel, end: str) -> None:
    descriptor = channel.fileno()
    getattr(channel, end)(*[None] * (3 if end == "__exit__" else 0))
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
    with pytest.raises(ValueError, match="closed"):
        channel.fileno()


def test_a_descriptor_that_others_closed_is_left_to_them(name: str) -> None:
    """A daemon closes what it does not know; the number is another file's then."""
    code = """
channel = NamedChannel(name, handle_existence=CREATE)
descriptor = channel.fileno()
os.closerange(3, 1024)
file = os.memfd_create("another")
if file != descriptor:
    os.dup2(file, descriptor)
os.write(descriptor, b"precious")
channel.send("one")
time.sleep(0.2)
say(channel.receive(0) is not None, channel.receive(0))
channel.close()
say(os.pread(descriptor, 99, 0))
"""
    with Script(code, name) as daemon:
        daemon.expect("True None")
        daemon.expect("b'precious'")
        daemon.finish()


def test_a_filter_that_refuses_to_sleep_on_several_words(name: str) -> None:
    """As containers and services may have it: the thread looks now and then, and does not spin."""
    code = """
import ctypes, select, struct
FUTEX_WAITV, REFUSED, ALLOWED = 449, 0x50001, 0x7FFF0000  # EPERM
steps = (0x20, 0, 0, 0), (0x15, 0, 1, FUTEX_WAITV), (6, 0, 0, REFUSED), (6, 0, 0, ALLOWED)
rules = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(rules)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program):
    say("no filters here")
else:
    channel = NamedChannel(name, handle_existence=CREATE)
    descriptor = channel.fileno()
    before = time.process_time()
    time.sleep(1)
    quiet = time.process_time() - before < 0.5
    channel.send("one")
    say("quiet" if quiet else "spins", bool(select.select([descriptor], [], [], 10)[0]))
"""
    with Script(code, name) as filtered:
        said = filtered.hear()
        if said == "no filters here":
            pytest.skip(said)
        assert said == "quiet True"
        filtered.finish()


def test_the_thread_that_looks_out_ends(channel: NamedChannel) -> None:
    def lookouts() -> int:
        tasks = os.listdir("/proc/self/task")
        names = []
        for task in tasks:
            try:
                with open(f"/proc/self/task/{task}/comm", encoding="utf-8") as file:
                    names.append(file.read().strip())
            except FileNotFoundError:
                continue
        return names.count("nob-ipc lookout"[:15])

    channel.fileno()
    more = [NamedChannel(channel.name) for _ in range(3)]
    for each in more:
        each.fileno()
    eventually(lambda: lookouts() == 1)
    for each in [*more, channel]:
        each.close()
    eventually(lambda: lookouts() == 0)


@conformance("N16")
def test_a_finalizer_may_use_the_channel_during_a_receive(channel: NamedChannel) -> None:
    """Objects that the garbage collector tracks are not made while the channel is locked."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            channel.send(b"from a finalizer", timeout=0)
            channel.receive(timeout=0)

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            Cycle()
            channel.send_many([b"x"] * 3)
            channel.receive_many(3)
            channel.receive_many(timeout=0)
    finally:
        gc.set_threshold(*before)


@conformance("N15")
def test_nothing_grows(channel: NamedChannel) -> None:
    channel.send(b"x")
    channel.receive()
    file = os.stat(CHANNEL.path(channel.name)).st_ino
    mapped, threads = mappings(file), threading.active_count()
    for _ in range(20_000):
        channel.send(b"some message")
        channel.receive()
        channel.receive(timeout=0)
    assert (mappings(file), threading.active_count()) == (mapped, threads)


def test_a_sender_that_waits_for_room_is_woken(name: str) -> None:
    channel = NamedChannel(name, capacity=4096, handle_existence=Flags.RAISE_IF_EXISTS)
    channel.send(bytes(4080))
    code = "channel = NamedChannel(name); say(1); say(channel.send(bytes(3000)))"
    with Script(code, name) as sender:
        sender.expect("1")
        wait_until_asleep(sender.pid)
        assert len(channel.receive()[0]) == 4080
        sender.expect("True")
        sender.finish()
    assert len(channel.receive()[0]) == 3000


def test_directions(name: str, channel: NamedChannel) -> None:
    reader, writer = NamedChannel(name, write=False), NamedChannel(name, read=False)
    writer.send(b"x")
    assert reader.receive() == (b"x", 0)
    for call in (
        lambda: reader.send(b"x"),
        lambda: reader.send_many([b"x"]),
        writer.receive,
        lambda: writer.receive(0),
        writer.receive_many,
        lambda: writer.receive_into(bytearray(5)),
        lambda: writer.receive_into(bytearray(5), 0),
    ):
        with pytest.raises(OSError, match=r"open it for") as refused:
            call()
        assert type(refused.value).__name__ == "UnsupportedOperation"


def test_a_wait_never_ends_early(channel: NamedChannel) -> None:
    for timeout in (0.001, 0.06, 0.45):
        start = time.monotonic()
        assert channel.receive(timeout) is None
        assert time.monotonic() - start >= timeout
