"""numpy's arrays over the bytes of a segment (contract 4.6)."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from support.checks import eventually
from support.children import in_child
from support.kinds import SEGMENT
from support.scripts import Script

from nob.ipc import InvalidArgument

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


def test_ndarray(name: str) -> None:
    """Shape, dtype and offset as in numpy; what one array writes, another one reads."""
    segment = SEGMENT.create(name, size=96)
    numbers = segment.ndarray((3, 4))
    assert (numbers.shape, numbers.dtype, numbers.any()) == ((3, 4), np.float64, False)
    numbers[2, 3] = 1.5
    assert SEGMENT.open(name).ndarray(12)[11] == 1.5
    assert segment.ndarray(1, offset=88)[0] == 1.5
    assert segment.ndarray((), ">f8", 88).tobytes() == numbers[2, 3].tobytes()
    record = np.dtype([("x", "u1"), ("y", "<f8")])
    assert segment.ndarray(1, record, 87)["y"] == [1.5]
    assert segment.ndarray(np.array([0, 5]), dtype="u1").shape == (0, 5)
    reader = SEGMENT.open(name, read_only=True).ndarray(12)
    with pytest.raises(ValueError, match="read-only"):
        reader[0] = 1


def test_ndarray_keeps_the_memory(name: str) -> None:
    """And the name, whatever is closed and forgotten."""
    segment = SEGMENT.create(name, size=4096)
    array = segment.ndarray(4096, np.uint8)
    segment.close()
    del segment
    array[:] = 7
    part = array[1000:].reshape(-1, 4)[1:]
    del array
    gc.collect()
    assert SEGMENT.exists(name)
    assert part.sum() == 7 * (4096 - 1004)
    del part
    gc.collect()
    assert not SEGMENT.exists(name)


@pytest.mark.parametrize(
    "arguments",
    [
        ((13,),),
        ((2**62, 2**62),),
        (12, np.float64, 1),
        (1, np.float64, 97),
        (0, np.float64, 97),
        (1, np.float64, -8),
        (1, np.float64, 1.5),
        (1, np.float64, True),
        (-1,),
        ((2, -1),),
        ("12",),
        (None,),
        (2.5,),
        (True,),
        (1, object),
        (1, [("x", "u1"), ("y", "O")]),
        (1, "S"),
    ],
)
def test_an_array_that_cannot_be(arguments: tuple[Any, ...], name: str) -> None:
    """Nothing outside of the segment, no pointers of another process; numpy takes some of it."""
    segment = SEGMENT.create(name, size=96)
    with pytest.raises(InvalidArgument, match=r"\w+ \w+ \w+"):
        segment.ndarray(*arguments)
    assert segment.ndarray(12).size == 12
    # Nothing is mapped any more.
    segment.resize(1)


def test_an_array_of_a_segment_that_grows(name: str) -> None:
    segment = SEGMENT.create(name, size=8)
    small = segment.ndarray(1)
    segment.resize(16)
    large = segment.ndarray(2)
    large[0] = 3
    assert small.tolist() == [3]
    with pytest.raises(BufferError):
        segment.resize(8)


def test_ndarray_without_numpy(name: str) -> None:
    """numpy is no dependency: only this one method wants it."""
    code = """
import sys
sys.modules["numpy"] = None
segment = NamedSharedMemory(name, 8, handle_existence=CREATE)
try:
    segment.ndarray(1)
except ImportError as error:
    assert "numpy" in str(error), error
    say("refused", len(segment.mmap()))
"""
    with Script(code, name) as script:
        script.expect("refused 8")
        script.finish()
