"""What the long versions of the tests count, for the progress and the summary of `make stress`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

COUNTED = ("rounds", "kills", "stops", "messages", "faults", "inputs", "exits", "cases")

# Forked children count in the same memory. None counts while its parent does.
_numbers = memoryview(mmap.mmap(-1, 8 * len(COUNTED))).cast("Q")


def count(what: str, number: int = 1) -> None:
    """Counts rounds, processes killed or stopped, messages, calls made to fail, inputs."""
    _numbers[COUNTED.index(what)] += number


def counted() -> dict[str, int]:
    """Everything so far."""
    return dict(zip(COUNTED, _numbers.tolist(), strict=True))


def counting(number: int) -> Iterator[int]:
    """The numbers of that many rounds."""
    for index in range(number):
        yield index
        count("rounds")
