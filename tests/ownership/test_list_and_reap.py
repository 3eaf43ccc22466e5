"""nob.ipc.list_objects() and nob.ipc.reap()."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.children import in_child
from support.kinds import KINDS, QUEUE, SEGMENT, SEMAPHORE
from support.namespaces import CLONE_NEWIPC, mount, needs_namespaces, unshare
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
    NamedSemaphore(name + "-meant", unlink_on_delete=False, **flag),
]
os.kill(os.getpid(), signal.SIGKILL)
"""


def listed(name: str) -> dict[str, dict[str, Any]]:
    """What is listed under a name, by kind."""
    return {entry["kind"]: entry for entry in nob.ipc.list_objects() if entry["name"] == name}


def test_each_object_is_listed(name: str) -> None:
    semaphore = SEMAPHORE.create(name, initial_value=3, mode=0o640)
    segment = SEGMENT.create(name, size=5000)
    queue = QUEUE.create(name, max_messages=2, max_message_size=16)
    queue.send(b"one")
    common = {"name": name, "uid": os.geteuid(), "gid": os.getegid(), "orphan": False}
    found = listed(name)
    me = os.getpid()
    for entry in found.values():
        assert [holder["pid"] for holder in entry.pop("holders")] == [me]
    assert found["sem"] == {"kind": "sem", "mode": "0640", "value": 3, **common}
    assert found["shm"] == {"kind": "shm", "mode": "0600", "size": 5000, **common}
    if "mq" in found:  # otherwise they cannot be listed here
        depth = {"messages": 1, "max_messages": 2, "max_message_size": 16}
        assert found["mq"] == {"kind": "mq", "mode": "0600", **depth, **common}
    for handle in (semaphore, segment, queue):
        handle.unlink()
    assert listed(name) == {}


def test_other_processes_hold_it_too(name: str) -> None:
    with Script(
        "handle = NamedSharedMemory(name, 10, handle_existence=CREATE); say(1); hear()", name
    ) as script:
        script.expect("1")
        [holder] = listed(name)["shm"]["holders"]
        assert holder["pid"] == script.pid
        assert "python" in holder["command"]


def test_names_that_are_not_utf8() -> None:
    """As the os module has them."""
    path = os.fsencode(f"/dev/shm/nob-test-{os.getpid()}") + b"-\xff"
    Path(os.fsdecode(path)).write_bytes(b"")
    try:
        name = "/" + os.fsdecode(os.path.basename(path))
        assert listed(name)["shm"]["size"] == 0
    finally:
        os.unlink(path)


def test_reap_says_what_it_would_do(name: str) -> None:
    """To what the dead process was due to unlink, and to nothing else."""
    assert run(LEFT_BEHIND, name)[0] == -9
    try:
        said = {
            entry["kind"]: entry["outcome"]
            for entry in nob.ipc.reap()
            if entry["name"].startswith(name)
        }
        expected = dict.fromkeys(listed(name), "would be removed")
        assert {"sem", "shm"} <= expected.keys()
        assert said == expected
        assert all(kind.exists(name) for kind in KINDS), "it was a dry run"
    finally:
        SEMAPHORE.remove(name + "-meant")


@needs_namespaces
def test_reap_removes_it(name: str) -> None:
    """Where nothing is that other tests have left."""

    def reap() -> tuple[list[str], list[bool], bool]:
        mount("/dev/shm", "size=1m")
        unshare(CLONE_NEWIPC)
        assert run(LEFT_BEHIND, name)[0] == -9
        outcomes = [entry["outcome"] for entry in nob.ipc.reap(dry_run=False)]
        left = [kind.exists(name) for kind in KINDS]
        return outcomes, left, SEMAPHORE.exists(name + "-meant")

    assert in_child(reap) == (["removed"] * 3, [False] * 3, True)


@pytest.mark.parametrize("value", [0, 1, None, "no"])
def test_dry_run_is_a_switch(value: object) -> None:
    with pytest.raises(InvalidArgument, match="dry_run"):
        nob.ipc.reap(value)  # type: ignore[arg-type]
