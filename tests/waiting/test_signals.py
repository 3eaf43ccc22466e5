"""Signals during waits, as PEP 475 has it (contract 5.4)."""

import signal
from typing import Any

import pytest
from support.checks import conformance
from support.interrupted import HANDLES
from support.kinds import CHANNEL, LOCK, PERMITS, QUEUE, SEMAPHORE, Kind
from support.scripts import Script, run
from support.waits import wait_until_asleep

pytestmark = pytest.mark.usefixtures("objects")

# A wait that finds nothing, its timeout left open; and what would end it.
WAITS = {
    "acquire": ("semaphore.acquire(timeout={})", "semaphore.release()", "True"),
    "receive": ("queue.receive({})", "queue.send(b'x')", "(b'x', 0)"),
    "send": ("full.send(b'y', {})", "full.receive()", "True"),
    "channel receive": ("channel.receive({})", "channel.send(b'x')", "(b'x', 0)"),
    "channel send": ("full_channel.send(b'y', {})", "full_channel.receive()", "True"),
    "lock": ("lock.acquire(timeout={})", "lock.release()", "True"),
    "permits": ("permits.acquire(timeout={})", "permits.release()", "True"),
}
each_wait = pytest.mark.parametrize("wait", WAITS)
each_timeout = pytest.mark.parametrize("timeout", ["None", "1000", "float('inf')"])
each_restart = pytest.mark.parametrize("interrupt", [True, False], ids=["eintr", "restart"])


@conformance("S18", "M32")
@each_wait
@each_restart
def test_the_wait_goes_on_with_the_rest_of_its_time(name: str, wait: str, interrupt: bool) -> None:
    """S18, M32: under a timer of 20 ms, for neither less nor for ever. Late signals merge."""
    code = f"""
signal.signal(signal.SIGALRM, handler)
signal.siginterrupt(signal.SIGALRM, {interrupt})
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
start = time.monotonic_ns()
assert not {WAITS[wait][0].format(0.45)}
took = time.monotonic_ns() - start
# The interpreter takes its handlers away before it ends.
signal.setitimer(signal.ITIMER_REAL, 0)
assert took >= 450_000_000, took
assert count >= 2, count
"""
    assert run(HANDLES + code, name) == (0, "")


@conformance("S18", "M32")
@each_wait
@each_timeout
def test_handlers_run_and_the_wait_still_ends(
    objects: dict[Kind, Any], name: str, wait: str, timeout: str
) -> None:
    """S18, M32: each signal is handled while the wait lasts; then it is served."""
    call, _, answer = WAITS[wait]
    code = f"""
signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
say("ready")
say({call.format(timeout)})
"""
    with Script(HANDLES + code, name) as script:
        script.expect("ready")
        for _ in range(3):
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("handled")
        wait_until_asleep(script.pid)
        serve(objects, name, wait)
        script.expect(answer)
        script.finish()


def serve(objects: dict[Kind, Any], name: str, wait: str) -> None:
    if wait == "acquire":
        SEMAPHORE.open(name).release()
    elif wait == "lock":
        objects[LOCK].release()
    elif wait == "permits":
        objects[PERMITS].release()
    else:
        kind = CHANNEL if "channel" in wait else QUEUE
        if wait.endswith("receive"):
            kind.open(name).send(b"x")
        else:
            kind.open(name + "-full").receive()


@conformance("S19", "M34", "C41")
@each_wait
@each_timeout
@each_restart
def test_what_a_handler_raises_comes_out(
    name: str, wait: str, timeout: str, interrupt: bool
) -> None:
    """S19, M34: and nothing was taken or sent."""
    code = f"""
signal.signal(signal.SIGUSR1, fail)
signal.siginterrupt(signal.SIGUSR1, {interrupt})
for _ in range(2):
    say("ready")
    try:
        {WAITS[wait][0].format(timeout)}
    except KeyError:
        say("raised")
say(semaphore.value, queue.current_messages, channel.current_messages)
for each in full, full_channel:
    say(each.receive(0), each.receive(0))
say(lock.held, lock.locked(), len(permits.holders), os.getpid() in permits.holders)
"""
    with Script(HANDLES + code, name) as script:
        for _ in range(2):
            script.expect("ready")
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("raised")
        script.expect("0 0 0")
        for _ in range(2):
            script.expect("(b'x', 0) None")
        script.expect("False True 1 False")
        script.finish()


