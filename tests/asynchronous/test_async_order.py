"""Waiting in asyncio: who of several is served, and when."""

from __future__ import annotations

import asyncio

import pytest
from support.kinds import Messages
from support.loops import Run, settle

from nob.ipc import NamedSemaphore


def test_first_come_first_served(run: Run, queue: Messages, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        order: list[int] = []

        async def take(number: int) -> None:
            await semaphore.acquire_async()
            order.append(number)

        receivers = [asyncio.create_task(queue.receive_async()) for _ in range(5)]
        takers = [asyncio.create_task(take(number)) for number in range(5)]
        await settle()
        for number in range(5):
            assert await queue.send_async(str(number))
            semaphore.release()
        received = await asyncio.gather(*receivers)
        assert received == [(str(number).encode(), 0) for number in range(5)]
        await asyncio.gather(*takers)
        assert order == list(range(5))

        # Of those who send, the first is served first as well, whatever the priority.
        queue.send_many([b"a", b"b"])
        senders = [
            asyncio.create_task(queue.send_async(str(number), priority=number))
            for number in range(5)
        ]
        await settle()
        assert queue.receive() == (b"a", 0)
        for number in range(5):
            assert await senders[number] is True
            assert [sender.done() for sender in senders].count(True) == number + 1
            # The others are more urgent than what was there first.
            assert queue.receive() == ((b"b", 0) if number == 0 else (str(number).encode(), number))

    run(main())


def test_nobody_passes_those_that_wait(
    queue: Messages, semaphore: NamedSemaphore, run: Run
) -> None:
    async def main() -> None:
        first = [
            asyncio.create_task(queue.receive_async()),
            asyncio.create_task(semaphore.acquire_async()),
        ]
        await settle()
        queue.send(b"1")
        semaphore.release()
        assert await queue.receive_async(0) is None
        assert await semaphore.acquire_async(0) is False
        assert await asyncio.gather(*first) == [(b"1", 0), True]

    run(main())


@pytest.mark.parametrize("steps", range(6))
def test_a_wake_up_is_handed_on(
    queue: Messages, semaphore: NamedSemaphore, run: Run, steps: int
) -> None:
    """The first that waits is cancelled just when there is something for it."""

    async def main() -> None:
        for wait, give in (
            (queue.receive_async, lambda: queue.send(b"1")),
            (semaphore.acquire_async, semaphore.release),
        ):
            first, second = (asyncio.create_task(wait()) for _ in range(2))
            await settle()
            give()
            for _ in range(steps):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            if not first.cancelled():
                give()
            assert await second

    run(main())


def test_the_time_of_the_first_is_over(
    queue: Messages, semaphore: NamedSemaphore, run: Run
) -> None:
    async def main() -> None:
        for wait, give in (
            (queue.receive_async, lambda: queue.send(b"1")),
            (semaphore.acquire_async, semaphore.release),
        ):
            first, second = asyncio.create_task(wait(0.05)), asyncio.create_task(wait())
            assert not await first
            give()
            assert await second

    run(main())
