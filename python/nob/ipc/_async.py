"""Waiting in asyncio; imported when the first wait begins.

A wait takes its permit or message in its own coroutine, at the moment it returns: between taking
and returning nothing is awaited, so cancellation loses nothing, and nothing is taken for a wait
that was cancelled. Those who wait for one thing of one handle in one loop are in a FIFO queue, and
only the first of them tries.

Queues wait through the loop's readiness; channels, too, by a descriptor that a native thread
makes readable, one thread for all channels of the process. Semaphores and locks have no descriptor
to wait on: a native thread, one for each loop, looks at the values of all that somebody waits for.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from nob.ipc._native import (
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    _is_held_up,
    _message,
    _Poller,
    _Readiness,
    _register,
    _seconds,
)

CHECK_INTERVAL = 0.25
"""Seconds between two checks whether a handle was closed, or is to block no more."""

FIRST_PAUSE, LAST_PAUSE = 0.001, 0.016
"""Seconds until a look whether a copy has ended that holds a wait up, and until the later ones."""

Permits = NamedSemaphore | NamedBoundedSemaphore | NamedLock

Messages = NamedMessageQueue | NamedChannel

Handle = TypeVar("Handle", bound=Permits | Messages)
PermitHandle = TypeVar("PermitHandle", NamedSemaphore, NamedBoundedSemaphore, NamedLock)
Result = TypeVar("Result")


class _Waiter:
    """One who waits; woken by the queue of waiters, or when the time is over."""

    _woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        # A loop that was closed under its waits wakes nobody.
        woken = self._woken
        if woken is not None and not woken.done() and not woken.get_loop().is_closed():
            woken.set_result(None)

    async def sleep(self, end: float) -> None:
        """Sleep until woken, or until a moment of the monotonic clock."""
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        timer = None
        if end != math.inf:
            timer = loop.call_later(max(0.0, end - time.monotonic()), self.wake)
        try:
            await self._woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()


class _Waits:
    """The waits of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queues: dict[tuple[int, type], _WaitQueue[Any]] = {}
        self._checks = False
        self._poller: _Poller | None = None
        self._polled: dict[int, _WaitQueue[Any]] = {}

    def add(self, queue: _WaitQueue[Any]) -> None:
        self.queues[queue.key] = queue
        if not self._checks:
            self._checks = True
            self.loop.call_later(CHECK_INTERVAL, self._check)

    def remove(self, queue: _WaitQueue[Any]) -> None:
        del self.queues[queue.key]

    def poll(self, queue: _WaitQueue[Any]) -> None:
        """Wake the first of the queue when what it waits for has a permit."""
        if self._poller is None:
            poller = _Poller()
            self.loop.add_reader(poller.fileno(), self._wake)
            self._poller = poller
        self._poller.add(id(queue), queue.handle)
        self._polled[id(queue)] = queue

    def poll_no_more(self, queue: _WaitQueue[Any]) -> None:
        if self._polled.pop(id(queue), None) is not None and self._poller is not None:
            self._poller.remove(id(queue))

    def _wake(self) -> None:
        if self._poller is not None:
            for key in self._poller.ready():
                self._polled[key].wake_first()

    def _check(self) -> None:
        for queue in list(self.queues.values()):
            try:
                waits_on = queue.may_wait(queue.handle)
            except (ValueError, OSError):
                # It is closed, or cannot tell. The first waiter's own call says so.
                waits_on = False
            if not waits_on:
                queue.wake_first()
        self._checks = bool(self.queues)
        if self._checks:
            self.loop.call_later(CHECK_INTERVAL, self._check)
        elif self._poller is not None:
            self.loop.remove_reader(self._poller.fileno())
            self._poller = None


_waits: WeakValueDictionary[int, _Waits] = WeakValueDictionary()
"""By the identity of the loop, which they keep alive. They live as long as somebody waits: a loop
that was closed or forgotten takes them, the waits and the handles with it."""


