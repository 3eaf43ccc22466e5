"""What `message_queue.test_receive_many_into` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_nothing_is_lost_to_what_a_handler_raises": "it goes back later: test_waits.py",
}

reuse(globals(), "message_queue.test_receive_many_into", TAKEN_BACK)
