"""What `message_queue.test_messages` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_the_default_attributes": "the defaults are not those of the kernel",
    "test_one_attribute_given": "the defaults are not those of the kernel",
    "test_the_memory_limit_to_the_byte": "there is no such limit",
    "test_how_many_default_queues_a_user_has": "there is no such limit",
    "test_ipc_namespaces_hide_queues": "a namespace of the kernel hides no server",
    "test_the_descriptor": "there is no descriptor",
    "test_a_queue_is_replaced_only_by_one_that_fits": "there is no such limit",
    "test_block": "of the handle: test_waits.py",
}

reuse(globals(), "message_queue.test_messages", TAKEN_BACK)
