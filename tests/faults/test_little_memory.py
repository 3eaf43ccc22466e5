"""Little memory: full directories, no inodes, no address space (contract 3.4, 3.5)."""

import contextlib
import errno
import faulthandler
import gc
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import conformance, helpful
from support.children import fork, in_child
from support.kinds import CHANNEL, LOCK, PERMITS, SEGMENT, SEMAPHORE, Kind, each_file_kind
from support.namespaces import mount, needs_namespaces
from support.system import descriptors

from nob.ipc import Flags

MIB = 1024 * 1024
pytestmark = needs_namespaces


def free() -> int:
    status = os.statvfs("/dev/shm")
    return status.f_bfree * status.f_bsize


def refused(call, number: int = errno.ENOSPC) -> str:  # type: ignore[no-untyped-def]
    """The sentence of the error that the call is to raise."""
    with pytest.raises(OSError, match=r".") as caught:
        call()
    return helpful(caught.value, "/x", number)


def in_small_directory(function, options: str = "size=1m") -> None:  # type: ignore[no-untyped-def]
    """Calls the function in a child whose /dev/shm is small, and sees that it leaks nothing."""

    def call() -> None:
        mount("/dev/shm", options)
        before = descriptors()
        function()
        gc.collect()  # exceptions keep frames, and these their handles
        assert descriptors() == before

    in_child(call)


@conformance("H12")
def test_creating_more_than_there_is() -> None:
    """H12: ENOSPC at once, with nothing kept; what fits still fits."""

    def create() -> None:
        room = free()
        for flag in (Flags.RAISE_IF_EXISTS, Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE):
            for size in (room + 1, 2 * room, 1000 * room):
                refused(lambda flag=flag, size=size: SEGMENT.create("/x", flag, size=size))
                assert os.listdir("/dev/shm") == []
                assert free() == room
        with SEGMENT.create("/x", size=room - 64 * 1024).mmap() as memory:
            memory[::4096] = b"x" * len(memory[::4096])

    in_small_directory(create)


