"""Handles that are closed while coroutines wait on them (contract 4.7)."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import sys
import threading
import time
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from support.checks import rounds
from support.kinds import CHANNEL, QUEUE, SEMAPHORE
from support.loops import Run
from support.tally import counting

from nob.ipc import NamedMessageQueue, NamedSemaphore

WAITS = {
    "acquire_async": (SEMAPHORE, "acquire_async"),
    "receive_async": (QUEUE, "receive_async"),
    "send_async": (QUEUE, "send_async"),
    "receive_async of a channel": (CHANNEL, "receive_async"),
    "send_async of a channel": (CHANNEL, "send_async"),
}


def handle_and_wait(wait: str) -> tuple[Any, Coroutine[Any, Any, Any]]:
    """A new handle, and a wait on it that nothing serves."""
    kind, call = WAITS[wait]
    if kind is SEMAPHORE:
        semaphore = SEMAPHORE.create(None, initial_value=0)
        return semaphore, semaphore.acquire_async()
    queue = kind.create(None, max_messages=1)
    if call == "receive_async":
        return queue, queue.receive_async()
    queue.send(b"it is full")
    return queue, queue.send_async(b"x")


def remember_errors(errors: list[dict[str, Any]]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))


async def ends_as_closed(waiting: list[asyncio.Task[Any]]) -> None:
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    wrong = [end for end in ends if not isinstance(end, ValueError) or "closed" not in str(end)]
    assert wrong == []


@pytest.mark.parametrize("wait", WAITS)
def test_closing_at_any_moment(run: Run, wait: str) -> None:
    """Each wait ends with ValueError, and no callback of the loop with anything."""

    async def main() -> None:
        errors: list[dict[str, Any]] = []
        remember_errors(errors)
        loop = asyncio.get_running_loop()
        waiting = []
        for index in counting(rounds(200)):
            handle, coroutine = handle_and_wait(wait)
            waiting.append(asyncio.create_task(coroutine))
            loop.call_later(index % 20 / 2_000, handle.close)
        del handle
        await ends_as_closed(waiting)
        # As long as the checks of the wait may take.
        await asyncio.sleep(0.3)
        assert errors == []

    run(main())
    gc.collect()


@pytest.mark.parametrize("wait", WAITS)
def test_another_thread_closes(run: Run, wait: str) -> None:
    """At the moment the wait begins: only a descriptor that is the queue's is watched."""

    async def main() -> None:
        errors: list[dict[str, Any]] = []
        remember_errors(errors)
        for _ in counting(rounds(4)):
            handles = [handle_and_wait(wait) for _ in range(40)]
            barrier = threading.Barrier(2)

            def close(handles: list[Any] = handles, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                for handle, _ in handles:
                    time.sleep(0.00005)
                    handle.close()
                    # Takes the number of the descriptor.
                    os.close(os.open("/dev/null", os.O_RDONLY))

            thread = threading.Thread(target=close)
            thread.start()
            barrier.wait()
            waiting = [asyncio.create_task(coroutine) for _, coroutine in handles]
            await ends_as_closed(waiting)
            thread.join()
        assert errors == []

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run(main())
    finally:
        sys.setswitchinterval(interval)
    gc.collect()


def test_it_is_closed_while_its_descriptor_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is the queue's until the wait is registered."""
    watched = []

    class Epoll:
        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno, self.close = self._epoll.fileno, self._epoll.close

        def register(self, descriptor: int, events: int) -> None:
            queue.close()
            watched.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            self._epoll.register(descriptor, events)

    async def main() -> None:
        with pytest.raises(ValueError, match="closed"):
            await queue.receive_async()

    queue: NamedMessageQueue = QUEUE.create(None)
    name = queue.name
    monkeypatch.setattr("nob.ipc._async.select", SimpleNamespace(epoll=Epoll))
    asyncio.run(main())
    assert watched == [name]


def test_many_permits_one_by_one(run: Run) -> None:
    """Each waiter gets the permit of its own semaphore, and those that have none wait on."""

    async def main() -> None:
        semaphores = [SEMAPHORE.create(None, initial_value=0) for _ in range(60)]
        waiting = [asyncio.create_task(semaphore.acquire_async()) for semaphore in semaphores]
        await asyncio.sleep(0.05)
        for served, semaphore in enumerate(semaphores):
            semaphore.release()
            assert await waiting[served]
            assert not any(task.done() for task in waiting[served + 1 :])

    run(main())


def test_a_queue_that_is_to_block_no_more(run: Run) -> None:
    """Waits end as calls that do not wait, also when it is set in another process."""

    async def main() -> None:
        queue: NamedMessageQueue = QUEUE.create(None, max_messages=1)
        waiting = asyncio.create_task(queue.receive_async())
        await asyncio.sleep(0.02)
        pid = os.fork()
        if pid == 0:
            queue.block = False
            os._exit(0)
        os.waitpid(pid, 0)
        assert await waiting is None
        queue.send(b"it is full")
        queue.block = True
        sending = asyncio.create_task(queue.send_async(b"x"))
        await asyncio.sleep(0.02)
        queue.block = False
        assert await sending is False

    run(main())


def test_a_handle_that_is_closed_before(run: Run) -> None:
    async def main() -> None:
        for wait in WAITS:
            handle, coroutine = handle_and_wait(wait)
            handle.close()
            with pytest.raises(ValueError, match="closed"):
                await coroutine

    run(main())


def test_it_polls_no_longer_than_somebody_waits(run: Run) -> None:
    """Its thread ends; and what a forked child does with a semaphore does not need it."""

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    async def main() -> None:
        before = threads()
        semaphore: NamedSemaphore = SEMAPHORE.create(None, initial_value=0)
        assert not await semaphore.acquire_async(0.01)
        assert threads() == before + 1
        while threads() > before:
            await asyncio.sleep(0.01)
        semaphore.release()
        assert await semaphore.acquire_async()

    run(main())
