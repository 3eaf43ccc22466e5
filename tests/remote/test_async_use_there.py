"""What `asynchronous.test_async_use` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "asynchronous.test_async_use", TAKEN_BACK)
