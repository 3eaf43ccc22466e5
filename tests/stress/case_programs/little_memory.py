"""Want of memory is MemoryError or OSError in every call, never the end of the process."""

import contextlib
import os
import pickle
import resource
import sys
from collections.abc import Callable

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
    _native,
    list_objects,
)

CREATE = Flags.RAISE_IF_EXISTS
queue = NamedMessageQueue(None, 4, 8192, handle_existence=CREATE)
queue.send_many([b"x" * 8192] * 2)
segment = NamedSharedMemory(None, 1 << 24, handle_existence=CREATE, reserve=False)
permits = NamedSemaphore(None, 0, CREATE)
channel = NamedChannel(None, handle_existence=CREATE)
channel.send_many([b"x" * 100_000] * 2)
lock, bounded = NamedLock(None, CREATE), NamedBoundedSemaphore(None, 1, CREATE)
text = "x" * 8000
calls = {
    "receive": lambda: queue.receive(0),
    "receive_many": lambda: queue.receive_many(timeout=0),
    "send": lambda: queue.send(text, 0),
    "send_many": lambda: queue.send_many([text] * 4, 0),
    "mmap": segment.mmap,
    "acquire": lambda: permits.acquire(timeout=0.001),
    "pickle": lambda: pickle.dumps(permits),
    "list": list_objects,
    "semaphore": lambda: NamedSemaphore(None, 0, CREATE),
    "channel receive": lambda: channel.receive(0),
    "channel receive_many": lambda: channel.receive_many(timeout=0),
    "channel send": lambda: channel.send(text, 0),
    "channel send_many": lambda: channel.send_many([text] * 4, 0),
    "channel fileno": channel.fileno,
    "poller": _native._Poller,
    "lock": lambda: (lock.acquire(), lock.acquire(timeout=0.001)),
    "bounded": lambda: (bounded.acquire(), bounded.acquire(timeout=0.001)),
    "a channel": lambda: NamedChannel(None, handle_existence=CREATE),
    "a lock": lambda: NamedLock(None, CREATE),
    "a bounded semaphore": lambda: NamedBoundedSemaphore(None, 1, CREATE),
    "queue": lambda: NamedMessageQueue(None, 1, 8, handle_existence=CREATE),
    "notify": lambda: queue.request_notification((print, None)),
}
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()


def end_without_memory(call: Callable[[], object], room: int) -> int:
    """The status of a child that calls it when next to nothing is left."""
    if (pid := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
        kept = []
        size = 1 << 20
        while size >= 512:
            try:
                kept.append(bytearray(size))
            except MemoryError:
                size //= 2
        with contextlib.suppress(MemoryError, OSError, RuntimeError):
            call()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


rooms = {name: [0, 1 << 16, 1 << 20] for name in calls}
# Whether a thread that was started finds what it needs depends on a few kilobytes.
for starts_thread in "channel fileno", "poller":
    rooms[starts_thread] = [*range(0, 1 << 19, 1 << 12), 1 << 20]
faults = [
    f"{name}: {status} with {room} bytes left"
    for name, call in calls.items()
    for room in rooms[name]
    if (status := end_without_memory(call, room))
]
if faults:
    sys.exit(", ".join(faults))
