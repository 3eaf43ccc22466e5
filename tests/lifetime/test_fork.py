"""Forked children, and other processes that reach an object or do not (contract 4.3, 4.5)."""

import gc
import itertools
import os
import signal
import sys
import threading

import pytest
from support.checks import conformance, rounds
from support.children import fork, in_child
from support.kinds import (
    CHANNEL,
    KINDS,
    LOCK,
    OWNED,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    removed,
)
from support.namespaces import CLONE_NEWPID, needs_namespaces, unshare
from support.scripts import STAMP, Script, run
from support.system import descriptors
from support.tally import counting
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags

# Newer Pythons warn of what this is about.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@conformance("C34")
@each_kind
def test_an_inherited_handle_works(kind: Kind, name: str) -> None:
    """C34: the child's close leaves the parent's handle as it is."""
    handle = kind.create(name)

    def child() -> bool:
        kind.stamp(handle)
        kind.use(handle)
        handle.close()
        return bool(handle.closed)

    assert in_child(child)
    assert not handle.closed
    # What the child's handle had of a lock or bounded semaphore has gone with it.
    assert kind.is_stamped(handle) is (kind not in OWNED)
    kind.use(handle)
    assert kind.exists(name)


@each_kind
def test_a_forked_child_never_unlinks_by_deletion(kind: Kind, name: str) -> None:
    """Contract 4.5: by its last reference, by hand, by closing first."""
    holder = [kind.create(name)]

    def child() -> None:
        holder[0].__del__()
        assert kind.exists(name)
        holder[0].close()
        holder.clear()
        gc.collect()
        assert kind.exists(name)

    in_child(child)
    in_child(lambda: in_child(child))
    assert kind.exists(name)
    holder.clear()
    assert not kind.exists(name)


@each_kind
def test_a_forked_child_may_unlink(kind: Kind, name: str) -> None:
    """When it says so: at once, or by taking over what deletion does."""
    handle = kind.create(name)
    in_child(handle.unlink)
    assert not kind.exists(name)

    def child() -> bool:
        handle.unlink_on_delete = True
        handle.__del__()
        return kind.exists(name)

    handle = kind.create(name)
    assert in_child(child) is False


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError", "os._exit(0)"])
def test_a_forked_child_that_ends_normally(name: str, ending: str) -> None:
    """Also by the whole way of the interpreter: the parent's objects stay, its own go."""
    code = f"""
kinds = [(NamedSemaphore, {{}}), (NamedSharedMemory, dict(size=1)),
         (NamedMessageQueue, dict(max_messages=1, max_message_size=1)),
         (NamedLock, {{}}), (NamedBoundedSemaphore, {{}}), (NamedChannel, {{}})]
handles = [kind(name, handle_existence=CREATE, **more) for kind, more in kinds]
child = os.fork()
if child == 0:
    own = [kind(name + "-own", handle_existence=CREATE, **more) for kind, more in kinds]
    {ending}
    sys.exit()
os.waitpid(child, 0)
for kind, _ in kinds:
    kind(name)
    try:
        kind(name + "-own")
    except FileNotFoundError:
        continue
    if "{ending}" != "os._exit(0)":
        sys.exit(kind.__name__)
"""
    with removed(name + "-own"):
        assert run(code, name, env={**os.environ, "PYTHONWARNINGS": "ignore"})[0] == 0
    for kind in KINDS:
        assert not kind.exists(name)


@each_kind
def test_what_a_child_creates_is_its_own(kind: Kind, name: str) -> None:
    """Deletion unlinks it in the child; it does not outlive its handle."""

    def child() -> list[bool]:
        handle = kind.create(name)
        there = kind.exists(name)
        kind.use(handle)
        in_child(handle.__del__)
        still = kind.exists(name)
        del handle
        return [there, still, kind.exists(name)]

    assert in_child(child) == [True, True, False]


@conformance("C35")
@each_kind
def test_nothing_survives_exec(kind: Kind, name: str) -> None:
    """C35: neither descriptor nor mapping; the name stays."""
    handle = kind.create(name)
    memory = handle.mmap() if kind is SEGMENT else None
    status = kind.status(handle)
    code = """
import os
for descriptor in os.listdir("/proc/self/fd"):
    try:
        print(os.fstat(int(descriptor)).st_ino)
    except OSError:
        continue
for line in open("/proc/self/maps"):
    print(line.split()[4])
"""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        os.dup2(writing, 1)
        os.execv(sys.executable, [sys.executable, "-c", code])
    os.close(writing)
    with os.fdopen(reading) as pipe:
        files = pipe.read().split()
    assert os.waitpid(child, 0)[1] == 0
    assert len(files) > 3
    assert str(status.st_ino) not in files
    assert kind.exists(name)
    del memory


@conformance("C37")
@each_kind
def test_a_new_process_reaches_the_object_by_name(kind: Kind, name: str) -> None:
    """C37: started in whatever way."""
    handle = kind.create(name)
    code = f"handle = {kind.cls.__name__}(name)\n{STAMP}\nsay(1); hear()"
    with Script(code, name) as other:
        other.expect("1")
        assert kind.is_stamped(handle)
        other.say("end")
        other.finish()
    # What the process had of a lock or bounded semaphore has gone with it.
    assert kind.is_stamped(handle) is (kind not in OWNED)


