"""Waits of the stand-in for posix_ipc: timeouts, signals, notifications."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.checks import WATCHDOG, eventually
from support.faces import QUEUES, SEMAPHORES
from support.scripts import PRELUDE, Script
from support.waits import Background, wait_until_asleep

from nob import posix_ipc
from nob.posix_ipc import MessageQueue, Semaphore

HANDLES = """
from nob import posix_ipc
semaphore, queue = posix_ipc.Semaphore(name), posix_ipc.MessageQueue(name)
full = posix_ipc.MessageQueue(name + "-full")
def fail(*_):
    raise KeyError
"""
# A wait that finds nothing, its timeout left open; and what serves it.
WAITS = {
    "acquire": ("semaphore.acquire({})", lambda handles: handles[0].release()),
    "receive": ("queue.receive({})", lambda handles: handles[1].send(b"x")),
    "send": ("full.send(b'y', {})", lambda handles: handles[2].receive()),
}
each_wait = pytest.mark.parametrize("wait", WAITS)
each_timeout = pytest.mark.parametrize("timeout", ["None", "1000"])

Handles = tuple[Semaphore, MessageQueue, MessageQueue]


@pytest.fixture(autouse=True)
def handles(name: str) -> Iterator[Handles]:
    """An empty semaphore, an empty queue and a full one."""
    with (
        SEMAPHORES.made(name, initial_value=0) as semaphore,
        QUEUES.made(name) as queue,
        QUEUES.made(name + "-full", max_messages=1) as full,
    ):
        full.send(b"x")
        yield semaphore, queue, full


def calls(handles: Handles) -> list[Callable[..., Any]]:
    semaphore, queue, full = handles
    return [semaphore.acquire, queue.receive, lambda *timeout: full.send(b"y", *timeout)]


def test_a_timeout_is_not_early_and_says_what_was_busy(name: str, handles: Handles) -> None:
    def wait(call: Callable[..., Any]) -> None:
        for timeout in (0.05, 0.45, Decimal("0.02")):
            start = time.monotonic_ns()
            with pytest.raises(posix_ipc.BusyError, match=name):
                call(timeout)
            assert time.monotonic_ns() - start >= timeout * 10**9
        for timeout in (0, 0.0, False):
            with pytest.raises(posix_ipc.BusyError):
                call(timeout)

    for waiter in [Background(lambda call=call: wait(call)) for call in calls(handles)]:
        waiter.result()


def test_what_is_there_is_taken_at_once(handles: Handles) -> None:
    semaphore, queue, _ = handles
    for timeout in (0, False, True, None, 0.0, 5, math.inf):
        semaphore.release()
        assert semaphore.acquire(timeout) is None
        assert queue.send("x", timeout, 5) is None
        assert queue.receive(timeout) == (b"x", 5)


def test_what_is_no_timeout_is_refused(handles: Handles) -> None:
    for call in calls(handles):
        for timeout in (-1, -0.5, math.nan, "1", [1]):
            for error in (TypeError, ValueError):
                with pytest.raises(error, match="timeout"):
                    call(timeout)


def test_waits_use_the_monotonic_clock(name: str, tmp_path: Path) -> None:
    """A step of the wall clock cannot change them: the kernel gets no deadline of it."""
    log = tmp_path / "log"
    waits = [f"lambda: {call.format(0.05)}" for call, _ in WAITS.values()]
    code = f"""
for wait in ({", ".join(waits)}):
    try:
        wait()
    except posix_ipc.BusyError:
        pass
"""
    calls = "trace=futex,mq_timedsend,mq_timedreceive,poll,ppoll"
    command = ["strace", "-f", "-o", str(log), "-e", calls, sys.executable]
    try:
        subprocess.run([*command, "-c", PRELUDE + HANDLES + code, name], check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    lines = log.read_text().splitlines()
    slept = [line for line in lines if "FUTEX_WAIT" in line and "PRIVATE" not in line]
    assert slept, "there was a wait"
    assert not any("CLOCK_REALTIME" in line for line in slept)
    queues = [line for line in lines if "mq_timed" in line]
    assert queues
    # None of them slept: on a descriptor that never waits no time is needed to say so.
    assert all("tv_sec=0, tv_nsec=0" in line or "EAGAIN" in line for line in queues), queues


@each_wait
@each_timeout
def test_a_signal_ends_a_wait(name: str, handles: Handles, wait: str, timeout: str) -> None:
    """With SignalError, after its handler; nothing is taken or sent."""
    code = f"""
signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
for _ in range(3):
    say("ready")
    try:
        {WAITS[wait][0].format(timeout)}
    except posix_ipc.SignalError as error:
        assert "signal" in str(error), error
        say("interrupted")
say("last")
{WAITS[wait][0].format(timeout)}
say("served")
"""
    with Script(HANDLES + code, name) as script:
        for _ in range(3):
            script.expect("ready")
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("handled")
            script.expect("interrupted")
        script.expect("last")
        wait_until_asleep(script.pid)
        assert (handles[0].value, handles[1].current_messages) == (0, 0)
        assert handles[2].current_messages == 1
        WAITS[wait][1](handles)
        script.expect("served")
        script.finish()


def test_a_wait_without_signals_goes_on(name: str, handles: Handles) -> None:
    """Also past the 0.4 s after which the library checks for signals."""
    with contextlib.ExitStack() as stack:
        scripts = {}
        for wait, (call, _) in WAITS.items():
            code = f"say('ready')\n{call.format(None)}\nsay('served')"
            scripts[wait] = stack.enter_context(Script(HANDLES + code, name))
            scripts[wait].expect("ready")
            wait_until_asleep(scripts[wait].pid)
        time.sleep(0.9)
        for wait, script in scripts.items():
            WAITS[wait][1](handles)
            script.expect("served")
            script.finish()


@each_wait
def test_what_a_handler_raises_comes_out(name: str, wait: str) -> None:
    """Whatever it is, Ctrl-C among it; nothing is taken or sent."""
    code = f"""
signal.signal(signal.SIGUSR1, fail)
for error in (KeyError, KeyboardInterrupt):
    say("ready")
    try:
        {WAITS[wait][0].format(None)}
    except error:
        say("raised")
say(semaphore.value, queue.current_messages, full.receive(0))
"""
    with Script(HANDLES + code, name) as script:
        for number in (signal.SIGUSR1, signal.SIGINT):
            script.expect("ready")
            wait_until_asleep(script.pid)
            script.process.send_signal(number)
            script.expect("raised")
        script.expect("0 0 (b'x', 0)")
        script.finish()


@each_wait
def test_closing_ends_a_wait_of_another_thread(handles: Handles, wait: str) -> None:
    index = list(WAITS).index(wait)
    waiter = Background(calls(handles)[index])
    waiter.wait_until_asleep()
    handles[index].close()
    with pytest.raises(posix_ipc.ExistentialError, match="closed"):
        waiter.result()


def test_only_one_process_is_notified(name: str, handles: Handles) -> None:
    queue = handles[1]
    code = """
queue.request_notification(signal.SIGUSR1)
say("asked")
hear()
"""
    with Script(HANDLES + code, name) as script:
        script.expect("asked")
        for notification in (int(signal.SIGUSR1), (print, None)):
            with pytest.raises(posix_ipc.BusyError, match="another process"):
                queue.request_notification(notification)
        script.say("end")
        script.finish()
    eventually(lambda: not _is_busy(queue), "the end of the other request")
    queue.request_notification(None)


def _is_busy(queue: MessageQueue) -> bool:
    try:
        queue.request_notification((print, None))
    except posix_ipc.BusyError:
        return True
    return False


def test_what_is_no_notification_is_refused(handles: Handles) -> None:
    for wrong in ((print,), (print, 1, 2), (5, 6), "x", 1.5, -1, 65):
        with pytest.raises(ValueError, match="notification"):
            handles[1].request_notification(wrong)  # type: ignore[arg-type]


def test_a_notification_outlives_its_handle(name: str, handles: Handles) -> None:
    """As in posix_ipc, where a handle is closed on request only."""
    code = """
called = threading.Event()
posix_ipc.MessageQueue(name).request_notification((lambda _: called.set(), None))
say("asked")
say(called.wait(60))
"""
    with Script(HANDLES + code, name) as script:
        script.expect("asked")
        handles[1].send(b"x")
        script.expect("True")
        script.finish()


def test_what_a_callback_raises_is_told(handles: Handles, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda arguments: told.set())
    handles[1].request_notification((lambda _: 1 / 0, None))
    handles[1].send(b"x")
    assert told.wait(WATCHDOG)
