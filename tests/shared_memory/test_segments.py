"""Segments: their size, what is in them, and who may write (contract 3.4 to 3.6, 6)."""

import contextlib
import errno
import mmap
import os
import resource
import signal

import pytest
from support.checks import conformance, helpful
from support.children import in_child
from support.kinds import SEGMENT, each_file_kind, removed
from support.namespaces import CLONE_NEWIPC, MS_RDONLY, mount, needs_namespaces, unshare
from support.scripts import Script
from support.system import descriptors

from nob.ipc import Flags, InvalidArgument, NamedSharedMemory

PAGE = mmap.PAGESIZE


def content(name: str) -> bytes:
    with open(SEGMENT.path(name), "rb") as file:
        return file.read()


@conformance("H1", "H3")
def test_size_zero(name: str) -> None:
    """H1, H3: an empty object; it cannot be mapped until it has a size."""
    segment = SEGMENT.create(name, size=0)
    assert segment.size == 0
    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        segment.mmap()
    segment.resize(10)
    assert len(segment.mmap()) == 10


@pytest.mark.parametrize("read_only", [False, True])
def test_a_size_that_was_forgotten(name: str, read_only: bool) -> None:
    """Contract 6: no empty segment in silence; and whoever links need not know the size."""
    creating = [flag for flag in Flags if flag is not Flags.RAISE_IF_NOT_EXISTS]
    for flag in creating:
        with pytest.raises(InvalidArgument, match="needs a size"):
            NamedSharedMemory(name, handle_existence=flag, read_only=read_only)
        assert not SEGMENT.exists(name)
    segment = SEGMENT.create(name)
    for flag in (Flags.LINK_OR_CREATE, Flags.RAISE_IF_NOT_EXISTS):
        linked = NamedSharedMemory(name, handle_existence=flag, read_only=read_only)
        assert (linked.size, linked.linked_existing_object) == (64, True)
    with pytest.raises(FileExistsError):
        NamedSharedMemory(name, handle_existence=Flags.RAISE_IF_EXISTS)
    with pytest.raises(InvalidArgument):
        NamedSharedMemory(name, handle_existence=Flags.UNLINK_AND_CREATE)
    assert not segment.stale


@conformance("H2")
@pytest.mark.parametrize("size", [1, 3333, PAGE - 1, PAGE, PAGE + 1, 10 * PAGE, 5_000_001])
@pytest.mark.parametrize("reserve", [True, False])
def test_size_is_exact(name: str, size: int, reserve: bool) -> None:
    """H2: to the byte, and the same for who links."""
    segment = SEGMENT.create(name, size=size, reserve=reserve)
    assert segment.size == size
    assert SEGMENT.open(name).size == size
    assert os.stat(SEGMENT.path(name)).st_size == size
    with segment.mmap() as memory:
        assert len(memory) == size


@conformance("H4", "H9")
@pytest.mark.parametrize("size", [0, 1, 63, 64])
@pytest.mark.parametrize("flag", [Flags.LINK_OR_CREATE, Flags.RAISE_IF_NOT_EXISTS])
def test_linking_never_shrinks(name: str, size: int, flag: Flags) -> None:
    """H4, H9: and never truncates, read-only or not."""
    segment = SEGMENT.create(name)
    SEGMENT.stamp(segment)
    for read_only in (False, True):
        linked = SEGMENT.open(name, flag, size=size, read_only=read_only)
        assert linked.size == segment.size == 64
        assert SEGMENT.is_stamped(linked)


@pytest.mark.parametrize("flag", [Flags.LINK_OR_CREATE, Flags.RAISE_IF_NOT_EXISTS])
def test_linking_with_a_larger_size_grows(name: str, flag: Flags) -> None:
    """Contract 3.4: the one exception."""
    segment = SEGMENT.create(name)
    SEGMENT.stamp(segment)
    memory = segment.mmap()
    linked = SEGMENT.open(name, flag, size=3 * PAGE + 5)
    assert linked.linked_existing_object is True
    assert linked.size == segment.size == 3 * PAGE + 5
    assert content(name) == b"stamp" + bytes(3 * PAGE)
    assert len(memory) == 64
    memory[:5] = b"other"
    with linked.mmap() as larger:
        assert larger[:5] == b"other"
    memory.close()


