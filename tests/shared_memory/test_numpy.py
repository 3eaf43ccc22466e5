"""numpy's arrays over the bytes of a segment (contract 4.6)."""

from __future__ import annotations

import gc

import pytest
from support.checks import eventually
from support.children import in_child
from support.kinds import SEGMENT

np = pytest.importorskip("numpy", reason="numpy cannot be imported here", exc_type=ImportError)


def test_an_array_is_shared(name: str) -> None:
    segment = SEGMENT.create(name, size=8 * 1000)
    array = np.frombuffer(segment.mmap(), dtype=np.int64)
    assert (array.size, array.any(), array.flags.writeable) == (1000, False, True)

    def write() -> int:
        other = np.frombuffer(SEGMENT.open(name).mmap(), dtype=np.int64)
        other[:] = np.arange(1000)
        return int(array.sum())

    # Through the mapping that the child inherited, and through its own.
    assert in_child(write) == 499_500
    assert array.sum() == 499_500


def test_an_array_keeps_the_memory(name: str) -> None:
    """The segment goes when the last array does, though nothing else refers to its handles."""
    array = np.frombuffer(SEGMENT.create(name).mmap(), dtype=np.uint8)
    part = array[8:16].reshape(2, 4)
    part[0, 0] = 7
    del array
    gc.collect()
    assert SEGMENT.exists(name)
    assert part[0, 0] == 7
    del part
    gc.collect()
    assert not SEGMENT.exists(name)


def test_closing_under_an_array(name: str) -> None:
    """BufferError, and everything is as it was: the array, the memory, the name."""
    memory = SEGMENT.create(name).mmap()
    array = np.frombuffer(memory, dtype=np.uint8)
    with pytest.raises(BufferError):
        memory.close()
    array[0] = 5
    assert (memory.closed, memory[0]) == (False, 5)
    assert SEGMENT.exists(name)
    del array
    memory.close()
    assert memory.closed
    eventually(lambda: not SEGMENT.exists(name))


def test_a_block_that_ends_under_an_array(name: str) -> None:
    segment = SEGMENT.create(name)
    with pytest.raises(BufferError), segment.mmap() as memory:
        array = np.frombuffer(memory, dtype=np.uint8)
    assert not memory.closed
    del array
    memory.close()


def test_closing_the_handle_leaves_arrays_alone(name: str) -> None:
    with SEGMENT.create(name) as segment:
        array = np.frombuffer(segment.mmap(), dtype=np.uint8)
    segment.unlink()
    array[:] = 9
    assert array.sum() == 9 * 64


def test_shrinking_under_an_array(name: str) -> None:
    segment = SEGMENT.create(name)
    array = np.frombuffer(segment.mmap(), dtype=np.uint8)
    with pytest.raises(BufferError):
        segment.resize(8)
    segment.resize(8192)
    # It looks at what was mapped then.
    assert (array.size, np.frombuffer(segment.mmap(), dtype=np.uint8).size) == (64, 8192)


def test_an_array_that_is_read_only(name: str) -> None:
    segment = SEGMENT.create(name)
    array = np.frombuffer(SEGMENT.open(name, read_only=True).mmap(), dtype=np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with segment.mmap() as memory:
        memory[0] = 3
    assert array[0] == 3
