"""A handler forks amid a call; the child closes the handle there, and opens another file."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory

CREATE = Flags.RAISE_IF_EXISTS
SECRET = b"precious"


def forks(handle: Any, call: Callable[[], object], finish: Callable[[], object]) -> None:
    """The call ends in the child with ValueError, and in the parent when it is finished."""
    precious = tempfile.NamedTemporaryFile(dir="/dev/shm")  # noqa: SIM115
    precious.write(SECRET)
    precious.flush()
    child, kept = [], []

    def on_signal(*_: object) -> None:
        if child:
            finish()
            return
        child.append(os.fork())
        if child[0] == 0:
            handle.close()
            # One of them gets the number that the handle's descriptor had.
            kept.extend(os.open(precious.name, os.O_RDWR) for _ in range(4))
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.3)

    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    result: object = None
    try:
        result = call()
    except ValueError as error:
        result = error
    if child and child[0] == 0:
        os._exit(0 if isinstance(result, ValueError) else 3)
    while not child:
        signal.pause()
    _, status = os.waitpid(child[0], 0)
    with open(precious.name, "rb") as file:
        if (found := file.read(64)) != SECRET or os.path.getsize(precious.name) != len(SECRET):
            sys.exit(f"the other file was written to: {found!r}")
    if os.waitstatus_to_exitcode(status) not in (0, 3 if handle_is_done(handle) else 0):
        sys.exit(f"the child of {handle} ended with {os.waitstatus_to_exitcode(status)}")
    if isinstance(result, ValueError):
        sys.exit(f"the parent's call failed: {result}")
    signal.setitimer(signal.ITIMER_REAL, 0)


def handle_is_done(handle: Any) -> bool:
    """A step that was over before the handler ran may succeed in the child as well."""
    return isinstance(handle, NamedSharedMemory)


permits = NamedSemaphore(None, 0, CREATE)
forks(permits, permits.acquire, permits.release)
empty = NamedMessageQueue(None, 2, 8, handle_existence=CREATE)
forks(empty, empty.receive, lambda: empty.send(b"x"))
timed = NamedMessageQueue(None, 2, 8, handle_existence=CREATE)
forks(timed, lambda: timed.receive(60), lambda: timed.send(b"x"))
full = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
full.send(b"x")
forks(full, lambda: full.send_many([b"y"]), lambda: full.receive(0))
segment = NamedSharedMemory(None, 4096, handle_existence=CREATE)
forks(segment, lambda: segment.resize(512 << 20), lambda: None)
