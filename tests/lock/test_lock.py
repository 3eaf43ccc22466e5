"""The lock: who holds it, and who may release it (contract 9)."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import time
import warnings

import pytest
from support.checks import conformance, eventually
from support.children import in_child
from support.kinds import LOCK, PERMITS, Kind, each_owned_kind, removed
from support.scripts import Script
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags, NamedBoundedSemaphore, NamedLock


@pytest.fixture
def lock(name: str) -> NamedLock:
    lock: NamedLock = LOCK.create(name)
    return lock


def another(lock: NamedLock) -> NamedLock:
    """A second handle, of this process."""
    return NamedLock(lock.name)


def test_at_most_one_handle_holds_it(lock: NamedLock) -> None:
    other = another(lock)
    assert lock.acquire() is True
    assert (lock.held, other.held) == (True, False)
    assert lock.locked()
    assert other.locked()
    assert other.acquire(False) is False
    assert other.acquire(timeout=0) is False
    assert other.acquire(timeout=0.01) is False
    lock.release()
    assert not other.locked()
    assert other.acquire(timeout=0) is True
    assert (lock.held, other.held) == (False, True)
    other.release()


def test_with_gives_the_lock_and_releases(lock: NamedLock) -> None:
    with lock as entered:
        assert entered is lock
        assert lock.held
    assert not lock.locked()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert not lock.locked()
    assert not lock.closed


def test_it_is_not_recursive(lock: NamedLock) -> None:
    """9.6: a second acquire through the same handle waits, as with threading.Lock."""
    with lock:
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.01) is False
        second = Background(lock.acquire)
        second.wait_until_asleep()
    assert second.result() is True
    lock.release()


@conformance("L6")
def test_only_its_holder_releases(lock: NamedLock) -> None:
    other = another(lock)
    for handle in (lock, other):
        with pytest.raises(RuntimeError, match="does not hold it"):
            handle.release()
    with lock:
        with pytest.raises(RuntimeError, match="does not hold it"):
            other.release()
        assert lock.held
    with pytest.raises(RuntimeError, match="does not hold it"):
        lock.release()
    assert lock.acquire(False)
    lock.release()


@conformance("L5")
def test_any_thread_releases(lock: NamedLock) -> None:
    """9.3: and the end of the thread that acquired it changes nothing."""
    other = another(lock)
    for _ in range(2):
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        thread.join()
        assert lock.held
        assert not other.acquire(timeout=0.05)
        releasing = threading.Thread(target=lock.release)
        releasing.start()
        releasing.join()
        assert not lock.locked()


def test_the_owner_is_shown_by_its_pid(lock: NamedLock) -> None:
    assert lock.owner is None
    with lock:
        assert lock.owner == os.getpid()
        assert in_child(lambda: another(lock).owner) == os.getpid()
    with Script("lock = NamedLock(name); lock.acquire(); say(1); hear()", lock.name) as process:
        process.expect("1")
        assert lock.owner == process.pid
    assert lock.owner is None


@conformance("L17")
def test_the_fence_grows_with_each_hold(lock: NamedLock) -> None:
    other = another(lock)
    seen = []
    for handle in (lock, other, lock, lock, other):
        with handle:
            seen.append(handle.fence)
            assert handle.fence == seen[-1]
    assert seen == sorted(set(seen))
    for handle in (lock, other):
        with pytest.raises(RuntimeError, match="does not hold it"):
            handle.fence  # noqa: B018
    with lock, pytest.raises(RuntimeError):
        other.fence  # noqa: B018


@conformance("L6", "L7")
def test_a_forked_child_holds_nothing(lock: NamedLock) -> None:
    """9.4: releases nothing, cannot take it, and leaves its parent the holder."""
    lock.acquire()

    def child() -> list[object]:
        seen: list[object] = [lock.held, lock.locked(), lock.acquire(False)]
        for call in (lock.release, lock.mark_repaired, lambda: lock.fence):
            with pytest.raises(RuntimeError):
                call()
        lock.close()
        return seen

    assert in_child(child) == [False, True, False]
    assert lock.held
    assert not lock.owner_died
    lock.release()
    assert in_child(lambda: lock.acquire(False)) is True
    # The child has died with it.
    assert lock.acquire(False)
    assert lock.owner_died
    lock.release()


def test_two_children_have_handles_of_their_own(lock: NamedLock) -> None:
    """They inherit one handle, and each is another holder."""

    def child() -> object:
        assert lock.acquire(timeout=20)
        grandchild = in_child(lambda: lock.acquire(timeout=0.01))
        lock.release()
        return grandchild, lock.held

    assert in_child(child) == (False, False)
    assert lock.acquire(False)
    assert not lock.owner_died
    lock.release()


def test_a_pickled_handle_holds_nothing(lock: NamedLock) -> None:
    with lock:
        copy = pickle.loads(pickle.dumps(lock))
        assert (copy.name, copy.held, copy.locked()) == (lock.name, False, True)
        assert copy.acquire(False) is False
    assert copy.acquire(False) is True
    copy.release()


@conformance("L4")
@each_owned_kind
@pytest.mark.parametrize("end", ["close", "del", "finalizer"])
def test_giving_up_what_is_held_warns(name: str, kind: Kind, end: str) -> None:
    """The next one has it."""
    handles = [kind.create(name, unlink_on_delete=False)]
    other = kind.open(name)
    free = 1 if kind is LOCK else 3
    for _ in range(free):
        handles[0].acquire()
    endings = {
        "close": handles[0].close,
        "finalizer": handles[0].__del__,
        "del": lambda: (endings.clear(), handles.clear(), gc.collect()),
    }
    with pytest.warns(ResourceWarning, match="given up while it was held"):
        endings[end]()  # type: ignore[operator]
    for _ in range(free):
        assert other.acquire(False)
        assert other.owner_died if kind is LOCK else True
    for _ in range(free):
        other.release()


@each_owned_kind
def test_an_error_in_place_of_the_warning_keeps_nothing(name: str, kind: Kind) -> None:
    handle = kind.create(name)
    handle.acquire()
    other = kind.open(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ResourceWarning):
            handle.close()
        handle.close()
    assert handle.closed
    assert other.acquire(timeout=0)
    other.release()


@each_owned_kind
def test_nothing_held_is_no_warning(name: str, kind: Kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handle = kind.create(name)
        with handle:
            pass
        handle.close()
        del handle
        # A child that gives up what its parent holds has nothing to give up.
        handle = kind.create(name, Flags.UNLINK_AND_CREATE)
        with handle:
            in_child(handle.close)


@conformance("L4", "L12")
@each_owned_kind
def test_closing_gives_it_up_though_another_thread_waits(name: str, kind: Kind) -> None:
    """At once, and the thread that waits on the closed handle gets nothing."""
    handle = kind.create(name, **({} if kind is LOCK else {"value": 1}))
    other = kind.open(name)
    handle.acquire()
    waiter = Background(handle.acquire)
    waiter.wait_until_asleep()
    with pytest.warns(ResourceWarning):
        handle.close()
    with pytest.raises(ValueError, match="closed"):
        waiter.result()
    assert other.acquire(timeout=10)
    other.release()


def test_what_a_closed_handle_gets_too_late_is_no_death(lock: NamedLock) -> None:
    """The wait of another thread takes the lock after all, and nobody has worked with it."""
    lock.acquire()
    handle = another(lock)
    waiter = Background(handle.acquire)
    waiter.wait_until_asleep()
    handle.close()
    lock.release()
    with pytest.raises(ValueError, match="closed"):
        waiter.result()
    assert lock.acquire(timeout=10)
    assert not lock.owner_died
    lock.release()


@conformance("L12")
@each_owned_kind
def test_signals_during_a_wait(name: str, kind: Kind) -> None:
    """A handler runs; what it raises comes out, and nothing was taken."""
    handle = kind.create(name, **({} if kind is LOCK else {"value": 1}))
    ran = []

    def run(*_: object) -> None:
        ran.append(time.monotonic())

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGALRM, run)
    try:
        with kind.open(name):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert handle.acquire(timeout=0.3) is False
            assert len(ran) == 1
            signal.signal(signal.SIGALRM, fail)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(ZeroDivisionError):
                handle.acquire(timeout=20)
        assert handle.acquire(timeout=0)
        handle.release()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@conformance("L12")
@each_owned_kind
@pytest.mark.parametrize("timeout", [1e-9, 0.001, 0.0502, 0.1, 0.5])
def test_a_wait_never_ends_early(name: str, kind: Kind, timeout: float) -> None:
    handle = kind.create(name, **({} if kind is LOCK else {"value": 1}))
    with kind.open(name):
        start = time.monotonic_ns()
        assert handle.acquire(timeout=timeout) is False
        assert time.monotonic_ns() - start >= timeout * 1e9


@each_owned_kind
def test_other_threads_run_during_a_wait(name: str, kind: Kind) -> None:
    handle = kind.create(name, **({} if kind is LOCK else {"value": 1}))
    with kind.open(name):
        waiter = Background(lambda: handle.acquire(timeout=20))
        waiter.wait_until_asleep()
        assert waiter.is_running()
    assert waiter.result() is True
    handle.release()


@each_owned_kind
@pytest.mark.parametrize(
    "arguments",
    [(False, 1), (False, 0), (True, -1), (True, float("nan")), (True, "1"), (2,), (None,)],
)
def test_bad_arguments_of_acquire(name: str, kind: Kind, arguments: tuple[object, ...]) -> None:
    handle = kind.create(name)
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        handle.acquire(*arguments)
    assert handle.acquire(False)
    handle.release()


def test_names_of_other_kinds_are_other_objects(name: str) -> None:
    lock, permits = LOCK.create(name), PERMITS.create(name)
    with lock:
        assert permits.value == 3
    with permits:
        assert not lock.locked()


@pytest.mark.parametrize("value", [0, -1, 513, 2**31, 2**64, "1", 1.5, None])
def test_a_bound_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        NamedBoundedSemaphore(name, value, Flags.RAISE_IF_EXISTS)  # type: ignore[arg-type]
    assert not PERMITS.exists(name)


@pytest.mark.parametrize("bound", [1, 2, 512])
def test_permits_are_counted(name: str, bound: int) -> None:
    permits = NamedBoundedSemaphore(name, bound, Flags.RAISE_IF_EXISTS)
    other = NamedBoundedSemaphore(name, 7)
    assert (other.bound, other.value, other.holders) == (bound, bound, [])
    for taken in range(1, bound + 1):
        assert permits.acquire(False)
        assert permits.value == bound - taken
    assert not permits.acquire(False)
    assert not other.acquire(timeout=0.01)
    assert other.holders == [os.getpid()] * bound
    with pytest.raises(RuntimeError, match="has no permit"):
        other.release()
    permits.release()
    assert other.acquire(False)
    other.release()
    for _ in range(bound - 1):
        permits.release()
    assert permits.value == bound
    with pytest.raises(RuntimeError, match="has no permit"):
        permits.release()
    assert permits.value == bound


def test_each_release_of_a_permit_wakes_one(name: str) -> None:
    permits = PERMITS.create(name, value=2)
    permits.acquire()
    permits.acquire()
    others = [PERMITS.open(name) for _ in range(3)]
    waiters = [Background(other.acquire) for other in others]
    for waiter in waiters:
        waiter.wait_until_asleep()
    permits.release()
    permits.release()
    eventually(lambda: sum(waiter.is_running() for waiter in waiters) == 1)
    assert permits.value == 0
    # Those who have one give it to the last.
    for other in others:
        if other.holders and not other.acquire(False):
            break
    released = 0
    for waiter, other in zip(waiters, others, strict=True):
        if not waiter.is_running():
            other.release()
            released += 1
            break
    assert released == 1
    for waiter in waiters:
        assert waiter.result() is True
    assert permits.value == 0


def test_waiters_of_other_processes_are_woken(name: str) -> None:
    code = "handle = NamedLock(name); say(1); say(handle.acquire()); handle.release()"
    lock = LOCK.create(name)
    lock.acquire()
    with Script(code, name) as process:
        process.expect("1")
        wait_until_asleep(process.pid)
        lock.release()
        process.expect("True")
        process.finish()


@conformance("L11")
def test_1023_handles(name: str) -> None:
    """The next is OSError with EMFILE, which says so; one that is closed makes room."""
    handles = [LOCK.create(name)]
    with removed(name):
        handles += [NamedLock(name) for _ in range(1022)]
        with pytest.raises(OSError, match="1023 slots") as refused:
            NamedLock(name)
        assert (refused.value.errno, refused.value.filename) == (24, name)
        # What would remove the name if it was open has not come to that.
        with pytest.raises(OSError, match="1023 slots"):
            NamedLock(name, unlink_on_delete=True)
        assert LOCK.exists(name)
        handles.pop().close()
        with NamedLock(name) as room:
            assert room.held
            assert not handles[0].acquire(False)


@conformance("L18")
def test_what_cannot_be_linked_to_stays(name: str) -> None:
    """A newer version's, for example, that killed processes left: it is not ours to remove."""

    def dies() -> None:
        kept = NamedLock(name, Flags.LINK_OR_CREATE)
        os.kill(os.getpid(), signal.SIGKILL)
        del kept

    child = os.fork()
    if child == 0:
        dies()
    os.waitpid(child, 0)
    with open(LOCK.path(name), "r+b") as file:
        file.seek(12)
        file.write((2).to_bytes(4, "little"))
    with pytest.raises(OSError, match=r"version 2\.0"):
        NamedLock(name)
    assert LOCK.exists(name)