@conformance("H5", "H6")
@pytest.mark.parametrize("reserve", [True, False])
def test_new_and_grown_memory_is_zero(name: str, reserve: bool) -> None:
    """H5, H6: from the start, after growing, and after shrinking and growing."""
    segment = SEGMENT.create(name, size=100, reserve=reserve)
    with segment.mmap() as memory:
        assert bytes(memory) == bytes(100)
        assert len(memory) == memoryview(memory).nbytes == 100
        memory[:] = b"x" * 100
    segment.resize(PAGE)
    assert content(name) == b"x" * 100 + bytes(PAGE - 100)
    segment.resize(50)
    segment.resize(2 * PAGE)
    assert content(name) == b"x" * 50 + bytes(2 * PAGE - 50)


def test_resize(name: str) -> None:
    """Contract 6: less than a mapping of this handle is a BufferError; more is not."""
    segment = SEGMENT.create(name)
    other = SEGMENT.open(name)
    memory = segment.mmap()
    segment.resize(64)
    segment.resize(128)
    assert (segment.size, other.size, len(memory)) == (128, 128, 64)
    with pytest.raises(BufferError):
        segment.resize(10)
    assert segment.size == 128
    memory.close()
    assert segment.resize(10) is None
    assert other.size == 10
    segment.resize(0)
    assert other.size == 0


@conformance("H7")
def test_handles_see_each_other(name: str) -> None:
    """H7: two of one process, and one of another process."""
    with SEGMENT.create(name, size=4000).mmap() as mine, SEGMENT.open(name).mmap() as again:
        mine[:3] = b"abc"
        assert again[:3] == b"abc"
        code = """
with NamedSharedMemory(name).mmap() as memory:
    assert memory[:3] == b"abc"
    memory[3990:] = b"0123456789"
    say("written"); hear()
    assert memory[10:13] == b"xyz"
"""
        with Script(code, name) as other:
            other.expect("written")
            assert again[3990:] == b"0123456789"
            again[10:13] = b"xyz"
            other.say("on")
            other.finish()


@conformance("H22", "C38")
def test_the_descriptor(name: str) -> None:
    """H22: the lowest free one, close-on-exec, the same each time; ValueError once closed."""
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    segment = SEGMENT.create(name)
    assert segment.fd == segment.fileno() == segment.fd
    assert os.fstat(segment.fd).st_ino == os.stat(SEGMENT.path(name)).st_ino
    assert not os.get_inheritable(segment.fd)
    with mmap.mmap(segment.fd, segment.size) as memory:
        memory[:3] = b"abc"
    assert content(name)[:3] == b"abc"
    before = descriptors()
    segment.close()
    assert len(descriptors()) == len(before) - 1
    with pytest.raises(ValueError, match="closed"):
        _ = segment.fd
    with pytest.raises(ValueError, match="closed"):
        segment.fileno()


@conformance("C36")
@each_file_kind
def test_descriptor_zero_is_one_like_others(kind, name: str) -> None:  # type: ignore[no-untyped-def]
    """C36: it is used and closed."""

    def use() -> bool:
        os.close(0)
        handle = kind.create(name)
        kind.use(handle)
        if kind is SEGMENT:
            assert handle.fd == 0
        handle.close()
        return 0 not in descriptors()

    assert in_child(use)


@conformance("H11")
def test_absurd_sizes(name: str) -> None:
    """H11: more than there can be is an error that says so, and leaves nothing."""
    for size in (2**62, 2**63 - 1):
        with pytest.raises(OSError, match=r".") as caught:
            SEGMENT.create(name, size=size)
        helpful(caught.value, name, caught.value.errno)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG, errno.ENOMEM)
        assert not SEGMENT.exists(name)
    segment = SEGMENT.create(name)
    with pytest.raises(OSError, match=r"."):
        segment.resize(2**62)
    assert segment.size == 64


