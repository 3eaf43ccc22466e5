"""Signals during waits, as PEP 475 has it (contract 5.4)."""

import shutil
import signal
import time

import pytest
from support.checks import conformance, rounds, seconds
from support.kinds import QUEUE, SEMAPHORE
from support.scripts import Script, run
from support.tally import count
from support.waits import Background, wait_until_asleep

# A wait that finds nothing, its timeout left open; and what would end it.
WAITS = {
    "acquire": ("semaphore.acquire(timeout={})", "semaphore.release()", "True"),
    "receive": ("queue.receive({})", "queue.send(b'x')", "(b'x', 0)"),
    "send": ("full.send(b'y', {})", "full.receive()", "True"),
}
HANDLES = """
semaphore, queue = NamedSemaphore(name), NamedMessageQueue(name)
full = NamedMessageQueue(name + "-full", 1, 8, handle_existence=CREATE)
full.send(b"x")
count = 0
def handler(*_):
    global count
    count += 1
def fail(*_):
    raise KeyError
"""
each_wait = pytest.mark.parametrize("wait", WAITS)
each_timeout = pytest.mark.parametrize("timeout", ["None", "1000", "float('inf')"])
each_restart = pytest.mark.parametrize("interrupt", [True, False], ids=["eintr", "restart"])


@pytest.fixture(autouse=True)
def objects(name: str):  # type: ignore[no-untyped-def]
    """An empty semaphore and an empty queue of this name."""
    handles = SEMAPHORE.create(name, initial_value=0), QUEUE.create(name)
    yield handles
    QUEUE.remove(name + "-full")
    for handle in handles:
        handle.__del__()


@conformance("S18", "M32")
@each_wait
@each_restart
def test_the_wait_goes_on_with_the_rest_of_its_time(name: str, wait: str, interrupt: bool) -> None:
    """S18, M32: under a timer of 100 ms, for neither less nor for ever."""
    code = f"""
signal.signal(signal.SIGALRM, handler)
signal.siginterrupt(signal.SIGALRM, {interrupt})
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
start = time.monotonic_ns()
assert not {WAITS[wait][0].format(0.45)}
took = time.monotonic_ns() - start
assert took >= 450_000_000, took
assert count >= 2, count
"""
    assert run(HANDLES + code, name) == (0, "")


@conformance("S18", "M32")
@each_wait
@each_timeout
def test_handlers_run_and_the_wait_still_ends(name: str, wait: str, timeout: str) -> None:
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
        serve(name, wait)
        script.expect(answer)
        script.finish()


def serve(name: str, wait: str) -> None:
    if wait == "acquire":
        SEMAPHORE.open(name).release()
    elif wait == "receive":
        QUEUE.open(name).send(b"x")
    else:
        QUEUE.open(name + "-full").receive()


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
for _ in range(3):
    say("ready")
    try:
        {WAITS[wait][0].format(timeout)}
    except KeyError:
        say("raised")
say(semaphore.value, queue.current_messages, full.receive(0), full.receive(0))
"""
    with Script(HANDLES + code, name) as script:
        for _ in range(3):
            script.expect("ready")
            wait_until_asleep(script.pid)
            script.process.send_signal(signal.SIGUSR1)
            script.expect("raised")
        script.expect("0 0 (b'x', 0) None")
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
    code = f"""
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


@pytest.mark.parametrize("wait", ["semaphore.acquire()", "queue.receive()", "queue.receive(99)"])
@each_restart
def test_a_signal_just_before_the_system_call(name: str, wait: str, interrupt: bool) -> None:
    """It is handled within 0.5 s, wherever it lands; a wait that missed it would hang."""
    code = f"""
signal.signal(signal.SIGALRM, fail)
signal.siginterrupt(signal.SIGALRM, {interrupt})
late = 0
end = time.monotonic() + {seconds(0.4, 1.5)}
microseconds = 0
while time.monotonic() < end:
    microseconds = microseconds % 120 + 1
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
        {wait}
    except KeyError:
        late = max(late, time.monotonic() - start)
    else:
        raise SystemExit("it returned")
assert (semaphore.value, queue.current_messages) == (0, 0)
assert late < 20, late
"""
    assert run(HANDLES + code, name) == (0, "")


@pytest.mark.parametrize("wait", ["semaphore.acquire()", "queue.receive()", "queue.receive(99)"])
def test_a_signal_that_no_system_call_sees(name: str, wait: str) -> None:
    """The same with certainty: the handler's note is made while the wait is already prepared.

    A thread of the process takes the signal, so that no system call of the main thread is
    interrupted; the interpreter still has a handler to run there.
    """
    code = f"""
signal.signal(signal.SIGUSR1, fail)
main = threading.get_native_id()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
def take():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    time.sleep(1000)
threading.Thread(target=take, daemon=True).start()
say("ready")
try:
    {wait}
except KeyError:
    say("raised")
"""
    with Script(HANDLES + code, name) as script:
        script.expect("ready")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGUSR1)
        script.expect("raised")
        script.finish()


