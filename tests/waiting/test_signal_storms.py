"""Signals at the worst moment, and many of them (contract 5.4, 3.5)."""

import shutil
import signal
import time

import pytest
from support.checks import rounds, seconds
from support.interrupted import HANDLES
from support.kinds import Kind
from support.scripts import Script, run
from support.tally import count
from support.waits import Background, wait_until_asleep

pytestmark = pytest.mark.usefixtures("objects")

each_wait = pytest.mark.parametrize(
    "wait",
    [
        "semaphore.acquire()",
        "queue.receive()",
        "queue.receive(99)",
        "channel.receive()",
        "channel.receive(99)",
        "lock.acquire()",
        "lock.acquire(timeout=99)",
        "permits.acquire()",
        "permits.acquire(timeout=99)",
    ],
)
each_restart = pytest.mark.parametrize("interrupt", [True, False], ids=["eintr", "restart"])


@each_wait
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
assert (semaphore.value, queue.current_messages, channel.current_messages) == (0, 0, 0)
assert (lock.held, lock.locked(), len(permits.holders)) == (False, True, 1)
assert late < 20, late
"""
    assert run(HANDLES + code, name) == (0, "")


@each_wait
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
    assert channel.receive(0.01) is None
    assert full_channel.send(b"y", 0.01) is False
    assert lock.acquire(timeout=0.01) is False
    assert permits.acquire(timeout=0.01) is False
    assert time.monotonic() - start >= 0.07
    with NamedSharedMemory(other, 3_000_000, handle_existence=flag) as segment:
        segment.resize(5_000_000)
        with segment.mmap() as memory:
            assert memory[4_999_999] == 0
        segment.unlink()
    mine = NamedSemaphore(other, 0, handle_existence=flag)
    mine.release(3)
    assert all(mine.acquire(timeout=1) for _ in range(3))
    for cls in NamedMessageQueue, NamedChannel:
        box = cls(other, 2, 8, handle_existence=flag)
        assert box.send(b"a") and box.send(b"b", 1) and box.receive() and box.receive(1)
        box.unlink()
    locks = NamedLock(other, flag), NamedBoundedSemaphore(other, 1, flag)
    for each in locks:
        with each:
            assert not each.acquire(timeout=0.001)
        each.unlink()
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


def test_a_storm_takes_nothing(message_kind: Kind, name: str) -> None:
    """M34: a handler that raises each time: what was sent was received, once."""
    number = rounds(300)
    code = f"""
queue = {message_kind.class_name}(name)
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
    queue = message_kind.open(name)
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
