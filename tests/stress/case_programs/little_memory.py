"""Want of memory is MemoryError or OSError in every call, never the end of the process."""

import contextlib
import pickle
import resource

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory, list_objects

CREATE = Flags.RAISE_IF_EXISTS
queue = NamedMessageQueue(None, 4, 8192, handle_existence=CREATE)
queue.send_many([b"x" * 8192] * 2)
segment = NamedSharedMemory(None, 1 << 24, handle_existence=CREATE, reserve=False)
permits = NamedSemaphore(None, 0, CREATE)
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
    "queue": lambda: NamedMessageQueue(None, 1, 8, handle_existence=CREATE),
    "notify": lambda: queue.request_notification((print, None)),
}
kept = []
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for room in (0, 1 << 16, 1 << 20):
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
    size = 1 << 20
    while size >= 512:
        try:
            kept.append(bytearray(size))
        except MemoryError:
            size //= 2
    for call in calls.values():
        with contextlib.suppress(MemoryError, OSError, RuntimeError):
            kept.append(call())
    del kept[:]
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
