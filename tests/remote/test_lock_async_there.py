"""What `lock.test_lock_async` asks of this machine, asked of a server."""

from __future__ import annotations

from lock.test_lock_async import notices_a_death
from support.checks import conformance
from support.kinds import Kind, each_owned_kind
from support.loops import Run
from support.places import reuse

TAKEN_BACK: dict[str, str] = {
    "test_a_wait_notices_a_death": "after the lease, ten seconds: here one",
}

reuse(globals(), "lock.test_lock_async", TAKEN_BACK)


@conformance("R18")
@each_owned_kind
def test_a_wait_notices_the_end_of_a_lease(name: str, kind: Kind, run: Run) -> None:
    notices_a_death(name, kind, run, lease=1)
