"""Queues: attributes, directions, messages and their order (contract 6)."""

import array
import asyncio
import ctypes
import io
import os
import random
import resource
import stat
from typing import Any

import pytest
from support.checks import conformance, rounds
from support.children import as_stranger, in_child
from support.kinds import QUEUE, Kind, removed
from support.namespaces import CLONE_NEWIPC, needs_namespaces, unshare
from support.scripts import Script
from support.system import descriptors, sysctl

from nob.ipc import Flags, InvalidArgument, NamedMessageQueue


@conformance("M1")
def test_the_default_attributes(name: str) -> None:
    """M1: the system's own."""

    def create() -> tuple[int, int]:
        queue = NamedMessageQueue(name, handle_existence=Flags.RAISE_IF_EXISTS)
        return queue.max_messages, queue.max_message_size

    assert as_stranger(create) == (
        min(sysctl("msg_default"), sysctl("msg_max")),
        min(sysctl("msgsize_default"), sysctl("msgsize_max")),
    )


@conformance("M1", "M2")
def test_one_attribute_given(name: str) -> None:
    """M1, M2: the other is the default."""
    queue = NamedMessageQueue(name, max_messages=1, handle_existence=Flags.RAISE_IF_EXISTS)
    default = min(sysctl("msgsize_default"), sysctl("msgsize_max"))
    assert (queue.max_messages, queue.max_message_size) == (1, default)
    flag = Flags.UNLINK_AND_CREATE
    queue = NamedMessageQueue(name, max_message_size=8, handle_existence=flag)
    default = min(sysctl("msg_default"), sysctl("msg_max"))
    assert (queue.max_messages, queue.max_message_size) == (default, 8)


@conformance("M2", "C38")
@pytest.mark.parametrize(("number", "size"), [(1, 1), (3, 7), (10, 100), (1, 8192)])
def test_attributes_given(message_kind: Kind, name: str, number: int, size: int) -> None:
    """M2: they read back as given, also for who links, and cannot be set."""
    queue = message_kind.create(name, max_messages=number, max_message_size=size)
    for handle in (queue, message_kind.open(name)):
        assert (handle.max_messages, handle.max_message_size) == (number, size)
        for attribute in ("max_messages", "max_message_size", "current_messages"):
            with pytest.raises(AttributeError):
                setattr(handle, attribute, 1)


@conformance("M6", "M8")
def test_the_memory_limit_to_the_byte(name: str) -> None:
    """M6, M8: size plus 96 bytes a message; given back by the last close, not by unlink."""
    other = name + "-other"

    def create() -> None:
        need = 7 * (50 + 96)
        resource.setrlimit(12, (need - 1, need))  # RLIMIT_MSGQUEUE
        with pytest.raises(OSError, match="RLIMIT_MSGQUEUE"):
            QUEUE.create(name, max_messages=7, max_message_size=50)
        resource.setrlimit(12, (need, need))
        queue = QUEUE.create(name, max_messages=7, max_message_size=50)
        queue.unlink()
        with pytest.raises(OSError, match="RLIMIT_MSGQUEUE"):
            QUEUE.create(other, max_messages=1, max_message_size=1)
        queue.close()
        QUEUE.create(other, max_messages=7, max_message_size=50)

    with removed(other):
        as_stranger(create)


@conformance("M7")
def test_how_many_default_queues_a_user_has(name: str) -> None:
    """M7: with the default limit nine, and the tenth is refused."""
    names = [f"{name}-{index}" for index in range(10)]

    def create() -> int:
        resource.setrlimit(12, (819_200, 819_200))  # RLIMIT_MSGQUEUE
        made = []
        for each in names:
            try:
                made.append(QUEUE.create(each, max_messages=10, max_message_size=8192))
            except OSError:
                break
        return len(made)

    with removed(*names):
        assert as_stranger(create) == 9


@needs_namespaces
@conformance("M10")
def test_ipc_namespaces_hide_queues(name: str) -> None:
    """M10: the parent's queue is missing inside."""
    queue = QUEUE.create(name)

    def link() -> None:
        unshare(CLONE_NEWIPC)
        QUEUE.open(name)

    with pytest.raises(FileNotFoundError):
        in_child(link)
    QUEUE.use(queue)


@conformance("M11")
def test_directions(message_kind: Kind, name: str) -> None:
    """M11: one or both; the other way is refused; several of each live side by side."""
    both = message_kind.create(name)
    readers = [message_kind.open(name, write=False) for _ in range(2)]
    writers = [message_kind.open(name, read=False) for _ in range(2)]
    for reader, writer in zip(readers, writers, strict=True):
        assert writer.send(b"x") is True
        assert reader.receive() == (b"x", 0)
        for call in (lambda r=reader: r.send(b""), lambda w=writer: w.receive(0)):
            with pytest.raises(io.UnsupportedOperation):
                call()
    message_kind.use(both)
    assert both.current_messages == 0


