"""Waiting for a semaphore: how long, on which clock, and beside other threads (contract 5)."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.checks import conformance, rounds
from support.kinds import SEGMENT, SEMAPHORE
from support.scripts import PRELUDE, Script
from support.waits import Background, wait_until_asleep

WAITER = """
semaphore = NamedSemaphore(name)
say("ready")
say(semaphore.acquire())
"""


@conformance("S10")
def test_acquire_waits_for_a_release(name: str) -> None:
    """S10: of another process, of another thread."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    with Script(WAITER, name) as process:
        process.expect("ready")
        thread = Background(semaphore.acquire)
        thread.wait_until_asleep()
        wait_until_asleep(process.pid)
        semaphore.release()
        semaphore.release()
        assert thread.result() is True
        process.expect("True")
        process.finish()
    assert semaphore.value == 0


@conformance("S10")
def test_each_release_wakes_one(name: str) -> None:
    """S10: as many waiters end as permits were released, and the others go on waiting."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    waiters = [Background(lambda: semaphore.acquire(timeout=20)) for _ in range(4)]
    for waiter in waiters:
        waiter.wait_until_asleep()
    semaphore.release(3)
    deadline = time.monotonic() + 20
    while sum(waiter.is_running() for waiter in waiters) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.05)
    assert sum(waiter.is_running() for waiter in waiters) == 1
    semaphore.release()
    assert all(waiter.result() for waiter in waiters)
    assert semaphore.value == 0


@conformance("S11")
@pytest.mark.parametrize("timeout", [1e-9, 0.001, 0.0502, 0.05, 0.1, 0.5])
def test_a_wait_never_ends_early(name: str, timeout: float) -> None:
    """S11: on the monotonic clock, also past the 0.4 s after which it checks for signals."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    for _ in range(10 if timeout < 0.01 else 2):
        start = time.monotonic_ns()
        assert semaphore.acquire(timeout=timeout) is False
        assert time.monotonic_ns() - start >= timeout * 1e9


@conformance("S12", "S14")
@pytest.mark.parametrize("timeout", [0, 0.0, -0.0])
def test_timeout_zero_does_not_wait(name: str, timeout: float) -> None:
    """S12, S14: nothing there is False at once; something there is taken."""
    semaphore = SEMAPHORE.create(name, initial_value=1)
    assert semaphore.acquire(timeout=timeout) is True
    for _ in range(100):
        assert semaphore.acquire(timeout=timeout) is False


@conformance("S13")
def test_what_is_there_is_taken_though_time_is_over(name: str) -> None:
    """S13: with the smallest timeout there is, always."""
    semaphore = SEMAPHORE.create(name, initial_value=1000)
    for left in range(999, -1, -1):
        assert semaphore.acquire(timeout=5e-324) is True
        assert semaphore.value == left


@conformance("S12", "S15")
@pytest.mark.parametrize("timeout", ["None", "10**400", "float('inf')", "1e18", "2**63", "1e10"])
def test_very_long_waits(name: str, timeout: str) -> None:
    """S12, S15: they wait, and end by a release."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    with Script(f"say(1); say(NamedSemaphore(name).acquire(timeout={timeout}))", name) as waiter:
        waiter.expect("1")
        wait_until_asleep(waiter.pid)
        semaphore.release()
        waiter.expect("True")
        waiter.finish()


@conformance("S16")
def test_waits_use_the_monotonic_clock(name: str, tmp_path: Path) -> None:
    """S16: the kernel is asked for a wait that a step of the wall clock cannot change."""
    log = tmp_path / "log"
    code = PRELUDE + (
        "semaphore = NamedSemaphore(name, 0, CREATE)\nassert not semaphore.acquire(timeout=0.05)"
    )
    trace = ["strace", "-f", "-o", str(log), "-e", "trace=futex"]
    try:
        subprocess.run([*trace, sys.executable, "-c", code, name], check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    shared = [
        line
        for line in log.read_text().splitlines()
        if "FUTEX_WAIT" in line and "PRIVATE" not in line
    ]
    assert shared, "there was a wait"
    assert not any("CLOCK_REALTIME" in line for line in shared)
    assert all("FUTEX_WAIT_BITSET" in line for line in shared)


@conformance("C39")
def test_other_threads_run_during_a_wait(name: str) -> None:
    """C39: a second thread counts on."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    count, stop = 0, threading.Event()

    def counts() -> int:
        nonlocal count
        while not stop.is_set():
            count += 1
        return count

    counter = Background(counts)
    before = count
    assert semaphore.acquire(timeout=0.2) is False
    after = count
    stop.set()
    counter.result()
    assert after - before > 1000


@conformance("C39")
def test_waits_of_many_threads_on_one_handle(name: str) -> None:
    """A handle is no bottleneck: sixteen threads wait on it at once, for their own time each."""
    semaphore = SEMAPHORE.create(name, initial_value=0)

    def wait(timeout: float) -> float:
        start = time.monotonic()
        assert semaphore.acquire(timeout=timeout) is False
        return time.monotonic() - start - timeout

    waiters = [Background(lambda index=index: wait(0.01 * index)) for index in range(1, 17)]
    assert all(waiter.result() >= 0 for waiter in waiters)
    assert semaphore.value == 0


@conformance("S30")
def test_permits_are_neither_lost_nor_made(name: str) -> None:
    """A short mutex campaign: two threads here and two processes there, one counter."""
    semaphore = SEMAPHORE.create(name, initial_value=1)
    number = rounds(2000)
    code = f"""
semaphore, memory = NamedSemaphore(name), NamedSharedMemory(name).mmap()
say("ready"); hear()
for _ in range({number}):
    with semaphore:
        memory[:8] = (int.from_bytes(memory[:8], "little") + 1).to_bytes(8, "little")
"""
    segment = SEGMENT.create(name)
    memory = segment.mmap()

    def count() -> None:
        for _ in range(number):
            with semaphore:
                memory[:8] = (int.from_bytes(memory[:8], "little") + 1).to_bytes(8, "little")

    with Script(code, name) as one, Script(code, name) as two:
        for process in (one, two):
            process.expect("ready")
        for process in (one, two):
            process.say("go")
        for thread in [Background(count), Background(count)]:
            thread.result()
        one.finish()
        two.finish()
    assert int.from_bytes(memory[:8], "little") == 4 * number
    assert semaphore.value == 1
    memory.close()


@conformance("C31")
def test_unlinking_does_not_wait_for_waiters(name: str) -> None:
    """C31: it returns at once, and the waiter goes on waiting for the object it has."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    with Script(WAITER, name) as process:
        process.expect("ready")
        wait_until_asleep(process.pid)
        semaphore.unlink()
        assert not SEMAPHORE.exists(name)
        wait_until_asleep(process.pid)
        semaphore.release()
        process.expect("True")
        process.finish()


def test_a_stopped_waiter_goes_on(name: str) -> None:
    """SIGSTOP and SIGCONT in the middle of a wait change nothing."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    with Script(WAITER, name) as process:
        process.expect("ready")
        wait_until_asleep(process.pid)
        for _ in range(5):
            process.process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)
            process.process.send_signal(signal.SIGCONT)
        wait_until_asleep(process.pid)
        semaphore.release()
        process.expect("True")
        process.finish()
