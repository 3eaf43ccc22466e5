"""A numpy array whose bytes several processes share: each fills some of its rows."""

import sys

# A module of the standard library is called like the example queue.py: nothing comes from here.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from concurrent.futures import ProcessPoolExecutor

import numpy as np

from nob import cli
from nob.ipc import Flags, NamedSharedMemory

ROWS, COLUMNS = 8, 1000
NUMBERS = np.arange(ROWS * COLUMNS, dtype=np.float64).reshape(ROWS, COLUMNS)


def fill(segment: NamedSharedMemory, row: int):
    """What a worker does: nothing of the array is copied from process to process."""
    array = np.frombuffer(segment.mmap(), dtype=np.float64).reshape(ROWS, COLUMNS)
    array[row] = np.sqrt(NUMBERS[row])
    # The memory stays mapped as long as an array looks at it, and is unmapped after that.


@cli.cmd()
def main(lg: cli.Logger):
    """Fill one array from several processes."""
    size = NUMBERS.nbytes
    with NamedSharedMemory(None, size, handle_existence=Flags.RAISE_IF_EXISTS) as segment:
        with ProcessPoolExecutor(max_workers=2) as pool:
            list(pool.map(fill, [segment] * ROWS, range(ROWS)))
        with segment.mmap() as memory:
            array = np.frombuffer(memory, dtype=np.float64).reshape(ROWS, COLUMNS)
            right = np.array_equal(array, np.sqrt(NUMBERS))
            lg.info("%d numbers by %d tasks: %s", array.size, ROWS, "right" if right else "wrong")
            # Closing the memory under an array would be a BufferError.
            del array
    sys.exit(not right)


if __name__ == "__main__":
    main()
