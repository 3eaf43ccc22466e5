"""Segments that are only read (contract 3.4, 3.6, 6)."""

import io
import mmap
import os

import pytest
from support.checks import conformance
from support.kinds import SEGMENT

from nob.ipc import Flags


@pytest.mark.parametrize("flag", [Flags.LINK_OR_CREATE, Flags.RAISE_IF_NOT_EXISTS])
def test_a_reader_cannot_ask_for_more(name: str, flag: Flags) -> None:
    """Contract 3.4: `read_only=True` with a larger size than the object has."""
    segment = SEGMENT.create(name)
    with pytest.raises(ValueError, match="64"):
        SEGMENT.open(name, flag, size=65, read_only=True)
    assert segment.size == 64


@pytest.mark.parametrize("flag", list(Flags), ids=lambda flag: flag.name)
def test_creating_read_only(name: str, flag: Flags) -> None:
    """Contract 3.6: with a size it is a ValueError before anything is removed."""
    if flag is not Flags.RAISE_IF_NOT_EXISTS:
        with pytest.raises(ValueError, match="read"):
            SEGMENT.open(name, flag, size=1, read_only=True)
        assert not SEGMENT.exists(name)
    old = SEGMENT.create(name)
    SEGMENT.stamp(old)
    if flag is Flags.UNLINK_AND_CREATE:
        with pytest.raises(ValueError, match="read"):
            SEGMENT.open(name, flag, size=1, read_only=True)
    assert SEGMENT.is_stamped(SEGMENT.open(name))


def test_creating_an_empty_segment_read_only(name: str) -> None:
    segment = SEGMENT.open(name, Flags.RAISE_IF_EXISTS, size=0, read_only=True)
    assert (segment.size, segment.read_only) == (0, True)


@conformance("H8")
def test_a_read_only_handle(name: str) -> None:
    """H8: it reads, and writes in no way."""
    segment = SEGMENT.create(name)
    SEGMENT.stamp(segment)
    reader = SEGMENT.open(name, read_only=True)
    assert (reader.read_only, segment.read_only) == (True, False)
    with reader.mmap() as memory:
        assert bytes(memory[:5]) == b"stamp"
        assert memoryview(memory).readonly
        with pytest.raises(TypeError):
            memory[0] = 1
        with pytest.raises(TypeError):
            memory[:5] = b"other"
    with pytest.raises(PermissionError):
        mmap.mmap(reader.fd, 64)
    with pytest.raises(OSError, match="Invalid"):
        os.ftruncate(reader.fd, 3)
    with pytest.raises(io.UnsupportedOperation):
        reader.resize(3)
    assert segment.size == 64
