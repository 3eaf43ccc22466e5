"""The semaphore's value, and what happens to it (contract 6)."""

import os
import struct
import threading

import pytest
from support.checks import conformance
from support.children import in_child
from support.kinds import SEM_VALUE_MAX, SEMAPHORE, removed
from support.scripts import Script
from support.system import descriptors, mappings
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags, NamedSemaphore


@conformance("S1")
def test_the_initial_value(name: str) -> None:
    """S1: 1 unless told otherwise."""
    assert NamedSemaphore(name, handle_existence=Flags.UNLINK_AND_CREATE).value == 1
    for value in (0, 1, 42, 2**16, SEM_VALUE_MAX - 1):
        assert SEMAPHORE.create(name, Flags.UNLINK_AND_CREATE, initial_value=value).value == value


@conformance("S2", "S3")
def test_the_greatest_value(name: str) -> None:
    """S2, S3: it can be had, not passed, and left again."""
    semaphore = SEMAPHORE.create(name, initial_value=SEM_VALUE_MAX)
    assert semaphore.value == SEM_VALUE_MAX
    with pytest.raises(OverflowError, match=r"\w+ \w+ \w+"):
        semaphore.release()
    assert semaphore.value == SEM_VALUE_MAX
    assert semaphore.acquire(timeout=0) is True
    assert semaphore.value == SEM_VALUE_MAX - 1
    semaphore.release()
    assert semaphore.value == SEM_VALUE_MAX


@conformance("S8")
@pytest.mark.parametrize(
    ("value", "number"),
    [
        (SEM_VALUE_MAX, 1),
        (SEM_VALUE_MAX - 5, 6),
        (SEM_VALUE_MAX - 1, SEM_VALUE_MAX),
        (0, SEM_VALUE_MAX + 1),
        (1, SEM_VALUE_MAX),
        (0, 2**32),
        (0, 2**32 + 1),
        (3, 2**63 - 1),
    ],
)
def test_release_changes_nothing_at_the_edge(name: str, value: int, number: int) -> None:
    """S8: all or nothing, and not slowly."""
    semaphore = SEMAPHORE.create(name, initial_value=value)
    with pytest.raises(OverflowError):
        semaphore.release(number)
    assert semaphore.value == value


@conformance("S8")
def test_release_up_to_the_edge(name: str) -> None:
    semaphore = SEMAPHORE.create(name, initial_value=SEM_VALUE_MAX - 5)
    semaphore.release(5)
    assert semaphore.value == SEM_VALUE_MAX


@conformance("S4")
def test_acquire_without_waiting(name: str) -> None:
    """S4: it lowers the value by one; at 0 it is False, and the value stays 0."""
    semaphore = SEMAPHORE.create(name, initial_value=2)
    assert semaphore.acquire(blocking=False) is True
    assert semaphore.value == 1
    assert semaphore.acquire(False) is True
    assert semaphore.value == 0
    for _ in range(3):
        assert semaphore.acquire(False) is False
        assert semaphore.acquire(timeout=0) is False
        assert semaphore.value == 0


@conformance("S5")
@pytest.mark.parametrize("number", [1, 2, 100])
def test_as_many_acquires_as_releases(name: str, number: int) -> None:
    """S5: n releases permit exactly n acquires; release(n) is n releases."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    assert semaphore.release(number) is None
    for _ in range(number):
        semaphore.release()
    assert [semaphore.acquire(False) for _ in range(2 * number)] == [True] * 2 * number
    assert semaphore.acquire(False) is False


@conformance("S5")
def test_releases_of_several_threads_add_up(name: str) -> None:
    """S5: five threads at once."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    barrier = threading.Barrier(5)

    def release() -> None:
        barrier.wait()
        for _ in range(200):
            semaphore.release()

    for thread in [Background(release) for _ in range(5)]:
        thread.result()
    assert semaphore.value == 1000


@conformance("S6")
def test_the_value_is_never_negative(name: str) -> None:
    """S6: 0 with waiters; reading it changes nothing."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    waiting = Background(semaphore.acquire)
    waiting.wait_until_asleep()
    assert [semaphore.value for _ in range(3)] == [0, 0, 0]
    semaphore.release()
    assert waiting.result() is True
    assert semaphore.value == 0


@conformance("S7")
def test_a_failed_acquire_takes_nothing(name: str) -> None:
    """S7: neither one that runs out of time nor one that does not wait."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    assert semaphore.acquire(timeout=0.01) is False
    assert semaphore.acquire(blocking=False) is False
    semaphore.release()
    assert semaphore.value == 1


