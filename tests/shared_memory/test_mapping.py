"""Mappings: what they are, and how long they and their segment live (contract 4.6)."""

import array
import ctypes
import gc
import io
import mmap
import os
import struct
import sys
import weakref

import pytest
from support.checks import conformance
from support.children import in_child
from support.kinds import SEGMENT
from support.scripts import run
from support.system import descriptors, mappings

from nob.ipc import Flags, Mapping, NamedSharedMemory


@conformance("H28")
def test_a_mapping_is_a_mapping(name: str) -> None:
    """H28: an mmap.mmap, of exactly .size bytes, page-aligned, contiguous, of bytes."""
    memory = SEGMENT.create(name, size=100).mmap()
    assert isinstance(memory, Mapping)
    assert isinstance(memory, mmap.mmap)
    with memoryview(memory) as view:
        assert (view.format, view.nbytes, view.contiguous, view.readonly) == ("B", 100, True, False)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert address % mmap.PAGESIZE == 0
    gc.collect()
    memory.close()


LOOKS_FOR_BYTES = {
    "buf": lambda segment: segment.buf,
    "memoryview": memoryview,
    "bytes": bytes,
    "struct": lambda segment: struct.unpack_from("<Q", segment),
    "ctypes": ctypes.c_char.from_buffer,
}


@pytest.mark.parametrize("look", LOOKS_FOR_BYTES)
def test_where_the_bytes_are(name: str, look: str) -> None:
    """Whoever looks for them at the handle is told, and the handle goes on working."""
    segment = SEGMENT.create(name)
    with pytest.raises((AttributeError, TypeError), match=r"memoryview\(shm\.mmap\(\)\)"):
        LOOKS_FOR_BYTES[look](segment)
    assert not hasattr(segment, "buf")
    with pytest.raises(AttributeError, match=r"'nothing'$"):
        segment.nothing  # noqa: B018
    SEGMENT.use(segment)


@conformance("H28")
def test_what_takes_buffers_takes_mappings(name: str) -> None:
    """H28: struct, ctypes, array."""
    with SEGMENT.create(name).mmap() as memory:
        struct.pack_into("<Q", memory, 8, 2**63)
        assert struct.unpack_from("<Q", memory, 8) == (2**63,)
        number = ctypes.c_uint32.from_buffer(memory, 16)
        number.value = 77
        assert memory[16:20] == struct.pack("=I", 77)
        del number
        memory[20:24] = array.array("B", [1, 2, 3, 4])
        assert bytes(memory[20:24]) == bytes([1, 2, 3, 4])


@conformance("H10", "H14")
def test_indexing(name: str) -> None:
    """H10, H14: as of mmap and memoryview; nothing beyond the size."""
    with SEGMENT.create(name, size=10).mmap() as memory:
        memory[:] = b"0123456789"
        assert memory[0] == memory[-10] == ord("0")
        assert memory[-3:] == b"789"
        assert memory[2:8:3] == b"25"
        for index in (10, -11, 2**70):
            with pytest.raises(IndexError):
                memory[index]
            with pytest.raises(IndexError):
                memory[index] = 1
        with pytest.raises((IndexError, ValueError)):
            memory[0:3] = b"four"
        with pytest.raises(TypeError):
            memory["0"]
        assert memory[5:100] == b"56789"
        assert bytes(memory) == b"0123456789"
    segment = SEGMENT.create(name, size=10)
    with pytest.raises(ValueError, match="length"):
        mmap.mmap(segment.fd, 11)


@conformance("C41")
def test_a_mapping_is_its_own_context_manager(name: str) -> None:
    """Contract 4.6: the snippet; the name is there until the block is done."""
    with NamedSharedMemory(name, size=10, handle_existence=Flags.LINK_OR_CREATE).mmap() as memory:
        gc.collect()
        assert SEGMENT.exists(name)
        memory[0] = 1
    gc.collect()
    assert memory.closed
    assert not SEGMENT.exists(name)
    with pytest.raises(KeyError), SEGMENT.create(name).mmap() as memory:
        raise KeyError
    assert memory.closed
    assert not SEGMENT.exists(name)


def test_a_mapping_that_is_dropped_lets_go(name: str) -> None:
    """Without close: when its last reference goes."""
    memory = SEGMENT.create(name).mmap()
    assert SEGMENT.exists(name)
    file = os.stat(SEGMENT.path(name)).st_ino
    assert mappings(file) == 1
    del memory
    gc.collect()
    assert not SEGMENT.exists(name)
    assert mappings(file) == 0


def test_two_mappings_keep_one_segment(name: str) -> None:
    segment = SEGMENT.create(name)
    one, two = segment.mmap(), segment.mmap()
    alive = weakref.ref(segment)
    del segment
    one.close()
    assert alive() is not None
    assert SEGMENT.exists(name)
    two.close()
    gc.collect()
    assert alive() is None
    assert not SEGMENT.exists(name)


