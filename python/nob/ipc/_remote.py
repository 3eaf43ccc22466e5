"""Waiting in asyncio for objects on a server; imported when the first wait begins.

An operation goes on in a native thread, one for each server, which makes the descriptor of the loop
readable when it has ended. Its result is claimed in its own coroutine, at the moment that runs:
until then cancellation undoes it, so that nothing is taken for a wait that was cancelled. The
server serves those who wait in the order in which they came.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from nob.ipc._native import (
    NamedBoundedSemaphore,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    _Events,
    _Pending,
    _start_acquire,
    _start_receive,
    _start_release,
    _start_send,
)
from nob.ipc.errors import LockLost

Permits = TypeVar("Permits", NamedSemaphore, NamedBoundedSemaphore, NamedLock)


class _Operations:
    """The operations of one loop, which keeps this alive."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._events = _Events()
        self._keys = itertools.count()
        self._ended: dict[int, asyncio.Future[None]] = {}
        # Those that go on though nobody awaits them any more.
        self._left: dict[int, _Pending] = {}
        # Those that have ended after they were cancelled, and whose coroutine has not run since.
        self._ended_cancelled: set[int] = set()
        loop.add_reader(self._events.fileno(), self._wake)

    def _wake(self) -> None:
        for key in self._events.ready():
            left = self._left.pop(key, None)
            ended = self._ended.get(key)
            if left is not None:
                self._let_go(left)
            elif ended is not None:
                if ended.done():
                    self._ended_cancelled.add(key)
                else:
                    ended.set_result(None)

    def _let_go(self, pending: _Pending) -> None:
        """Nobody awaits what has ended: the loop's handler hears of what went wrong."""
        try:
            pending.claim()
        except Exception as error:
            message = "nob.ipc: an operation has failed whose awaiting was cancelled"
            self.loop.call_exception_handler({"message": message, "exception": error})

    async def run(self, start: Callable[[_Events, int], _Pending], undo: bool = True) -> Any:
        """Start an operation, and await its result; cancelled, undo it or let it go on."""
        key = next(self._keys)
        ended = self._ended[key] = self.loop.create_future()
        try:
            pending = start(self._events, key)
            try:
                await ended
            except BaseException:
                if undo:
                    pending.cancel()
                elif ended.cancelled() and key not in self._ended_cancelled:
                    self._left[key] = pending
                else:
                    self._let_go(pending)
                raise
            return pending.claim()
        finally:
            del self._ended[key]
            self._ended_cancelled.discard(key)


_operations: WeakValueDictionary[tuple[int, int], _Operations] = WeakValueDictionary()
"""By the process, since a forked child hears of nothing, and the identity of the loop."""


def _here() -> _Operations:
    loop = asyncio.get_running_loop()
    key = (os.getpid(), id(loop))
    operations = _operations.get(key)
    if operations is None:
        operations = _operations[key] = _Operations(loop)
    return operations


async def send(handle: NamedMessageQueue, message: Any, timeout: Any, priority: Any) -> bool:
    """What send_async awaits."""

    def start(events: _Events, key: int) -> _Pending:
        return _start_send(events, key, handle, message, priority, timeout)

    sent: bool = await _here().run(start)
    return sent


async def receive(handle: NamedMessageQueue, timeout: Any) -> tuple[bytes, int] | None:
    """What receive_async awaits."""

    def start(events: _Events, key: int) -> _Pending:
        return _start_receive(events, key, handle, timeout)

    message: tuple[bytes, int] | None = await _here().run(start)
    return message


async def receive_next(handle: NamedMessageQueue) -> tuple[bytes, int]:
    """What `async for` over a queue awaits."""
    message = await receive(handle, None)
    if message is None:
        raise StopAsyncIteration
    return message


async def acquire(_cls: type[Permits], handle: Permits, timeout: Any) -> bool:
    """What acquire_async awaits."""

    def start(events: _Events, key: int) -> _Pending:
        return _start_acquire(events, key, handle, timeout)

    acquired: bool = await _here().run(start)
    return acquired


async def enter(cls: type[Permits], handle: Permits) -> Permits:
    """What `async with` awaits on entry."""
    await acquire(cls, handle, None)
    return handle


async def leave(_cls: type[Permits], handle: Permits, exception: BaseException | None) -> None:
    """What `async with` awaits on exit."""

    def start(events: _Events, key: int) -> _Pending:
        return _start_release(events, key, handle)

    try:
        # Cancelled, it goes on: nobody else would release.
        await _here().run(start, undo=False)
    except LockLost as error:
        if exception is None:
            raise
        exception.add_note(str(error))
