"""Objects that processes wait for in vain until a test serves them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.kinds import QUEUE, SEMAPHORE


@pytest.fixture
def objects(name: str) -> Iterator[None]:
    """An empty semaphore and an empty queue of this name; a process may add a full queue."""
    handles = SEMAPHORE.create(name, initial_value=0), QUEUE.create(name)
    yield
    QUEUE.remove(name + "-full")
    for handle in handles:
        handle.__del__()