class _WaitQueue(Generic[Handle]):
    """Those who wait for one thing of one handle in one loop, the first to come in front."""

    def __init__(self, handle: Handle, waits: _Waits) -> None:
        self.handle = handle
        self.key = (id(handle), type(self))
        self.waits = waits
        # Taking out costs the same at the front and in the middle.
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self.begin()
        waits.add(self)

    def begin(self) -> None:
        """Ask to be told when the first may be served."""
        raise NotImplementedError

    def end(self) -> None:
        """The last has left."""
        raise NotImplementedError

    @staticmethod
    def may_wait(handle: Handle) -> bool:
        """Whether one may wait at all."""
        raise NotImplementedError

    @classmethod
    def is_held_up(cls, handle: Handle) -> bool:
        """Whether an attempt would stand still because of others, and the loop with it."""
        return False

    def may_try(self) -> bool:
        """Whether the first may try now; if not, it is woken later."""
        return True

    def tried_in_vain(self) -> None:
        """The first has found nothing, or may not try now, and goes on waiting."""

    def wake_first(self) -> None:
        for waiter in self.waiters:
            waiter.wake()
            return

    async def wait(
        self, timeout: float | None, attempt: Callable[[], Result], nothing: Result
    ) -> Result:
        """Wait until an attempt from the front brings something, or the time is over."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        waiter = _Waiter()
        self.waiters[waiter] = None
        try:
            while True:
                await waiter.sleep(end)
                is_first = next(iter(self.waiters)) is waiter
                may_try = is_first and self.may_try()
                result = attempt() if may_try else _nothing(self.handle, nothing)
                if result is not nothing or time.monotonic() >= end:
                    return result
                if not self.may_wait(self.handle):
                    return _nothing(self.handle, nothing)
                if is_first:
                    self.tried_in_vain()
        finally:
            del self.waiters[waiter]
            if self.waiters:
                self.wake_first()
            else:
                self.waits.remove(self)
                self.end()


def _nothing(handle: Permits | Messages, nothing: Result) -> Result:
    if handle.closed:
        raise ValueError("the handle was closed while this call waited")
    return nothing


async def _wait(
    kind: type[_WaitQueue[Handle]],
    handle: Handle,
    timeout: object,
    attempt: Callable[[], Result],
    nothing: Result,
) -> Result:
    """Take at once what nobody else waits for, or wait for it."""
    loop = asyncio.get_running_loop()
    seconds = _seconds(timeout)
    waits = _waits.get(id(loop))
    queue = None if waits is None else waits.queues.get((id(handle), kind))
    if queue is None and (seconds == 0 or not kind.is_held_up(handle)):
        result = attempt()
        if result is not nothing:
            return result
    if seconds == 0 or not kind.may_wait(handle):
        return _nothing(handle, nothing)
    if waits is None:
        waits = _waits[id(loop)] = _Waits(loop)
    if queue is None:
        queue = kind(handle, waits)
    return await queue.wait(seconds, attempt, nothing)


class _QueueWaits(_WaitQueue[NamedMessageQueue]):
    """Waits for one direction of a message queue, through the readiness of its descriptor.

    The loop watches an epoll descriptor of this object's own, in which the queue's is: so the
    program may watch the queue itself as well, closing this one does nothing to the queue, and
    uvloop makes only this one non-blocking, as it does with all that it watches.
    """

    events = 0

    def begin(self) -> None:
        self._epoll = select.epoll()
        try:
            _register(self.handle, self._epoll, self.events)
            self.waits.loop.add_reader(self._epoll.fileno(), self.wake_first)
        except BaseException:
            self._epoll.close()
            raise

    def end(self) -> None:
        if not self.waits.loop.is_closed():
            self.waits.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    @staticmethod
    def may_wait(handle: NamedMessageQueue) -> bool:
        return handle.block


class _Receivers(_QueueWaits):
    events = select.EPOLLIN


class _Senders(_QueueWaits):
    events = select.EPOLLOUT


class _ChannelWaits(_WaitQueue[NamedChannel]):
    """Waits for messages of a channel, or for room in it.

    An attempt has to wait for a copy that another handle makes. A loop bears that for a moment, and
    looks again after a pause: the other process may be stopped amid its copy.
    """

    writing = False
    _pause = 0.0
    _resumption: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._readiness = _Readiness(self.handle, self.writing)
        self.waits.loop.add_reader(self._readiness.fileno(), self.wake_first)

    def end(self) -> None:
        if self._resumption is not None:
            self._resumption.cancel()
        if not self.waits.loop.is_closed():
            self.waits.loop.remove_reader(self._readiness.fileno())
        del self._readiness

    @classmethod
    def is_held_up(cls, handle: NamedChannel) -> bool:
        return _is_held_up(handle, cls.writing)

    def may_try(self) -> bool:
        held_up = self.is_held_up(self.handle)
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LAST_PAUSE) if held_up else 0.0
        return not held_up

    def tried_in_vain(self) -> None:
        if not self._pause:
            self._readiness.clear()
        elif self._resumption is None:
            loop = self.waits.loop
            loop.remove_reader(self._readiness.fileno())
            self._resumption = loop.call_later(self._pause, self._resume)

    def _resume(self) -> None:
        self._resumption = None
        self.waits.loop.add_reader(self._readiness.fileno(), self.wake_first)
        self.wake_first()

    @staticmethod
    def may_wait(handle: NamedChannel) -> bool:
        return handle.block


class _ChannelReceivers(_ChannelWaits):
    pass


class _ChannelSenders(_ChannelWaits):
    writing = True

    async def wait(
        self, timeout: float | None, attempt: Callable[[], Result], nothing: Result
    ) -> Result:
        if not self.waiters:
            # Its attempt says how much room it wants.
            self.waits.loop.call_soon(self.wake_first)
        return await super().wait(timeout, attempt, nothing)

    def want(self, length: int, priority: int) -> None:
        """Be told when there is room for the message of the first."""
        self._readiness.want_room(length, priority)


class _Acquirers(_WaitQueue[Any]):
    """Waits for permits of a semaphore, or for a lock."""

    def begin(self) -> None:
        self.waits.poll(self)

    def end(self) -> None:
        self.waits.poll_no_more(self)

    @staticmethod
    def may_wait(handle: Permits) -> bool:
        return not handle.closed


# The attempts are those of the classes themselves: a subclass may have methods of its own.


async def send(handle: Messages, message: Any, timeout: Any, priority: Any) -> bool:
    """What send_async of a class awaits."""
    what, rank = _message(handle, message, priority)
    if isinstance(handle, NamedChannel):
        return await _send_to_channel(handle, what, timeout, rank)
    return await _wait(
        _Senders, handle, timeout, lambda: NamedMessageQueue.send(handle, what, 0, rank), False
    )


async def _send_to_channel(channel: NamedChannel, what: bytes, timeout: Any, rank: int) -> bool:
    def attempt() -> bool:
        if NamedChannel.send(channel, what, 0, rank):
            return True
        waits = _waits.get(id(asyncio.get_running_loop()))
        queue = None if waits is None else waits.queues.get((id(channel), _ChannelSenders))
        if isinstance(queue, _ChannelSenders):
            queue.want(len(what), rank)
        return False

    return await _wait(_ChannelSenders, channel, timeout, attempt, False)


async def receive(handle: Messages, timeout: Any) -> tuple[bytes, int] | None:
    """What receive_async of a class awaits."""
    if isinstance(handle, NamedChannel):
        return await _wait(
            _ChannelReceivers, handle, timeout, lambda: NamedChannel.receive(handle, 0), None
        )
    return await _wait(
        _Receivers, handle, timeout, lambda: NamedMessageQueue.receive(handle, 0), None
    )


async def receive_next(handle: Messages) -> tuple[bytes, int]:
    """What `async for` over a queue or channel awaits."""
    message = await receive(handle, None)
    if message is None:
        raise StopAsyncIteration
    return message


async def acquire(cls: type[PermitHandle], handle: PermitHandle, timeout: Any) -> bool:
    """What acquire_async of a class awaits."""
    return await _wait(_Acquirers, handle, timeout, lambda: cls.acquire(handle, False), False)


async def enter(cls: type[PermitHandle], handle: PermitHandle) -> PermitHandle:
    """What `async with` awaits on entry."""
    await acquire(cls, handle, None)
    return handle


async def leave(
    cls: type[PermitHandle], handle: PermitHandle, _exception: BaseException | None
) -> None:
    """What `async with` awaits on exit."""
    cls.release(handle)
