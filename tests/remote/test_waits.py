"""Waiting on a server: deadlines, signals, other threads, and asyncio (contract 5, 11.3)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance
from support.children import in_child
from support.loops import Run, new_loop
from support.servers import Server
from support.waits import Background

from nob import ipc
from nob.ipc import Flags

CREATE = Flags.RAISE_IF_EXISTS


class EndedError(Exception):
    pass


@contextlib.contextmanager
def handler(function: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, function)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """What a handler raises inside a callback of the collector would be lost there."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def soon(function: Any, after: float = 0.3) -> threading.Timer:
    timer = threading.Timer(after, function)
    timer.start()
    return timer


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def raise_ended(*_: object) -> None:
    raise EndedError


def test_what_a_handler_raises_ends_the_wait(place: ipc.Connection, name: str) -> None:
    """Contract 5.4: and nothing was taken."""
    queue = place.NamedMessageQueue(name, 1, handle_existence=CREATE)
    lock = place.NamedLock(name, CREATE)
    other = place.NamedLock(name)
    assert lock.acquire()
    with handler(raise_ended):
        for wait in (queue.receive, queue.receive_many, other.acquire):
            timer = soon(interrupt)
            with pytest.raises(EndedError):
                wait()
            timer.join()
        assert queue.send(b"full")
        timer = soon(interrupt)
        with pytest.raises(EndedError):
            queue.send(b"more")
        timer.join()
    assert queue.receive(0) == (b"full", 0)
    assert queue.receive(0.2) is None
    lock.release()
    assert lock.acquire(timeout=WATCHDOG)
    lock.release()


@conformance("R14")
def test_nothing_is_lost_to_what_a_handler_raises(place: ipc.Connection, name: str) -> None:
    """At whatever moment it comes. What goes back may be passed by others on its way."""
    queue = place.NamedMessageQueue(name, 8, 16, handle_existence=CREATE)
    total, taken, interruptions = 1000, [], 0
    receiving: list[bool] = []

    def once(*_: object) -> None:
        if receiving:
            receiving.clear()
            raise EndedError

    def send() -> None:
        for number in range(total):
            assert queue.send(b"%d" % number, WATCHDOG)
            if number % 7 == 0:
                interrupt()

    with handler(once), no_collection():
        sender = Background(send)
        while len(taken) < total:
            try:
                receiving.append(True)
                queue.receive_many(timeout=WATCHDOG, into=taken)
                receiving.clear()
            except EndedError:
                interruptions += 1
        sender.result()
    assert sorted(int(message) for message, _ in taken) == list(range(total))
    assert interruptions > 0
    assert queue.receive(0.5) is None


def test_a_wait_goes_on_after_a_handler(place: ipc.Connection, name: str) -> None:
    """PEP 475."""
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    ran = []
    with handler(lambda *_: ran.append(1)):
        timers = [soon(interrupt, 0.2), soon(interrupt, 0.4), soon(lambda: queue.send(b"x"), 0.8)]
        assert queue.receive() == (b"x", 0)
        for timer in timers:
            timer.join()
    assert len(ran) == 2


def test_a_handler_may_use_the_same_handle(place: ipc.Connection, name: str) -> None:
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    with handler(lambda *_: queue.send(b"from the handler")):
        timer = soon(interrupt)
        assert queue.receive() == (b"from the handler", 0)
        timer.join()


