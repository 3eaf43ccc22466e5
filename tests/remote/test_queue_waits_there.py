"""What `waiting.test_queue_waits` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_waits_use_the_monotonic_clock": "shown by system calls",
    "test_waits_without_a_timeout_are_in_the_wait_queue": "the line is on the server",
}

reuse(globals(), "waiting.test_queue_waits", TAKEN_BACK)
