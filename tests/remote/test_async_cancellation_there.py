"""What `asynchronous.test_async_cancellation` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_nothing_is_taken_after_the_end": "what goes back may be invisible for a moment",
    "test_no_message_is_sent_for_a_cancelled_wait": "what is on its way may arrive",
}

reuse(globals(), "asynchronous.test_async_cancellation", TAKEN_BACK)