@conformance("S9")
def test_anybody_may_release(name: str) -> None:
    """S9: another thread, a forked child, a process that only linked."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    Background(semaphore.release).result()
    in_child(semaphore.release)
    with Script("NamedSemaphore(name).release()", name) as other:
        other.finish()
    assert semaphore.value == 3


@conformance("C41")
def test_the_block_of_with(name: str) -> None:
    """C41: acquired on entry, released once on exit, also by an exception; never closed."""
    semaphore = SEMAPHORE.create(name, initial_value=1)
    with semaphore as entered:
        assert entered is semaphore
        assert semaphore.value == 0
    assert semaphore.value == 1
    with pytest.raises(KeyError), semaphore:
        raise KeyError(semaphore.value)
    assert semaphore.value == 1
    assert not semaphore.closed
    semaphore.release()
    with semaphore, semaphore:
        assert semaphore.value == 0
    assert semaphore.value == 2


def test_the_snippet_of_the_manual(name: str) -> None:
    with NamedSemaphore(name, handle_existence=Flags.LINK_OR_CREATE) as sem:
        assert sem.value == 0
        other = NamedSemaphore(name, initial_value=7, handle_existence=Flags.LINK_OR_CREATE)
        assert other.acquire(timeout=0) is False
    assert other.value == 1


@conformance("S22")
def test_closing_keeps_the_value(name: str) -> None:
    """S22: create with 2, acquire, close; who asks for 3 then finds 1."""
    semaphore = SEMAPHORE.create(name, initial_value=2, unlink_on_delete=False)
    assert semaphore.acquire()
    semaphore.close()
    del semaphore
    assert SEMAPHORE.open(name, Flags.LINK_OR_CREATE, initial_value=3).value == 1


@conformance("S23")
def test_two_handles_in_one_process(name: str) -> None:
    """S23: one value; closing one leaves the other; "x" and "/x" are the same."""
    one = SEMAPHORE.create(name, initial_value=0)
    two, three = SEMAPHORE.open(name), SEMAPHORE.open(name[1:])
    one.release()
    assert [handle.value for handle in (one, two, three)] == [1, 1, 1]
    two.close()
    assert three.acquire(False) is True
    assert one.value == 0
    waiting = Background(lambda: one.acquire(timeout=20))
    waiting.wait_until_asleep()
    three.release()
    assert waiting.result() is True


@conformance("S24")
def test_opening_again_and_again(name: str) -> None:
    """S24: create, close and unlink, several times over."""
    for value in range(5):
        semaphore = SEMAPHORE.create(name, initial_value=value)
        assert semaphore.value == value
        semaphore.close()
        semaphore.unlink()
        assert not SEMAPHORE.exists(name)


@conformance("S25")
def test_descriptors_and_mappings(name: str) -> None:
    """S25: a descriptor that stays open is close-on-exec; closing gives everything back."""
    before = descriptors()
    semaphore = SEMAPHORE.create(name)
    kept = set(descriptors()) - set(before)
    assert len(kept) <= 1
    assert not any(os.get_inheritable(descriptor) for descriptor in kept)
    file = os.stat(SEMAPHORE.path(name)).st_ino
    assert mappings(file) == 1
    semaphore.close()
    assert descriptors() == before
    assert mappings(file) == 0


def test_the_file_is_glibcs_own(name: str) -> None:
    """The end of contract 3: a sem_t, shared between processes, in /dev/shm/sem.NAME."""
    semaphore = SEMAPHORE.create(name, initial_value=5)
    with open(SEMAPHORE.path(name), "rb") as file:
        content = file.read()
    assert len(content) == 32
    if struct.calcsize("P") == 8 and struct.pack("=H", 1) == struct.pack("<H", 1):
        value, waiters, private = struct.unpack_from("<III", content)
        assert (value, waiters, private) == (5, 0, 128)
    semaphore.release()
    assert SEMAPHORE.open(name).value == 6


@conformance("S28")
def test_a_killed_holder_keeps_its_permit(name: str) -> None:
    """S28: the others run out of time, and only an explicit release recovers."""
    semaphore = SEMAPHORE.create(name, initial_value=1)
    with Script(
        "semaphore = NamedSemaphore(name)\nsemaphore.acquire(); say(1); hear()", name
    ) as it:
        it.expect("1")
    assert semaphore.value == 0
    assert semaphore.acquire(timeout=0.05) is False
    semaphore.release()
    assert semaphore.acquire(timeout=0) is True


@conformance("S29")
def test_killed_waiters_take_nothing(name: str) -> None:
    """S29: the value stays, and releasing and acquiring go on working."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    for _ in range(5):
        with Script("say(1); NamedSemaphore(name).acquire()", name) as waiter:
            waiter.expect("1")
            wait_until_asleep(waiter.pid)
        assert semaphore.value == 0
    for _ in range(100):
        semaphore.release()
        assert semaphore.value == 1
        assert semaphore.acquire(timeout=0) is True
    waiting = Background(lambda: semaphore.acquire(timeout=20))
    waiting.wait_until_asleep()
    semaphore.release()
    assert waiting.result() is True


def test_two_names_do_not_meet(name: str) -> None:
    other = name + "-other"
    with removed(other):
        one, two = SEMAPHORE.create(name), SEMAPHORE.create(other)
        one.release()
        assert (one.value, two.value) == (4, 3)