def test_control_c(server: Server, name: str) -> None:
    code = f"""
from nob import ipc
place = ipc.connect({server.url!r})
queue = place.NamedMessageQueue({name!r}, handle_existence=ipc.Flags.LINK_OR_CREATE)
print("waits", flush=True)
queue.receive()
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "waits\n"
    time.sleep(0.2)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=WATCHDOG)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    with ipc.connect(server.url) as place:
        place.NamedMessageQueue.unlink_name(name)


def test_timeouts(place: ipc.Connection, name: str) -> None:
    """Contract 5.1: a wait never ends early, and what is there is taken."""
    queue = place.NamedMessageQueue(name, 1, handle_existence=CREATE)
    began = time.monotonic()
    assert queue.receive(0.3) is None
    assert time.monotonic() - began >= 0.3
    assert queue.receive(0) is None
    assert queue.send(b"x", timeout=0)
    began = time.monotonic()
    assert queue.send(b"x", timeout=0.3) is False
    assert time.monotonic() - began >= 0.3
    assert queue.receive(0) == (b"x", 0)
    semaphore = place.NamedSemaphore(name, 0, CREATE)
    assert semaphore.acquire(blocking=False) is False
    began = time.monotonic()
    assert semaphore.acquire(timeout=0.3) is False
    assert time.monotonic() - began >= 0.3


def test_other_threads_run_meanwhile(place: ipc.Connection, name: str) -> None:
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    waits = [Background(queue.receive) for _ in range(20)]
    for number in range(20):
        assert queue.send(b"%d" % number)
    assert sorted(int(wait.result()[0]) for wait in waits) == list(range(20))


def test_block(place: ipc.Connection, name: str) -> None:
    """It is this handle's."""
    queue = place.NamedMessageQueue(name, 1, handle_existence=CREATE)
    other = place.NamedMessageQueue(name)
    assert queue.block is True
    queue.block = False
    assert (queue.block, other.block) == (False, True)
    assert queue.receive() is None
    assert queue.receive(WATCHDOG) is None
    assert queue.send(b"x") is True
    assert queue.send(b"x") is False
    assert asyncio.run(queue.send_async(b"x")) is False


def test_asyncio(place: ipc.Connection, name: str, run: Run) -> None:
    queue = place.NamedMessageQueue(name, 2, handle_existence=CREATE)
    semaphore = place.NamedSemaphore(name, 0, CREATE)
    lock = place.NamedLock(name, CREATE)
    permits = place.NamedBoundedSemaphore(name, 1, CREATE)

    async def main() -> None:
        assert await queue.receive_async(timeout=0) is None
        assert await queue.receive_async(timeout=0.1) is None
        assert await queue.send_async("text", priority=4)
        assert await queue.receive_async() == (b"text", 4)
        waiting = [asyncio.create_task(queue.receive_async()) for _ in range(5)]
        for number in range(5):
            assert await queue.send_async(b"%d" % number)
        got = [message for message, _ in await asyncio.gather(*waiting)]
        assert sorted(got) == [b"0", b"1", b"2", b"3", b"4"]
        assert not await semaphore.acquire_async(0.1)
        taker = asyncio.create_task(semaphore.acquire_async())
        await asyncio.sleep(0.1)
        semaphore.release()
        assert await taker
        async with lock as same, permits:
            assert same is lock
            assert lock.held
            assert permits.value == 0
            assert not await permits.acquire_async(0)
        assert not lock.held
        with pytest.raises(ValueError, match="timeout"):
            await queue.receive_async(-1)
        with pytest.raises(ValueError, match="8193"):
            await queue.send_async(b"x" * 8193)
        with pytest.raises(RuntimeError):
            await type(lock).__aexit__(lock, None, None, None)

    run(main())


def test_async_for(place: ipc.Connection, name: str, run: Run) -> None:
    queue = place.NamedMessageQueue(name, 10, handle_existence=CREATE)
    queue.send_many([b"a", b"b", b"end"])

    async def main() -> list[bytes]:
        got = []
        async for message, _ in queue:
            if message == b"end":
                break
            got.append(message)
        return got

    assert run(main()) == [b"a", b"b"]