@conformance("S19", "C41")
def test_ctrl_c_on_entering_a_block(name: str) -> None:
    """S19, C41: the block is not entered, and nothing is released."""
    code = """
say("ready")
try:
    with semaphore:
        say("entered")
except KeyboardInterrupt:
    say("interrupted", semaphore.value)
"""
    with Script(HANDLES + code, name) as script:
        script.expect("ready")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGINT)
        script.expect("interrupted 0")
        script.finish()


@conformance("S20")
@each_wait
@each_timeout
def test_a_handler_ends_the_wait_it_interrupts(name: str, wait: str, timeout: str) -> None:
    """S20: by releasing, sending, receiving through the very handle."""
    call, served, answer = WAITS[wait]
    # These are held by the very handle that waits.
    code = f"""
lock, permits = NamedLock(None, CREATE), NamedBoundedSemaphore(None, 1, CREATE)
assert lock.acquire() and permits.acquire()
signal.signal(signal.SIGUSR1, lambda *_: {served})
say("ready")
say({call.format(timeout)})
"""
    with Script(HANDLES + code, name) as script:
        script.expect("ready")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGUSR1)
        script.expect(answer)
        script.finish()


@conformance("C44")
@each_wait
def test_signals_leave_waits_of_other_threads_alone(name: str, wait: str) -> None:
    """C44: the handler runs in the main thread; the others wait on, for all of their time."""
    code = f"""
signal.signal(signal.SIGUSR1, handler)
def waits():
    start = time.monotonic_ns()
    assert not {WAITS[wait][0].format(0.3)}
    assert time.monotonic_ns() - start >= 300_000_000
thread = threading.Thread(target=waits)
thread.start()
while thread.is_alive():
    try:
        signal.pthread_kill(thread.ident, signal.SIGUSR1)
    except ProcessLookupError:
        break
    time.sleep(0.001)
thread.join()
assert count > 10, count
"""
    assert run(HANDLES + code, name) == (0, "")


@pytest.mark.parametrize(
    "call",
    [
        "semaphore.acquire()",
        "queue.receive()",
        "queue.receive(60)",
        "channel.receive()",
        "channel.receive(60)",
        "lock.acquire()",
        "permits.acquire(timeout=60)",
    ],
)
def test_handles_in_signal_handlers(objects: dict[Kind, Any], name: str, call: str) -> None:
    """A handler opens, uses and drops objects of its own in the middle of a wait."""
    code = f"""
def handler(*_):
    for kind, more in ((NamedSemaphore, dict()), (NamedSharedMemory, dict(size=9)),
                       (NamedMessageQueue, dict(max_messages=1, max_message_size=1)),
                       (NamedChannel, dict(max_messages=1, max_message_size=1)),
                       (NamedLock, dict()), (NamedBoundedSemaphore, dict())):
        mine = kind(name + "-handler", handle_existence=CREATE, **more)
        if kind in (NamedLock, NamedBoundedSemaphore):
            with mine: pass
        del mine
        assert not lock.acquire(timeout=0.001)
        assert not permits.acquire(timeout=0.001)
        assert not semaphore.acquire(timeout=0.001)
        assert not queue.receive(0.001)
        assert not channel.receive(0.001)
    say("handled")
signal.signal(signal.SIGUSR1, handler)
say("ready")
{call}
say("served")
"""
    with Script(HANDLES + code, name) as script:
        script.expect("ready")
        for _ in range(3):
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("handled")
        what, method = call.partition("(")[0].split(".")
        waits = {"semaphore": "acquire", "queue": method, "channel": f"channel {method}"}
        serve(objects, name, waits.get(what, what))
        script.expect("served")
        script.finish()
