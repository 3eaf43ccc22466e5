"""Shared objects (contract 3.9, 3.10, 4.4): a name lives as long as somebody uses the object."""

import itertools
import os
import time
from pathlib import Path

import pytest
from support.children import in_child
from support.kinds import MESSAGES, SEGMENT, SEMAPHORE, Kind, each_kind
from support.scripts import Script, run

from nob.ipc import Flags, NamedSemaphore

SHARED = Flags.LINK_OR_CREATE


def hold(kind: Kind) -> str:
    """A script that shares the object called `name` until it is told how to leave."""
    return f"""
handle = {kind.source(SHARED)}
say(handle.linked_existing_object)
if hear() == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@each_kind
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_last_to_leave_removes_the_name(kind: Kind, name: str, order: tuple[int, ...]) -> None:
    handles = [kind.create(name, SHARED) for _ in order]
    assert [handle.linked_existing_object for handle in handles] == [False, True, True]
    assert all(handle.unlink_on_delete for handle in handles)
    for index in order:
        assert kind.exists(name)
        handles[index].__del__()
    assert not kind.exists(name)


@each_kind
def test_processes_come_and_go(kind: Kind, name: str) -> None:
    """The one that created the object leaves first, and the next finds it."""
    with Script(hold(kind), name) as first, Script(hold(kind), name) as second:
        assert {first.hear(), second.hear()} == {"False", "True"}
        first.say("leave")
        first.finish()
        third = kind.create(name, SHARED)
        assert third.linked_existing_object
        second.say("leave")
        second.finish()
        assert not third.stale
        del third
    assert not kind.exists(name)


@each_kind
def test_all_users_are_killed(kind: Kind, name: str) -> None:
    """What a kill may have broken is replaced; the others are linked to, with what is in them."""
    with Script(hold(kind), name) as script:
        assert script.hear() == "False"
        visitor = kind.open(name)
        kind.stamp(visitor)
        del visitor
        script.say("kill")
        script.process.wait()
    assert kind.exists(name)
    with pytest.raises(FileExistsError, match="left behind"):
        kind.create(name)
    handle = kind.create(name, SHARED)
    assert handle.linked_existing_object is (kind not in (SEMAPHORE, SEGMENT))
    assert kind.is_stamped(handle) is (kind in MESSAGES)
    del handle
    assert not kind.exists(name)


@each_kind
def test_a_forked_child_keeps_it(kind: Kind, name: str) -> None:
    """A handle that a child has inherited is one more user."""
    handle = kind.create(name, SHARED)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        kind.use(handle)
        handle.__del__()
        os._exit(0)
    os.close(reading)
    del handle
    assert kind.exists(name)
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0
    assert not kind.exists(name)


@each_kind
def test_handles_that_say_otherwise(kind: Kind, name: str) -> None:
    """False never removes the name; True does, whoever uses the object."""
    shared = kind.create(name, SHARED)
    kept = kind.open(name, unlink_on_delete=False)
    assert (shared.unlink_on_delete, kept.unlink_on_delete) == (True, False)
    owner = kind.open(name, unlink_on_delete=True)
    del kept
    assert kind.exists(name)
    del owner
    assert not kind.exists(name)
    kind.use(shared)


@each_kind
def test_keeping_for_good(kind: Kind, name: str) -> None:
    handle = kind.create(name, SHARED)
    handle.unlink_on_delete = False
    del handle
    assert kind.exists(name)
    linked = kind.create(name, SHARED)
    assert linked.linked_existing_object
    assert linked.unlink_on_delete is False
    del linked
    assert kind.exists(name)


@each_kind
def test_keeping_what_others_share(kind: Kind, name: str) -> None:
    """It holds for those who share it still, and for a handle that owns it then."""
    shared, keeper = kind.create(name, SHARED), kind.open(name)
    keeper.unlink_on_delete = False
    del keeper
    del shared
    assert kind.exists(name)
    shared, keeper = kind.open(name), kind.open(name)
    assert keeper.unlink_on_delete is False
    keeper.unlink_on_delete = True
    del shared
    assert kind.exists(name)
    del keeper
    assert not kind.exists(name)


def test_a_mapping_that_is_not_closed(name: str) -> None:
    """It is a user of the segment until it is deleted; then it was the last one."""
    segment = SEGMENT.create(name, SHARED)
    memory = segment.mmap()
    view = memoryview(memory)
    del segment
    del memory
    assert SEGMENT.exists(name)
    del view
    assert not SEGMENT.exists(name)


@each_kind
def test_a_child_becomes_an_owner(kind: Kind, name: str) -> None:
    """Contract 4.5: besides its parent."""
    handle = kind.create(name)

    def take_over() -> bool:
        handle.unlink_on_delete = True
        handle.__del__()
        return kind.exists(name)

    assert in_child(take_over) is False
    assert handle.stale


@each_kind
def test_stale(kind: Kind, name: str) -> None:
    """The name leads to another object, or to none; also when the handle is closed."""
    handle = kind.create(name)
    assert handle.stale is False
    other = kind.create(name, Flags.UNLINK_AND_CREATE)
    assert (handle.stale, other.stale) == (True, False)
    handle.close()
    assert handle.stale
    other.close()
    assert not other.stale
    other.unlink()
    assert other.stale
    with pytest.raises(AttributeError):
        other.stale = False
    with pytest.raises(ValueError, match="never opened"):
        _ = kind.cls.__new__(kind.cls).stale


STORM = """
import random
end = time.monotonic() + 1.5
met = 0
while time.monotonic() < end:
    semaphore = NamedSemaphore(name, handle_existence=Flags.LINK_OR_CREATE)
    semaphore.acquire()
    try:
        os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        say("two at once")
        os._exit(1)
    met += 1
    if random.random() < 0.2:
        time.sleep(0)
    os.unlink(sys.argv[2])
    semaphore.release()
    del semaphore
