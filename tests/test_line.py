"""A wait without a timeout keeps its place in the kernel's line, and still misses no signal."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import Script, wait_until_asleep, waits_in
from support import QUEUE, conformance

from nob.ipc import NamedMessageQueue

RECEIVER = "queue = NamedMessageQueue(name); say(1); message, _ = queue.receive(); say(message)"
SENDER = (
    "queue = NamedMessageQueue(name); say(1); say(queue.send(sys.argv[2], None, int(sys.argv[3])))"
)
PAUSE = 0.45
"""Longer than a wait that looks up goes on without looking up."""


@pytest.fixture
def queue(name: str) -> Iterator[NamedMessageQueue]:
    with QUEUE.create(name, max_messages=1, max_message_size=16) as queue:
        yield queue


def started(stack: contextlib.ExitStack, code: str, *arguments: object) -> Script:
    script = stack.enter_context(Script(code, *arguments))
    script.expect("1")
    wait_until_asleep(script.pid)
    return script


@conformance("M26")
def test_receivers_are_served_as_they_came(name: str, queue: NamedMessageQueue) -> None:
    with contextlib.ExitStack() as stack:
        receivers = []
        for _ in range(3):
            receivers.append(started(stack, RECEIVER, name))
            time.sleep(PAUSE)
        for number, receiver in enumerate(receivers):
            queue.send(str(number))
            receiver.expect(repr(str(number).encode()))


@conformance("M26")
def test_senders_are_served_as_they_came(name: str, queue: NamedMessageQueue) -> None:
    """M26: not by the priority of what they send."""
    queue.send("first")
    with contextlib.ExitStack() as stack:
        for priority in (0, 9, 5):
            started(stack, SENDER, name, f"of {priority}", priority)
            time.sleep(PAUSE)
        got = [queue.receive(20) for _ in range(4)]
    assert got == [(b"first", 0), (b"of 0", 0), (b"of 9", 9), (b"of 5", 5)]


def test_it_sleeps_without_looking_up(name: str, queue: NamedMessageQueue) -> None:
    with Script(RECEIVER, name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)

        def switches() -> list[str]:
            lines = Path(f"/proc/{script.pid}/status").read_text(encoding="ascii").splitlines()
            return [line for line in lines if "ctxt_switches" in line]

        # What is only worth while for a long wait is done some milliseconds after it began.
        time.sleep(PAUSE)
        before = switches()
        time.sleep(3 * PAUSE)
        assert switches() == before
        queue.send("there")
        script.expect("b'there'")


def test_a_process_with_threads_looks_up(name: str, queue: NamedMessageQueue) -> None:
    """Somebody else may close the handle there."""
    code = """
queue = NamedMessageQueue(name)
def close():
    hear()
    queue.close()
threading.Thread(target=close).start()
try:
    say(1)
    queue.receive()
except ValueError:
    say("closed")
"""
    with Script(code, name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.say("close")
        script.expect("closed")
        script.finish()


HANDLERS = {
    "waits too": "assert other.receive(0.6) is None",
    "waits in line, too": "other.send(b'x'); other.receive(); signal.alarm(1); fetch()",
    "runs a loop": "asyncio.run(asyncio.sleep(0.01))",
    "asks for the bytes": "signal.set_wakeup_fd(fd)",
    "forks": "pid = os.fork()\n    if pid == 0: os._exit(other.receive(0.6) is not None)\n"
    "    assert os.waitpid(pid, 0)[1] == 0",
}


@pytest.mark.parametrize("what", HANDLERS)
def test_a_handler_that(name: str, queue: NamedMessageQueue, what: str) -> None:
    """Whatever it does, the wait goes on, and the next signal is handled, too."""
    code = f"""
import asyncio
queue = NamedMessageQueue(name)
other = NamedMessageQueue(name + "-other", 1, 8, handle_existence=CREATE)
other.unlink()
reading, fd = os.pipe()
os.set_blocking(fd, False)
def wake(*_):
    raise KeyError
signal.signal(signal.SIGALRM, wake)
def fetch():
    try:
        other.receive()
    except KeyError:
        pass
def handler(*_):
    {HANDLERS[what]}
    say("handled")
signal.signal(signal.SIGUSR1, handler)
say(1)
message, _ = queue.receive()
say(message, signal.set_wakeup_fd(-1) in (-1, fd))
"""
    with Script(code, name) as script:
        script.expect("1")
        for _ in range(2):
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("handled")
        wait_until_asleep(script.pid)
        queue.send("there")
        script.expect("b'there' True")
        script.finish()


def test_who_asked_for_the_bytes_gets_them(name: str, queue: NamedMessageQueue) -> None:
    code = """
queue = NamedMessageQueue(name)
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
say(1)
queue.receive()
say(os.read(reading, 99), signal.set_wakeup_fd(-1) == writing)
"""
    with Script(code, name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGUSR1)
        script.expect("handled")
        queue.send("there")
        script.expect(f"{bytes([signal.SIGUSR1])} True")
        script.finish()


def test_a_child_has_a_bell_of_its_own(name: str, queue: NamedMessageQueue) -> None:
    """A signal of the child's does not disturb the parent's wait, nor the other way round."""
    code = """
queue = NamedMessageQueue(name)
def fail(*_):
    raise KeyError
signal.signal(signal.SIGALRM, fail)
signal.signal(signal.SIGUSR1, fail)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    queue.receive()
except KeyError:
    child = os.fork()
if child:
    say(child)
try:
    queue.receive()
except KeyError:
    os.write(1, b"child raised\\n" if child == 0 else b"parent raised\\n")
    os._exit(0)
"""
    with Script(code, name) as script:
        child = int(script.hear())
        for pid, line in ((child, "child raised"), (script.pid, "parent raised")):
            wait_until_asleep(script.pid)
            wait_until_asleep(pid)
            assert waits_in(script.pid) == "queue"
            os.kill(pid, signal.SIGUSR1)
            script.expect(line)
