"""What `semaphore.test_release_many` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "semaphore.test_release_many", TAKEN_BACK)
