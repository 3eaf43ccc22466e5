"""Waiting in asyncio; imported when the first wait begins.

A wait takes its permit or message in its own coroutine, at the moment it returns: between taking
and returning nothing is awaited, so cancellation loses nothing, and nothing is taken for a wait
that was cancelled. Those who wait on one handle in one loop stand in line, the first to come in
front.

Queues wait through the loop's readiness. Semaphores have no descriptor to wait on: while somebody
waits, one thread of the process looks at their values, a memory read each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from nob.ipc._native import NamedMessageQueue, NamedSemaphore, _ready, _seconds

ATTENTION = 0.25
"""Seconds after which those who wait for a queue see that their handle was closed."""

NAPS = (0.0005, 0.001, 0.002, 0.004)
"""Seconds between the first looks of a wait for a semaphore, which are its own."""

LOOK = 0.007
"""Seconds between two looks of the thread that goes on after them."""

Handle = TypeVar("Handle", bound=NamedSemaphore | NamedMessageQueue)
Result = TypeVar("Result")


class _Waiter:
    """One who waits; woken by the line, or when the time is over."""

    _woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

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


class _Line(Generic[Handle]):
    """Those who wait for one thing of one handle in one loop."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.waiters: deque[_Waiter] = deque()

    def wake_first(self) -> None:
        if self.waiters:
            self.waiters[0].wake()

    def look(self) -> None:
        """Wake the first, who may be served; or all, to tell them that the handle was closed."""
        for waiter in list(self.waiters) if self.handle.closed else ():
            waiter.wake()
        self.wake_first()

    async def stand(
        self,
        timeout: float | None,
        attempt: Callable[[], Result],
        nothing: Result,
        naps: Iterable[float] = (),
    ) -> Result:
        """Stand in line until an attempt from the front brings something, or the time is over."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        ends = itertools.chain(itertools.accumulate(naps, initial=time.monotonic()), [end])
        next(ends)
        waiter = _Waiter()
        self.waiters.append(waiter)
        try:
            while True:
                await waiter.sleep(min(end, next(ends, end)))
                # A closed handle raises ValueError here, wherever one stands.
                result = attempt() if self.waiters[0] is waiter else _nothing(self.handle, nothing)
                if result != nothing or time.monotonic() >= end:
                    return result
        finally:
            self.waiters.remove(waiter)
            self.wake_first()


def _nothing(handle: NamedSemaphore | NamedMessageQueue, nothing: Result) -> Result:
    if handle.closed:
        raise ValueError("the handle was closed while this wait was in line")
    return nothing


class _QueueLine(_Line[NamedMessageQueue]):
    """Waits for one direction of a queue, through the readiness of its descriptor.

    The loop watches an epoll descriptor of this line's own, in which the queue's is: so the program
    may watch the queue itself as well, and closing this one does nothing to the queue.
    """

    def __init__(
        self, handle: NamedMessageQueue, loop: asyncio.AbstractEventLoop, events: int
    ) -> None:
        super().__init__(handle)
        self._loop = loop
        self._epoll = select.epoll()
        self._epoll.register(handle.fileno(), events)
        loop.add_reader(self._epoll.fileno(), self.wake_first)
        self._timer = loop.call_later(ATTENTION, self._look_again)

    def _look_again(self) -> None:
        self.look()
        self._timer = self._loop.call_later(ATTENTION, self._look_again)

    def end(self) -> None:
        self._timer.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


_queue_lines: dict[tuple[asyncio.AbstractEventLoop, int, int], _QueueLine] = {}
"""The lines that have somebody in them, by loop, handle and direction."""


async def _transfer(
    handle: NamedMessageQueue,
    events: int,
    timeout: object,
    attempt: Callable[[], Result],
    nothing: Result,
) -> Result:
    loop = asyncio.get_running_loop()
    seconds = _seconds(timeout)
    key = (loop, id(handle), events)
    line = _queue_lines.get(key)
    if line is None:
        result = attempt()
        if result != nothing or seconds == 0 or not handle.block:
            return result
        line = _queue_lines[key] = _QueueLine(handle, loop, events)
    elif seconds == 0 or not handle.block:
        return nothing
    try:
        return await line.stand(seconds, attempt, nothing)
    finally:
        if not line.waiters:
            line.end()
            _queue_lines.pop(key, None)


async def send(handle: NamedMessageQueue, message: Any, timeout: Any, priority: Any) -> bool:
    """What NamedMessageQueue.send_async awaits."""
    return await _transfer(
        handle, select.EPOLLOUT, timeout, lambda: handle.send(message, 0, priority), False
    )


async def receive(handle: NamedMessageQueue, timeout: Any) -> tuple[bytes, int] | None:
    """What NamedMessageQueue.receive_async awaits."""
    return await _transfer(handle, select.EPOLLIN, timeout, lambda: handle.receive(0), None)


async def receive_next(handle: NamedMessageQueue) -> tuple[bytes, int]:
    """What `async for` over a queue awaits."""
    message = await receive(handle, None)
    if message is None:
        raise StopAsyncIteration
    return message


class _SemaphoreLine(_Line[NamedSemaphore]):
    """Waits for permits of a semaphore in one loop."""

    def __init__(self, handle: NamedSemaphore, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(handle)
        self._loop = loop

    def look_soon(self) -> None:
        """Look, in the thread of the loop; called from any."""
        # A loop that was closed under its waits has nobody to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.look)


class _Looker:
    """The thread that looks at all semaphores for which somebody waits.

    It lets go of a handle at its next look after the last wait for it has ended.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lines: dict[tuple[asyncio.AbstractEventLoop, int], _SemaphoreLine] = {}
        self._changed = False
        self._somebody = threading.Event()
        threading.Thread(target=self._run, name="nob.ipc semaphores", daemon=True).start()

    def line_of(self, handle: NamedSemaphore, loop: asyncio.AbstractEventLoop) -> _SemaphoreLine:
        line = self.lines.get((loop, id(handle)))
        if line is None:
            line = self.lines[loop, id(handle)] = _SemaphoreLine(handle, loop)
            self._changed = True
            self._somebody.set()
        return line

    def end_line(self, handle: NamedSemaphore, loop: asyncio.AbstractEventLoop) -> None:
        self.lines.pop((loop, id(handle)), None)
        self._changed = True

    def _run(self) -> None:
        lines: list[_SemaphoreLine] = []
        handles: list[NamedSemaphore] = []
        while True:
            if self._changed:
                self._changed = False
                lines = list(self.lines.values())
                handles = [line.handle for line in lines]
            if not lines:
                self._somebody.clear()
                if not self._changed:
                    self._somebody.wait()
                continue
            for index in _ready(handles):
                lines[index].look_soon()
            time.sleep(LOOK)


_looker: _Looker | None = None


def _the_looker() -> _Looker:
    """The looker of this process: a forked child has no thread but its first."""
    global _looker  # noqa: PLW0603
    if _looker is None or _looker.process != os.getpid():
        _looker = _Looker()
    return _looker


async def acquire(handle: NamedSemaphore, timeout: Any) -> bool:
    """What NamedSemaphore.acquire_async awaits."""
    loop = asyncio.get_running_loop()
    seconds = _seconds(timeout)
    in_line = _looker is not None and (loop, id(handle)) in _looker.lines
    if not in_line and handle.acquire(False):
        return True
    if seconds == 0:
        return _nothing(handle, False)
    looker = _the_looker()
    line = looker.line_of(handle, loop)
    try:
        return await line.stand(seconds, lambda: handle.acquire(False), False, NAPS)
    finally:
        if not line.waiters:
            looker.end_line(handle, loop)


async def enter(handle: NamedSemaphore) -> NamedSemaphore:
    """What `async with` of a semaphore awaits on entry."""
    await acquire(handle, None)
    return handle


async def leave(handle: NamedSemaphore) -> None:
    """What `async with` of a semaphore awaits on exit."""
    handle.release()
