"""Named semaphores, shared memory and message queues of POSIX.

The objects are the operating system's own, shared by name with every process of the machine.

Flags: what to do about an object that exists, or does not.
NamedSemaphore: a number of permits.
NamedSharedMemory: a segment of memory; its bytes are a Mapping.
NamedMessageQueue: a queue of messages with priorities.
list_objects, reap: what exists on the machine; what dead processes left behind.
InvalidArgument: an argument of the wrong type, out of its range, or a bad name.
"""

from nob.ipc._native import (
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
    list_objects,  # noqa: F401 (public, but not what `import *` is for)
    reap,  # noqa: F401
)
from nob.ipc.errors import InvalidArgument
from nob.ipc.flags import Flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nob.ipc._mapping import Mapping

__all__ = [
    "Flags",
    "InvalidArgument",
    "Mapping",
    "NamedMessageQueue",
    "NamedSemaphore",
    "NamedSharedMemory",
]


class _Signature:
    """What inspect.signature finds in a class; made when it is asked for."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __get__(self, instance: object, owner: type) -> object:
        if getattr(owner, "__init__") is not getattr(self._cls, "__init__"):  # noqa: B009
            # A subclass whose own __init__ says what it takes.
            raise AttributeError("__signature__")
        from nob.ipc import _signature

        return _signature.of(self._cls.__name__)


for _class in (NamedSemaphore, NamedSharedMemory, NamedMessageQueue):
    setattr(_class, "__signature__", _Signature(_class))  # noqa: B010
del _class


def __getattr__(name: str) -> object:
    # The module mmap is loaded only when it is needed.
    if name == "Mapping":
        from nob.ipc._mapping import Mapping

        return Mapping
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "list_objects", "reap"]
