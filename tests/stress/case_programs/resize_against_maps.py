"""One handle: threads map it and touch its last byte while others make it smaller and larger."""

import contextlib
import sys
import threading
import time

from nob.ipc import Flags, NamedSharedMemory

sys.setswitchinterval(1e-6)
segment = NamedSharedMemory(None, 1 << 18, handle_existence=Flags.RAISE_IF_EXISTS, reserve=False)
end = time.monotonic() + 2


def resize(small: int) -> None:
    while time.monotonic() < end:
        for size in small, 1 << 18:
            with contextlib.suppress(BufferError):
                segment.resize(size)


def touch() -> None:
    while time.monotonic() < end:
        with segment.mmap() as memory:
            memory[len(memory) - 1] = 1


threads = [threading.Thread(target=resize, args=(small,)) for small in (1, 4097)]
threads += [threading.Thread(target=touch) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
