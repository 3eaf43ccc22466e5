"""Daemon threads that are in a call, or in Python code that it runs, when the interpreter ends."""

import subprocess
import sys

import pytest
from support.kinds import KINDS, removed
from support.scripts import Script

SETUP = """
import asyncio, mmap, pickle, warnings
from nob import posix_ipc
from nob.ipc import list_objects

semaphore = NamedSemaphore(name, 0, CREATE)
segment = NamedSharedMemory(name, 4096, handle_existence=CREATE)
queue = NamedMessageQueue(name, 2, 64, handle_existence=CREATE)
channel = NamedChannel(name, 2, 64, handle_existence=CREATE)
large_channel = NamedChannel(None, handle_existence=CREATE)
lock = NamedLock(name, CREATE)
permits = NamedBoundedSemaphore(name, 1, CREATE)
held, held_permits = NamedLock(name), NamedBoundedSemaphore(name)
posix_semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX)
posix_semaphore.unlink()
posix_queue = posix_ipc.MessageQueue(None, posix_ipc.O_CREX, 0o600, 1, 64)
posix_queue.unlink()

def pause():
    time.sleep(0.03)

class Slow:
    def __init__(self, value=0): self.value = value
    def __index__(self): pause(); return self.value
    def __float__(self): pause(); return float(self.value)
    def __bool__(self): pause(); return True
    def __repr__(self): pause(); return "slow"
    def __buffer__(self, flags): pause(); return memoryview(b"x")

class Strange:
    def __repr__(self): pause(); return "strange"

class Deleting(NamedSemaphore):
    def __del__(self): pause()

class DeletingLock(NamedLock):
    def __del__(self): pause()

def warned_of_a_lock():
    warnings.simplefilter("always")
    warnings.showwarning = lambda *_, **__: pause()
    holding = NamedLock(name)
    holding.acquire(False)
    holding.close()

def slowly():
    while True:
        yield b"x"
        pause()

def notified():
    queue.request_notification((lambda _: pause(), None))
    queue.send(b"x", 0)
    pause()
    queue.receive(0)

shared = posix_ipc.SharedMemory(name + "-posix", posix_ipc.O_CREX, size=8192)
mapped = mmap.mmap(shared.fd, 8192)
def warned():
    warnings.simplefilter("always")
    warnings.showwarning = lambda *_, **__: pause()
    posix_ipc.SharedMemory(shared.name, 0, size=100)
    # It is mapped, so it was not made smaller, and the warning said so.
    assert shared.size == 8192

def call_again():
    while True:
        try:
            call()
        except (OSError, ValueError, RuntimeError, posix_ipc.Error):
            pass

class Late:
    def __del__(self, sleep=time.sleep):
        sleep(0.2)
"""

END = """
threading.Thread(target=call_again, daemon=True).start()
time.sleep(0.1)
sys.late = Late()
"""

# Python code that runs within a call.
PYTHON_CODE = {
    "an iterable": "queue.send_many(slowly())",
    "a buffer": "queue.send(Slow())",
    "a timeout": "queue.receive(Slow())",
    "a timeout of acquire": "semaphore.acquire(timeout=Slow())",
    "a timeout of a lock": "lock.acquire(timeout=Slow())",
    "a timeout of permits": "permits.acquire(timeout=Slow())",
    "a bound": "NamedBoundedSemaphore(None, Slow(1), CREATE)",
    "a mode of a lock": "NamedLock(None, CREATE, mode=Slow(0o600))",
    "__del__ of a lock": "DeletingLock(None, handle_existence=CREATE)",
    "a warning of a lock": "warned_of_a_lock()",
    "an initial value": "NamedSemaphore(None, Slow(), CREATE)",
    "a mode": "NamedSharedMemory(None, 9, handle_existence=CREATE, mode=Slow(0o600))",
    "a number of permits": "semaphore.release(Slow(1))",
    "a size": "segment.resize(Slow(4096))",
    "a number of messages": "queue.receive_many(Slow(1), 0)",
    "an iterable for a channel": "channel.send_many(slowly())",
    "a buffer for a channel": "channel.send(Slow())",
    "a timeout of a channel": "channel.receive(Slow())",
    "a number of messages of a channel": "channel.receive_many(Slow(1), 0)",
    "a capacity": "NamedChannel(None, capacity=Slow(4096), handle_existence=CREATE)",
    "a signal": "queue.request_notification(Slow(10))",
    "an error's text": "queue.receive(Strange())",
    "__del__": "Deleting(None, handle_existence=CREATE)",
    "a notification": "notified()",
    "a warning": "warned()",
    "a truth value": "posix_ipc.SharedMemory(None, posix_ipc.O_CREX, size=9, read_only=Slow())",
    "flags": "posix_ipc.Semaphore(name, Slow())",
    "a timeout of posix_ipc": "posix_queue.receive(Slow())",
}

