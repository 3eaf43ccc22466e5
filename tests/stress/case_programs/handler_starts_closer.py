"""A handler that runs amid a wait of the only thread starts one that closes the handle."""

import signal
import sys
import threading
from collections.abc import Callable

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore

CREATE = Flags.RAISE_IF_EXISTS


def closes(handle: NamedSemaphore | NamedMessageQueue, wait: Callable[[], object]) -> None:
    def on_signal(*_: object) -> None:
        threading.Timer(0.1, handle.close).start()

    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        got = wait()
    except ValueError:
        return
    sys.exit(f"the wait returned {got!r}")


permits = NamedSemaphore(None, 0, CREATE)
closes(permits, permits.acquire)
timed = NamedSemaphore(None, 0, CREATE)
closes(timed, lambda: timed.acquire(timeout=1000))
empty = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
closes(empty, empty.receive_many)
other = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
closes(other, lambda: other.receive(1000))
full = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
full.send(b"x")
closes(full, lambda: full.send(b"y"))
many = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
many.send(b"x")
closes(many, lambda: many.send_many([b"y"]))