@conformance("H15")
def test_views_keep_both(name: str) -> None:
    """H15: BufferError while a view is alive; then closing works."""
    memory = SEGMENT.create(name).mmap()
    view = memoryview(memory)[2:5]
    for _ in range(2):
        with pytest.raises(BufferError):
            memory.close()
        assert not memory.closed
        assert SEGMENT.exists(name)
    view[0] = 7
    assert memory[2] == 7
    with pytest.raises(BufferError):
        memory.__exit__(None, None, None)
    assert SEGMENT.exists(name)
    view.release()
    memory.close()
    gc.collect()
    assert memory.closed
    assert not SEGMENT.exists(name)


@conformance("H15")
def test_resizing_a_mapping_is_refused(name: str) -> None:
    """H15: and the segment stays as it is."""
    segment = SEGMENT.create(name)
    with segment.mmap() as memory:
        for size in (10, 64, 1000):
            with pytest.raises((io.UnsupportedOperation, TypeError, BufferError)):
                memory.resize(size)
        assert len(memory) == segment.size == 64


@conformance("H15", "H21")
def test_closing_the_handle_leaves_mappings(name: str) -> None:
    """H15, H21: the memory goes on being shared; the descriptor is gone."""
    segment = SEGMENT.create(name)
    other = SEGMENT.open(name).mmap()
    before = len(descriptors())
    memory = segment.mmap()
    segment.close()
    assert len(descriptors()) <= before
    memory[:3] = b"abc"
    assert other[:3] == b"abc"
    assert SEGMENT.exists(name)
    memory.close()
    other.close()
    with pytest.raises(ValueError, match="closed"):
        segment.mmap()


@conformance("H17")
def test_data_outlive_name_and_handle(name: str) -> None:
    """H17: through the mapping after close and unlink; through the descriptor after that."""
    segment = SEGMENT.create(name)
    memory = segment.mmap()
    memory[:3] = b"abc"
    segment.unlink()
    assert memory[:3] == b"abc"
    memory.close()
    with segment.mmap() as again:
        assert again[:3] == b"abc"
        segment.close()
        assert again[:3] == b"abc"


@conformance("H16")
@pytest.mark.parametrize(
    "ending", ["", "sys.exit(0)", "del segment", "segment.close()", "segment.__del__()"]
)
def test_exit_with_views_alive(name: str, ending: str) -> None:
    """H16: no crash, no word, and the name is gone."""
    code = """
import ctypes
segment = NamedSharedMemory(name, 64, handle_existence=CREATE)
memory = segment.mmap()
view, number = memoryview(memory), ctypes.c_int.from_buffer(memory)
sys.kept = [view[3:], number]
"""
    assert run(code + ending, name) == (0, "")
    assert not SEGMENT.exists(name)


@conformance("H16")
def test_deletion_with_views_alive_is_silent(name: str) -> None:
    """H16: the view keeps mapping and name; the last one takes them along."""
    view = memoryview(SEGMENT.create(name).mmap())
    gc.collect()
    view[0] = 1
    assert SEGMENT.exists(name)
    del view
    gc.collect()
    assert not SEGMENT.exists(name)


@pytest.mark.skipif(sys.version_info < (3, 11, 4), reason="that Python's own mmap crashes here")
@conformance("H20")
@pytest.mark.parametrize(
    "use",
    [
        "memory[Index()]",
        "memory[Index():]",
        "memory[:Index()]",
        "memory[Index()] = 1",
        "memory[1] = Index()",
        "memory.find(b'x', Index())",
        "memory.read(Index())",
        "memory.seek(Index())",
    ],
)
def test_an_index_that_closes(name: str, use: str) -> None:
    """H20: nothing is read from memory that is gone."""
    code = f"""
segment = NamedSharedMemory(name, 64, handle_existence=CREATE)
memory = segment.mmap()
class Index:
    def __index__(self):
        memory.close()
        segment.close()
        return 1
try:
    {use}
except (ValueError, TypeError, AttributeError):
    pass
"""
    assert run(code, name) == (0, "")
    assert not SEGMENT.exists(name)


@conformance("H21")
def test_forked_children_share_mappings(name: str) -> None:
    """H21: shared, not copied; the child's end changes nothing here."""
    memory = SEGMENT.create(name).mmap()

    def write() -> None:
        memory[:5] = b"child"
        memory.close()

    in_child(write)
    assert memory[:5] == b"child"
    assert SEGMENT.exists(name)
    memory.close()


def test_a_mapping_without_a_segment_is_not_made(name: str) -> None:
    """Mapping is what .mmap() returns; it is no way around the segment's checks."""
    segment = SEGMENT.create(name)
    with pytest.raises(TypeError):
        Mapping()
    with segment.mmap() as memory:
        assert weakref.ref(memory)() is memory
        assert "Mapping" in type(memory).__name__
        assert memory.size() == 64