@pytest.mark.parametrize("interrupt", [True, False])
def test_a_storm_of_signals(name: str, interrupt: bool) -> None:
    """A signal each millisecond: every operation works, and no wait ends early or never."""
    code = f"""
signal.signal(signal.SIGALRM, handler)
signal.siginterrupt(signal.SIGALRM, {interrupt})
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + {seconds(0.5, 1.5)}
other = name + "-storm"
flag = Flags.UNLINK_AND_CREATE
while time.monotonic() < end:
    start = time.monotonic()
    assert semaphore.acquire(timeout=0.01) is False
    assert queue.receive(0.01) is None
    assert full.send(b"y", 0.01) is False
    assert time.monotonic() - start >= 0.03
    with NamedSharedMemory(other, 3_000_000, handle_existence=flag) as segment:
        segment.resize(5_000_000)
        with segment.mmap() as memory:
            assert memory[4_999_999] == 0
        segment.unlink()
    mine = NamedSemaphore(other, 0, handle_existence=flag)
    mine.release(3)
    assert all(mine.acquire(timeout=1) for _ in range(3))
    box = NamedMessageQueue(other, 2, 8, handle_existence=flag)
    assert box.send(b"a") and box.send(b"b", 1) and box.receive() and box.receive(1)
    box.unlink()
    mine.unlink()
signal.setitimer(signal.ITIMER_REAL, 0)
assert count > 30, count
"""
    assert run(HANDLES + code, name) == (0, "")


@pytest.mark.parametrize("call", ["create", "resize", "link"])
def test_reserving_much_memory_serves_signals(name: str, call: str) -> None:
    """Contract 3.5: it goes in steps; what a handler raises takes all of it back."""
    if shutil.disk_usage("/dev/shm").free < 1_000_000_000:
        pytest.skip("/dev/shm is too small for what takes long")
    code = f"""
size = 600_000_000
kept = NamedSharedMemory(name, 64, handle_existence=CREATE)
calls = {{
    "create": lambda: NamedSharedMemory(name + "-new", size, handle_existence=CREATE),
    "resize": lambda: kept.resize(size),
    "link": lambda: NamedSharedMemory(name, size),
}}
signal.signal(signal.SIGALRM, fail)
signal.setitimer(signal.ITIMER_REAL, 0.005)
try:
    calls[{call!r}]()
except KeyError:
    assert kept.size == 64
    assert not os.path.exists("/dev/shm" + name + "-new")
    say("raised")
else:
    say("done")
"""
    with Script(HANDLES + code, name) as script:
        script.expect("raised")
        script.finish()


def test_a_storm_takes_nothing(name: str) -> None:
    """M34: a handler that raises each time: what was sent was received, once."""
    number = rounds(300)
    code = f"""
signal.signal(signal.SIGALRM, fail)
got = []
def receive():
    while len(got) < {number}:
        try:
            got.append(queue.receive(None if len(got) % 2 else 5))
        except KeyError:
            continue
signal.setitimer(signal.ITIMER_REAL, 0.0013, 0.0013)
while True:
    try:
        receive()
        signal.setitimer(signal.ITIMER_REAL, 0)
        break
    except KeyError:
        continue
say(len(got))
"""
    queue = QUEUE.open(name)
    with Script(HANDLES + code, name) as script:
        for index in range(number):
            assert queue.send(str(index), 20)
            time.sleep(0.0003)
        # An exception between two instructions can drop what was just returned (documented):
        # then the receiver waits for as many more as it has lost, which are to be few.
        answer, lost = Background(script.hear), 0
        while answer.is_running():
            if queue.current_messages == 0:
                lost += queue.send(b"more", 1)
            time.sleep(0.01)
        assert answer.result() == str(number)
        count("messages", number)
        assert lost < number / 4
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


@pytest.mark.parametrize("call", ["semaphore.acquire()", "queue.receive()", "queue.receive(60)"])
def test_handles_in_signal_handlers(name: str, call: str) -> None:
    """A handler opens, uses and drops objects of its own in the middle of a wait."""
    code = f"""
def handler(*_):
    for kind, more in ((NamedSemaphore, dict()), (NamedSharedMemory, dict(size=9)),
                       (NamedMessageQueue, dict(max_messages=1, max_message_size=1))):
        mine = kind(name + "-handler", handle_existence=CREATE, **more)
        del mine
        assert not semaphore.acquire(timeout=0.001)
        assert not queue.receive(0.001)
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
        serve(name, "acquire" if "acquire" in call else "receive")
        script.expect("served")
        script.finish()
