"""Named semaphores, shared memory and message queues of POSIX, and locks that survive their owner.

The objects are shared by name with every process of the machine. Those of POSIX are the operating
system's own.

Flags: what to do about an object that exists, or does not.
NamedSemaphore: a number of permits.
NamedSharedMemory: a segment of memory; its bytes are a Mapping.
NamedMessageQueue: a queue of messages with priorities.
NamedChannel: messages of any size, without the kernel's limits.
NamedLock: a lock that a dead owner lets go.
NamedBoundedSemaphore: permits that a dead holder gives back.
connect: the place where objects live, this machine or a server, as a Connection.
list_objects, reap: what exists on the machine; what dead processes left behind.
InvalidArgument: an argument of the wrong type, out of its range, or a bad name.
ServerUnavailable, OutcomeUnknown, Unconfirmed, StaleHandle, LockLost: errors of servers.
"""

from nob.ipc.errors import (
    InvalidArgument,
    LockLost,
    OutcomeUnknown,
    ServerUnavailable,
    StaleHandle,
    Unconfirmed,
)
from nob.ipc.flags import Flags

TYPE_CHECKING = False
# What reads this without running it, as the reference does, takes the last of two definitions.
if not TYPE_CHECKING:
    try:
        from nob.ipc._native import (
            Connection,
            NamedBoundedSemaphore,
            NamedChannel,
            NamedLock,
            NamedMessageQueue,
            NamedSemaphore,
            NamedSharedMemory,
            connect,
            list_objects,
            reap,
        )
    except ModuleNotFoundError as error:
        # The wheel for other systems has no native module; one that cannot be loaded is an error.
        if error.name != "nob.ipc._native":
            raise
        from nob.ipc._unsupported import (
            Connection,
            NamedBoundedSemaphore,
            NamedChannel,
            NamedLock,
            NamedMessageQueue,
            NamedSemaphore,
            NamedSharedMemory,
            connect,
            list_objects,
            reap,
        )
else:
    from nob.ipc._mapping import Mapping
    from nob.ipc._native import (
        Connection,
        NamedBoundedSemaphore,
        NamedChannel,
        NamedLock,
        NamedMessageQueue,
        NamedSemaphore,
        NamedSharedMemory,
        connect,
        list_objects,
        reap,
    )

__all__ = [
    "Connection",
    "Flags",
    "InvalidArgument",
    "LockLost",
    "Mapping",
    "NamedBoundedSemaphore",
    "NamedChannel",
    "NamedLock",
    "NamedMessageQueue",
    "NamedSemaphore",
    "NamedSharedMemory",
    "OutcomeUnknown",
    "ServerUnavailable",
    "StaleHandle",
    "Unconfirmed",
    "connect",
    "list_objects",
    "reap",
]


# To a type checker a name that is not here is a mistake.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # The module mmap is loaded only when it is needed.
        if name == "Mapping":
            from nob.ipc._mapping import Mapping

            return Mapping
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load_all() -> None:
    """Import what the native module imports when it is first needed.

    Nobody calls this: programs that freeze applications find the modules here.
    """
    import nob.ipc._array
    import nob.ipc._async
    import nob.ipc._check
    import nob.ipc._mapping
    import nob.ipc._notification
    import nob.ipc._remote
    import nob.ipc.types  # noqa: F401


def __dir__() -> list[str]:
    return [*__all__]
