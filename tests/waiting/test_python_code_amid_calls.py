"""Python code that runs amid a call: a signal handler, `__index__`, an iterable. What the call had
found before is found anew (contract 5.8)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.kinds import (
    CHANNEL,
    KINDS,
    LOCK,
    OWNED,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    removed,
    unique,
)
from support.scripts import Script, run

from nob.ipc import Flags

# Waits of the only thread of a process.
WAITS = {
    "acquire": "semaphore.acquire()",
    "acquire, with a timeout": "semaphore.acquire(timeout=1000)",
    "with": "semaphore.__enter__()",
    "receive": "queue.receive()",
    "receive, with a timeout": "queue.receive(1000)",
    "receive_many": "queue.receive_many()",
    "send": "full.send(b'x')",
    "send, with a timeout": "full.send(b'x', 1000)",
    "send_many": "full.send_many([b'x'])",
    "channel receive": "channel.receive()",
    "channel receive, with a timeout": "channel.receive(1000)",
    "channel receive_into": "channel.receive_into(bytearray(16))",
    "channel receive_many": "channel.receive_many()",
    "channel send": "full_channel.send(b'x')",
    "channel send, with a timeout": "full_channel.send(b'x', 1000)",
    "channel send_many": "full_channel.send_many([b'x'])",
    "lock": "lock.acquire()",
    "lock, with a timeout": "lock.acquire(timeout=1000)",
    "with a lock": "lock.__enter__()",
    "permits": "permits.acquire()",
    "permits, with a timeout": "permits.acquire(timeout=1000)",
    "with permits": "permits.__enter__()",
}

IN_THREAD = "thread = threading.Thread(target={}); thread.start(); thread.join()"

# Newer Pythons warn of forking beside threads, which is done here on purpose.
OPEN = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
semaphore = NamedSemaphore(name, 0, CREATE)
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
full = NamedMessageQueue(None, 1, 16, handle_existence=CREATE)
channel = NamedChannel(name, 1, 16, handle_existence=CREATE)
full_channel = NamedChannel(None, 1, 16, handle_existence=CREATE)
assert full.send(b"first") and full_channel.send(b"first")
holders = NamedLock(name, CREATE), NamedBoundedSemaphore(name, 1, CREATE)
assert all(holder.acquire() for holder in holders)
lock, permits = NamedLock(name), NamedBoundedSemaphore(name)
def close():
    for handle in semaphore, queue, full, channel, full_channel, lock, permits:
        handle.close()
"""


def run_all(code: str) -> dict[str, tuple[int, str]]:
    """How the program ends, for each wait; all of them at the same time."""
    names = [unique() for _ in WAITS]
    with removed(*names):
        scripts = [
            Script(f"{OPEN}\ndef wait():\n    return {wait}\n{code}", name)
            for name, wait in zip(names, WAITS.values(), strict=True)
        ]
        return dict(zip(WAITS, [script.end() for script in scripts], strict=True))


def test_a_thread_that_a_handler_has_started_closes() -> None:
    """There was no other thread when the wait began."""
    code = """
def handler(*_):
    threading.Thread(target=lambda: (time.sleep(0.1), close())).start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    wait()
except ValueError as error:
    assert "closed" in str(error), error
else:
    raise AssertionError("it was served")
"""
    assert run_all(code) == dict.fromkeys(WAITS, (0, ""))


@pytest.mark.parametrize("close", ["close()", IN_THREAD.format("close")], ids=["", "in a thread"])
def test_a_child_that_a_handler_has_forked_closes(close: str) -> None:
    """The child's wait ends, and its parent's goes on."""
    code = f"""
children = []
def handler(*_):
    children.append(os.fork())
    if children[0] == 0:
        {close}
signal.signal(signal.SIGALRM, handler)
def serve():
    # The child notices within half a second.
    time.sleep(1.5)
    semaphore.release()
    queue.send(b"x")
    full.receive()
    channel.send(b"x")
    full_channel.receive()
    for holder in holders:
        holder.release()
threading.Thread(target=serve, daemon=True).start()
# Not before: a child that is forked while a thread is starting waits for that in vain.
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    result = wait()
except ValueError as error:
    assert children == [0], error
    assert "closed" in str(error), error
    os._exit(0)
assert children[0] > 0
assert os.waitpid(children[0], 0)[1] == 0
assert result
"""
    assert run_all(code) == dict.fromkeys(WAITS, (0, ""))


