"""Waiting in asyncio; imported when the first wait begins.

A wait takes its permit or message in its own coroutine, at the moment it returns: between taking
and returning nothing is awaited, so cancellation loses nothing, and nothing is taken for a wait
that was cancelled. Those who wait on one handle in one loop stand in line, the first to come in
front.

Queues wait through the loop's readiness. Semaphores have no descriptor to wait on: a short wait
looks again after some naps, and for longer ones a thread looks at the values, one thread for all
semaphores of a loop.
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
    NamedMessageQueue,
    NamedSemaphore,
    _Lookout,
    _message,
    _ready,
    _seconds,
)

ATTENTION = 0.25
"""Seconds between two looks whether a handle was closed, or shall not block."""

NAPS = (0.0005, 0.001, 0.002, 0.004)
"""Seconds between the first looks at a semaphore that somebody waits for."""

Handle = TypeVar("Handle", bound=NamedSemaphore | NamedMessageQueue)
Result = TypeVar("Result")


class _Waiter:
    """One who waits; woken by the line, or when the time is over."""

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


class _Watch:
    """Looks at handles every quarter of a second, as long as somebody waits for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.handles: dict[_Line[Any], NamedSemaphore | NamedMessageQueue] = {}
        self._loop = loop
        self._looks = False

    def add(self, line: _Line[Any]) -> None:
        self.handles[line] = line.handle
        if not self._looks:
            self._looks = True
            self._loop.call_later(ATTENTION, self._look_again)

    def remove(self, line: _Line[Any]) -> None:
        del self.handles[line]

    def look(self) -> None:
        for line in _ready(self.handles):
            line.wake_first()

    def rest(self) -> None:
        """Nobody waits any more."""

    def _look_again(self) -> None:
        self.look()
        self._looks = bool(self.handles)
        if self._looks:
            self._loop.call_later(ATTENTION, self._look_again)
        else:
            self.rest()


class _SemaphoreWatch(_Watch):
    """Looks also whenever a thread that looks more often has seen a permit."""

    _lookout: _Lookout | None = None

    def hurry(self, line: _Line[NamedSemaphore]) -> None:
        """Have the thread look at the semaphore of this line, too."""
        if self._lookout is None:
            self._lookout = _Lookout()
            self._loop.add_reader(self._lookout.fileno(), self._look_now)
        self._lookout.add(id(line), line.handle)

    def remove(self, line: _Line[NamedSemaphore]) -> None:
        super().remove(line)
        if self._lookout is not None:
            self._lookout.remove(id(line))

    def rest(self) -> None:
        if self._lookout is not None:
            self._loop.remove_reader(self._lookout.fileno())
            self._lookout = None

    def _look_now(self) -> None:
        if self._lookout is not None:
            self._lookout.drain()
        self.look()


class _Lines:
    """The lines of one loop that have somebody in them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.by_key: dict[tuple[int, type], _Line[Any]] = {}
        self.semaphores = _SemaphoreWatch(loop)
        self.queues = _Watch(loop)


_lines: WeakValueDictionary[int, _Lines] = WeakValueDictionary()
"""By the identity of the loop, which they keep alive. They live as long as somebody waits: a loop
that was closed or forgotten takes them, the waits and the handles with it."""


class _Line(Generic[Handle]):
    """Those who wait for one thing of one handle in one loop."""

    def __init__(self, handle: Handle, lines: _Lines) -> None:
        self.handle = handle
        self.lines = lines
        # From the front and from the middle, taking out costs the same.
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self.begin()
        lines.by_key[id(handle), type(self)] = self

    def begin(self) -> None:
        """Ask to be told when the first may be served, or the wait is over for all."""
        raise NotImplementedError

    def end(self) -> None:
        """The last has left."""
        del self.lines.by_key[id(self.handle), type(self)]

    @staticmethod
    def may_wait(handle: Handle) -> bool:
        """Whether one may wait at all."""
        raise NotImplementedError

    def wake_first(self) -> None:
        for waiter in self.waiters:
            waiter.wake()
            return

    async def stand(
        self, timeout: float | None, attempt: Callable[[], Result], nothing: Result
    ) -> Result:
        """Stand in line until an attempt from the front brings something, or the time is over."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        waiter = _Waiter()
        self.waiters[waiter] = None
        try:
            while True:
                await waiter.sleep(end)
                in_front = next(iter(self.waiters)) is waiter
                result = attempt() if in_front else _nothing(self.handle, nothing)
                if result is not nothing or time.monotonic() >= end:
                    return result
                if not self.may_wait(self.handle):
                    return nothing
        finally:
            del self.waiters[waiter]
            if self.waiters:
                self.wake_first()
            else:
                self.end()


