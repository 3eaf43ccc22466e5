"""What `asynchronous.test_async_waits` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_a_queue_that_does_not_block": "who waits already waits on",
}

reuse(globals(), "asynchronous.test_async_waits", TAKEN_BACK)
