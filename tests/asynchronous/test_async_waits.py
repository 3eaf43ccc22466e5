"""Waiting in asyncio: how long, and for what."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from support.checks import Number
from support.kinds import Kind, Messages
from support.loops import Run, settle

from nob.ipc import InvalidArgument, NamedSemaphore


def test_timeouts_are_never_early(run: Run, queue: Messages, semaphore: NamedSemaphore) -> None:
    async def main() -> None:
        for wait, nothing in ((queue.receive_async, None), (semaphore.acquire_async, False)):
            for timeout in (0, 0.0003, 0.02, 0.3, Number(0)):
                start = time.monotonic()
                assert await wait(timeout) is nothing  # type: ignore[operator]
                assert time.monotonic() - start >= getattr(timeout, "value", timeout)
        assert queue.send_many([b"1", b"2"]) == 2
        assert await queue.send_async(b"3", 0.02) is False

    run(main())


def test_what_is_no_timeout(queue: Messages, semaphore: NamedSemaphore, run: Run) -> None:
    async def main() -> None:
        queue.send_many([b"1", b"2"])
        semaphore.release()
        waits = (semaphore.acquire_async, queue.receive_async)
        for timeout in (-1, -0.001, math.nan, True, False, "1", [], object()):
            for wait in waits:
                with pytest.raises(InvalidArgument, match="timeout"):
                    await wait(timeout)  # type: ignore[operator]
            with pytest.raises(InvalidArgument, match="timeout"):
                await queue.send_async(b"x", timeout)  # type: ignore[arg-type]
        assert (queue.current_messages, semaphore.value) == (2, 1)

    run(main())


def test_what_is_there_is_taken_at_once(
    queue: Messages, semaphore: NamedSemaphore, run: Run
) -> None:
    async def main() -> None:
        for timeout in (0, None, math.inf, 10**30, 5):
            semaphore.release()
            assert await semaphore.acquire_async(timeout) is True
            assert await queue.send_async("ä", timeout, priority=3) is True
            assert await queue.receive_async(timeout) == ("ä".encode(), 3)

    run(main())


@pytest.mark.parametrize("timeout", [None, 20, 10**30, math.inf])
def test_what_comes_later_is_waited_for(
    queue: Messages, semaphore: NamedSemaphore, run: Run, timeout: float | None
) -> None:
    async def main() -> None:
        # One comes within the first naps, the other after them.
        for pause in (0.003, 0.1):
            wait = asyncio.create_task(semaphore.acquire_async(timeout))
            received = asyncio.create_task(queue.receive_async(timeout))
            await asyncio.sleep(pause)
            assert not wait.done()
            assert not received.done()
            semaphore.release()
            queue.send(b"x")
            assert await wait is True
            assert await received == (b"x", 0)
        queue.send_many([b"1", b"2"])
        sent = asyncio.create_task(queue.send_async(b"3", timeout))
        await settle()
        assert not sent.done()
        assert queue.receive() == (b"1", 0)
        assert await sent is True

    run(main())


def test_errors_come_at_once(message_kind: Kind, queue: Messages, name: str, run: Run) -> None:
    """Also for those who would have to wait behind others."""

    async def main() -> None:
        queue.send_many([b"1", b"2"])
        waiting = asyncio.create_task(queue.send_async(b"3"))
        await settle()
        with pytest.raises(ValueError, match="17 bytes"):
            await queue.send_async(b"x" * 17)
        for priority in (-1, 32768, None, True):
            with pytest.raises(InvalidArgument, match="priority"):
                await queue.send_async(b"x", 0, priority)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="message"):
            await queue.send_async(3, 0)  # type: ignore[arg-type]
        with (
            message_kind.open(name, read=False) as sender,
            message_kind.open(name, write=False) as receiver,
        ):
            with pytest.raises(OSError, match="sending"):
                await sender.receive_async()
            with pytest.raises(OSError, match="receiving"):
                await receiver.send_async(b"x")
        assert queue.receive_many() == [(b"1", 0), (b"2", 0)]
        assert await waiting

    run(main())


def test_a_message_is_sent_as_it_was(queue: Messages, run: Run) -> None:
    async def main() -> None:
        queue.send_many([b"1", b"2"])
        message = bytearray(b"before")
        waiting = asyncio.create_task(queue.send_async(message))
        await settle()
        message[:] = b"after, and longer than the queue takes"
        queue.receive_many()
        assert await waiting
        assert queue.receive() == (b"before", 0)

    run(main())


def test_a_queue_that_does_not_block(queue: Messages, run: Run) -> None:
    async def main() -> None:
        waits = [asyncio.create_task(queue.receive_async()) for _ in range(3)]
        await settle()
        queue.block = False
        # Those who wait already see it soon, and others at once.
        assert await asyncio.gather(*waits) == [None] * 3
        assert await queue.receive_async(60) is None
        queue.send_many([b"1", b"2"])
        assert await queue.send_async(b"3") is False
        assert [message async for message, _ in queue] == [b"1", b"2"]

    run(main())
