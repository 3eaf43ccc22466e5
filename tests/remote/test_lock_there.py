"""What `lock.test_lock` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_1023_handles": "there is no such limit",
    "test_what_cannot_be_linked_to_stays": "it is no file",
    "test_the_owner_is_shown_by_its_pid": "after the lease: test_failures.py",
    "test_a_forked_child_holds_nothing": "after the lease: test_handles.py",
    "test_a_pickled_handle_holds_nothing": "test_handles.py does it",
}

reuse(globals(), "lock.test_lock", TAKEN_BACK)