def test_creating_with_one_direction(message_kind: Kind, name: str) -> None:
    writer = message_kind.create(name, read=False)
    reader = message_kind.open(name, write=False)
    assert writer.send("é")
    assert reader.receive() == ("é".encode(), 0)


@conformance("M13", "M14")
def test_block(name: str) -> None:
    """M13, M14: it belongs to the open description; a second open has its own."""
    queue, other = QUEUE.create(name), QUEUE.open(name)
    assert queue.block is True
    queue.block = False
    assert (queue.block, other.block) == (False, True)
    assert os.get_blocking(queue.fileno()) is False

    def child() -> bool:
        before = queue.block
        queue.block = True
        return bool(before)

    assert in_child(child) is False
    assert queue.block is True
    os.set_blocking(queue.fileno(), False)
    assert queue.block is False
    assert (queue.max_messages, queue.max_message_size) == (2, 16)


@conformance("M15")
def test_counting(message_kind: Kind, name: str) -> None:
    """M15: exactly, through any sequence."""
    queue = message_kind.create(name, max_messages=5)
    chance, count = random.Random(15), 0
    for _ in range(rounds(200)):
        if chance.random() < 0.5:
            count += queue.send(b"x", 0)
        else:
            count -= queue.receive(0) is not None
        assert queue.current_messages == count
        assert 0 <= count <= 5


@conformance("M16")
def test_the_descriptor(name: str) -> None:
    """M16: the kernel's own, close-on-exec; its status and text are to be read."""
    queue = QUEUE.create(name)
    assert queue.mqd == queue.mdq == queue.fileno()
    with pytest.raises(AttributeError):
        queue.mqd = 1
    assert not os.get_inheritable(queue.mqd)
    queue.send(b"12345")
    assert os.fstat(queue.mqd).st_size == 80
    assert stat.S_ISREG(os.fstat(queue.mqd).st_mode)
    assert os.read(queue.mqd, 200).startswith(b"QSIZE:5 ")
    mine = descriptors()[queue.mqd]
    queue.close()
    assert mine not in descriptors().values()
    for attribute in ("mqd", "mdq", "fileno"):
        with pytest.raises(ValueError, match="closed"):
            getattr(queue, attribute)()


