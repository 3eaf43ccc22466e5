"""What `waiting.test_signals` asks of this machine, asked of a server."""

from support.places import reuse

TAKEN_BACK: dict[str, str] = {}

reuse(globals(), "waiting.test_signals", TAKEN_BACK, "waiting.conftest")
