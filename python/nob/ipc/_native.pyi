"""The native module: the classes of nob.ipc and nob.posix_ipc, and what their Python sides need.

It relies on the GIL: a free-threaded interpreter turns it on. Handles may be shared by threads.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from select import epoll
from types import TracebackType
from typing import (
    Any,
    Literal,
    Protocol,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypeVar,
    final,
    overload,
    type_check_only,
)

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import Buffer, disjoint_base

from nob.ipc._mapping import Mapping
from nob.ipc.flags import Flags
from nob.ipc.types import Listed, Reaped

_Scalar = TypeVar("_Scalar", bound=np.generic)

__all__ = [
    "Connection",
    "Lease",
    "MessageQueue",
    "NamedBoundedSemaphore",
    "NamedChannel",
    "NamedLock",
    "NamedMessageQueue",
    "NamedSemaphore",
    "NamedSharedMemory",
    "Semaphore",
    "SharedMemory",
    "_ClassAt",
    "_Events",
    "_Named",
    "_Pending",
    "_Poller",
    "_PosixNamed",
    "_Readiness",
    "_Request",
    "_Watch",
    "_is_held_up",
    "_message",
    "_queue_defaults",
    "_register",
    "_restore",
    "_seconds",
    "_shared",
    "_start_acquire",
    "_start_receive",
    "_start_release",
    "_start_send",
    "connect",
    "list_objects",
    "reap",
    "unlink_message_queue",
    "unlink_semaphore",
    "unlink_shared_memory",
]

@disjoint_base
class _Named:
    """A handle to an object that processes share by name; what its kinds have in common."""

    @property
    def name(self) -> str:
        """The name, with its leading slash (str)."""

    @property
    def linked_existing_object(self) -> bool:
        """Whether this handle linked to an object that existed; False: it created it (bool)."""

    @property
    def unlink_on_delete(self) -> bool:
        """Whether deletion of the handle removes the name (bool; may be set).

        `True` also for a shared object, which the last of its users removes. Setting `False` keeps
        a shared object for good; `PermissionError` if it is another user's.
        """

    @unlink_on_delete.setter
    def unlink_on_delete(self, value: bool) -> None: ...
    @property
    def stale(self) -> bool:
        """Whether the name leads to another object now, or to none (bool).

        `PermissionError` if what has the name may not be looked at.
        """

    @property
    def closed(self) -> bool:
        """Whether the handle is closed (bool)."""

    def close(self) -> None:
        """Give up this handle; never unlinks, leaves mappings alone, and twice is fine.

        A wait of another thread on this handle ends with `ValueError` within half a second.
        """

    def unlink(self) -> None:
        """Remove the name now; handles and mappings that are open go on working.

        See sem_unlink(3), shm_unlink(3), mq_unlink(3).

        Raises:
            FileNotFoundError: It is gone, or the name belongs to another object now.
            PermissionError: The system does not permit it to this user.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

@disjoint_base
class NamedSemaphore(_Named):
    """A semaphore that processes share by name.

    Its value is a number of permits: `acquire` takes one and waits while there is none, `release`
    gives some back. Nobody owns a permit. `with sem:` acquires on entry and releases once on exit;
    it does not close. See sem_overview(7), sem_open(3).

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        initial_value: 0 to 2147483647; ignored when linking.
        handle_existence: What to do about a semaphore that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        mode: Permission bits of a new semaphore, subject to the umask.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: What has the name is no semaphore, or the system has no room for one.
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        initial_value: SupportsIndex = 1,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
        connection: Connection | None = None,
    ) -> None: ...
    def acquire(
        self, blocking: bool = True, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> bool:
        """Take a permit; False when there was none in time.

        Signal handlers run while it waits; what one raises comes out, and then nothing was taken.
        See sem_wait(3).

        Args:
            blocking: `False` does not wait; it takes no timeout.
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.

        Raises:
            ValueError: The handle is closed, or gets closed by another thread while this waits.
            InvalidArgument: A negative timeout, for example.
        """

    def release(self, n: SupportsIndex = 1) -> None:
        """Give permits back, and wake as many waiters.

        See sem_post(3).

        Args:
            n: How many, at least 1.

        Raises:
            OverflowError: The value would pass 2147483647. Nothing is changed then.
            ValueError: The handle is closed.
        """

    def acquire_async(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Take a permit in asyncio; awaits False when there was none in time.

        Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
        which they came, within 10 ms of a release. `async with sem:` acquires and releases.

        Args:
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 takes only what no
                other wait is queued for.

        Raises:
            ValueError: The handle is closed, or gets closed while this waits.
            InvalidArgument: A negative timeout, for example.
        """

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
    def linked_existing_semaphore(self) -> bool:
        """Another name of linked_existing_object (bool)."""

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        See sem_unlink(3).

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No semaphore can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other.
        """

@disjoint_base
class NamedSharedMemory(_Named):
    """A segment of memory that processes share by name.

    `mmap` gives its bytes. `with shm:` closes on exit. See shm_overview(7), shm_open(3).

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        size: Bytes of a new segment, to be given for that; a smaller one that exists is grown to it,
            never shrunk.
        read_only: Opens for reading only.
        handle_existence: What to do about a segment that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        mode: Permission bits of a new segment, subject to the umask.
        reserve: Allocates the memory at creation and growth. `False`: at first touch, where running
            out of memory is a bus error.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: There is not as much memory (`ENOSPC`), or what has the name is no segment.
        ValueError: `read_only=True` with a size that would create or grow the segment.
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name; or no size for
            a new segment.
    """

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
        connection: Connection | None = None,
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
        """Map all of it as it is now: an mmap.mmap of exactly .size bytes.

        Read-only for a read-only handle. The mapping keeps this handle, and so the name, until it
        is closed; closing the handle leaves the mapping alone. Closing the mapping while a view of
        it lives (`memoryview`, `numpy.frombuffer`) is a `BufferError`, and changes nothing. See
        mmap(2).

        Raises:
            ValueError: The segment has size 0, or the handle is closed.
            OSError: There is no address space for it (`ENOMEM`).
        """

    @overload
    def ndarray(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: type[_Scalar] | np.dtype[_Scalar],
        offset: SupportsIndex = 0,
    ) -> NDArray[_Scalar]:
        """An array of numpy over the bytes, without a copy.

        Read-only for a read-only handle. It maps the segment as it is now, and keeps the mapping and
        this handle, and so the name, as long as it or a slice of it lives. Only this needs numpy.

        Args:
            shape: The lengths of the dimensions, or one length.
            dtype: What `numpy.dtype` takes; without references to Python objects.
            offset: Bytes of the segment before the array.

        Raises:
            InvalidArgument: The segment is too small for it, or the dtype cannot be shared.
            ModuleNotFoundError: numpy is not installed.
            ValueError: The handle is closed; and what else `mmap` raises.
        """

    @overload
    def ndarray(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        *,
        offset: SupportsIndex = 0,
    ) -> NDArray[np.float64]: ...
    @overload
    def ndarray(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike,
        offset: SupportsIndex = 0,
    ) -> NDArray[Any]: ...
    def resize(self, size: SupportsIndex) -> None:
        """Change the size; new bytes read as zeros.

        Growing reserves the memory as the constructor does. See ftruncate(2), fallocate(2).

        Args:
            size: Bytes.

        Raises:
            BufferError: It would get smaller while a mapping of this handle lives.
            io.UnsupportedOperation: The handle is read-only.
            OSError: There is not as much memory (`ENOSPC`); the size is as it was.
            ValueError: The handle is closed.
            InvalidArgument: A negative size, for example.
        """

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        See shm_unlink(3).

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No segment can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other.
        """