@pytest.mark.parametrize(
    "close", ["segment.close()", IN_THREAD.format("segment.close")], ids=["", "in a thread"]
)
def test_a_child_closes_amid_resize(name: str, close: str) -> None:
    """What has the number of the descriptor then is left alone."""
    code = f"""
import tempfile
segment = NamedSharedMemory(name, 4096, handle_existence=CREATE)
other = tempfile.TemporaryFile(dir="/dev/shm")
other.write(b"precious")
other.flush()
children = []
def handler(*_):
    if not children:
        children.append(os.fork())
        if children == [0]:
            {close}
            # As many as it takes to have every number that has become free.
            children.extend(os.dup(other.fileno()) for _ in range(20))
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
try:
    segment.resize(100 << 20)
except ValueError as error:
    assert "closed" in str(error), error
signal.setitimer(signal.ITIMER_REAL, 0)
assert children, "the signal came too late"
assert os.fstat(other.fileno()).st_size == 8
if children[0] == 0:
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
assert segment.size == 100 << 20
"""
    assert run(code, name) == (0, "")


class Doing:
    """A number that does something when it is asked for."""

    def __init__(self, number: int, action: Callable[[], object]) -> None:
        self.number = number
        self.action = action

    def __index__(self) -> int:
        self.action()
        return self.number


CALLS: dict[str, tuple[Kind, Callable[[Any, Any], object]]] = {
    "release": (SEMAPHORE, lambda semaphore, number: semaphore.release(number)),
    "acquire": (SEMAPHORE, lambda semaphore, number: semaphore.acquire(timeout=number)),
    "acquire a lock": (LOCK, lambda lock, number: lock.acquire(timeout=number)),
    "acquire a permit": (PERMITS, lambda permits, number: permits.acquire(timeout=number)),
    "resize": (SEGMENT, lambda segment, number: segment.resize(number)),
    "send, priority": (QUEUE, lambda queue, number: queue.send(b"x", 0, number)),
    "send, timeout": (QUEUE, lambda queue, number: queue.send(b"x", number)),
    "send_many": (QUEUE, lambda queue, number: queue.send_many([b"x"], number)),
    "receive": (QUEUE, lambda queue, number: queue.receive(number)),
    "receive_many": (QUEUE, lambda queue, number: queue.receive_many(number)),
    "receive_many, timeout": (QUEUE, lambda queue, number: queue.receive_many(None, number)),
    "channel send, priority": (CHANNEL, lambda channel, number: channel.send(b"x", 0, number)),
    "channel send, timeout": (CHANNEL, lambda channel, number: channel.send(b"x", number)),
    "channel send_many": (CHANNEL, lambda channel, number: channel.send_many([b"x"], number)),
    "channel receive": (CHANNEL, lambda channel, number: channel.receive(number)),
    "channel receive_into": (
        CHANNEL,
        lambda channel, number: channel.receive_into(bytearray(16), number),
    ),
    "channel receive_many": (CHANNEL, lambda channel, number: channel.receive_many(number)),
    "notification": (QUEUE, lambda queue, number: queue.request_notification(number)),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_argument_closes_the_handle(name: str, call: str) -> None:
    """ValueError, and nothing has happened."""
    kind, function = CALLS[call]
    handle = kind.create(name)
    other = kind.open(name)
    # What the handle has of a lock or bounded semaphore would go when it is closed.
    kind.stamp(other if kind in OWNED else handle)
    with pytest.raises(ValueError, match="closed"):
        function(handle, Doing(1, handle.close))
    assert kind.is_stamped(other)
    kind.use(other)


def test_an_iterable_closes_the_handle(message_kind: Kind, name: str) -> None:
    queue, other = message_kind.create(name), message_kind.open(name)

    def messages() -> Iterator[bytes]:
        yield b"first"
        queue.close()
        yield b"second"

    with pytest.raises(ValueError, match="closed"):
        queue.send_many(messages())
    assert other.current_messages == 0


@each_kind
@pytest.mark.parametrize("in_thread", [False, True], ids=["", "in a thread"])
def test_an_argument_opens_the_handle(kind: Kind, name: str, in_thread: bool) -> None:
    """One of the two constructors succeeds, and the other one leaves nothing."""
    handle = kind.cls.__new__(kind.cls)
    inner, flag = unique(), Flags.RAISE_IF_EXISTS

    def open_it() -> None:
        kind.cls.__init__(handle, inner, handle_existence=flag, **kind.small)

    def in_other_thread() -> None:
        thread = threading.Thread(target=open_it)
        thread.start()
        thread.join()

    options = {**kind.small, "mode": Doing(0o600, in_other_thread if in_thread else open_it)}
    with pytest.raises(ValueError, match=f"opened on {inner}"):
        kind.cls.__init__(handle, name, handle_existence=flag, **options)
    assert handle.name == inner
    kind.use(handle)
    assert not any(each.exists(name) for each in KINDS)
    handle.__del__()
    assert not kind.exists(inner)
