"""What belongs to the whole process is left to the program (contract 5.7)."""

import pytest
from support.kinds import Kind
from support.scripts import run

WAKEUP = """
import socket
reading, writing = socket.socketpair()
reading.setblocking(False)
writing.setblocking(False)
"""


@pytest.mark.parametrize(
    "wait",
    [
        "queue.receive()",
        "channel.receive()",
        "semaphore.acquire()",
        "lock.acquire()",
        "permits.acquire()",
    ],
)
def test_every_signal_reaches_the_wakeup_descriptor(name: str, wait: str) -> None:
    """Also in pairs, the second just as the wait notices the first."""
    code = f"""
SENT = 4000
# It has room for them all, should the handler come late: each takes a byte.
reading, writing = os.pipe2(os.O_NONBLOCK)
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
channel = NamedChannel(name, 1, 16, handle_existence=CREATE)
semaphore = NamedSemaphore(name, 0, CREATE)
lock, permits = NamedLock(name, CREATE), NamedBoundedSemaphore(name, 1, CREATE)
# A list, because the handler can interrupt itself.
received = []
def take(*_):
    try:
        while True:
            received.append(os.read(reading, 1 << 16))
    except BlockingIOError:
        pass
signal.signal(signal.SIGRTMIN, take)
signal.set_wakeup_fd(writing)
process = os.getpid()
is_held, held = os.pipe()
if os.fork() == 0:
    signal.set_wakeup_fd(-1)
    assert lock.acquire() and permits.acquire()
    os.write(held, b"x")
    time.sleep(0.1)
    for number in range(SENT // 2):
        # Real-time signals are queued: each one writes its byte.
        os.kill(process, signal.SIGRTMIN)
        end = time.perf_counter() + number % 100 * 1e-6
        while time.perf_counter() < end:
            pass
        os.kill(process, signal.SIGRTMIN)
        time.sleep(0.0005)
    time.sleep(0.1)
    semaphore.release()
    queue.send(b"done")
    channel.send(b"done")
    # What it holds it gives up.
    os._exit(0)
os.read(is_held, 1)
assert {wait}
os.wait()
take()
assert len(b"".join(received)) == SENT, len(b"".join(received))
assert signal.set_wakeup_fd(-1) == writing
"""
    assert run(code, name) == (0, "")


def test_a_full_wakeup_descriptor_is_no_news(message_kind: Kind, name: str) -> None:
    """The program has asked for no warning; so there is none, before the wait and after it."""
    code = f"""{WAKEUP}
queue = {message_kind.class_name}(name, 1, 16, handle_existence=CREATE)
try:
    while True:
        writing.send(bytes(100))
except BlockingIOError:
    pass
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
signal.raise_signal(signal.SIGUSR1)
assert queue.receive(0.5) is None
if os.fork() == 0:
    signal.set_wakeup_fd(-1)
    time.sleep(0.1)
    queue.send(b"x")
    os._exit(0)
assert queue.receive()
signal.raise_signal(signal.SIGUSR1)
"""
    assert run(code, name) == (0, "")


THREADS = {
    "no thread": "started = lambda: len(os.listdir('/proc/self/task')) == 1",
    "a wait in asyncio": """
import asyncio
async def wait():
    global waits
    waits = asyncio.create_task(semaphore.acquire_async())
    await asyncio.sleep(0.05)
loop = asyncio.new_event_loop()
loop.run_until_complete(wait())
started = lambda: len(os.listdir("/proc/self/task")) == 2
""",
    "a descriptor of a channel": """
channel = NamedChannel(name, handle_existence=CREATE)
channel.fileno()
started = lambda: len(os.listdir("/proc/self/task")) == 2
""",
    "a notification": """
assert queue.request_notification((print, None))
started = lambda: len(os.listdir("/proc/self/task")) == 2
""",
    "a notification of posix_ipc": """
from nob import posix_ipc
other = posix_ipc.MessageQueue(name)
other.request_notification((print, None))
started = lambda: len(os.listdir("/proc/self/task")) == 2
""",
}


@pytest.mark.parametrize("thread", THREADS)
def test_signals_are_the_programs_to_take(name: str, thread: str) -> None:
    """It blocks them in its only thread, and takes them when it likes: no thread of ours does."""
    code = f"""
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
semaphore = NamedSemaphore(name, 0, CREATE)
{THREADS[thread]}
assert started()
taken = signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGRTMAX
before = signal.pthread_sigmask(signal.SIG_BLOCK, taken)
assert before == set(), before
for number in taken:
    os.kill(os.getpid(), number)
    time.sleep(0.01)
    assert signal.sigtimedwait([number], 0).si_signo == number
os._exit(0)
"""
    assert run(code, name) == (0, "")


def test_a_notification_runs_with_the_programs_signals(name: str) -> None:
    """What the thread blocked while it waited is not blocked for what it calls and starts."""
    code = """
import subprocess
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
done = threading.Event()
def call(_):
    global mask, blocked
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    blocked = [line for line in status.splitlines() if line.startswith("SigBlk")]
    done.set()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
assert queue.request_notification((call, None))
queue.send(b"x")
assert done.wait(30)
assert mask == {signal.SIGUSR2}, mask
assert blocked == ["SigBlk:\\t0000000000000800"], blocked
"""
    assert run(code, name) == (0, "")