def _nothing(handle: NamedSemaphore | NamedMessageQueue, nothing: Result) -> Result:
    if handle.closed:
        raise ValueError("the handle was closed while this wait was in line")
    return nothing


async def _wait(
    kind: type[_Line[Handle]],
    handle: Handle,
    timeout: object,
    attempt: Callable[[], Result],
    nothing: Result,
) -> Result:
    """Take at once what nobody in line waits for, or stand in line."""
    loop = asyncio.get_running_loop()
    seconds = _seconds(timeout)
    lines = _lines.get(id(loop))
    line = None if lines is None else lines.by_key.get((id(handle), kind))
    if line is None:
        result = attempt()
        if result is not nothing:
            return result
    if seconds == 0 or not kind.may_wait(handle):
        return _nothing(handle, nothing)
    if lines is None:
        lines = _lines[id(loop)] = _Lines(loop)
    if line is None:
        line = kind(handle, lines)
    return await line.stand(seconds, attempt, nothing)


class _QueueLine(_Line[NamedMessageQueue]):
    """Waits for one direction of a queue, through the readiness of its descriptor.

    The loop watches an epoll descriptor of this line's own, in which the queue's is: so the program
    may watch the queue itself as well, closing this one does nothing to the queue, and uvloop makes
    only this one non-blocking, as it does with all that it watches.
    """

    events = 0

    def begin(self) -> None:
        self._epoll = select.epoll()
        self._epoll.register(self.handle.fileno(), self.events)
        self.lines.loop.add_reader(self._epoll.fileno(), self.wake_first)
        self.lines.queues.add(self)

    def end(self) -> None:
        super().end()
        self.lines.queues.remove(self)
        if not self.lines.loop.is_closed():
            self.lines.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    @staticmethod
    def may_wait(handle: NamedMessageQueue) -> bool:
        return handle.block


class _Receivers(_QueueLine):
    events = select.EPOLLIN


class _Senders(_QueueLine):
    events = select.EPOLLOUT


class _Takers(_Line[NamedSemaphore]):
    """Waits for permits of a semaphore."""

    _nap: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._naps = iter(NAPS)
        self.lines.semaphores.add(self)
        self._nap_again()

    def end(self) -> None:
        super().end()
        self.lines.semaphores.remove(self)
        if self._nap is not None:
            self._nap.cancel()

    def _nap_again(self) -> None:
        self.wake_first()
        seconds = next(self._naps, None)
        if seconds is None:
            self._nap = None
            self.lines.semaphores.hurry(self)
        else:
            self._nap = self.lines.loop.call_later(seconds, self._nap_again)

    @staticmethod
    def may_wait(handle: NamedSemaphore) -> bool:
        return True


# The attempts are those of the classes themselves: a subclass may have methods of its own.


async def send(handle: NamedMessageQueue, message: Any, timeout: Any, priority: Any) -> bool:
    """What NamedMessageQueue.send_async awaits."""
    what, rank = _message(handle, message, priority)
    return await _wait(
        _Senders, handle, timeout, lambda: NamedMessageQueue.send(handle, what, 0, rank), False
    )


async def receive(handle: NamedMessageQueue, timeout: Any) -> tuple[bytes, int] | None:
    """What NamedMessageQueue.receive_async awaits."""
    return await _wait(
        _Receivers, handle, timeout, lambda: NamedMessageQueue.receive(handle, 0), None
    )


async def receive_next(handle: NamedMessageQueue) -> tuple[bytes, int]:
    """What `async for` over a queue awaits."""
    message = await receive(handle, None)
    if message is None:
        raise StopAsyncIteration
    return message


async def acquire(handle: NamedSemaphore, timeout: Any) -> bool:
    """What NamedSemaphore.acquire_async awaits."""
    return await _wait(
        _Takers, handle, timeout, lambda: NamedSemaphore.acquire(handle, False), False
    )


async def enter(handle: NamedSemaphore) -> NamedSemaphore:
    """What `async with` of a semaphore awaits on entry."""
    await acquire(handle, None)
    return handle


async def leave(handle: NamedSemaphore) -> None:
    """What `async with` of a semaphore awaits on exit."""
    NamedSemaphore.release(handle)