@conformance("R14")
def test_cancelled_waits_have_taken_nothing(place: ipc.Connection, name: str, run: Run) -> None:
    """300 waits that are cancelled at any moment: each message comes once, and in order."""
    queue = place.NamedMessageQueue(name, 400, handle_existence=CREATE)
    sent, total = 0, 300

    async def main() -> list[int]:
        nonlocal sent
        got: list[int] = []

        async def receive() -> None:
            message = await queue.receive_async()
            got.append(int(message[0]))

        for number in range(total):
            task = asyncio.create_task(receive())
            if number % 3 == 0:
                await asyncio.sleep(0)
            elif number % 3 == 1:
                await asyncio.sleep(0.001 * (number % 5))
            await queue.send_async(b"%d" % sent)
            sent += 1
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        while (message := await queue.receive_async(timeout=1)) is not None:
            got.append(int(message[0]))
        return got

    got = run(main())
    assert sorted(got) == list(range(total))


def test_a_result_that_came_before_the_cancellation_goes_back(
    place: ipc.Connection, name: str, run: Run
) -> None:
    """The loop has heard of it, the task has not run yet."""
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    lock = place.NamedLock(name, CREATE)

    async def main() -> None:
        task = asyncio.create_task(queue.receive_async())
        taker = asyncio.create_task(lock.acquire_async())
        await asyncio.sleep(0.2)
        queue.send(b"x", priority=3)
        # Both have ended, while the loop is held up.
        time.sleep(0.3)
        asyncio.get_running_loop().call_soon(task.cancel)
        asyncio.get_running_loop().call_soon(taker.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(asyncio.CancelledError):
            await taker
        if task.cancelled():
            assert await queue.receive_async(WATCHDOG) == (b"x", 3)
        else:
            assert task.result() == (b"x", 3)
        if not taker.cancelled():
            lock.release()
        assert await lock.acquire_async(WATCHDOG)
        lock.release()

    run(main())


def test_a_cancelled_block_releases(place: ipc.Connection, name: str, run: Run) -> None:
    lock = place.NamedLock(name, CREATE)

    async def main() -> None:
        async def work() -> None:
            async with lock:
                await asyncio.sleep(WATCHDOG)

        for _ in range(10):
            task = asyncio.create_task(work())
            while not lock.held:
                await asyncio.sleep(0.01)
            task.cancel()
            # A second time, while it releases.
            asyncio.get_running_loop().call_soon(task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await lock.acquire_async(WATCHDOG)
            lock.release()

    run(main())


@pytest.mark.parametrize("ended", [False, True], ids=["under way", "ended"])
def test_a_release_that_fails_unheard_hides_no_other_end(
    server: Server, place: ipc.Connection, name: str, run: Run, ended: bool
) -> None:
    """Cancelled while it is under way, or when the loop is about to hear that it has ended."""

    async def main() -> None:
        heard = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
        entered, left = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with place.NamedLock(name, CREATE, unlink_on_delete=False):
                entered.set()
                await left.wait()

        task = asyncio.create_task(hold())
        await entered.wait()
        assert server.command("FLUSHALL") == "+OK\r\n"
        with place.NamedMessageQueue(name, handle_existence=CREATE) as queue:
            queue.send(b"m")
            left.set()
            await asyncio.sleep(0)
            if ended:
                time.sleep(0.5)
            await asyncio.sleep(0)
            task.cancel()
            receiving = asyncio.create_task(queue.receive_async())
            await asyncio.sleep(0)
            # Both have ended before the loop hears of them.
            time.sleep(0.5)
            message, _ = await asyncio.wait_for(receiving, WATCHDOG)
            assert message == b"m"
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(WATCHDOG):
            while not heard:
                await asyncio.sleep(0.01)
        assert [type(error) for error in heard] == [ipc.StaleHandle]

    run(main())


def test_closing_ends_awaits(place: ipc.Connection, name: str, run: Run) -> None:
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)

    async def main() -> None:
        task = asyncio.create_task(queue.receive_async())
        await asyncio.sleep(0.1)
        queue.close()
        with pytest.raises(ValueError, match="closed"):
            await asyncio.wait_for(task, WATCHDOG)
        with pytest.raises(ValueError, match="closed"):
            await queue.receive_async()

    run(main())


@conformance("R16")
def test_a_thousand_coroutines(server: Server, place: ipc.Connection, name: str) -> None:
    """Contract 11.3: two connections and two threads."""
    many = 1000
    queues = [
        place.NamedMessageQueue(f"{name}-{number}", 1, 16, handle_existence=CREATE)
        for number in range(many)
    ]
    connections = server.connections()
    threads = len(os.listdir("/proc/self/task"))

    async def main() -> None:
        tasks = [asyncio.create_task(queue.receive_async()) for queue in queues]
        await asyncio.sleep(1)
        assert server.connections() <= connections + 2
        assert len(os.listdir("/proc/self/task")) <= threads + 2
        # Of all processors, while nothing happens.
        before = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - before < 0.5, "waiting costs"
        with ipc.connect(server.url) as other:
            for queue in queues:
                assert other.NamedMessageQueue(queue.name).send(queue.name[:16])
        got = await asyncio.wait_for(asyncio.gather(*tasks), WATCHDOG)
        assert len(got) == many

    asyncio.run(main())


@pytest.mark.parametrize("cls", ["NamedLock", "NamedBoundedSemaphore"])
def test_a_closed_handle_has_nothing(place: ipc.Connection, name: str, cls: str) -> None:
    """What it took the moment it was closed is free again, also while its process lives on."""
    holder = getattr(place, cls)(name, handle_existence=CREATE)
    for index in range(20):
        assert holder.acquire(timeout=WATCHDOG)
        mine = getattr(place, cls)(name)
        waiter = Background(mine.acquire)
        if index % 3:
            time.sleep(0.1)
        barrier = threading.Barrier(2)
        closing = Background(lambda b=barrier, m=mine: (b.wait(), m.close()))
        barrier.wait()
        holder.release()
        closing.result()
        with contextlib.suppress(ValueError):
            waiter.result()
        # Much less than the lease.
        assert holder.acquire(timeout=5)
        holder.release()


def test_two_loops_in_two_threads(place: ipc.Connection, name: str) -> None:
    queue = place.NamedMessageQueue(name, 5, handle_existence=CREATE)

    async def talk(mark: bytes) -> int:
        for number in range(50):
            await queue.send_async(b"%s%d" % (mark, number))
            await queue.receive_async()
        return 50

    threads = [Background(lambda mark=mark: asyncio.run(talk(mark))) for mark in (b"a", b"b")]
    assert [thread.result() for thread in threads] == [50, 50]
    assert queue.current_messages == 0


def test_many_loops_one_after_another(place: ipc.Connection, name: str) -> None:
    """What a loop needed goes with it."""
    queue = place.NamedMessageQueue(name, 5, handle_existence=CREATE)

    async def talk() -> None:
        await queue.send_async(b"x")
        await queue.receive_async()

    asyncio.run(talk())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        asyncio.run(talk())
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_asyncio_in_a_forked_child(place: ipc.Connection, name: str) -> None:
    queue = place.NamedMessageQueue(name, 5, handle_existence=CREATE)

    async def talk() -> bool:
        await queue.send_async(b"x")
        return await queue.receive_async(WATCHDOG) == (b"x", 0)

    assert asyncio.run(talk())
    assert in_child(lambda: asyncio.run(talk()))
    assert asyncio.run(talk())


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_is_dropped_amid_waits(
    place: ipc.Connection, name: str, kind: str, closed: bool
) -> None:
    """It takes the waits with it, and what they hold; what comes then is for others."""

    def waiting() -> list[weakref.ref[Any]]:
        loop = new_loop(kind)
        queue = place.NamedMessageQueue(name, handle_existence=Flags.LINK_OR_CREATE)
        task = loop.create_task(queue.receive_async())
        loop.run_until_complete(asyncio.sleep(0.2))
        gone = [weakref.ref(each) for each in (queue, task)]
        if not closed:
            task.get_coro().close()  # type: ignore[union-attr]
        loop.close()
        return gone

    gone = waiting()
    gc.collect()
    assert [each() for each in gone] == [None, None]
    queue = place.NamedMessageQueue(name)
    assert queue.send(b"x")
    assert queue.receive(WATCHDOG) == (b"x", 0)
