"""An owner ends while it holds the lock, or permits: the next has it, and is told (9.2)."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

import pytest
from support.checks import WATCHDOG, conformance, eventually, rounds
from support.children import fork, in_child
from support.kinds import LOCK, PERMITS, SEGMENT, Kind, each_owned_kind
from support.scripts import Script
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags, NamedBoundedSemaphore, NamedLock

ENDS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
    "abort": "os.abort()",
    "_exit": "os._exit(0)",
    "exec": "os.execv('/bin/sleep', ['sleep', '20'])",
    "exit": "sys.exit(0)",
    "an exception": "raise ZeroDivisionError",
    "close": "handle.close(); time.sleep(20)",
    "del": "del handle; time.sleep(20)",
    "the end of a thread amid it": (
        "threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGKILL)).start();"
        "time.sleep(9)"
    ),
}

OWNER = """
import faulthandler, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
kind = {"lock": NamedLock, "permits": NamedBoundedSemaphore}[sys.argv[2]]
handle = kind(name)
assert handle.acquire(False)
say("held")
hear()
"""


def small(kind: Kind) -> dict[str, int]:
    return {} if kind is LOCK else {"value": 1}


def is_told(kind: Kind, handle: NamedLock) -> bool:
    """Permits are whole again, so there is nothing to tell."""
    return kind is PERMITS or handle.owner_died


@conformance("L1", "L4")
@each_owned_kind
@pytest.mark.parametrize("end", ENDS)
def test_the_next_has_it(name: str, kind: Kind, end: str) -> None:
    handle = kind.create(name, **small(kind))
    with Script(OWNER + ENDS[end], name, kind.word) as owner:
        owner.expect("held")
        assert not handle.acquire(False)
        owner.say("end")
        eventually(lambda: handle.acquire(False), end)
        assert is_told(kind, handle)
        handle.release()


@conformance("L2")
@each_owned_kind
@pytest.mark.parametrize("sleepers", [1, 5])
def test_one_of_those_who_sleep_has_it(name: str, kind: Kind, sleepers: int) -> None:
    """And the others have it in their turn, each told of the death."""
    handle = kind.create(name, **small(kind))
    code = """
kind = {"lock": NamedLock, "permits": NamedBoundedSemaphore}[sys.argv[2]]
handle = kind(name)
say("ready")
assert handle.acquire()
say("got", sys.argv[2] == "permits" or handle.owner_died)
hear()
handle.release()
"""
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(Script(OWNER, name, kind.word))
        owner.expect("held")
        waiters = [stack.enter_context(Script(code, name, kind.word)) for _ in range(sleepers)]
        for waiter in waiters:
            waiter.expect("ready")
        for waiter in waiters:
            wait_until_asleep(waiter.pid)
        assert not handle.acquire(False)
        owner.process.kill()
        owner.process.wait()
        pids = {waiter.pid: waiter for waiter in waiters}
        for _ in range(sleepers):
            holder = eventually(
                lambda: handle.owner if kind is LOCK else next(iter(handle.holders), None)
            )
            waiter = pids.pop(holder)
            waiter.expect("got True")
            waiter.say("go on")
            waiter.finish()
    assert handle.acquire(False)
    handle.release()


def kill_an_owner(lock: NamedLock) -> None:
    child = fork()
    if child == 0:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@conformance("L3")
def test_every_holder_is_told_until_one_has_repaired(name: str) -> None:
    """Also if one who was told dies as well."""
    lock: NamedLock = LOCK.create(name)
    assert not lock.owner_died
    kill_an_owner(lock)
    assert lock.owner_died, "those who look only are told, too"
    for _ in range(3):
        with NamedLock(name) as holder:
            assert holder.owner_died
    kill_an_owner(lock)
    with lock:
        assert lock.owner_died
        lock.mark_repaired()
        assert not lock.owner_died
        assert not NamedLock(name).owner_died
    with NamedLock(name) as holder:
        assert not holder.owner_died
    kill_an_owner(lock)
    assert lock.owner_died


@conformance("L6")
def test_only_the_holder_says_that_all_is_well(name: str) -> None:
    lock = LOCK.create(name)
    kill_an_owner(lock)
    with pytest.raises(RuntimeError, match="does not hold it"):
        lock.mark_repaired()
    with NamedLock(name), pytest.raises(RuntimeError):
        lock.mark_repaired()
    assert lock.owner_died


def test_releasing_is_no_death(name: str) -> None:
    lock = LOCK.create(name)
    for _ in range(3):
        with Script(OWNER + "handle.release(); say('done'); hear()", name, "lock") as process:
            process.expect("held")
            process.say("go on")
            process.expect("done")
    assert lock.acquire(False)
    assert not lock.owner_died
    lock.release()


@conformance("L17")
def test_the_fence_grows_over_deaths(name: str) -> None:
    lock = LOCK.create(name)
    fences = []
    for _ in range(5):
        kill_an_owner(lock)
        with lock:
            fences.append(lock.fence)
    assert all(later >= earlier + 2 for earlier, later in itertools.pairwise(fences))


@conformance("L7")
@each_owned_kind
@pytest.mark.parametrize("use", ["nothing", "used", "deleted"])
def test_a_child_does_not_keep_its_dead_parents(name: str, kind: Kind, use: str) -> None:
    """9.4: whatever it does with the handle that it inherited."""
    uses = {"nothing": "pass", "used": "assert not handle.acquire(False)", "deleted": "del handle"}
    code = (
        OWNER
        + f"""
