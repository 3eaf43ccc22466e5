"""The stand-in for posix_ipc: what it offers, its names, its errors and its handles.

What its public test suite holds is not repeated here; see posix_ipc_suite.py.
"""

from __future__ import annotations

import errno
import gc
import inspect
import os
import pickle
from typing import Any

import pytest
from support.children import as_nobody, in_child
from support.faces import QUEUES, SEGMENTS, SEMAPHORES, Face, each_face
from support.kinds import SEM_VALUE_MAX
from support.scripts import run
from support.system import descriptors

from nob import posix_ipc
from nob.posix_ipc import O_CREAT, O_CREX, O_EXCL, MessageQueue, Semaphore, SharedMemory

NAMES = """
BusyError Error ExistentialError MESSAGE_QUEUES_SUPPORTED MessageQueue O_CREAT O_CREX O_EXCL
O_NONBLOCK O_RDONLY O_RDWR O_TRUNC O_WRONLY PAGE_SIZE PermissionsError QUEUE_MESSAGES_MAX_DEFAULT
QUEUE_MESSAGE_SIZE_MAX_DEFAULT QUEUE_PRIORITY_MAX SEMAPHORE_TIMEOUT_SUPPORTED SEMAPHORE_VALUE_MAX
SEMAPHORE_VALUE_SUPPORTED Semaphore SharedMemory SignalError USER_SIGNAL_MAX USER_SIGNAL_MIN VERSION
unlink_message_queue unlink_semaphore unlink_shared_memory
"""


def test_all_of_it_is_there() -> None:
    assert sorted(posix_ipc.__all__) == sorted(NAMES.split())
    for name in posix_ipc.__all__:
        assert hasattr(posix_ipc, name), name
    for error in ("SignalError", "PermissionsError", "ExistentialError", "BusyError"):
        assert getattr(posix_ipc, error).__bases__ == (posix_ipc.Error,)
    assert posix_ipc.__version__ == posix_ipc.VERSION


@each_face
def test_everything_public_says_what_it_is(face: Face) -> None:
    assert face.cls.__module__ == "nob.posix_ipc"
    assert inspect.getdoc(face.cls)
    for name in dir(face.cls):
        if not name.startswith("_"):
            assert inspect.getdoc(getattr(face.cls, name)), name


@each_face
def test_the_arguments_by_position(name: str, face: Face) -> None:
    """In the order of posix_ipc, which puts the mode third."""
    more = {
        Semaphore: (7,),
        SharedMemory: (100, False),
        MessageQueue: (2, 16, True, False),
    }[face.cls]
    old = os.umask(0)
    try:
        handle = face.cls(name, O_CREX, 0o640, *more)
    finally:
        os.umask(old)
    assert (handle.name, str(handle), handle.mode) == (name, name, 0o640)
    assert repr(handle).startswith(f'posix_ipc.{face.cls.__name__}("{name}", mode=0640')
    if face is SEMAPHORES:
        assert handle.value == 7
    else:
        assert face.kind.mode(handle) == 0o640
    if face is SEGMENTS:
        assert handle.size == 100
    if face is QUEUES:
        assert (handle.max_messages, handle.max_message_size) == (2, 16)
        with pytest.raises(posix_ipc.PermissionsError, match="receiving only"):
            handle.send(b"x")
    face.close(handle)
    face.unlink(name)


@each_face
@pytest.mark.parametrize(
    "end", [b" \n\x1b[2J\x7f", b"\xff\xfe", "ünï:*?\\".encode(), b"\xed\xa0\x80"]
)
def test_every_name_of_the_system_is_taken(name: str, face: Face, end: bytes) -> None:
    """Bytes without NUL and slash; as str they are decoded as names of files are."""
    hostile = name.encode() + end
    with face.made(hostile) as handle:
        assert os.fsencode(handle.name) == hostile
        again = face.cls(handle.name)
        face.close(again)
        assert "\x1b" not in repr(handle)
        with pytest.raises(posix_ipc.ExistentialError) as caught:
            face.create(hostile)
        assert str(caught.value).isprintable()
    with pytest.raises(posix_ipc.ExistentialError):
        face.unlink(hostile)


