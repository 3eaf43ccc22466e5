"""Waiting for queues with select, poll, epoll and asyncio (contract 2, 5.7)."""

import asyncio
import select

from children import Script, wait_until_asleep
from support import QUEUE, conformance


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
def test_asyncio_can_wait_for_a_queue(name: str) -> None:
    """M35: add_reader."""
    queue = QUEUE.create(name)

    async def receive() -> object:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.add_reader(queue, lambda: future.done() or future.set_result(queue.receive(0)))
        loop.call_later(0.01, queue.send, b"x")
        try:
            return await asyncio.wait_for(future, 20)
        finally:
            loop.remove_reader(queue)

    assert asyncio.run(receive()) == (b"x", 0)


@conformance("M36")
def test_unlinking_is_no_event(name: str) -> None:
    """M36: neither POLLHUP nor POLLERR."""
    queue = QUEUE.create(name)
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
