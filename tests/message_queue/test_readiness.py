"""Waiting for queues with select, poll, epoll and asyncio (contract 2, 5.7)."""

import asyncio
import select
import selectors

import pytest
from support.checks import conformance
from support.kinds import QUEUE, Kind, Messages
from support.loops import Run
from support.scripts import Script
from support.waits import wait_until_asleep


@conformance("M35")
def test_readiness(name: str) -> None:
    """M35: readable if there is a message, writable if there is room; whatever the direction."""
    queue = QUEUE.create(name, max_messages=1)
    for handle in (queue, QUEUE.open(name, write=False), QUEUE.open(name, read=False)):
        assert select.select([handle], [handle], [handle], 0) == ([], [handle], [])
        queue.send(b"x")
        assert select.select([handle], [handle], [handle], 0) == ([handle], [], [])
        poll = select.poll()
        poll.register(handle, select.POLLIN | select.POLLOUT)
        assert poll.poll(0) == [(handle.fileno(), select.POLLIN)]
        queue.receive()
        assert poll.poll(0) == [(handle.fileno(), select.POLLOUT)]


@conformance("M35")
@pytest.mark.parametrize("what", ["handle", "descriptor"])
def test_selectors(name: str, what: str) -> None:
    """M35: the handle itself, or its descriptor, in a selector and in epoll."""
    queue = QUEUE.create(name, max_messages=1)
    watched = queue if what == "handle" else queue.fileno()
    with selectors.DefaultSelector() as selector, select.epoll() as epoll:
        key = selector.register(watched, selectors.EVENT_READ | selectors.EVENT_WRITE)
        epoll.register(watched, select.EPOLLIN | select.EPOLLOUT)
        assert selector.select(0) == [(key, selectors.EVENT_WRITE)]
        assert epoll.poll(0) == [(queue.fileno(), select.EPOLLOUT)]
        queue.send(b"x")
        assert selector.select(0) == [(key, selectors.EVENT_READ)]
        assert epoll.poll(0) == [(queue.fileno(), select.EPOLLIN)]
        selector.unregister(watched)


@conformance("M35")
def test_asyncio_can_wait_for_a_queue(message_kind: Kind, name: str, run: Run) -> None:
    """M35: add_reader."""
    queue = message_kind.create(name)

    async def receive() -> object:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.add_reader(queue, lambda: future.done() or future.set_result(queue.receive(0)))
        loop.call_later(0.01, queue.send, b"x")
        try:
            return await future
        finally:
            loop.remove_reader(queue)

    assert run(receive()) == (b"x", 0)


def test_a_watched_queue_is_awaited_as_well(queue: Messages, run: Run) -> None:
    """The program's own watch and the wait do not disturb each other."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen = asyncio.Event()
        loop.add_reader(queue, seen.set)
        # uvloop makes non-blocking what it watches.
        queue.block = True
        waiting = asyncio.create_task(queue.receive_async())
        await asyncio.sleep(0.02)
        queue.send(b"1")
        assert await waiting == (b"1", 0)
        await seen.wait()
        seen.clear()
        queue.send(b"2")
        await seen.wait()
        loop.remove_reader(queue)
        assert await queue.receive_async() == (b"2", 0)
        assert queue.block, "the waits of this library change nothing of the queue"

    run(main())


@conformance("M36")
def test_unlinking_is_no_event(message_kind: Kind, name: str) -> None:
    """M36: neither POLLHUP nor POLLERR."""
    queue = message_kind.create(name)
    poll = select.poll()
    poll.register(queue, select.POLLIN)
    queue.unlink()
    assert poll.poll(20) == []


@conformance("M37")
def test_a_message_handed_over_is_never_readable(name: str) -> None:
    """M37: whoever polls sees nothing of it."""
    queue = QUEUE.create(name)
    code = "say(1); say(*NamedMessageQueue(name).receive())"
    with Script(code, name) as receiver, select.epoll() as epoll:
        receiver.expect("1")
        wait_until_asleep(receiver.pid)
        epoll.register(queue, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(0) == []
        queue.send(b"x")
        receiver.expect("b'x' 0")
        assert epoll.poll(0) == []
