"""What a call does before it waits: it tries once, and `with` does it as `acquire` does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.kinds import SEM_VALUE_MAX, SEMAPHORE
from support.scripts import PRELUDE, Script
from support.waits import Background, wait_until_asleep

from nob.ipc import NamedSemaphore

CALLS = {
    "receive": ("queue.receive()", "mq_timedreceive"),
    "receive, with a timeout": ("queue.receive(0.2)", "mq_timedreceive"),
    "receive_many": ("queue.receive_many(timeout=0.2)", "mq_timedreceive"),
    "next": ("next(queue, None)", "mq_timedreceive"),
    "send": ("full.send(b'x')", "mq_timedsend"),
    "send, with a timeout": ("full.send(b'x', 0.2)", "mq_timedsend"),
    "send_many": ("full.send_many([b'x'], 0.2)", "mq_timedsend"),
}


@pytest.mark.parametrize("call", CALLS)
def test_two_system_calls_before_it_spins(name: str, tmp_path: Path, call: str) -> None:
    """It tries, and asks whether the queue blocks; what comes then are attempts of the spin."""
    expression, system_call = CALLS[call]
    log = tmp_path / "log"
    # The first wait of a process asks how many processors it has.
    code = f"""{PRELUDE}
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
full = NamedMessageQueue(None, 1, 16, handle_existence=CREATE)
full.send(b"first")
assert queue.receive(0.001) is None
signal.signal(signal.SIGALRM, lambda *_: (queue.send(b"x", 0), full.receive(0)))
signal.setitimer(signal.ITIMER_REAL, 0.1)
{expression}
"""
    trace = ["strace", "-o", str(log)]
    try:
        subprocess.run([*trace, sys.executable, "-c", code, name], check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    calls = [line.split("(")[0] for line in log.read_text().splitlines() if "(" in line]
    begin = len(calls) - 1 - calls[::-1].index("setitimer")
    assert calls[begin + 1 : begin + 4] == [system_call, "mq_getsetattr", system_call]


def test_with_waits_and_is_served(name: str) -> None:
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)

    def enter() -> tuple[Any, int]:
        with semaphore as entered:
            return entered, semaphore.value

    waiting = Background(enter)
    waiting.wait_until_asleep()
    semaphore.release()
    assert waiting.result() == (semaphore, 0)
    assert semaphore.value == 1


def test_ctrl_c_ends_a_with(name: str) -> None:
    """What it raises is raised, nothing was taken, and nothing is released."""
    code = """
semaphore = NamedSemaphore(name, 0, CREATE)
say(1)
try:
    with semaphore:
        say("inside")
except KeyboardInterrupt:
    say(semaphore.value)
"""
    with Script(code, name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.process.send_signal(2)
        script.expect("0")
        script.finish()


def test_with_passes_errors_on(name: str) -> None:
    """Those of the block, and its own."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=1)
    with pytest.raises(KeyError, match="word"), semaphore:
        raise KeyError("word")
    assert semaphore.value == 1
    with pytest.raises(OverflowError), semaphore:
        semaphore.release(SEM_VALUE_MAX)
    semaphore.close()
    with pytest.raises(ValueError, match="closed"), semaphore:
        pass
    with pytest.raises(ValueError, match="never opened"), NamedSemaphore.__new__(NamedSemaphore):
        pass


def test_the_methods_of_with_are_methods(name: str) -> None:
    """Called by hand, wrongly, on the class, and in a subclass."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=1)
    assert semaphore.__enter__() is semaphore
    assert semaphore.__exit__(None, None, None) is None
    assert NamedSemaphore.__enter__(semaphore) is semaphore
    assert NamedSemaphore.__exit__(semaphore, KeyError, KeyError(), None) is None
    assert semaphore.value == 1
    wrong: Any = semaphore
    for call in (
        lambda: wrong.__enter__(1),
        wrong.__exit__,
        lambda: wrong.__exit__(None),
        lambda: wrong.__exit__(None, None, None, None),
        lambda: wrong.__exit__(None, None, None, more=None),
        lambda: NamedSemaphore.__enter__(1),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            call()
    assert semaphore.value == 1
    assert list(inspect.signature(NamedSemaphore.__exit__).parameters) == [
        "self",
        "exc_type",
        "exc",
        "traceback",
    ]

    class Own(NamedSemaphore):
        def __enter__(self) -> Any:
            return "own", super().__enter__()

    own = Own(name)
    with own as entered:
        assert entered == ("own", own)
        assert own.value == 0
    assert own.value == 1