@each_face
def test_the_slash_may_be_left_out(name: str, face: Face) -> None:
    with face.made(name[1:]) as handle:
        assert handle.name == name[1:]
        face.close(face.cls(name))


@each_face
@pytest.mark.parametrize("bad", ["", "/", "/.", "/..", "//x", "/a/b", "/a\0b", "/" + "x" * 256])
def test_what_is_no_name_is_refused(face: Face, bad: str) -> None:
    for given in (bad, bad.encode()):
        for call in (
            lambda given=given: face.create(given),
            lambda given=given: face.unlink(given),
        ):
            with pytest.raises(ValueError, match=r".{20}"):
                call()
    for nothing in (5, 1.5, ["x"]):
        with pytest.raises(TypeError, match="name must be"):
            face.create(nothing)


@each_face
def test_flags(name: str, face: Face) -> None:
    with pytest.raises(ValueError, match="O_CREX"):
        face.create(name, O_EXCL)
    for flags in (0, O_CREAT):
        with pytest.raises(ValueError, match="O_CREX"):
            face.create(None, flags)
    with face.made(None) as first, face.made(None) as second:
        assert first.name != second.name
        assert first.name.startswith("/")


@each_face
def test_no_flag_lasts_beyond_its_meaning(name: str, face: Face) -> None:
    """The bits of the direction say nothing here: the arguments do."""
    with face.made(name, O_CREX | posix_ipc.O_RDWR):
        face.close(face.cls(name, posix_ipc.O_WRONLY))


@each_face
def test_errors_are_sentences_that_name_the_object(name: str, face: Face) -> None:
    with pytest.raises(posix_ipc.ExistentialError, match="O_CREAT") as missing:
        face.cls(name)
    with face.made(name) as handle:
        with pytest.raises(posix_ipc.ExistentialError, match="taken") as taken:
            face.create(name)
        handle.unlink()
        with pytest.raises(posix_ipc.ExistentialError) as gone:
            handle.unlink()
        with pytest.raises(posix_ipc.ExistentialError) as gone_too:
            face.unlink(name)
    for caught in (missing, taken, gone, gone_too):
        assert name in str(caught.value)
        assert len(str(caught.value).split()) > 6


@each_face
def test_a_closed_handle_says_so(name: str, face: Face) -> None:
    with face.made(name) as handle:
        face.close(handle)
        uses: dict[str, list[Any]] = {
            "close": [],
            "acquire": [0],
            "release": [],
            "__enter__": [],
            "send": [b"", 0],
            "receive": [0],
            "request_notification": [10],
        }
        for use, arguments in uses.items():
            if hasattr(face.cls, use):
                with pytest.raises(posix_ipc.ExistentialError, match="closed"):
                    getattr(handle, use)(*arguments)
        for attribute in ("value", "size", "block", "current_messages"):
            if hasattr(face.cls, attribute):
                with pytest.raises(posix_ipc.ExistentialError, match="closed"):
                    getattr(handle, attribute)
        if face is SEGMENTS:
            handle.close_fd()
            assert (handle.fd, handle.fileno()) == (-1, -1)
        if face is QUEUES:
            assert (handle.mqd, handle.fileno(), handle.max_messages) == (-1, -1, 2)
        assert (handle.name, handle.mode) == (name, 0o600)
        handle.unlink()


@each_face
def test_the_constructor_is_init(name: str, face: Face) -> None:
    """A subclass may take other arguments; a handle without a constructor is closed."""

    class Mine(face.cls):  # type: ignore[misc]
        def __init__(self, end: str) -> None:
            super().__init__(name + end, O_CREX, **face.small)

    mine = Mine("-mine")
    assert mine.name == name + "-mine"
    with pytest.raises(ValueError, match="second time"):
        mine.__init__("-other")
    mine.unlink()
    face.close(mine)
    unset = face.cls.__new__(face.cls)
    for attribute in ("name", "mode"):
        with pytest.raises(posix_ipc.ExistentialError, match="never opened"):
            getattr(unset, attribute)
    with pytest.raises(posix_ipc.ExistentialError, match="never opened"):
        unset.unlink()


