"""release(n), which is one step (contract 6)."""

import os
import signal
import time
from typing import Any

import pytest
from support.checks import eventually, rounds
from support.kinds import SEM_VALUE_MAX, SEMAPHORE
from support.tally import counting
from support.waits import Background

from nob.ipc import NamedSemaphore


def test_as_many_as_there_can_be(name: str) -> None:
    """At once: nothing waits for it, and no signal has to end it."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)
    semaphore.release(SEM_VALUE_MAX)
    assert semaphore.value == SEM_VALUE_MAX
    for count in (1, 2, SEM_VALUE_MAX, 1 << 40):
        with pytest.raises(OverflowError):
            semaphore.release(count)
        assert semaphore.value == SEM_VALUE_MAX


def test_it_wakes_as_many(name: str) -> None:
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)
    waiting = [Background(semaphore.acquire) for _ in range(5)]
    for each in waiting:
        each.wait_until_asleep()
    semaphore.release(3)
    eventually(lambda: sum(not each.is_running() for each in waiting) == 3, "three permits")
    assert semaphore.value == 0
    semaphore.release(2)
    assert all(each.result() for each in waiting)
    assert semaphore.value == 0


def test_nobody_passes_the_maximum(name: str) -> None:
    """Of those that release at the same time each one gives all or nothing."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)
    step = SEM_VALUE_MAX // 10 + 1
    for _ in counting(rounds(20)):
        children = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                given = 0
                for _ in range(5):
                    try:
                        semaphore.release(step)
                        given += 1
                    except OverflowError:
                        pass
                os._exit(given)
            children.append(pid)
        given = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
        assert given == SEM_VALUE_MAX // step
        assert semaphore.value == given * step
        semaphore.unlink()
        semaphore = SEMAPHORE.create(name, initial_value=0)


def release_until_interrupted(semaphore: NamedSemaphore) -> None:
    while semaphore.value < SEM_VALUE_MAX - 1000:
        semaphore.release(1000)
    time.sleep(60)


def test_a_signal_amid_many_releases(name: str) -> None:
    """What the handler raises is raised at once, and no release was made in part."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)

    def handler(*_: object) -> None:
        raise InterruptedError("the handler")

    old: Any = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError, match="the handler"):
            release_until_interrupted(semaphore)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert semaphore.value % 1000 == 0
