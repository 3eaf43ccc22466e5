"""What `interface.test_timeouts` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "interface.test_timeouts", TAKEN_BACK)