@conformance("H11")
def test_the_file_size_limit(name: str) -> None:
    """H11: RLIMIT_FSIZE is EFBIG, and not the end of the process."""

    def create() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        SEGMENT.create(name, Flags.LINK_OR_CREATE, size=8192)

    def grow() -> tuple[OSError, int]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with SEGMENT.create(name, size=4096) as segment:
            with pytest.raises(OSError, match=r".") as caught:
                segment.resize(8192)
            return caught.value, segment.size

    with pytest.raises(OSError, match=r".") as caught:
        in_child(create)
    helpful(caught.value, name, errno.EFBIG)
    assert not SEGMENT.exists(name)
    error, size = in_child(grow)
    helpful(error, name, errno.EFBIG)
    assert size == 4096


@conformance("H13")
def test_a_peer_can_truncate(name: str) -> None:
    """H13: what is not promised: a mapping of what somebody cut off is a bus error."""
    segment = SEGMENT.create(name, size=2 * PAGE)
    code = "memory = NamedSharedMemory(name).mmap(); say(1); hear(); say(memory[5000])"
    with Script(code, name) as victim:
        victim.expect("1")
        os.truncate(SEGMENT.path(name), 100)
        victim.say("on")
        assert victim.end()[0] == -signal.SIGBUS
    assert segment.size == 100


@conformance("H18", "H19")
def test_unlinked_and_made_again(name: str) -> None:
    """H18, H19: data outlive closed handles; after unlink the name gives another object."""
    segment = SEGMENT.create(name, unlink_on_delete=False)
    SEGMENT.stamp(segment)
    segment.close()
    del segment
    old = SEGMENT.open(name)
    assert SEGMENT.is_stamped(old)
    old.unlink()
    assert os.fstat(old.fd).st_nlink == 0
    assert SEGMENT.is_stamped(old)
    new = SEGMENT.create(name, size=0)
    assert os.fstat(new.fd).st_ino != os.fstat(old.fd).st_ino
    assert new.size == 0


@conformance("H23")
def test_all_segments_are_to_be_seen(name: str) -> None:
    """H23: 32 of them, in the directory."""
    names = [f"{name}-{index}" for index in range(32)]
    with removed(*names), contextlib.ExitStack() as stack:
        for each in names:
            stack.enter_context(SEGMENT.create(each))
        assert {each[1:] for each in names} <= set(os.listdir("/dev/shm"))


@conformance("H24")
def test_a_segment_whose_creator_is_not_done(name: str) -> None:
    """H24: size 0 by somebody else: it can be linked, and mapping says what may be wrong."""
    os.close(os.open(SEGMENT.path(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    segment = SEGMENT.open(name)
    assert segment.size == 0
    with pytest.raises(ValueError, match="creat"):
        segment.mmap()
    os.truncate(SEGMENT.path(name), 10)
    with segment.mmap() as memory:
        assert bytes(memory) == bytes(10)


@needs_namespaces
@conformance("H27")
@each_file_kind
def test_no_directory_and_one_that_cannot_be_written(kind, name: str) -> None:  # type: ignore[no-untyped-def]
    """H27: an OSError that says so."""

    def read_only() -> None:
        mount("/dev/shm", "size=64k", MS_RDONLY)
        kind.create(name)

    def absent() -> None:
        mount("/dev", "size=64k")
        kind.create(name)

    with pytest.raises(OSError, match=r".") as caught:
        in_child(read_only)
    helpful(caught.value, name, errno.EROFS)
    with pytest.raises(FileNotFoundError) as missing:
        in_child(absent)
    assert "/dev/shm" in helpful(missing.value, name, errno.ENOENT)


@needs_namespaces
@conformance("M10")
def test_ipc_namespaces_do_not_hide_segments(name: str) -> None:
    segment = SEGMENT.create(name)

    def link() -> int:
        unshare(CLONE_NEWIPC)
        return int(SEGMENT.open(name).size)

    assert in_child(link) == segment.size


def test_the_bytes_are_not_where_others_have_them(name: str) -> None:
    """Whoever comes from multiprocessing is told of mmap()."""
    segment = SEGMENT.create(name)
    assert not hasattr(segment, "buf")
    with pytest.raises(AttributeError, match=r"'buf': mmap\(\) maps its bytes"):
        _ = segment.buf
    with pytest.raises(AttributeError, match=r"no attribute 'other'$"):
        _ = segment.other
    for use in memoryview, bytes:
        with pytest.raises(TypeError, match=r"mmap\(\) maps its bytes"):
            use(segment)
