"""What `asynchronous.test_async_close` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_it_is_closed_while_its_descriptor_is_handed_over": "there is no descriptor",
    "test_a_queue_that_is_to_block_no_more": "`block` is of the handle of one process",
    "test_it_polls_no_longer_than_somebody_waits": "nothing polls",
}

reuse(globals(), "asynchronous.test_async_close", TAKEN_BACK)
