"""Waiting in asyncio, iterating and batches."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from support import QUEUE, SEMAPHORE, WATCHDOG, rounds

from nob.ipc import InvalidArgument, NamedMessageQueue, NamedSemaphore


@pytest.fixture
def queue(name: str) -> Iterator[NamedMessageQueue]:
    with QUEUE.create(name) as queue:
        yield queue


@pytest.fixture
def semaphore(name: str) -> NamedSemaphore:
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)
    return semaphore


def run(coroutine: object) -> object:
    return asyncio.run(asyncio.wait_for(coroutine, WATCHDOG))  # type: ignore[arg-type]


def test_timeouts_are_never_early(queue: NamedMessageQueue, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        for wait, nothing in ((queue.receive_async, None), (semaphore.acquire_async, False)):
            for timeout in (0, 0.02, 0.3):
                start = time.monotonic()
                assert await wait(timeout) is nothing
                assert time.monotonic() - start >= timeout
        assert queue.send_many([b"1", b"2"]) == 2
        assert await queue.send_async(b"3", 0.02) is False

    run(main())


def test_first_come_first_served(queue: NamedMessageQueue) -> None:
    async def main() -> None:
        waits = [asyncio.create_task(queue.receive_async()) for _ in range(5)]
        await asyncio.sleep(0.05)
        for number in range(5):
            assert await queue.send_async(str(number))
        received = await asyncio.gather(*waits)
        assert received == [(str(number).encode(), 0) for number in range(5)]

    run(main())


def test_async_with_and_async_for(queue: NamedMessageQueue, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        semaphore.release()
        async with semaphore as entered:
            assert entered is semaphore
            assert semaphore.value == 0
        assert semaphore.value == 1
        queue.send_many([b"a", b"b"])
        queue.block = False
        assert [message async for message, _ in queue] == [b"a", b"b"]

    run(main())


def test_a_cancelled_wait_has_taken_no_permit(semaphore: NamedSemaphore) -> None:
    given, stop = 0, threading.Event()

    def give() -> None:
        nonlocal given
        while not stop.is_set():
            semaphore.release()
            given += 1
            time.sleep(random.random() * 0.001)

    async def main() -> int:
        taken = 0

        async def take() -> None:
            nonlocal taken
            await semaphore.acquire_async()
            taken += 1

        for _ in range(rounds(300)):
            task = asyncio.create_task(take())
            await asyncio.sleep(random.random() * 0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return taken

    giver = threading.Thread(target=give)
    giver.start()
    try:
        taken = run(main())
    finally:
        stop.set()
        giver.join()
    assert given == taken + semaphore.value


def test_a_cancelled_wait_has_taken_no_message(queue: NamedMessageQueue) -> None:
    sent, stop = 0, threading.Event()

    def send() -> None:
        nonlocal sent
        while not stop.is_set():
            sent += queue.send(str(sent), 0.05)
            time.sleep(random.random() * 0.001)

    async def main() -> list[int]:
        received: list[int] = []

        async def take() -> None:
            message = await queue.receive_async()
            assert message is not None
            received.append(int(message[0]))

        for _ in range(rounds(300)):
            task = asyncio.create_task(take())
            await asyncio.sleep(random.random() * 0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return received

    sender = threading.Thread(target=send)
    sender.start()
    try:
        received = run(main())
    finally:
        stop.set()
        sender.join()
    assert isinstance(received, list)
    received += [int(message) for message, _ in queue.receive_many(timeout=0)]
    assert received == list(range(sent))


def test_closing_ends_the_waits(queue: NamedMessageQueue, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        waits = [asyncio.create_task(queue.receive_async()) for _ in range(2)]
        waits.append(asyncio.create_task(semaphore.acquire_async()))
        await asyncio.sleep(0.05)
        queue.close()
        semaphore.close()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(error) for error in ended] == [ValueError] * 3

    run(main())


def test_many_semaphores_need_one_thread(name: str) -> None:
    semaphores = [SEMAPHORE.create(f"{name}-{i}", initial_value=0) for i in range(200)]

    async def main() -> None:
        waits = [asyncio.create_task(each.acquire_async()) for each in semaphores]
        await asyncio.sleep(0.1)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("nob.ipc semaphores") == 1
        for each, wait in zip(semaphores, waits, strict=True):
            each.release()
            assert await wait

    run(main())
    # The thread lets go of what nobody waits for any more at its next look.
    time.sleep(0.1)


def test_send_many_checks_all_before_it_sends_one(queue: NamedMessageQueue) -> None:
    with pytest.raises(ValueError, match="message 1 has 17 bytes"):
        queue.send_many([b"fits", b"x" * 17])
    with pytest.raises(InvalidArgument):
        queue.send_many([b"fits", 3])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument):
        queue.send_many(b"one message")  # type: ignore[arg-type]
    assert queue.current_messages == 0
    assert queue.send_many([b"1", "2", bytearray(b"3")], timeout=0.02) == 2
    assert queue.receive_many(1) == [(b"1", 0)]
    assert queue.receive_many() == [(b"2", 0)]
    assert queue.receive_many(timeout=0.02) == []


def test_a_batch_that_has_done_something_returns_it(queue: NamedMessageQueue) -> None:
    """What the handler raised comes out right after."""

    class RaisedError(Exception):
        pass

    def handler(*_: object) -> None:
        raise RaisedError

    old = signal.signal(signal.SIGALRM, handler)
    sent = None
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(RaisedError):  # noqa: PT012
            sent = queue.send_many([b"1", b"2", b"3"])
            for _ in range(1000):
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert sent in (2, None)
    assert queue.current_messages == 2


def test_iteration_ends_when_the_queue_does_not_block(queue: NamedMessageQueue) -> None:
    queue.send_many([b"1", b"2"])
    queue.block = False
    assert [message for message, _ in queue] == [b"1", b"2"]
