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


def fill(segment: NamedSharedMemory, row: int) -> None:
    """What a worker does: nothing of the array is copied from process to process."""
    array = segment.ndarray((ROWS, COLUMNS))
    array[row] = np.sqrt(NUMBERS[row])
    # The memory stays mapped as long as an array looks at it, and is unmapped after that.


@cli.cmd()
def main(lg: cli.Logger) -> None:
    """Fill one array from several processes."""
    size = NUMBERS.nbytes
    with NamedSharedMemory(None, size, handle_existence=Flags.RAISE_IF_EXISTS) as segment:
        with ProcessPoolExecutor(max_workers=2) as pool:
            list(pool.map(fill, [segment] * ROWS, range(ROWS)))
        array = segment.ndarray((ROWS, COLUMNS))
    # The array keeps the memory, though the handle is closed.
    right = np.array_equal(array, np.sqrt(NUMBERS))
    lg.info("%d numbers by %d tasks: %s", array.size, ROWS, "right" if right else "wrong")
    sys.exit(not right)


if __name__ == "__main__":
    main()
