"""What `asynchronous.test_async_ends` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_the_loop_ends_with_waits_pending": "the thread stays: test_waits.py",
    "test_the_loop_is_dropped_with_waits_pending": "the thread stays: test_waits.py",
    "test_handles_that_come_and_go": "the thread stays: test_waits.py",
}

reuse(globals(), "asynchronous.test_async_ends", TAKEN_BACK)
