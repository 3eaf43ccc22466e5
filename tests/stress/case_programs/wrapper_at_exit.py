"""A wrapper whose `__del__` closes and unlinks says nothing at the exit."""

import sys

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory

CREATE = Flags.RAISE_IF_EXISTS


class Wrapper:
    def __init__(self, handle: NamedSemaphore | NamedSharedMemory | NamedMessageQueue) -> None:
        self.handle = handle

    def __del__(self) -> None:
        self.handle.close()
        self.handle.unlink()


kept = [Wrapper(NamedSemaphore(None, 0, CREATE))]
kept += [Wrapper(NamedMessageQueue(None, 1, 8, handle_existence=CREATE))]
sys.kept = Wrapper(NamedSharedMemory(None, 64, handle_existence=CREATE))  # type: ignore[attr-defined]
cycle = Wrapper(NamedSemaphore(None, 0, CREATE))
cycle.cycle = cycle  # type: ignore[attr-defined]