say(met)
"""


def test_a_lock_locks(name: str, tmp_path: Path) -> None:
    """Processes that open, lock and leave are never two inside, which a file of its own shows."""
    scripts = [Script(STORM, name, tmp_path / "inside") for _ in range(4)]
    try:
        for script in scripts:
            assert int(script.hear()) > 0
            script.finish()
    finally:
        for script in scripts:
            script.__exit__(None, None, None)
    assert not SEMAPHORE.exists(name)


def test_an_exclusive_lock_of_another(name: str) -> None:
    """Linking waits for a second for it, and says whose it is."""
    NamedSemaphore(name, 3, Flags.RAISE_IF_EXISTS, unlink_on_delete=False)
    path = SEMAPHORE.path(name)
    locked = f"""
import fcntl
file = open({path!r})
fcntl.flock(file, fcntl.LOCK_EX)
say("locked")
hear()
"""
    with Script(locked) as script:
        assert script.hear() == "locked"
        before = time.monotonic()
        with pytest.raises(OSError, match=str(script.pid)) as raised:
            NamedSemaphore(name)
        assert time.monotonic() - before > 0.9
        assert raised.value.errno == 16
        script.say("end")
        script.finish()
    assert NamedSemaphore(name).value == 3


WRAPPER = """
import functools
class Wrapper:
    def __init__(self, handle):
        self.handle, self.name = handle, handle.name
    def __del__(self):
        self.handle.close()
        {unlink}
wrappers = [
    Wrapper(cls(name + flag.name, handle_existence=flag))
    for cls in (
        NamedSemaphore, functools.partial(NamedSharedMemory, size=64), NamedMessageQueue,
        NamedLock, NamedBoundedSemaphore, NamedChannel,
    )
    for flag in (Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE)
]
"""


@pytest.mark.parametrize(
    "unlink", ["self.handle.unlink()", "type(self.handle).unlink_name(self.name)"]
)
def test_the_end_of_a_wrapper_is_quiet(name: str, unlink: str) -> None:
    """A __del__ that closes and unlinks finds that the end of the interpreter was there before."""
    assert run(WRAPPER.replace("{unlink}", unlink), name) == (0, "")
