"""Waiting in asyncio: as programs do it, in one loop or many, for one object or a thousand."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import pytest
from support.checks import eventually
from support.kinds import SEMAPHORE, Kind, Messages
from support.loops import Run, settle
from support.waits import Background

from nob.ipc import Flags, NamedSemaphore


def test_async_with_and_async_for(run: Run, queue: Messages, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        semaphore.release()
        async with semaphore as entered:
            assert entered is semaphore
            assert semaphore.value == 0
        assert semaphore.value == 1
        with pytest.raises(ZeroDivisionError):
            async with semaphore:
                raise ZeroDivisionError
        assert semaphore.value == 1

        async def listen() -> None:
            async for message, priority in queue:
                heard.append((message, priority))

        heard: list[tuple[bytes, int]] = []
        listener = asyncio.create_task(listen())
        for number in range(5):
            await queue.send_async(str(number), priority=number)
            await asyncio.sleep(0.002)
        while len(heard) < 5:
            await asyncio.sleep(0.002)
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener

    run(main())


def test_the_tools_of_asyncio(queue: Messages, semaphore: NamedSemaphore, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await queue.receive_async()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(semaphore.acquire_async(), 0.02)
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(semaphore.acquire_async())
                group.create_task(queue.receive_async())
                group.create_task(queue.send_async(b"x" * 17))
        # Cancelled before its first step.
        tasks = [
            asyncio.create_task(wait())  # type: ignore[operator]
            for wait in (queue.receive_async, semaphore.acquire_async)
        ]
        for task in tasks:
            task.cancel()
        queue.send(b"x")
        semaphore.release()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await settle()
        assert (queue.current_messages, semaphore.value) == (1, 1)

    run(main())


def test_many_loops_wait_on_one_handle(
    queue: Messages, semaphore: NamedSemaphore, run: Run
) -> None:
    async def take() -> list[Any]:
        waits = [queue.receive_async(), queue.receive_async(), semaphore.acquire_async()]
        return list(await asyncio.gather(*waits))

    threads = [Background(lambda: run(take())) for _ in range(3)]
    for number in range(6):
        queue.send(str(number))
    semaphore.release(3)
    taken = [thread.result() for thread in threads]
    assert [each[2] for each in taken] == [True] * 3
    messages = sorted(message for each in taken for message, _ in each[:2])
    assert messages == [str(number).encode() for number in range(6)]


def test_without_a_loop(queue: Messages, semaphore: NamedSemaphore) -> None:
    queue.send(b"x")
    semaphore.release()
    for coroutine in (queue.receive_async(), semaphore.acquire_async(), queue.send_async(b"y")):
        with pytest.raises(RuntimeError, match="no running event loop"):
            coroutine.send(None)
    assert (queue.current_messages, semaphore.value) == (1, 1)


def test_subclasses_with_methods_of_their_own(message_kind: Kind, name: str, run: Run) -> None:
    """They do not change what the others do."""

    class Texts(message_kind.cls):  # type: ignore[name-defined, misc]
        def receive(self, timeout: Any = None) -> Any:
            raise AssertionError("not called")

        send = receive

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Texts)

        __hash__ = None  # type: ignore[assignment]

    async def main() -> None:
        with Texts(name, 2, 16, handle_existence=Flags.RAISE_IF_EXISTS) as texts:
            waiting = asyncio.create_task(texts.receive_async())
            await settle()
            assert await texts.send_async("x")
            assert await waiting == (b"x", 0)

    run(main())


def test_a_thousand_semaphores(name: str, run: Run, record_property: Any) -> None:
    """One thread for all, next to no processor time, and nobody is forgotten."""
    semaphores = [SEMAPHORE.create(None, initial_value=0) for _ in range(1000)]
    before = len(os.listdir("/proc/self/task"))

    async def main() -> None:
        waits = [asyncio.create_task(each.acquire_async()) for each in semaphores]
        await asyncio.sleep(0.3)
        used, start = time.process_time(), time.monotonic()
        await asyncio.sleep(0.7)
        share = (time.process_time() - used) / (time.monotonic() - start)
        record_property("share of a processor", f"{share:.2%}")
        # Measured: 1 to 2 %. Looking at each in turn from Python takes ten times as much.
        assert share < 0.15
        assert len(os.listdir("/proc/self/task")) <= before + 2
        start = time.monotonic()
        for each in reversed(semaphores):
            each.release()
        assert all(await asyncio.gather(*waits))
        record_property("a thousand wake-ups, ms", (time.monotonic() - start) * 1e3)
        # Nobody waits: the thread goes, within the quarter of a second between two looks.
        while len(os.listdir("/proc/self/task")) > before + 1:
            await asyncio.sleep(0.01)

    run(main())
    eventually(lambda: len(os.listdir("/proc/self/task")) <= before + 1)


def test_nothing_blocks_the_loop(
    queue: Messages,
    semaphore: NamedSemaphore,
    run: Run,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A wait that blocked would be a slow callback to the loop's debug mode."""

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.5
        waits = [queue.receive_async(0.7), semaphore.acquire_async(0.7), semaphore.acquire_async()]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(0.8)
        semaphore.release()
        assert await asyncio.gather(*tasks) == [None, False, True]

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        run(main(), debug=True)
    assert caplog.messages == []
