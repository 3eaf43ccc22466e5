"""Every row of the error table: class, errno, file name, and a text that helps (contract 7)."""

import contextlib
import errno
import io
import os
import pickle
import re
import resource

import pytest
from support.checks import conformance, digits, helpful
from support.children import as_nobody, as_stranger, become, in_child
from support.kinds import KINDS, QUEUE, SEGMENT, SEMAPHORE, Kind, each_file_kind, each_kind, unique
from support.namespaces import CLONE_NEWIPC, mount, needs_namespaces, unshare
from support.system import descriptors, sysctl

from nob.ipc import Flags, InvalidArgument


def test_invalid_argument_is_both() -> None:
    """Whoever expects a ValueError gets one, and whoever expects a TypeError as well."""
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(InvalidArgument, TypeError)
    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        SEMAPHORE.create("/x", initial_value="1")
    with pytest.raises(TypeError):
        SEMAPHORE.create("/x", initial_value=-1)


@each_kind
def test_taken_and_missing(kind: Kind, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        kind.open(name)
    missing = helpful(caught.value, name, errno.ENOENT)
    with contextlib.closing(kind.create(name)), pytest.raises(FileExistsError) as taken:
        kind.create(name)
    assert helpful(taken.value, name, errno.EEXIST) != missing
    with pytest.raises(FileNotFoundError) as caught:
        kind.cls.unlink_name(name[1:] + "-other")
    helpful(caught.value, name + "-other", errno.ENOENT)


@each_kind
def test_advice_has_the_names_of_python(kind: Kind, name: str) -> None:
    """Whoever reads it can type what it says."""
    with pytest.raises(FileNotFoundError, match=r"Flags\.LINK_OR_CREATE"):
        kind.open(name)
    with contextlib.closing(kind.create(name)):
        both = r"Flags\.LINK_OR_CREATE or Flags\.UNLINK_AND_CREATE"
        with pytest.raises(FileExistsError, match=both):
            kind.create(name)


@pytest.mark.parametrize("message", [{"a": 1}, 1, None, ["a"]], ids=repr)
def test_what_must_be_encoded(message_kind: Kind, name: str, message: object) -> None:
    """The error says how, and nothing was sent."""
    with message_kind.create(name) as queue:
        for send in (queue.send, lambda message: queue.send_many([message])):
            with pytest.raises(InvalidArgument, match=r"json\.dumps or pickle\.dumps"):
                send(message)
        assert queue.current_messages == 0


@each_kind
def test_not_permitted(kind: Kind, name: str) -> None:
    handle = kind.create(name)
    with pytest.raises(PermissionError) as caught:
        as_nobody(lambda: kind.open(name).name)
    helpful(caught.value, name, errno.EACCES)
    kind.use(handle)


@each_kind
def test_errors_survive_pickling(kind: Kind, name: str) -> None:
    """A pool of processes hands errors over; name and sentence come along."""
    with pytest.raises(FileNotFoundError) as caught:
        kind.open(name)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is FileNotFoundError
    assert (copy.errno, copy.strerror, copy.filename) == (
        caught.value.errno,
        caught.value.strerror,
        caught.value.filename,
    )
    with pytest.raises(InvalidArgument) as invalid:
        kind.create(name, mode=-1)
    again = pickle.loads(pickle.dumps(invalid.value))
    assert type(again) is InvalidArgument
    assert str(again) == str(invalid.value)


@conformance("M4")
@pytest.mark.parametrize(
    ("argument", "limit"), [("max_messages", "msg_max"), ("max_message_size", "msgsize_max")]
)
def test_a_queue_beyond_the_limits(name: str, argument: str, limit: str) -> None:
    """M4: EINVAL that names the limit, its value, and the sysctl that raises it."""
    for value in (sysctl(limit) + 1, 2**40, 2**63 - 1):
        with pytest.raises(OSError, match=r".") as caught:
            as_stranger(lambda value=value: QUEUE.create(name, **{argument: value}).name)
        sentence = helpful(caught.value, name, errno.EINVAL)
        assert limit in sentence
        assert str(sysctl(limit)) in digits(sentence)
        assert "sysctl" in sentence or f"/proc/sys/fs/mqueue/{limit}" in sentence
        assert not isinstance(caught.value, InvalidArgument)
        assert not QUEUE.exists(name)


@conformance("M5")
def test_a_queue_that_nobody_may_have(name: str) -> None:
    """M5: 65536 messages of 16 MiB are refused, whoever asks."""
    for number, size in ((65536, 65536), (65536, 16 * 1024**2), (65537, 1), (2**62, 2**62)):
        with pytest.raises(OSError, match=r".") as caught:
            QUEUE.create(name, max_messages=number, max_message_size=size)
        helpful(caught.value, name, caught.value.errno)
        assert caught.value.errno in (errno.EINVAL, errno.EMFILE)
        assert not QUEUE.exists(name)


@conformance("M6")
def test_the_memory_limit_of_queues(name: str) -> None:
    """EMFILE that names RLIMIT_MSGQUEUE, the bytes asked for, and `ulimit -q`."""

    def create() -> None:
        resource.setrlimit(12, (1000, 1000))  # RLIMIT_MSGQUEUE
        QUEUE.create(name, max_messages=10, max_message_size=100)

    with pytest.raises(OSError, match=r".") as caught:
        as_stranger(create)
    sentence = helpful(caught.value, name, errno.EMFILE)
    assert "RLIMIT_MSGQUEUE" in sentence
    assert "ulimit -q" in sentence
    assert re.search(r"\b1960\b", digits(sentence)), "10 messages of 100 bytes, and 96 for each"
    assert not QUEUE.exists(name)


@conformance("C27")
@each_kind
def test_no_descriptors_left(kind: Kind, name: str) -> None:
    """C27: EMFILE at RLIMIT_NOFILE, nothing leaked, and all is well once there is room."""

    def exhaust() -> tuple[OSError, bool, int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        room = []
        with contextlib.suppress(OSError):
            while True:
                room.append(os.open("/dev/null", os.O_RDONLY))
        for flag in (Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE):
            with pytest.raises(OSError, match=r".") as early:
                kind.create(name, flag)
            assert early.value.errno == errno.EMFILE
        with pytest.raises(OSError, match=r".") as caught:
            kind.create(name)
        for descriptor in room:
            os.close(descriptor)
        existed = kind.exists(name)
        before = len(descriptors())
        kind.use(kind.create(name))
        return caught.value, existed, len(descriptors()) - before

    error, existed, more = as_stranger(exhaust)
    sentence = helpful(error, name, errno.EMFILE)
    assert "RLIMIT_MSGQUEUE" not in sentence, "that is another limit"
    assert not existed
    assert more == 0


@needs_namespaces
@conformance("M9")
def test_too_many_queues() -> None:
    """M9: ENOSPC that names queues_max; in an IPC namespace of its own."""

    def fill() -> OSError:
        unshare(CLONE_NEWIPC)
        become(1_000_000 + os.getpid())
        queues = [QUEUE.create(unique(), max_messages=1, max_message_size=1) for _ in range(256)]
        with pytest.raises(OSError, match=r".") as caught:
            QUEUE.create("/one-more", max_messages=1, max_message_size=1)
        del queues[0]
        QUEUE.use(QUEUE.create("/one-more", max_messages=2, max_message_size=8))
        return caught.value

    error = in_child(fill)
    assert "queues_max" in helpful(error, "/one-more", errno.ENOSPC)


@needs_namespaces
@conformance("H12", "S32", "N14")
@each_file_kind
def test_a_full_directory(kind: Kind, name: str) -> None:
    """H12, S32: ENOSPC that names the free space and how to raise it; nothing is left."""

    def fill() -> tuple[OSError, list[str]]:
        mount("/dev/shm", "size=64k")
        with open("/dev/shm/filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        with pytest.raises(OSError, match=r".") as caught:
            kind.create(name)
        return caught.value, os.listdir("/dev/shm")

    error, left = in_child(fill)
    sentence = helpful(error, name, errno.ENOSPC)
    assert "/dev/shm" in sentence
    assert re.search(r"free|available|left", sentence)
    assert re.search(r"\d", sentence)
    assert left == ["filler"]


def test_the_wrong_direction(message_kind: Kind, name: str) -> None:
    """M11's rows: io.UnsupportedOperation, which is an OSError and a ValueError."""
    queue = message_kind.create(name)
    reader = message_kind.open(name, write=False)
    writer = message_kind.open(name, read=False)
    queue.send(b"there")
    for call in (lambda: reader.send(b"x"), writer.receive, lambda: writer.receive(0)):
        with pytest.raises(io.UnsupportedOperation, match=r"\w+ \w+ \w+"):
            call()
    assert queue.current_messages == 1
    segment = SEGMENT.create(name)
    with pytest.raises(io.UnsupportedOperation, match=r"\w+ \w+ \w+"):
        SEGMENT.open(name, read_only=True).resize(128)
    assert segment.size == 64


@each_kind
def test_the_text_of_str(kind: Kind, name: str) -> None:
    """`str` of an error shows number, sentence and name, as for open()."""
    with pytest.raises(FileNotFoundError) as caught:
        kind.open(name)
    assert str(caught.value) == f"[Errno 2] {caught.value.strerror}: {name!r}"


@conformance("C14", "C22")
def test_existing_comes_before_permission(name: str) -> None:
    """RAISE_IF_EXISTS says that the name is taken, also to who may not open the object."""
    handles = [kind.create(name) for kind in KINDS]
    for kind in KINDS:
        with pytest.raises(FileExistsError):
            as_nobody(kind.create, name)
    assert len(handles) == len(KINDS)