child = os.fork()
if child == 0:
    {uses[use]}
    say(os.getpid())
    time.sleep(60)
hear()
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    handle = kind.create(name, **small(kind))
    with Script(code, name, kind.word) as owner:
        owner.expect("held")
        owner.say("fork")
        child = int(owner.hear())
        owner.say("die")
        try:
            eventually(lambda: handle.acquire(False))
            os.kill(child, 0)
            assert is_told(kind, handle)
        finally:
            os.kill(child, signal.SIGKILL)
    handle.release()


@conformance("L8")
@each_owned_kind
@pytest.mark.parametrize("start", ["subprocess", "multiprocessing fork", "multiprocessing spawn"])
def test_started_processes_do_not_keep_it(name: str, kind: Kind, start: str) -> None:
    starts = {
        "subprocess": "import subprocess; pid = subprocess.Popen(['sleep', '60']).pid",
        "multiprocessing fork": "pid = started('fork')",
        "multiprocessing spawn": "pid = started('spawn')",
    }
    code = (
        OWNER
        + f"""
def started(method):
    import multiprocessing
    process = multiprocessing.get_context(method).Process(target=time.sleep, args=(60,))
    process.start()
    return process.pid
{starts[start]}
say(pid)
hear()
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    handle = kind.create(name, **small(kind))
    with Script(code, name, kind.word) as owner:
        owner.expect("held")
        owner.say("start")
        child = int(owner.hear())
        try:
            assert not handle.acquire(timeout=0.1), "it is held still"
            owner.say("die")
            eventually(lambda: handle.acquire(False))
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)
    handle.release()


@conformance("L4")
@each_owned_kind
def test_a_daemon_that_closes_all_descriptors_keeps_it(name: str, kind: Kind) -> None:
    """9.4: and does not close a file that has got the number of the handle's descriptor."""
    code = (
        OWNER
        + """
os.closerange(3, 1024)
others = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
say("closed")
hear()
handle.release()
assert handle.acquire(False)
del handle
for number in others:
    os.fstat(number)
say("deleted")
hear()
"""
    )
    handle = kind.create(name, **small(kind))
    with Script(code, name, kind.word) as owner:
        owner.expect("held")
        owner.say("close")
        owner.expect("closed")
        assert not handle.acquire(timeout=0.1)
        owner.say("release")
        owner.expect("deleted")
        assert handle.acquire(timeout=10)
        assert is_told(kind, handle)
    handle.release()


@conformance("L15")
@each_owned_kind
def test_a_stopped_owner_keeps_it(name: str, kind: Kind) -> None:
    """9.3: there are no leases."""
    handle = kind.create(name, **small(kind))
    with Script(OWNER, name, kind.word) as owner:
        owner.expect("held")
        os.kill(owner.pid, signal.SIGSTOP)
        assert not handle.acquire(timeout=1)
        os.kill(owner.pid, signal.SIGCONT)
        assert not handle.acquire(timeout=0.1)


def test_the_permits_of_a_dead_holder_are_free(name: str) -> None:
    permits: NamedBoundedSemaphore = PERMITS.create(name, value=4)
    code = "p = NamedBoundedSemaphore(name); p.acquire(); p.acquire(); p.acquire(); say(1); hear()"
    for _ in range(3):
        with Script(code, name) as holder, permits:
            holder.expect("1")
            assert (permits.value, sorted(permits.holders)) == (
                0,
                sorted([os.getpid(), *[holder.pid] * 3]),
            )
            assert not permits.acquire(False)
            holder.process.kill()
            eventually(lambda: permits.value == 3)
            assert permits.holders == [os.getpid()]
            for _ in range(3):
                assert permits.acquire(timeout=0)
            assert not permits.acquire(timeout=0)
            for _ in range(3):
                permits.release()
    assert permits.value == 4


WRITER = """
import mmap
lock = NamedLock(name)
segment = NamedSharedMemory(name)
memory = segment.mmap()
say("ready")
while True:
    with lock:
        first, second = memory[0:8], memory[8:16]
        if first != second:
            assert lock.owner_died, "half done, and nobody was told"
            memory[8:16] = first
            memory[16:24] = (int.from_bytes(memory[16:24], "little") + 1).to_bytes(8, "little")
        if lock.owner_died:
            lock.mark_repaired()
        number = (int.from_bytes(memory[0:8], "little") + 1).to_bytes(8, "little")
        memory[0:8] = number
        for _ in range(200):
            pass
        memory[8:16] = number
"""


@conformance("L16")
def test_a_program_that_dies_amid_a_change_is_repaired_by_the_next(name: str) -> None:
    """Writers of two numbers that belong together are killed: what is half done was always told."""
    lock = LOCK.create(name)
    segment = SEGMENT.create(name, size=24)
    memory = segment.mmap()
    writers: list[Script] = []
    chance = random.Random(1)
    kills = rounds(40)
    with contextlib.ExitStack() as stack:
        for killed in range(kills + 3):
            writer = stack.enter_context(Script(WRITER, name))
            writer.expect("ready")
            writers.append(writer)
            if killed >= 3:
                time.sleep(chance.random() * 0.01)
                victim = writers.pop(chance.randrange(len(writers)))
                victim.process.kill()
                status, errors = victim.end()
                assert (status, errors) == (-signal.SIGKILL, "")
        for writer in writers:
            assert writer.process.poll() is None, writer.end()[1]
            writer.process.kill()
    first, second, _ = struct.unpack("<QQQ", bytes(memory))
    assert first > kills
    with lock:
        assert first == second or lock.owner_died


@conformance("L9")
def test_somebody_sleeps_for_a_process_of_another_pid_namespace(name: str) -> None:
    """Its pid, seen from there, may be anybody's here: only its life counts."""
    lock = LOCK.create(name)
    before = ("unshare", "--pid", "--fork", "--kill-child")
    probe = subprocess.run([*before, "true"], check=False, capture_output=True, timeout=WATCHDOG)
    if probe.returncode != 0:
        pytest.skip("this user may not make a pid namespace")
    code = "lock = NamedLock(name); lock.acquire(); say(os.getpid()); hear()"
    with Script(code, name, before=before) as owner:
        assert int(owner.hear()) == 1
        assert lock.owner == 1
        assert not lock.acquire(timeout=0.1)
        waiter = Background(lock.acquire)
        waiter.wait_until_asleep()
        owner.process.kill()
        assert waiter.result() is True
    assert lock.owner_died
    lock.release()


@conformance("L10")
def test_many_short_lives(name: str) -> None:
    """Slots are used again and again, and what a dead one held is never taken for a new one's."""
    lock = LOCK.create(name)
    for _ in range(rounds(100, 2000)):
        in_child(lambda: NamedLock(name).acquire(timeout=20) and None)
    assert lock.acquire(False)
    assert lock.owner_died
    lock.release()


def test_a_shared_lock_lives_as_long_as_its_users(name: str) -> None:
    """What its last user was killed with is told to the next, until one leaves in order."""
    with Script(
        "handle = NamedLock(name, Flags.LINK_OR_CREATE); handle.acquire(); say(1); hear()", name
    ) as owner:
        owner.expect("1")
        user = NamedLock(name, Flags.LINK_OR_CREATE)
        assert user.linked_existing_object
        user.close()
    with NamedLock(name, Flags.LINK_OR_CREATE) as lock:
        assert lock.linked_existing_object
        assert lock.owner_died
    del lock, user
    assert not LOCK.exists(name)


@pytest.mark.parametrize("unlink_on_delete", [None, False])
def test_a_lone_user_is_killed(name: str, unlink_on_delete: bool | None) -> None:
    """A service that is killed amid its work is told when it starts again, until it repairs."""
    code = f"""
lock = NamedLock(name, Flags.LINK_OR_CREATE, unlink_on_delete={unlink_on_delete})
lock.acquire()
say(lock.owner_died)
if hear() == "repaired":
    lock.mark_repaired()
    lock.release()
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for died in ["False", "True", "True"]:
        with Script(code, name) as service:
            service.expect(died)
            service.say("die")
            service.process.wait()
    with Script(code, name) as service:
        service.expect("True")
        service.say("repaired")
        service.finish()
    assert LOCK.exists(name) is (unlink_on_delete is False)


@conformance("L13")
def test_hostile_bytes(name: str) -> None:
    """9.5: no signal, timeouts are kept, and only the documented errors come out."""
    size = 12288
    worker = """
kinds = [NamedLock, NamedBoundedSemaphore]
handles = [kind(name) for kind in kinds]
say("ready")
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for handle, kind in zip(handles, kinds):
        try:
            start = time.monotonic()
            got = handle.acquire(timeout=0.01)
            assert time.monotonic() - start < 10
            if got:
                handle.release()
            str(handle.locked() if kind is NamedLock else (handle.value, handle.holders))
            kind(name).close()
        except (OSError, RuntimeError, ValueError, MemoryError):
            pass
for handle in handles:
    try:
        handle.close()
    except ResourceWarning:
        pass
"""
    handles = [LOCK.create(name), PERMITS.create(name)]
    chance = random.Random(2)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Script(worker, name)) for _ in range(3)]
        for process in workers:
            process.expect("ready")
        files = [
            stack.enter_context(open(kind.path(name), "r+b", buffering=0))
            for kind in (LOCK, PERMITS)
        ]
        maps = [stack.enter_context(mmap.mmap(file.fileno(), size)) for file in files]
        while any(worker.process.poll() is None for worker in workers):
            for bytes_ in maps:
                at = chance.choice((chance.randrange(0, 320), chance.randrange(size))) & ~3
                word = chance.choice((0, 1, 5, 2**31, 2**30, 2**32 - 1, chance.getrandbits(32)))
                bytes_[at : at + 4] = struct.pack("<I", word)
            time.sleep(0.0005)
        for process in workers:
            status, errors = process.end()
            assert status == 0, errors
    for handle in handles:
        handle.unlink()


def test_python_dies_of_no_lock_at_its_end(name: str) -> None:
    """A daemon thread that waits for the lock does not keep the interpreter from ending."""
    code = """
import sys, threading, time
from nob.ipc import Flags, NamedLock
first = NamedLock(sys.argv[1], Flags.LINK_OR_CREATE)
second = NamedLock(sys.argv[1])
first.acquire()
threading.Thread(target=second.acquire, daemon=True).start()
time.sleep(0.2)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, name], check=False, capture_output=True, timeout=WATCHDOG
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_flags_of_a_lock_that_died(name: str) -> None:
    """What exists is linked to with its mark; a new one has none."""
    lock = LOCK.create(name)
    kill_an_owner(lock)
    with NamedLock(name, Flags.UNLINK_AND_CREATE) as new:
        assert not new.owner_died
    assert lock.owner_died
    assert lock.stale