# Calls that give up the GIL, or import.
CALLS = {
    "acquire": "semaphore.acquire()",
    "acquire, briefly": "semaphore.acquire(timeout=0.001)",
    "with": "\n    with semaphore: pass",
    "a lock, held": "(held.acquire(), lock.acquire())",
    "a lock, held, briefly": "(held.acquire(False), lock.acquire(timeout=0.001))",
    "permits, held": "(held_permits.acquire(), permits.acquire())",
    "permits, held, briefly": "(held_permits.acquire(False), permits.acquire(timeout=0.001))",
    "with a lock": "\n    with lock, permits: pass",
    "a lock's acquire_async": "asyncio.run(lock.acquire_async(0.001))",
    "receive": "queue.receive()",
    "receive, briefly": "queue.receive(0.001)",
    "receive_many": "queue.receive_many(timeout=0.001)",
    "send, briefly": "queue.send(b'x', 0.001)",
    "a channel's receive": "channel.receive()",
    "a channel's receive, briefly": "channel.receive(0.001)",
    "a channel's receive_into": "channel.receive_into(bytearray(64))",
    "a channel's receive_many": "channel.receive_many(timeout=0.001)",
    "a channel's send, briefly": "channel.send(b'x', 0.001)",
    "large messages": "(large_channel.send(bytes(900_000)), large_channel.receive())",
    "a channel's fileno": "NamedChannel(name).fileno()",
    "posix_ipc's acquire": "posix_semaphore.acquire(0.001)",
    "posix_ipc's receive": "posix_queue.receive()",
    "fast calls": "(semaphore.release(), semaphore.acquire())",
    "mmap": "segment.mmap().close()",
    "resize": "(segment.resize(1 << 22), segment.resize(4096))",
    "request_notification": "queue.request_notification((print, None))",
    "pickling": "pickle.loads(pickle.dumps(semaphore))",
    "acquire_async": "asyncio.run(semaphore.acquire_async())",
    "receive_async": "asyncio.run(queue.receive_async())",
    "a channel's receive_async": "asyncio.run(channel.receive_async())",
    "a channel's send_async": "asyncio.run(channel.send_async(b'x', 0.001))",
    "list_objects": "list_objects()",
    "a semaphore": "NamedSemaphore(None, 1, CREATE)",
    "a segment": "NamedSharedMemory(None, 100_000, handle_existence=CREATE)",
    "a lock": "NamedLock(None, CREATE)",
    "permits": "NamedBoundedSemaphore(None, 1, CREATE)",
    "a shared lock": "NamedLock(name + '-shared', Flags.LINK_OR_CREATE)",
    "a queue": "NamedMessageQueue(None, 1, 10, handle_existence=CREATE)",
    "a channel": "NamedChannel(None, handle_existence=CREATE)",
    "a shared channel": "NamedChannel(name + '-shared', handle_existence=Flags.LINK_OR_CREATE)",
    "a shared semaphore": "NamedSemaphore(name + '-shared', 1, Flags.LINK_OR_CREATE)",
}


@pytest.mark.parametrize("calls", [PYTHON_CODE, CALLS], ids=["in Python code", "in a call"])
def test_the_interpreter_ends_as_without_them(name: str, calls: dict[str, str]) -> None:
    """It ends with status 0, says nothing, and the names go."""
    names = [f"{name}-{number}" for number in range(len(calls))]
    others = [each + more for each in names for more in ("-shared", "-posix")]
    with removed(*names, *others):
        scripts = [
            Script(f"{SETUP}\ndef call():\n    {call}\n{END}", each)
            for each, call in zip(names, calls.values(), strict=True)
        ]
        ends = dict(zip(calls, [script.end() for script in scripts], strict=True))
        left = [each for each in names if any(kind.exists(each) for kind in KINDS)]
    assert ends == dict.fromkeys(calls, (0, ""))
    assert left == []


JOB = """
import atexit, queue, sys, threading
jobs = queue.Queue()
def work():
    while True:
        jobs.get()()
        jobs.task_done()
threading.Thread(target=work, daemon=True).start()
kept = []
def job():
    from nob.ipc import Flags, NamedChannel, NamedLock, NamedMessageQueue, NamedSemaphore
    from nob.ipc import NamedSharedMemory
    name, create = sys.argv[1], Flags.RAISE_IF_EXISTS
    semaphore = NamedSemaphore(name, 0, create)
    assert not semaphore.acquire(timeout=0.01)
    segment = NamedSharedMemory(name, 9, handle_existence=create)
    segment.resize(1 << 20)
    segment.mmap().close()
    messages = NamedMessageQueue(name, 2, 16, handle_existence=create)
    assert not messages.receive(0.01)
    channel = NamedChannel(name, 2, 16, handle_existence=create)
    assert channel.fileno() and not channel.receive(0.01)
    lock = NamedLock(name, create)
    assert lock.acquire() and not lock.acquire(timeout=0.01)
    kept.extend((semaphore, segment, messages, channel, lock))
def flush():
    jobs.put(job)
    jobs.join()
    print("flushed", flush=True)
"""
REGISTER = "atexit.register(flush)\n"
IMPORT = "import nob.ipc\n"


@pytest.mark.parametrize("order", [REGISTER + IMPORT, IMPORT + REGISTER], ids=["before", "after"])
def test_an_exit_function_waits_for_one(name: str, order: str) -> None:
    """Nothing is over as long as exit functions run; what is made then goes as well."""
    command = [sys.executable, "-c", JOB + order, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "flushed\n", "")
    assert not any(kind.exists(name) for kind in KINDS)
