"""Objects that processes wait for in vain until a test serves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.kinds import CHANNEL, LOCK, MESSAGES, OWNED, PERMITS, QUEUE, SEMAPHORE, Kind


@pytest.fixture
def objects(name: str) -> Iterator[dict[Kind, Any]]:
    """Handles to what has this name: an empty semaphore, an empty queue and channel, and a lock and
    a bounded semaphore that they hold all of. A process may add full queues and channels."""
    handles = {
        SEMAPHORE: SEMAPHORE.create(name, initial_value=0),
        QUEUE: QUEUE.create(name),
        CHANNEL: CHANNEL.create(name),
        LOCK: LOCK.create(name),
        PERMITS: PERMITS.create(name, value=1),
    }
    for kind in OWNED:
        assert handles[kind].acquire(timeout=0)
    yield handles
    for kind in MESSAGES:
        kind.remove(name + "-full")
    for handle in handles.values():
        handle.__del__()
