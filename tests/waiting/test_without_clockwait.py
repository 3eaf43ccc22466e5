"""Waiting for a semaphore with a glibc of before 2.30 (contract 12): the look-up finds nothing."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.kinds import SEMAPHORE
from support.scripts import Script
from support.waits import wait_until_asleep


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How a script is started so that it does not find the function."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    source = Path(__file__).parents[1] / "support" / "no_clockwait.c"
    library = tmp_path_factory.mktemp("c") / "no_clockwait.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *flags, "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return {"env": os.environ | {"LD_PRELOAD": str(library)}}


def finish(script: Script) -> None:
    """It ended well, and one look-up was made, in vain."""
    _, errors = script.process.communicate(timeout=60)
    assert (script.process.returncode, errors) == (0, b"hidden\n")


def test_a_wait_never_ends_early(name: str, old: dict[str, Any]) -> None:
    code = """
semaphore = NamedSemaphore(name, 0, CREATE)
for timeout in (1e-9, 0.001, 0.1, 0.5):
    start = time.monotonic_ns()
    assert semaphore.acquire(timeout=timeout) is False
    assert time.monotonic_ns() - start >= timeout * 1e9
semaphore.release(2)
assert semaphore.acquire(timeout=5e-324) and semaphore.acquire() and semaphore.value == 0
"""
    with Script(code, name, **old) as script:
        finish(script)


@pytest.mark.parametrize("timeout", [None, 1e10])
def test_releases_of_others_wake_it(name: str, timeout: float | None, old: dict[str, Any]) -> None:
    """And its own wake them."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    code = f"""
semaphore = NamedSemaphore(name)
for _ in range(2):
    say("waits", semaphore.acquire(timeout={timeout}))
hear()
semaphore.release()
"""
    with Script(code, name, **old) as script:
        for release in (semaphore.release, lambda: semaphore.release(1)):
            wait_until_asleep(script.pid)
            release()
            script.expect("waits True")
        assert semaphore.value == 0
        script.say("go on")
        assert semaphore.acquire(timeout=60)
        finish(script)


def test_signals_are_served(name: str, old: dict[str, Any]) -> None:
    """A handler runs during the wait, which goes on with its time; what it raises ends the wait."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    code = """
def handler(number, frame):
    say("handled")
    if number == signal.SIGUSR2:
        raise ZeroDivisionError
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGUSR2, handler)
semaphore = NamedSemaphore(name)
say("ready")
try:
    semaphore.acquire(timeout=60)
except ZeroDivisionError:
    say("raised")
"""
    with Script(code, name, **old) as script:
        script.expect("ready")
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            wait_until_asleep(script.pid)
            script.process.send_signal(number)
            script.expect("handled")
        script.expect("raised")
        finish(script)
    start = time.monotonic_ns()
    assert semaphore.acquire(timeout=0.01) is False
    assert time.monotonic_ns() - start >= 1e7
