"""Segments of the stand-in for posix_ipc: sizes, and what is not done to a segment in use."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

import pytest
from support.children import as_nobody, in_child
from support.faces import SEGMENTS
from support.kinds import SEGMENT
from support.namespaces import mount, needs_namespaces
from support.scripts import Script
from support.system import descriptors

from nob import posix_ipc
from nob.posix_ipc import O_CREAT, O_CREX, O_TRUNC, SharedMemory

LARGE, SMALL = 8192, 100
TOO_MUCH = 1 << 60

HOLD = """
import mmap
from nob import posix_ipc
segment = posix_ipc.SharedMemory(name)
if {mapped}:
    mapping = mmap.mmap(segment.fd, segment.size)
    segment.close_fd()
say("holds")
hear()
if {mapped}:
    mapping[-1] = 1
"""

# Processes of others could use a segment: an ordinary user may not look at them.
needs_a_look_at_all_processes = pytest.mark.skipif(
    os.geteuid() != 0, reason="whether nobody else uses a segment, only root can tell"
)
each_attempt = pytest.mark.parametrize(
    ("flags", "size"), [(0, SMALL), (O_CREAT, SMALL), (O_TRUNC, 0), (O_CREAT | O_TRUNC, SMALL)]
)


@pytest.fixture
def segment(name: str) -> Iterator[SharedMemory]:
    with SEGMENTS.made(name, size=LARGE) as segment:
        os.pwrite(segment.fd, b"content", 0)
        yield segment


def attach(name: str, flags: int = 0, size: int = 0) -> int:
    """The size after attaching."""
    handle = SharedMemory(name, flags, size=size)
    size = handle.size
    handle.close_fd()
    return size


@needs_a_look_at_all_processes
def test_a_segment_that_nobody_uses_is_resized(name: str, segment: SharedMemory) -> None:
    assert attach(name, size=SMALL) == SMALL
    assert attach(name, size=2 * LARGE) == 2 * LARGE
    assert attach(name) == attach(name, O_CREAT) == segment.size == 2 * LARGE
    assert os.pread(segment.fd, 7, 0) == b"content"
    assert attach(name, O_TRUNC) == 0
    assert attach(name, size=LARGE) == LARGE
    assert os.pread(segment.fd, LARGE, 0) == bytes(LARGE)


@needs_a_look_at_all_processes
def test_emptying_and_a_size_give_zeros(name: str, segment: SharedMemory) -> None:
    assert attach(name, O_CREAT | O_TRUNC, LARGE) == LARGE
    assert os.pread(segment.fd, LARGE, 0) == bytes(LARGE)


@needs_a_look_at_all_processes
@each_attempt
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "open"])
def test_what_another_process_holds_is_not_shrunk(
    name: str, segment: SharedMemory, flags: int, size: int, mapped: bool
) -> None:
    with Script(HOLD.format(mapped=mapped), name) as holder:
        holder.expect("holds")
        with pytest.warns(RuntimeWarning, match=f"{name}.*{LARGE} bytes"):
            assert attach(name, flags, size) == LARGE
        assert os.pread(segment.fd, 7, 0) == b"content"
        assert attach(name, size=LARGE) == LARGE
        holder.say("touch it")
        holder.finish()
    assert attach(name, flags, size) == size


@needs_a_look_at_all_processes
@each_attempt
def test_what_this_process_has_mapped_is_not_shrunk(
    name: str, segment: SharedMemory, flags: int, size: int
) -> None:
    with mmap.mmap(segment.fd, LARGE) as mapping:
        with pytest.warns(RuntimeWarning, match="in use"):
            assert attach(name, flags, size) == LARGE
        mapping[LARGE - 1] = 1
        assert mapping[:7] == b"content"
        with pytest.warns(RuntimeWarning, match="in use"):
            assert attach(name, O_CREAT | O_TRUNC, 2 * LARGE) == 2 * LARGE
    assert attach(name, flags, size) == size


def test_what_belongs_to_another_user_is_not_shrunk(name: str, segment: SharedMemory) -> None:
    os.fchmod(segment.fd, 0o666)

    def shrink() -> int:
        with pytest.warns(RuntimeWarning, match="in use"):
            return attach(name, size=SMALL)

    assert as_nobody(shrink) == segment.size == LARGE


@pytest.mark.filterwarnings("error")
def test_the_warning_as_an_error_leaves_all_as_it_was(name: str, segment: SharedMemory) -> None:
    with mmap.mmap(segment.fd, LARGE):
        before = descriptors()
        with pytest.raises(RuntimeWarning, match="in use"):
            SharedMemory(name, size=SMALL)
        assert descriptors() == before
    assert attach(name) == LARGE


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"size": TOO_MUCH}, OSError),
        ({"size": -1}, ValueError),
        ({"size": LARGE, "read_only": True}, ValueError),
        ({"flags": O_TRUNC, "read_only": True}, ValueError),
    ],
    ids=str,
)
def test_a_failed_attach_removes_nothing(
    name: str, segment: SharedMemory, arguments: dict[str, int], error: type[Exception]
) -> None:
    before = descriptors()
    with pytest.raises(error, match=r".{30}"):
        SharedMemory(name, **arguments)
    assert descriptors() == before
    assert attach(name) == LARGE
    assert os.pread(segment.fd, 7, 0) == b"content"


def test_a_failed_creation_leaves_nothing(name: str) -> None:
    for arguments in ({"size": TOO_MUCH}, {"size": LARGE, "read_only": True}):
        with pytest.raises((OSError, ValueError)):
            SharedMemory(name, O_CREX, **arguments)
        with pytest.raises(posix_ipc.ExistentialError):
            SharedMemory(name)


def test_read_only(name: str, segment: SharedMemory) -> None:
    reader = SharedMemory(name, read_only=1)
    assert os.pread(reader.fd, 7, 0) == b"content"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(reader.fd, b"x", 0)
    reader.close_fd()
    assert segment.size == LARGE


@needs_namespaces
def test_want_of_memory_is_an_error_and_not_a_bus_error(name: str) -> None:
    def create() -> tuple[int | None, list[str]]:
        mount("/dev/shm", "size=64k")
        with pytest.raises(OSError, match="shm") as caught:
            SharedMemory(name, O_CREX, size=1 << 20)
        return caught.value.errno, os.listdir("/dev/shm")

    assert in_child(create) == (errno.ENOSPC, [])


def test_memory_that_the_program_sizes_itself_is_not_reserved(name: str) -> None:
    with SEGMENTS.made(name, size=0) as segment:
        assert segment.size == 0
        os.ftruncate(segment.fd, 1 << 30)
        assert segment.size == 1 << 30
        assert SEGMENT.status(segment).st_blocks == 0