@conformance("H12")
def test_growing_beyond_what_there_is() -> None:
    """H12: by resize and by linking; size, content and free space stay as they were."""

    def grow() -> None:
        segment = SEGMENT.create("/x")
        SEGMENT.stamp(segment)
        room = free()
        for size in (room + MIB, 1000 * MIB):
            refused(lambda size=size: segment.resize(size))
            for flag in (Flags.LINK_OR_CREATE, Flags.RAISE_IF_NOT_EXISTS):
                refused(lambda size=size, flag=flag: SEGMENT.open("/x", flag, size=size))
            assert segment.size == 64
            assert free() == room
        assert SEGMENT.is_stamped(segment)
        segment.resize(room // 2)
        assert segment.size == room // 2

    in_small_directory(grow)


@conformance("H12")
def test_the_sentence_says_what_to_do() -> None:
    """H12: how much is free, and how to have more."""

    def create() -> None:
        sentence = refused(lambda: SEGMENT.create("/x", size=8 * MIB))
        assert "/dev/shm" in sentence
        assert any(word in sentence for word in ("remount", "--shm-size", "size="))

    in_small_directory(create)


@conformance("H12")
def test_replacing_keeps_the_old_one_if_the_new_one_does_not_fit() -> None:
    """Contract 3.4: it is built unnamed first."""

    def replace() -> None:
        old = SEGMENT.create("/x", size=700 * 1024)
        SEGMENT.stamp(old)
        refused(lambda: SEGMENT.create("/x", Flags.UNLINK_AND_CREATE, size=900 * 1024))
        assert SEGMENT.is_stamped(SEGMENT.open("/x"))
        del old
        assert os.listdir("/dev/shm") == []

    in_small_directory(replace)


def test_reserved_and_sparse() -> None:
    """Contract 3.5: reserved memory is there from the start; sparse memory is not."""

    def create() -> None:
        room = free()
        with SEGMENT.create("/x", size=512 * 1024):
            assert room - free() >= 512 * 1024
        SEGMENT.remove("/x")
        segment = SEGMENT.create("/x", size=100 * MIB, reserve=False)
        assert segment.size == 100 * MIB
        assert room - free() < 64 * 1024
        segment.resize(200 * MIB)
        assert room - free() < 64 * 1024
        with segment.mmap() as memory:
            memory[150 * MIB] = 1

    in_small_directory(create)


def test_a_sparse_segment_can_be_a_bus_error() -> None:
    """Contract 3.5, what reserve=True is for."""

    def touch() -> int:
        mount("/dev/shm", "size=64k")
        child = fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            faulthandler.disable()
            memory = SEGMENT.create("/x", size=MIB, reserve=False).mmap()
            memory[:] = b"x" * MIB
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_child(touch) == -signal.SIGBUS


@conformance("S32", "N14")
@each_file_kind
def test_no_room_for_another_file(kind: Kind) -> None:
    """S32: no inodes, no blocks: ENOSPC, nothing left, and all is well with room again."""

    def exhaust() -> None:
        keep = []
        with contextlib.suppress(OSError):
            while True:
                keep.append(f"/dev/shm/{len(keep)}")
                with open(keep[-1], "xb"):
                    pass
        with contextlib.suppress(FileNotFoundError):
            os.unlink(keep.pop())
        before = sorted(os.listdir("/dev/shm"))
        for flag in (Flags.RAISE_IF_EXISTS, Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE):
            for _ in range(3):
                sentence = refused(lambda flag=flag: kind.create("/x", flag))
                assert sorted(os.listdir("/dev/shm")) == before, sentence
        for path in before[:3]:
            os.unlink(f"/dev/shm/{path}")
        kind.use(kind.create("/x"))

    in_small_directory(exhaust, "size=64k,nr_inodes=10")


@conformance("C18")
@each_file_kind
def test_replacing_keeps_the_old_one_without_inodes(kind: Kind) -> None:
    """C18: a constructor that fails leaves the system as it was."""

    def replace() -> None:
        old = kind.create("/x")
        kind.stamp(old)
        with contextlib.suppress(OSError):
            for index in range(1000):
                with open(f"/dev/shm/{index}", "xb"):
                    pass
        refused(lambda: kind.create("/x", Flags.UNLINK_AND_CREATE))
        assert kind.is_stamped(kind.open("/x"))

    in_small_directory(replace, "size=64k,nr_inodes=10")


@conformance("C18")
def test_no_address_space() -> None:
    """C18: ENOMEM from mapping; the segment and its name are as they were."""

    def map_it() -> None:
        segment = SEGMENT.create("/x", size=256 * MIB, reserve=False)
        limit = 128 * MIB + resource.getpagesize() * int(_statm())
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for _ in range(3):
            with pytest.raises((OSError, MemoryError)):
                segment.mmap()
        assert segment.size == 256 * MIB
        segment.resize(MIB)
        segment.mmap().close()

    in_small_directory(map_it)


def test_next_to_no_memory() -> None:
    """Contract 7: an error in every call, and never the end of the process."""
    program = Path(__file__).parents[1] / "stress" / "case_programs" / "little_memory.py"
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def _statm() -> str:
    with open("/proc/self/statm", encoding="ascii") as file:
        return file.read().split()[0]


@conformance("C18")
@pytest.mark.parametrize("kind", [SEMAPHORE, LOCK, PERMITS, CHANNEL], ids=lambda kind: kind.word)
def test_a_file_that_cannot_be_mapped(kind: Kind) -> None:
    """C18: no address space at all: an error, and no file is left."""

    def create() -> None:
        limit = resource.getpagesize() * int(_statm())
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        failed = 0
        for _ in range(200):
            try:
                kept.append(kind.create(f"/x{len(kept)}"))
            except (OSError, MemoryError):
                failed += 1
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert len(os.listdir("/dev/shm")) == len(kept) == 200 - failed
        kept.clear()
        assert os.listdir("/dev/shm") == []

    kept: list[object] = []
    in_small_directory(create)
