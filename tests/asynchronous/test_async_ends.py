"""Waits in asyncio whose handle, loop or process comes to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import weakref
from typing import Any

import pytest
from support.checks import WATCHDOG, eventually
from support.children import in_child
from support.kinds import SEMAPHORE, Kind, Messages
from support.loops import Run, new_loop, runner
from support.system import descriptors
from support.waits import Background

from nob.ipc import NamedSemaphore


def epolls() -> int:
    return sum("eventpoll" in what for what in descriptors().values())


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


async def wait_for_nothing(
    queue: Messages, semaphore: NamedSemaphore, tasks: list[asyncio.Future[object]]
) -> None:
    for wait in (queue.receive_async, semaphore.acquire_async) * 2:
        tasks.append(asyncio.ensure_future(wait()))  # type: ignore[operator]
    await asyncio.sleep(0.05)


def test_closing_ends_the_waits(queue: Messages, semaphore: NamedSemaphore, run: Run) -> None:
    async def main() -> None:
        queue.send_many([b"1", b"2"])
        waits = [asyncio.create_task(queue.send_async(b"3")) for _ in range(2)]
        waits += [asyncio.create_task(semaphore.acquire_async()) for _ in range(2)]
        await asyncio.sleep(0.05)
        # In another thread, as `close` may be called anywhere.
        await asyncio.to_thread(queue.close)
        await asyncio.to_thread(semaphore.close)
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(error) for error in ended] == [ValueError] * 4
        for wait in (queue.receive_async, semaphore.acquire_async):
            for timeout in (None, 0):
                with pytest.raises(ValueError, match="closed"):
                    await wait(timeout)  # type: ignore[operator]

    run(main())


def test_the_loop_ends_with_waits_pending(
    message_kind: Kind, name: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """As `asyncio.run` does it: what is pending is cancelled."""
    before, running = epolls(), threads()

    def waiting() -> weakref.ref[NamedSemaphore]:
        pending: list[asyncio.Future[object]] = []
        with message_kind.create(name) as queue:
            semaphore = SEMAPHORE.create(name, initial_value=0)
            run(wait_for_nothing(queue, semaphore, pending))
        assert [task.cancelled() for task in pending] == [True] * 4
        return weakref.ref(semaphore)

    semaphore = waiting()
    assert (caplog.messages, epolls()) == ([], before)
    gc.collect()
    assert semaphore() is None
    assert not SEMAPHORE.exists(name)
    eventually(lambda: threads() <= running, "the end of the thread")


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("closed", [True, False])
def test_the_loop_is_dropped_with_waits_pending(
    message_kind: Kind, name: str, kind: str, closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a goodbye to the waits: the loop takes them with it, and what they hold."""
    before, running = epolls(), threads()

    def waiting() -> list[weakref.ref[Any]]:
        loop = new_loop(kind)
        queue = message_kind.create(name)
        semaphore = SEMAPHORE.create(name, initial_value=0)
        tasks: list[asyncio.Future[object]] = []
        loop.run_until_complete(wait_for_nothing(queue, semaphore, tasks))
        gone = [weakref.ref(each) for each in (queue, semaphore, *tasks)]
        if not closed:
            # The waits end in a loop that is there, and runs no more.
            for task in tasks:
                task.get_coro().close()  # type: ignore[attr-defined]
        loop.close()
        return gone

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        gone = waiting()
        gc.collect()
    # It is asyncio that says so, of every task that it loses.
    assert all("destroyed but it is pending" in message for message in caplog.messages)
    assert [each() for each in gone] == [None] * len(gone)
    assert not SEMAPHORE.exists(name)
    assert not message_kind.exists(name)
    assert epolls() <= before
    eventually(lambda: threads() <= running, "the end of the thread")


def test_a_loop_that_runs_again(queue: Messages, semaphore: NamedSemaphore) -> None:
    """Waits go on where they were, when a loop is stopped and runs again."""
    loop = asyncio.new_event_loop()
    waits = [loop.create_task(queue.receive_async()), loop.create_task(semaphore.acquire_async())]
    loop.run_until_complete(asyncio.sleep(0.05))
    queue.send(b"x")
    semaphore.release()
    assert loop.run_until_complete(asyncio.gather(*waits)) == [(b"x", 0), True]
    loop.close()


def test_handles_that_come_and_go(message_kind: Kind, name: str, run: Run) -> None:
    """Others at the same address are others."""

    async def main() -> None:
        for number in range(50):
            queue = message_kind.create(name)
            semaphore = SEMAPHORE.create(name, initial_value=0)
            assert await queue.receive_async(0.001) is None
            assert await semaphore.acquire_async(0.001) is False
            queue.send(str(number))
            semaphore.release()
            assert await queue.receive_async() == (str(number).encode(), 0)
            assert await semaphore.acquire_async()
            del queue, semaphore
            # Nothing else holds them: the names are free at once.
            assert not message_kind.exists(name)
            assert not SEMAPHORE.exists(name)

    run(main())


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_child_is_forked_amid_waits(
    queue: Messages, semaphore: NamedSemaphore, kind: str
) -> None:
    """It waits in a loop of its own, and its parent's waits go on."""
    run = runner(kind)

    async def wait_there() -> list[object]:
        waits = [semaphore.acquire_async(), semaphore.acquire_async(0.05)]
        tasks = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(0.03)
        semaphore.release()
        return [await tasks[0], await tasks[1], await queue.receive_async(0.05)]

    def child() -> object:
        in_time = asyncio.wait_for(wait_there(), WATCHDOG)
        return asyncio.new_event_loop().run_until_complete(in_time)

    async def main() -> None:
        waits = [asyncio.create_task(queue.receive_async())]
        other = SEMAPHORE.open(semaphore.name)
        held = asyncio.create_task(queue.receive_async(60))
        await asyncio.sleep(0.03)
        # The parent's loop stands still meanwhile.
        assert in_child(child) == [True, False, None]
        waits.append(asyncio.create_task(other.acquire_async()))
        await asyncio.sleep(0.03)
        queue.send_many([b"1", b"2"])
        other.release()
        assert await asyncio.gather(*waits) == [(b"1", 0), True]
        assert await held == (b"2", 0)

    run(main())


def test_two_threads_and_two_loops(semaphore: NamedSemaphore) -> None:
    """Each has a line of its own, and the end of one is none of the other's."""
    run = runner("asyncio")
    patient = Background(lambda: run(semaphore.acquire_async()))
    for _ in range(20):
        assert run(semaphore.acquire_async(0.02)) is False
    assert patient.is_running()
    semaphore.release()
    assert patient.result() is True