@disjoint_base
class NamedMessageQueue(_Named):
    """A queue of messages that processes share by name.

    The message with the highest priority is received first; within a priority, the first that was
    sent. `with mq:` closes on exit; `for` and `async for` over a queue receive for ever. See
    mq_overview(7), mq_open(3).

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        max_messages: How many messages a new queue holds. `None`: the system's default.
        max_message_size: How many bytes a message of a new queue may have. `None`: the system's
            default.
        read: Opens for receiving.
        write: Opens for sending; one of the two must be true.
        handle_existence: What to do about a queue that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        mode: Permission bits of a new queue, subject to the umask.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: A limit stands in the way (`EINVAL`, `EMFILE`, `ENOSPC`): the text names it.
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
    """

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
        connection: Connection | None = None,
    ) -> None: ...
    def send(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> bool:
        """Send a message; False when the queue stayed full until the time was over.

        Signal handlers run while it waits; what one raises comes out, and then nothing was sent.
        See mq_send(3).

        Args:
            message: Bytes-like, or `str`, which is sent as UTF-8.
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
            priority: 0 to 32767; the highest is received first.

        Raises:
            ValueError: The message is longer than `max_message_size`, or the handle is or gets
                closed.
            io.UnsupportedOperation: The queue was opened with `write=False`.
            InvalidArgument: A priority out of range, for example.
        """

    @overload
    def receive(self, timeout: None = None) -> tuple[bytes, int]:
        """Receive a message and its priority; None when there was none in time.

        Without a timeout it is `None` only where `block` is `False`. Signal handlers run while it
        waits; what one raises comes out, and then nothing was taken. See mq_receive(3).

        Args:
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.

        Raises:
            ValueError: The handle is closed, or gets closed by another thread while this waits.
            io.UnsupportedOperation: The queue was opened with `read=False`.
        """

    @overload
    def receive(
        self, timeout: SupportsFloat | SupportsIndex | None
    ) -> tuple[bytes, int] | None: ...
    def send_many(
        self,
        messages: Iterable[Buffer | str],
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> int:
        """Send messages, waiting while the queue is full; how many were sent in time.

        All of them are checked before one is sent. Once one has been sent, nothing raises: the
        number is returned, and what a signal handler raised comes out right after that.

        Args:
            messages: Bytes-like, or `str`, each.
            timeout: Seconds for all of them; `None` waits for ever.
            priority: 0 to 32767, of all.

        Raises:
            ValueError: As `send`, and so for the others that it raises.
        """

    def receive_many(
        self,
        max_messages: SupportsIndex | None = None,
        timeout: SupportsFloat | SupportsIndex | None = None,
        into: list[tuple[bytes, int]] | None = None,
    ) -> list[tuple[bytes, int]]:
        """Receive what is there, waiting for the first; a list of (message, priority).

        Once one has been taken, the call itself raises nothing.

        Args:
            max_messages: At most so many. `None`: as many as the queue holds.
            timeout: Seconds to wait for the first; `None` waits for ever. The list is empty when
                the time was over.
            into: A list to which each message is appended as it is taken, and which is returned.
                So what a signal handler raises at the end of the call loses none of them.

        Raises:
            ValueError: As `receive`, and so for the others that it raises.
        """

    def send_async(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> Coroutine[Any, Any, bool]:
        """Send a message in asyncio; awaits False when there was no room in time.

        Arguments and errors are those of `send`; the message is taken as it is now. Cancelled, it has
        sent nothing. Waits of one loop on one handle are served in the order in which they came;
        `timeout=0` passes nobody.
        """

    @overload
    def receive_async(self, timeout: None = None) -> Coroutine[Any, Any, tuple[bytes, int]]:
        """Receive a message in asyncio; awaits None when there was none in time.

        Arguments and errors are those of `receive`. Cancelled, it has taken nothing. Waits of one
        loop on one handle are served in the order in which they came; `timeout=0` passes nobody.
        """

    @overload
    def receive_async(
        self, timeout: SupportsFloat | SupportsIndex | None
    ) -> Coroutine[Any, Any, tuple[bytes, int] | None]: ...
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
        """Whether send and receive wait at all (bool; may be set).

        It is `O_NONBLOCK` of the open description, which forked children share. `False`: what would
        have to wait returns `False` or `None` at once, whatever the timeout. See mq_setattr(3).
        """

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
        self, notification: SupportsIndex | tuple[Callable[[Any], object], Any] | None = None
    ) -> bool:
        """Ask to be told, once, when the queue goes from empty to non-empty.

        An earlier request of this process is replaced. See mq_notify(3).

        Args:
            notification: A signal number; or a callable and its argument, called in a new daemon
                thread; or `None`, which withdraws the request.

        Returns:
            `True` if it is registered, or withdrawn; `False` if another process is registered.

        Raises:
            ValueError: The handle is closed.
            InvalidArgument: A number that is no signal, for example.
        """

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        See mq_unlink(3).

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No queue can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other.
        """

@final
class Lease:
    """What a Mapping holds of its segment handle until it is closed."""

@disjoint_base
class NamedChannel(_Named):
    """A channel of messages of any size that processes share by name.

    Any number of handles send and receive; each message is received by one of them, whole. The
    highest priority is received first; within a priority, the first that was sent. A process that is
    killed at whatever moment loses nothing but its own unfinished message, and delays the others by
    50 ms at the most. `with channel:` closes on exit; `for` and `async for` over a channel receive
    for ever.

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        max_messages: How many messages a new channel holds. `None`: as many as fit.
        max_message_size: How many bytes a message of a new channel may have. `None`: 16 less than
            the capacity.
        read: Opens for receiving.
        write: Opens for sending; one of the two must be true.
        handle_existence: What to do about a channel that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        capacity: The room for messages of a new channel in bytes, for each priority; rounded up to a
            power of two. `None`: room for `max_messages` of `max_message_size` if both are given,
            else 1 MiB.
        priorities: How many priorities a new channel has, 1 to 8.
        mode: Permission bits of a new channel, subject to the umask. Each handle must be able to
            read and to write.
        reserve: Allocates the memory of a new channel at once: being out of memory is an error
            then, and no bus error later.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: What has the name is no channel, or one of another version; 1023 handles are open
            (`EMFILE`); or the system has no room for it (`ENOSPC`).
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
    """

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
        capacity: SupportsIndex | None = None,
        priorities: SupportsIndex = 1,
        mode: SupportsIndex = 0o600,
        reserve: bool = True,
        connection: Connection | None = None,
    ) -> None: ...
    def send(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> bool:
        """Send a message; False when there was no room until the time was over.

        Signal handlers run while it waits; what one raises comes out, and then nothing was sent.

        Args:
            message: Bytes-like, or `str`, which is sent as UTF-8.
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
            priority: 0 to `priorities` - 1; the highest is received first.

        Raises:
            ValueError: The message is longer than `max_message_size`, or the handle is or gets
                closed.
            io.UnsupportedOperation: The channel was opened with `write=False`.
            OSError: Somebody has written rubbish into the file (`EUCLEAN`).
            InvalidArgument: A priority out of range, for example.
        """

    @overload
    def receive(self, timeout: None = None) -> tuple[bytes, int]:
        """Receive a message and its priority; None when there was none in time.

        Without a timeout it is `None` only where `block` is `False`. Signal handlers run while it
        waits; what one raises comes out, and then nothing was taken.

        Args:
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.

        Raises:
            ValueError: The handle is closed, or gets closed by another thread while this waits.
            io.UnsupportedOperation: The channel was opened with `read=False`.
            OSError: Somebody has written rubbish into the file (`EUCLEAN`).
            MemoryError: There is no memory for the message, which stays.
        """

    @overload
    def receive(
        self, timeout: SupportsFloat | SupportsIndex | None
    ) -> tuple[bytes, int] | None: ...
    def send_many(
        self,
        messages: Iterable[Buffer | str],
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> int:
        """Send messages, waiting for room; how many were sent in time.

        All of them are checked before one is sent, and those for which there is room at once become
        visible at once. Once one has been sent, nothing raises: the number is returned, and what a
        signal handler raised comes out right after that.

        Args:
            messages: Bytes-like, or `str`, each.
            timeout: Seconds for all of them; `None` waits for ever.
            priority: 0 to `priorities` - 1, of all.

        Raises:
            ValueError: As `send`, and so for the others that it raises.
        """

    @overload
    def receive_into(self, buffer: Buffer, timeout: None = None) -> tuple[int, int]:
        """Receive a message into a buffer; its length and priority, None when there was none in time.

        Args:
            buffer: A writable and contiguous object with a buffer: `bytearray`, `memoryview`, an array.
            timeout: As of `receive`.

        Raises:
            ValueError: The next message is longer than the buffer; it stays, and the text has both
                numbers.
        """

    @overload
    def receive_into(
        self, buffer: Buffer, timeout: SupportsFloat | SupportsIndex | None
    ) -> tuple[int, int] | None: ...
    def receive_many(
        self,
        max_messages: SupportsIndex | None = None,
        timeout: SupportsFloat | SupportsIndex | None = None,
        into: list[tuple[bytes, int]] | None = None,
    ) -> list[tuple[bytes, int]]:
        """Receive what is there, waiting for the first; a list of (message, priority).

        Once one has been taken, the call itself raises nothing.

        Args:
            max_messages: At most so many. `None`: as many as the channel holds.
            timeout: Seconds to wait for the first; `None` waits for ever. The list is empty when
                the time was over.
            into: A list to which each message is appended as it is taken, and which is returned.
                So what a signal handler raises at the end of the call loses none of them.

        Raises:
            ValueError: As `receive`, and so for the others that it raises.
        """

    def send_async(
        self,
        message: Buffer | str,
        timeout: SupportsFloat | SupportsIndex | None = None,
        priority: SupportsIndex = 0,
    ) -> Coroutine[Any, Any, bool]:
        """Send a message in asyncio; awaits False when there was no room in time.

        Arguments and errors are those of `send`; the message is taken as it is now. Cancelled, it has
        sent nothing. Waits of one loop on one handle are served in the order in which they came;
        `timeout=0` passes nobody.
        """

    @overload
    def receive_async(self, timeout: None = None) -> Coroutine[Any, Any, tuple[bytes, int]]:
        """Receive a message in asyncio; awaits None when there was none in time.

        Arguments and errors are those of `receive`. Cancelled, it has taken nothing. Waits of one
        loop on one handle are served in the order in which they came; `timeout=0` passes nobody.
        """

    @overload
    def receive_async(
        self, timeout: SupportsFloat | SupportsIndex | None
    ) -> Coroutine[Any, Any, tuple[bytes, int] | None]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[bytes, int]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, tuple[bytes, int]]: ...
    @property
    def current_messages(self) -> int:
        """How many messages are in the channel at this moment (int)."""

    @property
    def capacity(self) -> int:
        """How many bytes of messages there is room for, of each priority (int).

        A message takes 8 bytes more than it has, rounded up to a multiple of 8.
        """

    @property
    def priorities(self) -> int:
        """How many priorities there are: 0 to one less may be sent (int)."""

    @property
    def max_messages(self) -> int:
        """How many messages the channel holds at the most (int)."""

    @property
    def max_message_size(self) -> int:
        """How many bytes a message may have (int)."""

    @property
    def block(self) -> bool:
        """Whether send and receive of this handle wait at all (bool; may be set).

        `False`: what would have to wait returns `False` or `None` at once, whatever the timeout.
        """

    @block.setter
    def block(self, value: bool) -> None: ...
    def fileno(self) -> int:
        """A descriptor that is readable while there is a message (int).

        After a receive that found nothing it is not readable until the next message. It is made by
        the first call, open as long as the handle is, and of no other use than to be polled. A forked
        child gets another one.
        """

    def close(self) -> None:
        """Give up this handle; never unlinks, and twice is fine.

        A wait of another thread on this handle ends with `ValueError` within half a second.
        """

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No channel can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other.
        """

@disjoint_base
class NamedLock(_Named):
    """A lock that processes share by name, and that survives its owner.

    At most one living handle holds it. The owner is the handle: any thread of its process may
    release. An owner that dies (by any signal), execs, exits, or closes or deletes its handle lets
    go, and `owner_died` tells each holder until one calls `mark_repaired()`. A living owner never
    loses the lock. A forked child holds nothing. It is not recursive: a second acquire through the
    same handle waits. `with lock:` acquires on entry and releases on exit; it does not close.

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        handle_existence: What to do about a lock that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        mode: Permission bits of a new lock, subject to the umask. Each handle must be able to read
            and to write.
        lease: Seconds, from 1, after which a server takes a silent owner for dead; no effect on this
            machine.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: What has the name is no lock, or one of another version; 1023 handles are open
            (`EMFILE`); or the system has no room for one.
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
        lease: SupportsFloat | SupportsIndex = 10.0,
        connection: Connection | None = None,
    ) -> None: ...
    def acquire(
        self, blocking: bool = True, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> bool:
        """Take the lock; False when it was not free in time.

        A dead owner's is free: at once for this call, within 16 ms for one that sleeps. `owner_died`
        tells. Signal handlers run while it waits; what one raises comes out, and then nothing was
        taken.

        Args:
            blocking: `False` does not wait; it takes no timeout.
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.

        Raises:
            ValueError: The handle is closed, or gets closed by another thread while this waits.
            OSError: It cannot be told whether the owner lives.
            InvalidArgument: A negative timeout, for example.
        """

    def release(self) -> None:
        """Give the lock up, and wake one who waits; any thread may.

        Raises:
            RuntimeError: This handle does not hold it, in a forked child for example.
            ValueError: The handle is closed.
        """

    def acquire_async(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Take the lock in asyncio; awaits False when it was not free in time.

        Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
        which they came, within 10 ms of a release or a death. `async with lock:` acquires and
        releases.

        Args:
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 takes only what no
                other wait is queued for.

        Raises:
            ValueError: The handle is closed, or gets closed while this waits.
            InvalidArgument: A negative timeout, for example.
        """

    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Coroutine[Any, Any, None]: ...
    @property
    def owner_died(self) -> bool:
        """Whether an owner died with the lock, and nobody has called mark_repaired() since (bool).

        Closing or deleting a handle that holds the lock counts as a death. What the lock protects may
        be half changed then. Nothing is raised, and the lock works as always.
        """

    def mark_repaired(self) -> None:
        """Say that all is well again: owner_died becomes False, for everybody.

        Raises:
            RuntimeError: This handle does not hold the lock.
        """

    def locked(self) -> bool:
        """Whether a living handle holds the lock, at this moment."""

    @property
    def held(self) -> bool:
        """Whether this handle holds the lock (bool)."""

    @property
    def owner(self) -> int | None:
        """The process that holds the lock, as it calls itself, or None (int | None).

        To show to people, never to decide by: in another pid namespace the number means another
        process, or none.
        """

    @property
    def fence(self) -> int:
        """The number of this hold, larger than that of each earlier one (int).

        A database or a device that remembers the largest can refuse what a dead owner had sent to it
        and what arrives late. `RuntimeError` unless this handle holds the lock.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def close(self) -> None:
        """Give up this handle; never unlinks, and twice is fine.

        If it holds the lock, that is given up as by a death, with a `ResourceWarning`. A wait of
        another thread on this handle ends with `ValueError` within half a second.
        """

    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No lock can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other. The new handle holds nothing.
        """

@disjoint_base
class NamedBoundedSemaphore(_Named):
    """A semaphore that processes share by name, whose permits survive their holders.

    At most `value` permits are held, by living handles. The holder is the handle: any thread of its
    process may release. The permits of a holder that dies (by any signal), execs, exits, or closes or
    deletes its handle are free again. A forked child holds none. `with permits:` acquires on entry
    and releases on exit; it does not close.

    Args:
        name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
            random free name.
        value: How many permits a new one has, 1 to 512; ignored when linking.
        handle_existence: What to do about one that exists, or does not.
        unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
            owned or kept. `True`: deletion of this handle does. `False`: none does.
        mode: Permission bits of a new one, subject to the umask. Each handle must be able to read
            and to write.
        lease: Seconds, from 1, after which a server takes a silent holder for dead; no effect on
            this machine.
        connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.

    Raises:
        FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
        FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
        PermissionError: The system does not permit it to this user.
        OSError: What has the name is no bounded semaphore, or one of another version; 1023 handles
            are open (`EMFILE`); or the system has no room for one.
        InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def __init__(
        self,
        name: str | None,
        value: SupportsIndex = 1,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
        lease: SupportsFloat | SupportsIndex = 10.0,
        connection: Connection | None = None,
    ) -> None: ...
    def acquire(
        self, blocking: bool = True, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> bool:
        """Take a permit; False when there was none in time.

        A dead holder's is free: at once for this call, within 16 ms for one that sleeps. Signal
        handlers run while it waits; what one raises comes out, and then nothing was taken.

        Args:
            blocking: `False` does not wait; it takes no timeout.
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.

        Raises:
            ValueError: The handle is closed, or gets closed by another thread while this waits.
            OSError: It cannot be told whether the holders live.
            InvalidArgument: A negative timeout, for example.
        """

    def release(self) -> None:
        """Give one of this handle's permits back, and wake one who waits; any thread may.

        Raises:
            RuntimeError: This handle has none, in a forked child for example.
            ValueError: The handle is closed.
        """

    def acquire_async(
        self, timeout: SupportsFloat | SupportsIndex | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Take a permit in asyncio; awaits False when there was none in time.

        Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
        which they came, within 10 ms of a release or a death. `async with permits:` acquires
        and releases.

        Args:
            timeout: Seconds on the monotonic clock; `None` waits for ever, 0 takes only what no
                other wait is queued for.

        Raises:
            ValueError: The handle is closed, or gets closed while this waits.
            InvalidArgument: A negative timeout, for example.
        """

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
        """How many permits are free at this moment, those of dead holders included (int)."""

    @property
    def bound(self) -> int:
        """How many permits there are, free or held (int)."""

    @property
    def holders(self) -> list[int]:
        """The processes that have permits, as they call themselves, one for each permit (list of int).

        To show to people, never to decide by: in another pid namespace the number means another
        process, or none.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def close(self) -> None:
        """Give up this handle; never unlinks, and twice is fine.

        If it has permits, they are given up as by a death, with a `ResourceWarning`. A wait of
        another thread on this handle ends with `ValueError` within half a second.
        """

    def __del__(self) -> None:
        """Close, and remove the name if unlink_on_delete says so; what deletion does."""

    @classmethod
    def unlink_name(cls, name: str, connection: Connection | None = None) -> None:
        """Remove a name without opening what has it.

        Raises:
            FileNotFoundError: Nothing has the name.
            PermissionError: The system does not permit it to this user.
            InvalidArgument: No bounded semaphore can have this name.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a handle that links by name; ValueError when closed.

        It shares a shared object, and unlinks no other. The new handle has no permit.
        """

@final
class _Poller:
    """Watches what gives out permits for those who wait in one loop."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """The descriptor that is readable after a permit was seen (int)."""

    def add(self, key: int, handle: NamedSemaphore | NamedBoundedSemaphore | NamedLock) -> None:
        """Watch one more semaphore, bounded semaphore or lock, until its key is removed."""

    def remove(self, key: int) -> None:
        """Watch it no more."""

    def ready(self) -> list[int]:
        """The keys of those that have a permit; makes the descriptor unreadable."""

@final
class _Readiness:
    """A descriptor that is readable when a channel has a message, or room."""

    def __new__(cls, channel: NamedChannel, writing: bool) -> Self: ...
    def fileno(self) -> int:
        """The descriptor (int)."""

    def clear(self) -> None:
        """Make it unreadable, until it is worth trying again."""

    def want_room(self, length: int, priority: int) -> None:
        """Say what room is wanted from here on."""

@final
class _Watch:
    """A request for a notification, waited for by a thread of its own."""

    def wait(self) -> bool:
        """Wait for the notification; False when it can come no more."""

def _restore(
    base: type,
    cls: type,
    name: str,
    options: dict[str, Any],
    positional: tuple[Any, ...],
    keywords: dict[str, Any],
) -> Any:
    """Link a new handle of class `cls` to the object called `name`; what pickles call.

    An object that cannot be opened is told at the first use of the handle: `multiprocessing.Pool` loses
    its thread, and waits for ever, when unpickling raises.
    """

def _register(queue: NamedMessageQueue, epoll: epoll, events: int) -> None:
    """Have an epoll object watch a queue.

    The descriptor is the queue's until that is done, whatever another thread closes.
    """

def _is_held_up(channel: NamedChannel, writing: bool) -> bool:
    """Whether another handle copies into a channel, or out of it, and goes on with that for a moment."""

def _message(
    handle: NamedMessageQueue | NamedChannel, message: Any, priority: Any
) -> tuple[bytes, int]:
    """A message and its priority as they can be sent later, or what send would raise."""

def _seconds(timeout: object, /) -> float | None:
    """A timeout as a float, None for ever; InvalidArgument for what is none."""

@final
class Connection:
    """A place where named objects live; `connect` makes one.

    Its attributes `NamedSemaphore`, `NamedMessageQueue` and so on are called as the classes are, and give
    handles to objects of that place. They take the same arguments, and have `unlink_name` as well.
    `with place:` closes on exit. Threads may share it.
    """

    @property
    def NamedSemaphore(self) -> _SemaphoreAt:
        """The class `NamedSemaphore`, at this place."""

    @property
    def NamedSharedMemory(self) -> _SharedMemoryAt:
        """The class `NamedSharedMemory`, at this place."""

    @property
    def NamedMessageQueue(self) -> _MessageQueueAt:
        """The class `NamedMessageQueue`, at this place."""

    @property
    def NamedChannel(self) -> _ChannelAt:
        """The class `NamedChannel`, at this place."""

    @property
    def NamedLock(self) -> _LockAt:
        """The class `NamedLock`, at this place."""

    @property
    def NamedBoundedSemaphore(self) -> _BoundedSemaphoreAt:
        """The class `NamedBoundedSemaphore`, at this place."""

    @property
    def url(self) -> str:
        """The URL, with `***` for a password (str)."""

    @property
    def remote(self) -> bool:
        """Whether the objects live on a server; False: on this machine (bool)."""

    def list_objects(self) -> list[dict[str, Any]]:
        """List the named objects of this place.

        On this machine, what `nob.ipc.list_objects` returns.

        Returns:
            A `dict` for each object on a server, with `kind` (`"sem"`, `"mq"`, `"lock"` or `"permits"`),
                `name`, `generation` (which tells it from others that have had the name), `host` and `pid`
                of its creator, and, where it has them, `bound` or `max_messages` and
                `max_message_size`.

        Raises:
            PermissionError: The server does not let this user look.
        """

    def check(self) -> list[str]:
        """Say what is likely to hurt here: a sentence for each finding (list of str).

        On this machine, what `nob-ipc doctor` marks; of a server, what of its settings can lose
        objects.
        """

    @property
    def closed(self) -> bool:
        """Whether the connection is closed (bool)."""

    def close(self) -> None:
        """Close the handles that were opened here, and remove the names that their deletion would;
        twice is fine.

        A wait of another thread on one of them ends with `ValueError` within half a second.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class _ClassAt:
    """A class of objects, at a place: it is called as the class is."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def unlink_name(self, name: str) -> None:
        """Remove a name without opening what has it, as the class does."""

    @property
    def __wrapped__(self) -> type[_Named]:
        """The class, whose signature it has (type)."""

@type_check_only
class _SemaphoreAt(Protocol):
    def __call__(
        self,
        name: str | None,
        initial_value: SupportsIndex = 1,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
    ) -> NamedSemaphore: ...
    def unlink_name(self, name: str) -> None: ...

@type_check_only
class _SharedMemoryAt(Protocol):
    def __call__(
        self,
        name: str | None,
        size: SupportsIndex = 0,
        read_only: bool = False,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
        reserve: bool = True,
    ) -> NamedSharedMemory: ...
    def unlink_name(self, name: str) -> None: ...

@type_check_only
class _MessageQueueAt(Protocol):
    def __call__(
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
    ) -> NamedMessageQueue: ...
    def unlink_name(self, name: str) -> None: ...

@type_check_only
class _ChannelAt(Protocol):
    def __call__(
        self,
        name: str | None,
        max_messages: SupportsIndex | None = None,
        max_message_size: SupportsIndex | None = None,
        read: bool = True,
        write: bool = True,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        capacity: SupportsIndex | None = None,
        priorities: SupportsIndex = 1,
        mode: SupportsIndex = 0o600,
        reserve: bool = True,
    ) -> NamedChannel: ...
    def unlink_name(self, name: str) -> None: ...

@type_check_only
class _LockAt(Protocol):
    def __call__(
        self,
        name: str | None,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
    ) -> NamedLock: ...
    def unlink_name(self, name: str) -> None: ...

@type_check_only
class _BoundedSemaphoreAt(Protocol):
    def __call__(
        self,
        name: str | None,
        value: SupportsIndex = 1,
        handle_existence: Flags = Flags.RAISE_IF_NOT_EXISTS,
        unlink_on_delete: bool | None = None,
        *,
        mode: SupportsIndex = 0o600,
    ) -> NamedBoundedSemaphore: ...
    def unlink_name(self, name: str) -> None: ...

def _shared(recipe: tuple[str, float, str, str]) -> Connection:
    """The connection to a server that unpickled handles share."""

@final
class _Request:
    """A request that was not answered, to be repeated."""

    def again(self, timeout: SupportsFloat | SupportsIndex | None) -> Any:
        """Repeat the very request; what the call would have returned."""

@final
class _Events:
    """Tells a loop that operations have ended."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """The descriptor that is readable when there is news (int)."""

    def ready(self) -> list[int]:
        """The keys of those that have ended since the last call."""

@final
class _Pending:
    """An operation that goes on by itself."""

    def claim(self) -> Any:
        """What came of the operation, which has ended: what the call returns, or raises."""

    def cancel(self) -> None:
        """End it. What it has taken goes back."""

def _start_acquire(
    events: _Events,
    key: int,
    handle: NamedSemaphore | NamedBoundedSemaphore | NamedLock,
    timeout: Any,
) -> _Pending:
    """Begin to acquire; the events will have the key."""

def _start_release(
    events: _Events, key: int, handle: NamedSemaphore | NamedBoundedSemaphore | NamedLock
) -> _Pending:
    """Begin to release."""

def _start_send(
    events: _Events,
    key: int,
    queue: NamedMessageQueue,
    message: Any,
    priority: Any,
    timeout: Any,
) -> _Pending:
    """Begin to send."""

def _start_receive(events: _Events, key: int, queue: NamedMessageQueue, timeout: Any) -> _Pending:
    """Begin to receive."""

def connect(
    url: str | None = None,
    *,
    patience: SupportsFloat | SupportsIndex | None = None,
    durability: Literal["memory", "replica", "fsync"] | None = None,
    namespace: str | None = None,
) -> Connection:
    """Open a place where named objects live.

    Args:
        url: `"local:"` is this machine, which needs no server. `None`: what the environment variable
            `NOB_IPC_URL` says, or this machine where that is unset or empty.
        patience: Seconds for which a call goes on trying to reach the server.
        durability: What has to be done before a call returns: `"memory"`, `"replica"` or `"fsync"`.
        namespace: The first part of all keys on the server. On this machine the three are checked,
            and have no effect.

    Raises:
        InvalidArgument: What is no such URL, for example.
    """

def list_objects() -> list[Listed]:
    """List all named objects of the machine that this user can see.

    Queues are listed through `/dev/mqueue`, or a private mount where that is permitted; otherwise
    those of which this user has a record. Bytes of a name or command that are not UTF-8 are
    surrogates, as in the module `os`.

    Returns:
        A `dict` for each object, with `kind` (`"sem"`, `"shm"`, `"mq"`, `"lock"`, `"permits"` or
            `"channel"`), `name`, `mode` (octal, as `str`), `uid`, `gid`, `holders` (who has it open: a list of
            `dict` with `pid` and `command`), `orphan` (`True` if its creator was due to unlink it
            and is dead, `None` if that is unknown), and what it holds. A semaphore has `value`; a
            segment `size`; a queue `messages`, `max_messages` and `max_message_size`; a lock
            `owner`, `owner_died`, `waiters` and `deaths`; a bounded semaphore `value`, `bound`,
            `owners` (a list of pids), `waiters` and `deaths`; a channel what a queue has, and `used_bytes`
            and `capacity` in bytes, `priorities`, `waiters` and `deaths`. `None` is what this user may not see,
            or a lock without an owner.

    Raises:
        OSError: The system does not let it look.
    """

def reap(dry_run: bool = True) -> list[Reaped]:
    """Remove what dead processes left behind; with dry_run, only say what would be removed.

    Only what is proven to be an orphan, and held by nobody, is ever removed.

    Args:
        dry_run: Remove nothing.

    Returns:
        A `dict`, as of `list_objects`, for each object whose creator is dead, and in it `outcome`:
            `"removed"` (`"would be removed"` in a dry run), `"held"`, `"unseen"`,
            `"unknown creator"`, `"not permitted"`, or a sentence that says why it could not be
            removed.

    Raises:
        OSError: The system does not let it look.
    """

@disjoint_base
class _PosixNamed:
    """A handle to a named object; what its kinds have in common. It unlinks nothing by itself."""

    @property
    def name(self) -> str:
        """The name as it was given (str)."""

    @property
    def mode(self) -> int:
        """The mode as it was given (int)."""

    def unlink(self) -> None:
        """Remove the name now; handles and mappings that are open go on working.

        Raises ExistentialError if it is gone or belongs to another object now, PermissionsError.
        Source: sem_unlink(3), shm_unlink(3), mq_unlink(3).
        """

@disjoint_base
class Semaphore(_PosixNamed):
    """A semaphore that processes share by name.

    `with sem:` acquires on entry and releases on exit; it neither closes nor unlinks.

    name: str or bytes; None with O_CREX makes a random free one.
    flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates.
    mode: int, permission bits of a new semaphore, subject to the umask.
    initial_value: int, 0 to SEMAPHORE_VALUE_MAX; ignored when opening.

    Raises ExistentialError, PermissionsError, ValueError, OSError. Source: sem_open(3).
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
        """Take a permit, waiting while there is none.

        timeout: seconds, None waits for ever, 0 does not wait.
        Raises BusyError when there was none in time, SignalError when a signal was handled meanwhile,
        ExistentialError when the handle is or gets closed. Nothing was taken then.
        Source: sem_wait(3), on the monotonic clock.
        """

    def release(self) -> None:
        """Give a permit back.

        Raises OSError (EOVERFLOW) at SEMAPHORE_VALUE_MAX, ExistentialError when closed.
        Source: sem_post(3).
        """

    @property
    def value(self) -> int:
        """The number of permits at this moment (int; sem_getvalue(3))."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: object = ..., exc: object = ..., traceback: object = ..., /
    ) -> None: ...
    def close(self) -> None:
        """Give up this handle; never unlinks.

        Raises ExistentialError when it is closed already.
        """

@disjoint_base
class SharedMemory(_PosixNamed):
    """A segment of memory that processes share by name: a descriptor for mmap.mmap.

    name: str or bytes; None with O_CREX makes a random free one.
    flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates; O_TRUNC empties one that exists.
    mode: int, permission bits of a new segment, subject to the umask.
    size: int, bytes; 0 leaves the size as it is. A segment that exists is resized to it; but one that
    is in use is never made smaller: a RuntimeWarning says so.
    read_only: bool, opens for reading; not together with a size.

    Raises ExistentialError, PermissionsError, ValueError, OSError (ENOSPC: the memory is reserved here,
    and not at first touch). Source: shm_open(3).
    """

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

@disjoint_base
class MessageQueue(_PosixNamed):
    """A queue of messages that processes share by name; the highest priority is received first.

    name: str or bytes; None with O_CREX makes a random free one.
    flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates; O_NONBLOCK sets block to False.
    mode: int, permission bits of a new queue, subject to the umask.
    max_messages: int, capacity of a new queue; default: QUEUE_MESSAGES_MAX_DEFAULT.
    max_message_size: int, bytes, of a new queue; default: QUEUE_MESSAGE_SIZE_MAX_DEFAULT.
    read, write: bool, the directions to open it for; at least one.

    Raises ExistentialError, PermissionsError, ValueError and OSError (the text names the limit).
    Source: mq_open(3).
    """

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
        """Send a message, waiting while the queue is full.

        message: bytes-like, or str, which is sent as UTF-8. timeout: seconds, None waits for ever, 0
        does not wait. priority: int, 0 to QUEUE_PRIORITY_MAX.
        Raises BusyError when there was no room in time, SignalError when a signal was handled
        meanwhile, PermissionsError when opened with write=False, ValueError for a message that is too
        long, ExistentialError when closed. Nothing was sent then.
        Source: mq_send(3), on the monotonic clock.
        """

    def receive(self, timeout: SupportsFloat | SupportsIndex | None = None) -> tuple[bytes, int]:
        """Receive a message and its priority, waiting while there is none.

        timeout: seconds, None waits for ever, 0 does not wait.
        Raises BusyError when there was none in time, SignalError when a signal was handled meanwhile,
        PermissionsError when opened with read=False, ExistentialError when closed. Nothing was taken
        then. Source: mq_receive(3), on the monotonic clock.
        """

    def request_notification(
        self, notification: SupportsIndex | tuple[Callable[[Any], object], Any] | None = None
    ) -> None:
        """Ask to be told when the queue goes from empty to non-empty, once.

        notification: a signal's number; a tuple (callable, argument), called in a thread of its own;
        None cancels.
        Raises BusyError when another process has asked, ValueError, ExistentialError when closed.
        Source: mq_notify(3).
        """

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
        """Close the descriptor; never unlinks.

        Raises ExistentialError when it is closed already.
        """

def unlink_semaphore(name: str | bytes) -> None:
    """Remove the name of a semaphore; handles that are open go on working.

    name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: sem_unlink(3).
    """

def unlink_shared_memory(name: str | bytes) -> None:
    """Remove the name of a segment; handles and mappings that are open go on working.

    name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: shm_unlink(3).
    """

def unlink_message_queue(name: str | bytes) -> None:
    """Remove the name of a message queue; handles that are open go on working.

    name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: mq_unlink(3).
    """

def _queue_defaults() -> tuple[int, int]:
    """The capacity of a queue that is created without saying so: messages, and bytes of each."""
