"""An argument of `__init__` runs a second `__init__` of the same handle in another thread."""

import sys
import threading
from typing import Any

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, NamedSharedMemory

CREATE = Flags.UNLINK_AND_CREATE


def nest(kind: Any, name: str, number: int, figure: str) -> None:
    handle = kind.__new__(kind)
    told = []

    class Argument:
        def __index__(self) -> int:
            thread = threading.Thread(target=inner)
            thread.start()
            thread.join()
            return number

    def inner() -> None:
        try:
            handle.__init__(name + "-inner", number + 1, handle_existence=CREATE)
            told.append("inner")
        except ValueError:
            pass

    try:
        handle.__init__(name + "-outer", Argument(), handle_existence=CREATE)
        told.append("outer")
    except ValueError:
        pass
    if len(told) != 1:
        sys.exit(f"{kind.__name__}: made by {told}")
    expected = number + (told[0] == "inner")
    if not handle.name.endswith(told[0]) or getattr(handle, figure) != expected:
        sys.exit(f"{handle}: {figure} {getattr(handle, figure)}, made by {told}")


nest(NamedSemaphore, "/nob-case-init", 5, "value")
nest(NamedSharedMemory, "/nob-case-init", 4096, "size")
nest(NamedMessageQueue, "/nob-case-init", 3, "max_messages")