@conformance("M17", "M19", "M53")
def test_messages_are_bytes(message_kind: Kind, name: str) -> None:
    """M17, M19, M53: every length, every byte, nothing of a longer message before."""
    queue = message_kind.create(name, max_message_size=300)
    everything = bytes(range(256)) + bytes(44)
    for length in [300, *range(301)]:
        rank = min(length, message_kind.highest)
        assert queue.send(everything[:length], priority=rank) is True
        message, priority = queue.receive()
        assert type(message) is bytes
        assert (message, priority) == (everything[:length], rank)
    for value in (b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4], array.array("B", b"abc")):
        queue.send(value)
        assert queue.receive() == (b"abc", 0)
    queue.send(array.array("i", [1, 2]))
    assert queue.receive() == (array.array("i", [1, 2]).tobytes(), 0)


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int32), ("y", ctypes.c_double))


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2.0),
        (ctypes.c_int32 * 3)(1, 2, 3),
        (ctypes.c_int16 * 2 * 2)((1, 2), (3, 4)),
        ctypes.c_uint16(7),
        ctypes.create_string_buffer(b"abc"),
        (ctypes.c_char * 0)(),
        memoryview(Point(1, 2.0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ctypes_makes_is_bytes_like(message_kind: Kind, name: str, value: Any) -> None:
    """Contract 2: whatever has contiguous bytes is sent, also what tells nothing of its shape."""
    queue = message_kind.create(name, max_messages=3, max_message_size=300)
    assert queue.send(value, 0) is True
    assert queue.send_many([value], 0) == 1
    assert asyncio.run(queue.send_async(value, 0)) is True
    assert queue.receive_many() == [(bytes(memoryview(value)), 0)] * 3


def test_what_has_no_bytes_to_send(message_kind: Kind, name: str) -> None:
    """Contract 7: the error says which of the reasons it is."""
    queue = message_kind.create(name)
    released = memoryview(b"abc")
    released.release()
    for value, why in (
        (5, "bytes-like or str, not int"),
        (memoryview(b"abcdef")[::2], "contiguous"),
        (released, "cannot be read: .*released"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            queue.send(value)
        with pytest.raises(InvalidArgument, match=why):
            queue.send_many([b"first", value])
    assert queue.current_messages == 0


def test_text_is_sent_as_utf8(message_kind: Kind, name: str) -> None:
    """Contract 2; its length is that of the encoded text."""
    queue = message_kind.create(name, max_message_size=4)
    for text in ("", "abcd", "éé", "\U0001f642", "a\0b"):
        queue.send(text)
        assert queue.receive() == (text.encode(), 0)
    with pytest.raises(ValueError, match=r"6.*4|4.*6"):
        queue.send("ééé")
    with pytest.raises(ValueError, match=r"."):
        queue.send("\ud800")
    assert queue.current_messages == 0


@conformance("M18")
def test_a_message_too_long(message_kind: Kind, name: str) -> None:
    """M18: a ValueError with both numbers, nothing sent, also when the queue is full."""
    queue = message_kind.create(name)
    for full in (0, 2):
        while queue.current_messages < full:
            queue.send(b"")
        for length in (17, 100_000):
            for timeout in (None, 0, 1):
                with pytest.raises(ValueError, match=rf"(?s){length}.*16|16.*{length}") as caught:
                    queue.send(b"x" * length, timeout)
                assert "a larger max_message_size" in str(caught.value)
        assert queue.current_messages == full


@conformance("M21")
def test_the_order(message_kind: Kind, name: str) -> None:
    """M21: highest priority first, first in first out within one; with partial drains."""
    queue = message_kind.create(name, max_messages=10)
    chance, model, serial = random.Random(21), [], 0
    for _ in range(rounds(100)):
        for _ in range(chance.randrange(11 - len(model))):
            priority = chance.choice([0, 1, 1, 5, message_kind.highest])
            queue.send(str(serial), priority=priority)
            model.append((-priority, serial))
            serial += 1
        model.sort()
        for _ in range(chance.randrange(len(model) + 1)):
            negative, number = model.pop(0)
            assert queue.receive(0) == (str(number).encode(), -negative)


@conformance("M22")
def test_priorities(message_kind: Kind, name: str) -> None:
    """M22: 0 is the default, 32767 the highest (of a channel, as it was made); each comes back."""
    queue = message_kind.create(name)
    queue.send(b"x")
    assert queue.receive() == (b"x", 0)
    highest = message_kind.highest
    for priority in [*range(0, highest, 331 if highest > 331 else 1), highest]:
        queue.send(b"x", None, priority)
        assert queue.receive() == (b"x", priority)
    queue.send(b"x", priority=5, timeout=0)
    assert queue.receive(timeout=0) == (b"x", 5)


@conformance("M23", "M51")
def test_messages_outlive_their_sender(message_kind: Kind, name: str) -> None:
    """M23, M51: also one that was killed, and everybody else; they come in order."""
    queue = message_kind.create(name, max_messages=3, unlink_on_delete=False)
    queue.send(b"first")
    queue.close()
    del queue
    with Script(f'{message_kind.class_name}(name).send("second")', name) as sender:
        sender.finish()
    killed = (
        f"queue = {message_kind.class_name}(name); queue.send('urgent', priority=1); say(1); hear()"
    )
    with Script(killed, name) as sender:
        sender.expect("1")
    again = message_kind.open(name)
    assert [again.receive(0) for _ in range(4)] == [
        (b"urgent", 1),
        (b"first", 0),
        (b"second", 0),
        None,
    ]


@conformance("C41")
def test_the_block_of_with(message_kind: Kind, name: str) -> None:
    """C41: it closes on exit, also by an exception."""
    with message_kind.create(name, unlink_on_delete=False) as queue:
        queue.send(b"x")
    assert queue.closed
    with pytest.raises(KeyError), message_kind.open(name) as queue:
        raise KeyError(queue.current_messages)
    assert queue.closed
    assert message_kind.exists(name)


def test_a_queue_is_replaced_only_by_one_that_fits(name: str) -> None:
    """Contract 3.4: checked against the limits first; or else the error says what is gone."""

    def replace() -> str:
        old = QUEUE.create(name, unlink_on_delete=False)
        QUEUE.stamp(old)
        with pytest.raises(OSError, match="msg_max"):
            QUEUE.create(name, Flags.UNLINK_AND_CREATE, max_messages=sysctl("msg_max") + 1)
        assert QUEUE.is_stamped(QUEUE.open(name))
        resource.setrlimit(12, (1000, 1000))  # RLIMIT_MSGQUEUE
        with pytest.raises(OSError, match="RLIMIT_MSGQUEUE") as caught:
            QUEUE.create(name, Flags.UNLINK_AND_CREATE, max_messages=10, max_message_size=1000)
        if QUEUE.exists(name):
            assert QUEUE.is_stamped(QUEUE.open(name))
            return "gone"
        return str(caught.value)

    assert any(word in as_stranger(replace) for word in ("gone", "removed", "unlinked"))