@each_face
def test_handles_cannot_be_pickled(name: str, face: Face) -> None:
    with face.made(name) as handle, pytest.raises(TypeError, match="pickle"):
        pickle.dumps(handle)


@each_face
def test_unlink_leaves_the_next_object_of_the_name_alone(name: str, face: Face) -> None:
    with face.made(name) as old:
        face.unlink(name)
        with face.made(name):
            with pytest.raises(posix_ipc.ExistentialError, match="another object"):
                old.unlink()
            face.close(face.cls(name))


@each_face
def test_permissions(name: str, face: Face) -> None:
    """Another user may neither open nor remove it; the mode can let it open."""

    def denied() -> bool:
        for call in (lambda: face.cls(name), lambda: face.unlink(name)):
            with pytest.raises(posix_ipc.PermissionsError, match=r".{30}"):
                call()
        return True

    with face.made(name):
        assert as_nobody(denied)


@each_face
def test_nothing_is_unlinked_by_itself(name: str, face: Face) -> None:
    """Neither by collection, nor at the end of the interpreter or of a forked child."""
    handle = face.create(name)
    del handle
    gc.collect()
    face.close(face.cls(name))
    face.unlink(name)
    arguments = ", ".join(f"{key}={value}" for key, value in face.small.items())
    code = f"""
from nob import posix_ipc
handle = posix_ipc.{face.cls.__name__}(name, posix_ipc.O_CREX, {arguments})
if os.fork() == 0:
    sys.exit()
assert os.wait()[1] == 0
"""
    assert run(code, name) == (0, "")
    face.unlink(name)


@each_face
def test_a_forked_child_uses_its_parents_handle(name: str, face: Face) -> None:
    with face.made(name) as handle:

        def use() -> str:
            if face is SEMAPHORES:
                handle.acquire(0)
            elif face is SEGMENTS:
                os.pwrite(handle.fd, b"child", 0)
            else:
                handle.send("child", 0)
            face.close(handle)
            return str(handle.name)

        assert in_child(use) == name
        if face is SEMAPHORES:
            assert handle.value == 2
        elif face is SEGMENTS:
            assert os.pread(handle.fd, 5, 0) == b"child"
        else:
            assert handle.receive(0) == (b"child", 0)


@pytest.mark.parametrize("face", [SEGMENTS, QUEUES], ids=lambda face: face.cls.__name__)
def test_a_descriptor_that_was_given_out_stays_open(name: str, face: Face) -> None:
    """As in posix_ipc; one that nobody can know is closed with its handle."""
    before = descriptors()
    face.create(name)
    gc.collect()
    assert descriptors() == before
    number = face.cls(name).fileno()
    gc.collect()
    os.fstat(number)
    os.close(number)
    assert descriptors() == before
    face.unlink(name)


def test_releasing_at_the_maximum(name: str) -> None:
    with SEMAPHORES.made(name, initial_value=SEM_VALUE_MAX) as semaphore:
        with pytest.raises(OSError, match="maximum") as caught:
            semaphore.release()
        assert caught.value.errno == errno.EOVERFLOW
        assert semaphore.value == posix_ipc.SEMAPHORE_VALUE_MAX


def test_limits_are_value_errors_that_name_them(name: str) -> None:
    with pytest.raises(ValueError, match=r"max_messages is \d+"):
        QUEUES.create(name, max_messages=1 << 20)
    for more in ({"max_messages": 0}, {"max_message_size": -1}, {"read": 0, "write": None}):
        with pytest.raises(ValueError, match=r".{20}"):
            QUEUES.create(name, **more)


def test_a_queue_can_be_opened_non_blocking(name: str) -> None:
    with QUEUES.made(name, O_CREX | posix_ipc.O_NONBLOCK) as queue:
        assert queue.block is False
        with pytest.raises(posix_ipc.BusyError, match="empty"):
            queue.receive()
        queue.block = 1
        assert queue.block is True
