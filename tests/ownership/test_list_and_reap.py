"""nob.ipc.list_objects() and nob.ipc.reap()."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.kinds import CHANNEL, KINDS, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE
from support.namespaces import alone, needs_namespaces
from support.scripts import Script, run

import nob.ipc
from nob.ipc import InvalidArgument

LEFT_BEHIND = """
import os
flag = {"handle_existence": Flags.RAISE_IF_EXISTS}
handles = [
    NamedSemaphore(name, 3, **flag),
    NamedSharedMemory(name, 4096, **flag),
    NamedMessageQueue(name, 2, 16, **flag),
    NamedLock(name, **flag),
    NamedBoundedSemaphore(name, 3, **flag),
    NamedChannel(name, 2, 16, **flag),
    NamedSemaphore(name + "-meant", unlink_on_delete=False, **flag),
    NamedLock(name + "-meant", unlink_on_delete=False, **flag),
]
assert handles[3].acquire() and handles[4].acquire() and handles[7].acquire()
os.kill(os.getpid(), signal.SIGKILL)
"""


def listed(name: str) -> dict[str, dict[str, Any]]:
    """What is listed under a name, by kind."""
    return {entry["kind"]: entry for entry in nob.ipc.list_objects() if entry["name"] == name}


def test_each_object_is_listed(name: str) -> None:
    def look() -> tuple[dict[str, Any], dict[str, Any], int]:
        semaphore = SEMAPHORE.create(name, initial_value=3, mode=0o640)
        segment = SEGMENT.create(name, size=5000)
        queue = QUEUE.create(name, max_messages=2, max_message_size=16)
        queue.send(b"one")
        lock, permits = LOCK.create(name), PERMITS.create(name, value=3)
        for handle in (lock, permits, permits):
            assert handle.acquire()
        channel = CHANNEL.create(name, capacity=4096)
        channel.send(b"one")
        found = listed(name)
        for handle in (semaphore, segment, queue, lock, permits, channel):
            handle.unlink()
        return found, listed(name), os.getpid()

    found, left, pid = alone(look)
    for entry in found.values():
        assert [holder["pid"] for holder in entry.pop("holders")] == [pid]
    common = {"name": name, "uid": os.geteuid(), "gid": os.getegid(), "orphan": False}
    assert found["sem"] == {"kind": "sem", "mode": "0640", "value": 3, **common}
    assert found["shm"] == {"kind": "shm", "mode": "0600", "size": 5000, **common}
    depth = {"messages": 1, "max_messages": 2, "max_message_size": 16}
    assert found["mq"] == {"kind": "mq", "mode": "0600", **depth, **common}
    told = {"waiters": 0, "deaths": 0}
    owner = {"owner": pid, "owner_died": False}
    assert found["lock"] == {"kind": "lock", "mode": "0600", **owner, **told, **common}
    owners = {"value": 1, "bound": 3, "owners": [pid, pid]}
    assert found["permits"] == {"kind": "permits", "mode": "0600", **owners, **told, **common}
    room = {"used_bytes": 16, "capacity": 8 * 4096, "priorities": 8}
    assert found["channel"] == {
        "kind": "channel",
        "mode": "0600",
        **depth,
        **room,
        **told,
        **common,
    }
    assert left == {}


@needs_namespaces
def test_nothing_else_is_listed(name: str) -> None:
    def look() -> list[list[str]]:
        looks = [nob.ipc.list_objects()]
        handles = [kind.create(name) for kind in KINDS]
        looks.append(nob.ipc.list_objects())
        handles.clear()
        looks.append(nob.ipc.list_objects())
        return [sorted(entry["kind"] for entry in look) for look in looks]

    assert alone(look) == [[], ["channel", "lock", "mq", "permits", "sem", "shm"], []]


def test_other_processes_hold_it_too(name: str) -> None:
    def look() -> tuple[int, list[dict[str, Any]]]:
        code = "handle = NamedSharedMemory(name, 10, handle_existence=CREATE); say(1); hear()"
        with Script(code, name) as script:
            script.expect("1")
            return script.pid, listed(name)["shm"]["holders"]

    pid, [holder] = alone(look)
    assert holder["pid"] == pid
    assert "python" in holder["command"]


def test_names_that_are_not_utf8() -> None:
    """As the os module has them."""

    def look() -> int:
        path = os.fsencode(f"/dev/shm/nob-test-{os.getpid()}") + b"-\xff"
        Path(os.fsdecode(path)).write_bytes(b"")
        try:
            name = "/" + os.fsdecode(os.path.basename(path))
            return int(listed(name)["shm"]["size"])
        finally:
            os.unlink(path)

    assert alone(look) == 0


@needs_namespaces
def test_reap_says_what_it_would_do(name: str) -> None:
    """To what the dead process was due to unlink, and to nothing else."""

    def reap() -> tuple[list[tuple[str, str]], list[bool]]:
        assert run(LEFT_BEHIND, name)[0] == -9
        said = [(entry["name"], entry["outcome"]) for entry in nob.ipc.reap()]
        return said, [kind.exists(name) for kind in KINDS]

    said, there = alone(reap)
    assert said == [(name, "would be removed")] * len(KINDS)
    assert there == [True] * len(KINDS), "it was a dry run"


@needs_namespaces
def test_reap_removes_it(name: str) -> None:
    def reap() -> tuple[list[str], list[bool], list[bool]]:
        assert run(LEFT_BEHIND, name)[0] == -9
        outcomes = [entry["outcome"] for entry in nob.ipc.reap(dry_run=False)]
        left = [kind.exists(name) for kind in KINDS]
        return outcomes, left, [kind.exists(name + "-meant") for kind in (SEMAPHORE, LOCK)]

    number = len(KINDS)
    assert alone(reap) == (["removed"] * number, [False] * number, [True, True])


@pytest.mark.parametrize("value", [0, 1, None, "no"])
def test_dry_run_is_a_switch(value: object) -> None:
    with pytest.raises(InvalidArgument, match="dry_run"):
        nob.ipc.reap(value)  # type: ignore[arg-type]
