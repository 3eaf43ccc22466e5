"""What `lock.test_lock_async` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "lock.test_lock_async", TAKEN_BACK)
