"""The creator's mark, by which what a dead process left is told (contract 3.9)."""

import errno
import os
import resource

import pytest
from support.children import as_stranger, in_child
from support.kinds import KINDS, QUEUE, Kind, each_file_kind, each_kind
from support.scripts import Script
from support.system import records_of

from nob.ipc import Flags

ATTRIBUTE = "user.nob-ipc"


def mark(kind: Kind, name: str) -> bytes | None:
    try:
        return os.getxattr(kind.path(name), ATTRIBUTE)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _has_attributes() -> bool:
    path = f"/dev/shm/nob-test-attributes-{os.getpid()}"
    with open(path, "xb") as file:
        try:
            os.setxattr(file.fileno(), ATTRIBUTE, b"x")
        except OSError:
            return False
        finally:
            os.unlink(path)
    return True


needs_attributes = pytest.mark.skipif(
    not _has_attributes(), reason="the file system of /dev/shm has no extended attributes"
)


@needs_attributes
@each_file_kind
@pytest.mark.parametrize("flag", [flag for flag in Flags if flag is not Flags.RAISE_IF_NOT_EXISTS])
def test_what_is_due_carries_a_mark(kind: Kind, name: str, flag: Flags) -> None:
    """With the pid of its creator; what is meant to stay has none."""
    handle = kind.create(name, flag)
    text = mark(kind, name)
    assert text is not None
    assert str(os.getpid()).encode() in text
    handle.unlink_on_delete = False
    assert mark(kind, name) is None
    handle.unlink_on_delete = True
    assert mark(kind, name) == text
    del handle
    kept = kind.create(name, flag, unlink_on_delete=False)
    assert mark(kind, name) is None
    kept.close()


@needs_attributes
@each_file_kind
def test_linking_leaves_the_mark(kind: Kind, name: str) -> None:
    handle = kind.create(name)
    text = mark(kind, name)
    linked = kind.open(name, Flags.LINK_OR_CREATE)
    linked.unlink_on_delete = False
    linked.close()
    assert mark(kind, name) == text
    assert not handle.closed


@needs_attributes
@each_file_kind
def test_a_forked_child_has_another_mark(kind: Kind, name: str) -> None:
    """Of its own objects it is the creator."""

    def child() -> tuple[int, bytes | None]:
        handle = kind.create(name)
        return os.getpid(), mark(kind, handle.name)

    pid, text = in_child(child)
    assert text is not None
    assert str(pid).encode() in text


def test_a_queues_record_is_not_in_the_directory_of_segments(name: str) -> None:
    """It is in a private one of the user's."""
    before = set(os.listdir("/dev/shm"))
    handle = QUEUE.create(name)
    new = set(os.listdir("/dev/shm")) - before
    assert not {entry for entry in new if name[1:] in entry}
    handle.unlink_on_delete = False
    handle.unlink_on_delete = True
    QUEUE.use(handle)


@each_kind
def test_where_marks_cannot_be_made_there_is_no_error(kind: Kind, name: str) -> None:
    """Neither by extended attribute nor by record: a user without a home of any kind."""

    def create() -> bool:
        os.environ.clear()
        if os.geteuid() == 0:
            os.setresuid(1_000_000, 1_000_000, 1_000_000)
        handle = kind.create(name)
        kind.use(handle)
        handle.unlink_on_delete = False
        handle.unlink_on_delete = True
        del handle
        return kind.exists(name)

    assert in_child(create) is False


def test_a_record_that_cannot_be_written_is_not_begun(name: str) -> None:
    """As when its file system is full: the queue has no mark, and no empty record stays."""

    def create() -> list[str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        handle = QUEUE.create(name)
        QUEUE.use(handle)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        return [record.name for record in records_of(name)]

    assert in_child(create) == []


def test_a_queue_that_may_not_be_looked_at(name: str) -> None:
    """Where a file system shows whose it is, deletion removes it; otherwise its record stays."""

    def create() -> tuple[bool, int, bool]:
        handle = QUEUE.create(name, mode=0)
        del handle
        left = QUEUE.exists(name), len(records_of(name))
        return *left, os.path.ismount("/dev/mqueue")

    exists, records, mounted = as_stranger(create)
    assert (exists, records) == ((False, 0) if mounted else (True, 1))


def test_the_mark_survives_its_creator(name: str) -> None:
    """What a killed process left can be told by it; here, that the objects are still of use."""
    code = """
handles = [NamedSemaphore(name, 3, handle_existence=CREATE),
           NamedSharedMemory(name, 64, handle_existence=CREATE),
           NamedMessageQueue(name, 2, 16, handle_existence=CREATE),
           NamedLock(name, CREATE), NamedBoundedSemaphore(name, 3, CREATE),
           NamedChannel(name, 2, 16, handle_existence=CREATE, priorities=8)]
assert handles[3].acquire() and handles[4].acquire()
say("ready"); hear()
"""
    with Script(code, name) as creator:
        creator.expect("ready")
    for kind in KINDS:
        assert kind.exists(name)
        kind.use(kind.open(name))
        if kind is not QUEUE and _has_attributes():
            assert str(creator.pid).encode() in (mark(kind, name) or b"")
