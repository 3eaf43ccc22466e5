"""What `waiting.test_semaphore_waits` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_waits_use_the_monotonic_clock": "shown by system calls",
}

reuse(globals(), "waiting.test_semaphore_waits", TAKEN_BACK)
