"""What `message_queue.test_batches` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "message_queue.test_batches", TAKEN_BACK)
