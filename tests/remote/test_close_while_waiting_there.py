"""What `waiting.test_close_while_waiting` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_the_resource_is_released_by_the_last_call": "there is no descriptor",
    "test_the_exit_closes_under_a_waiter": "the thread has time for its error: test_ends_there.py",
    "test_a_closed_handle_has_nothing": "it goes back later: test_waits.py",
}

reuse(globals(), "waiting.test_close_while_waiting", TAKEN_BACK)
