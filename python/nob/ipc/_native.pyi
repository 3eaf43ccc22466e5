"""The native module: the classes of nob.ipc and nob.posix_ipc, and what their Python sides need."""

from collections.abc import Callable, Coroutine, Iterable
from inspect import Signature
from types import TracebackType
from typing import Any, ClassVar, Self, SupportsFloat, SupportsIndex, final

from typing_extensions import Buffer, disjoint_base

from nob.ipc._mapping import Mapping
from nob.ipc.flags import Flags

__all__ = [
    "Lease",
    "MessageQueue",
    "NamedMessageQueue",
    "NamedSemaphore",
    "NamedSharedMemory",
    "Semaphore",
    "SharedMemory",
    "_Watch",
    "_command",
    "_queue_defaults",
    "_ready",
    "_restore",
    "_seconds",
    "list_objects",
    "reap",
    "unlink_message_queue",
    "unlink_semaphore",
    "unlink_shared_memory",
]

@disjoint_base
class NamedSemaphore:
    """A semaphore that processes share by name.

    Its value is a number of permits: acquire takes one and waits while there is none, release
    gives some back. Nobody owns a permit. `with sem:` acquires on entry and releases once on exit;
    it does not close.
    """

    __signature__: ClassVar[Signature]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        initial_value: SupportsIndex = 1,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
    ) -> None: ...
    def acquire(
        self, blocking: bool = True, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> bool:
        """Take a permit; False when there was none in time."""

    def release(self, n: SupportsIndex = 1) -> None:
        """Give permits back, and wake as many waiters."""

    def acquire_async(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Take a permit in asyncio; awaits False when there was none in time."""

    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Coroutine[Any, Any, None]: ...
    @property
    def value(self) -> int:
        """The number of permits at this moment, never negative (int; sem_getvalue(3))."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def name(self) -> str:
        """The name, with its leading slash (str)."""

    @property
    def linked_existing_object(self) -> bool:
        """Whether this handle linked to a semaphore that existed; False: it created it (bool)."""

    @property
    def linked_existing_semaphore(self) -> bool:
        """Another name of linked_existing_object (bool)."""

    @property
    def unlink_on_delete(self) -> bool:
        """Whether deletion of the handle removes the name (bool; may be set)."""

    @unlink_on_delete.setter
    def unlink_on_delete(self, value: bool) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether the handle is closed (bool)."""

    def close(self) -> None:
        """Give up this handle; never unlinks, and twice is fine."""

    def unlink(self) -> None:
        """Remove the name now; handles that are open go on working."""

    @classmethod
    def unlink_name(cls, name: str) -> None:
        """Remove a name without opening what has it."""

    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name and does not unlink; ValueError when closed."""

@disjoint_base
class NamedSharedMemory:
    """A segment of memory that processes share by name.

    mmap gives its bytes. `with shm:` closes on exit.
    """

    __signature__: ClassVar[Signature]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        size: SupportsIndex = 0,
        read_only: bool = False,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
        reserve: bool = True,
    ) -> None: ...
    @property
    def size(self) -> int:
        """The size in bytes at this moment; the kernel is asked at each use (int; fstat(2))."""

    @property
    def fd(self) -> int:
        """The descriptor, open as long as the handle is (int)."""

    def fileno(self) -> int:
        """The descriptor, open as long as the handle is (int)."""

    @property
    def read_only(self) -> bool:
        """Whether the handle was opened for reading only (bool)."""

    def mmap(self) -> Mapping:
        """Map all of it as it is now: an mmap.mmap of exactly .size bytes."""

    def resize(self, size: SupportsIndex) -> None:
        """Change the size; new bytes read as zeros."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def name(self) -> str:
        """The name, with its leading slash (str)."""

    @property
    def linked_existing_object(self) -> bool:
        """Whether this handle linked to a segment that existed; False: it created it (bool)."""

    @property
    def unlink_on_delete(self) -> bool:
        """Whether deletion of the handle removes the name (bool; may be set)."""

    @unlink_on_delete.setter
    def unlink_on_delete(self, value: bool) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether the handle is closed (bool)."""

    def close(self) -> None:
        """Give up this handle; never unlinks, leaves mappings alone, and twice is fine."""

    def unlink(self) -> None:
        """Remove the name now; handles and mappings that are open go on working."""

    @classmethod
    def unlink_name(cls, name: str) -> None:
        """Remove a name without opening what has it."""

    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name and does not unlink; ValueError when closed."""

@disjoint_base
class NamedMessageQueue:
    """A queue of messages that processes share by name.

    The message with the highest priority is received first; within a priority, the first that was
    sent. `with mq:` closes on exit.
    """

    __signature__: ClassVar[Signature]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        max_messages: SupportsIndex | None = None,
        max_message_size: SupportsIndex | None = None,
        read: bool = True,
        write: bool = True,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
    ) -> None: ...
    def send(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> bool:
        """Send a message; False when the queue stayed full until the time was over."""

    def receive(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> tuple[bytes, int] | None:
        """Receive a message and its priority; None when there was none in time."""

    def send_many(
        self,
        messages: Iterable[Buffer | str],
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> int:
        """Send messages, waiting while the queue is full; how many were sent in time."""

    def receive_many(
        self,
        max_messages: SupportsIndex | None = None,
        timeout: SupportsFloat | SupportsIndex | None = None,
    ) -> list[tuple[bytes, int]]:
        """Receive what is there, waiting for the first; a list of (message, priority)."""

    def send_async(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> Coroutine[Any, Any, bool]:
        """Send a message in asyncio; awaits False when there was no room in time."""

    def receive_async(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> Coroutine[Any, Any, tuple[bytes, int] | None]:
        """Receive a message in asyncio; awaits None when there was none in time."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[bytes, int]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, tuple[bytes, int]]: ...
    @property
    def current_messages(self) -> int:
        """How many messages are in the queue at this moment (int; mq_getattr(3))."""

    @property
    def max_messages(self) -> int:
        """How many messages the queue holds when it is full (int)."""

    @property
    def max_message_size(self) -> int:
        """How many bytes a message may have (int)."""

    @property
    def block(self) -> bool:
        """Whether send and receive wait at all (bool; may be set)."""

    @block.setter
    def block(self, value: bool) -> None: ...
    @property
    def mqd(self) -> int:
        """The descriptor, open as long as the handle is (int)."""

    @property
    def mdq(self) -> int:
        """Another name of mqd (int)."""

    def fileno(self) -> int:
        """The descriptor, open as long as the handle is; it can be polled (int)."""

    def request_notification(
        self, notification: SupportsIndex | tuple[Any, Any] | None = None
    ) -> bool:
        """Ask to be told, once, when the queue goes from empty to non-empty."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def name(self) -> str:
        """The name, with its leading slash (str)."""

    @property
    def linked_existing_object(self) -> bool:
        """Whether this handle linked to a queue that existed; False: it created it (bool)."""

    @property
    def unlink_on_delete(self) -> bool:
        """Whether deletion of the handle removes the name (bool; may be set)."""

    @unlink_on_delete.setter
    def unlink_on_delete(self, value: bool) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether the handle is closed (bool)."""

    def close(self) -> None:
        """Give up this handle; never unlinks, and twice is fine."""

    def unlink(self) -> None:
        """Remove the name now; handles that are open go on working."""

    @classmethod
    def unlink_name(cls, name: str) -> None:
        """Remove a name without opening what has it."""

    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name and does not unlink; ValueError when closed."""

@final
class Lease:
    """What a Mapping holds of its segment handle until it is closed."""

@final
class _Watch:
    """A request for a notification, waited for by a thread of its own."""

    def wait(self) -> bool:
        """Wait for the notification; False when it can come no more."""

def _restore(base: type, cls: type, name: str, options: dict[str, Any]) -> Any:
    """Link a new handle of class `cls` to the object called `name`; what pickles call."""

def _ready(semaphores: list[NamedSemaphore]) -> list[int]:
    """Which of the semaphores have a permit, or are closed; what a look at them is."""

def _seconds(timeout: object, /) -> float | None:
    """A timeout as a float, None for ever; InvalidArgument for what is none."""

def list_objects() -> list[dict[str, Any]]:
    """List all named objects of the machine that this user can see."""

def reap(dry_run: bool = True) -> list[dict[str, Any]]:
    """Remove what dead processes left behind; with dry_run, only say what would be removed."""

def _command(arguments: list[str]) -> int:
    """Run the command nob-ipc with these arguments, its own name first; its exit status."""

@disjoint_base
class Semaphore:
    """A semaphore that processes share by name.

    `with sem:` acquires on entry and releases on exit; it neither closes nor unlinks.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | bytes | None,
        flags: SupportsIndex = 0,
        mode: SupportsIndex = 0o600,
        initial_value: SupportsIndex = 0,
    ) -> None: ...
    def acquire(self, timeout: SupportsFloat | SupportsIndex | None = None) -> None:
        """Take a permit, waiting while there is none."""

    def release(self) -> None:
        """Give a permit back."""

    @property
    def value(self) -> int:
        """The number of permits at this moment (int; sem_getvalue(3))."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: object = ..., exc: object = ..., traceback: object = ..., /
    ) -> None: ...
    @property
    def name(self) -> str:
        """The name as it was given (str)."""

    @property
    def mode(self) -> int:
        """The mode as it was given (int)."""

    def close(self) -> None:
        """Give up this handle; never unlinks."""

    def unlink(self) -> None:
        """Remove the name now; handles that are open go on working."""

@disjoint_base
class SharedMemory:
    """A segment of memory that processes share by name: a descriptor for mmap.mmap."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | bytes | None,
        flags: SupportsIndex = 0,
        mode: SupportsIndex = 0o600,
        size: SupportsIndex = 0,
        read_only: object = False,
    ) -> None: ...
    @property
    def size(self) -> int:
        """The size in bytes at this moment; the kernel is asked at each use (int; fstat(2))."""

    @property
    def fd(self) -> int:
        """The descriptor, open until close_fd is called; -1 after that (int)."""

    def fileno(self) -> int:
        """The descriptor, open until close_fd is called; -1 after that (int)."""

    def close_fd(self) -> None:
        """Close the descriptor; never unlinks, leaves mappings alone, and twice is fine."""

    def unlink(self) -> None:
        """Remove the name now; handles and mappings that are open go on working."""

    @property
    def name(self) -> str:
        """The name as it was given (str)."""

    @property
    def mode(self) -> int:
        """The mode as it was given (int)."""