@conformance("C43", "N9")
def test_fork_while_threads_are_inside(name: str) -> None:
    """C43: a child forked from the middle of everything uses old handles and opens new ones."""
    stop = threading.Event()
    semaphore, queue = SEMAPHORE.create(name), QUEUE.create(name)
    segment, channel = SEGMENT.create(name), CHANNEL.create(name, max_messages=100)
    lock, permits = LOCK.create(name), PERMITS.create(name, value=4)
    names = [f"{name}-{index}" for index in range(4)]

    def churn(mine: str) -> None:
        while not stop.is_set():
            with SEGMENT.create(mine, Flags.UNLINK_AND_CREATE).mmap():
                for kind in KINDS:
                    if kind is not SEGMENT:
                        kind.create(mine, Flags.UNLINK_AND_CREATE).close()
            semaphore.acquire(timeout=0.0001)
            semaphore.release()
            queue.receive(0.0001)
            channel.send_many([b"churn", b"large" * 3], 0.0001)
            channel.receive(0.0001)
            with permits, LOCK.create(mine, Flags.UNLINK_AND_CREATE):
                if lock.acquire(timeout=0.0001):
                    lock.release()

    def child() -> None:
        assert semaphore.value >= 0
        semaphore.release()
        assert semaphore.acquire(timeout=20)
        queue.send(b"child", 0)
        # A thread of the parent's may be copying, and no handle of the child's prolongs that.
        assert channel.send(b"child", 20, 7)
        # Nor is what it receives always its own: the threads receive, too.
        assert channel.receive(20) in {(b"child", 7), (b"churn", 0), (b"large" * 3, 0)}
        assert not lock.held
        # A thread of the parent's may have the lock, and no handle of the child's prolongs that.
        assert lock.acquire(timeout=20)
        assert permits.acquire(timeout=20)
        permits.release()
        lock.release()
        segment.resize(segment.size)
        for kind in KINDS:
            kind.use(kind.create(names[3], Flags.UNLINK_AND_CREATE))

    with removed(*names):
        threads = [Background(lambda mine=mine: churn(mine)) for mine in names[:3]]
        try:
            for _ in counting(rounds(40)):
                in_child(child)
        finally:
            stop.set()
        for thread in threads:
            thread.result()


WAITS = [
    "semaphore.acquire()",
    "queue.receive()",
    "queue.receive(60)",
    "channel.receive()",
    "channel.receive(60)",
    "lock.acquire()",
    "lock.acquire(timeout=60)",
    "permits.acquire()",
    "permits.acquire(timeout=60)",
]


@pytest.mark.parametrize("wait", WAITS)
def test_fork_while_a_thread_waits(name: str, wait: str) -> None:
    """The child's handle has no call in flight: it closes at once, and gives back what it has."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    queue, channel = QUEUE.create(name), CHANNEL.create(name)
    holders = [LOCK.create(name), PERMITS.create(name, value=1)]
    for holder in holders:
        holder.acquire()
    lock, permits = LOCK.open(name), PERMITS.open(name)
    handles = {"semaphore": semaphore, "queue": queue, "channel": channel}
    handles |= {"lock": lock, "permits": permits}
    waiting = Background(lambda: eval(wait, dict(handles)))
    waiting.wait_until_asleep()

    def child() -> list[bool]:
        numbers = [len(descriptors())]
        for handle in handles.values():
            handle.close()
            numbers.append(len(descriptors()))
        return [after < before for before, after in itertools.pairwise(numbers)]

    # A semaphore has no descriptor.
    assert in_child(child) == [False, True, True, True, True]
    assert waiting.is_running()
    semaphore.release()
    queue.send(b"x")
    channel.send(b"x")
    for holder in holders:
        holder.release()
    assert waiting.result()


@pytest.mark.parametrize("wait", WAITS)
def test_a_handler_forks_in_the_middle_of_a_wait(name: str, wait: str) -> None:
    """Both go on to wait with the same handle, and both are served."""
    code = f"""
semaphore, queue, channel = NamedSemaphore(name), NamedMessageQueue(name), NamedChannel(name)
lock, permits = NamedLock(name), NamedBoundedSemaphore(name)
children = []
signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))
say("ready")
{wait}
for handle in semaphore, queue, channel, lock, permits:
    handle.close()
if children == [0]:
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
"""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    queue, channel = QUEUE.create(name), CHANNEL.create(name)
    holders = [LOCK.create(name), PERMITS.create(name, value=1)]
    for holder in holders:
        holder.acquire()
    with Script(code, name) as script:
        script.expect("ready")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGUSR1)
        for _ in range(2):
            semaphore.release()
            queue.send(b"x")
            channel.send(b"x")
        for holder in holders:
            # The first who has it gives it to the other by closing its handle.
            holder.release()
        script.finish()


@needs_namespaces
@each_kind
def test_a_forked_child_with_the_same_pid(kind: Kind, name: str) -> None:
    """Contract 4.5: fork is recognised by itself, not by the pid, which a namespace repeats."""

    def second(handle: list[object]) -> int:
        handle.clear()
        return os.getpid()

    def first() -> tuple[int, int, bool, bool]:
        handle = [kind.create(name)]
        unshare(CLONE_NEWPID)
        child = in_child(second, handle)
        there = kind.exists(name)
        handle.clear()
        return os.getpid(), child, there, kind.exists(name)

    def begin() -> tuple[int, int, bool, bool]:
        unshare(CLONE_NEWPID)
        pids: tuple[int, int, bool, bool] = in_child(first)
        return pids

    assert in_child(begin) == (1, 1, True, False)


def test_a_forked_child_that_is_killed_changes_nothing(name: str) -> None:
    """It had the parent's handles; whatever it did, the parent still unlinks."""
    handles = [kind.create(name) for kind in KINDS]
    for _ in range(3):
        child = fork()
        if child == 0:
            handles.clear()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    for kind, handle in zip(KINDS, handles, strict=True):
        kind.use(handle)
    del handle
    handles.clear()
    assert not any(kind.exists(name) for kind in KINDS)
