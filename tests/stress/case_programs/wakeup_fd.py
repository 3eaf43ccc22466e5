"""A wait of the only thread leaves the program's wakeup descriptor alone: no signal is lost."""

import os
import signal
import socket
import sys
from collections.abc import Callable

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore

# A socket holds so many bytes if nobody drains it.
NUMBER = 250
CREATE = Flags.RAISE_IF_EXISTS
full = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
full.send(b"x")
permits = NamedSemaphore(None, 0, CREATE)
reading, writing = socket.socketpair()
reading.setblocking(False)
writing.setblocking(False)
seen: list[int] = []


def drain(*_: object) -> None:
    try:
        while more := reading.recv(65536):
            seen.append(len(more))
    except BlockingIOError:
        pass


def signals_during(wait: Callable[[], object], finish: Callable[[], object]) -> None:
    seen.clear()
    me = os.getpid()
    if (pid := os.fork()) == 0:
        signal.set_wakeup_fd(-1)
        for _ in range(NUMBER):
            os.kill(me, signal.SIGRTMIN)
            for _ in range(200):
                pass
        finish()
        os._exit(0)
    wait()
    os.waitpid(pid, 0)
    drain()
    if sum(seen) != NUMBER:
        sys.exit(f"{NUMBER} signals, {sum(seen)} at the wakeup descriptor")


signal.signal(signal.SIGRTMIN, drain)
signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
for _ in range(8):
    signals_during(lambda: full.send(b"y"), lambda: full.receive(0))
    signals_during(permits.acquire, permits.release)
if signal.set_wakeup_fd(-1) != writing.fileno():
    sys.exit("the wakeup descriptor is another one")