@disjoint_base
class MessageQueue:
    """A queue of messages that processes share by name; the highest priority is received first."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | bytes | None,
        flags: SupportsIndex = 0,
        mode: SupportsIndex = 0o600,
        max_messages: SupportsIndex | None = ...,
        max_message_size: SupportsIndex | None = ...,
        read: object = True,
        write: object = True,
    ) -> None: ...
    def send(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> None:
        """Send a message, waiting while the queue is full."""

    def receive(self, timeout: SupportsFloat | SupportsIndex | None = None) -> tuple[bytes, int]:
        """Receive a message and its priority, waiting while there is none."""

    def request_notification(
        self, notification: SupportsIndex | tuple[Callable[[Any], object], Any] | None = None
    ) -> None:
        """Ask to be told when the queue goes from empty to non-empty, once."""

    @property
    def block(self) -> bool:
        """Whether send and receive wait at all; False: they raise BusyError (bool; may be set)."""

    @block.setter
    def block(self, value: object) -> None: ...
    @property
    def current_messages(self) -> int:
        """How many messages are in the queue at this moment (int; mq_getattr(3))."""

    @property
    def max_messages(self) -> int:
        """How many messages the queue holds when it is full (int)."""

    @property
    def max_message_size(self) -> int:
        """How many bytes a message may have (int)."""

    @property
    def mqd(self) -> int:
        """The descriptor, open until close is called; -1 after that (int)."""

    def fileno(self) -> int:
        """The descriptor, open until close is called; -1 after that (int)."""

    def close(self) -> None:
        """Close the descriptor; never unlinks."""

    def unlink(self) -> None:
        """Remove the name now; handles that are open go on working."""

    @property
    def name(self) -> str:
        """The name as it was given (str)."""

    @property
    def mode(self) -> int:
        """The mode as it was given (int)."""

def unlink_semaphore(name: str | bytes) -> None:
    """Remove the name of a semaphore; handles that are open go on working."""

def unlink_shared_memory(name: str | bytes) -> None:
    """Remove the name of a segment; handles and mappings that are open go on working."""

def unlink_message_queue(name: str | bytes) -> None:
    """Remove the name of a message queue; handles that are open go on working."""

def _queue_defaults() -> tuple[int, int]:
    """The capacity of a queue that is created without saying so: messages, and bytes of each."""
