"""What `semaphore.test_value` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_descriptors_and_mappings": "it is no file",
    "test_the_file_is_glibcs_own": "it is no file",
}

reuse(globals(), "semaphore.test_value", TAKEN_BACK)
