"""Uses every call of the package once or twice, also with what it refuses; for valgrind."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import pickle
import signal
import threading
from typing import Any

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
    list_objects,
    reap,
)

CREATE = Flags.RAISE_IF_EXISTS
KINDS: tuple[tuple[Any, tuple[int, ...]], ...] = (
    (NamedSemaphore, (1,)),
    (NamedSharedMemory, (4096,)),
    (NamedMessageQueue, (4, 64)),
    (NamedLock, ()),
    (NamedBoundedSemaphore, (2,)),
    (NamedChannel, (4, 64)),
)


def common(kind: Any, small: tuple[int, ...]) -> None:
    handle = kind(None, *small, handle_existence=CREATE)
    for flag in Flags:
        with contextlib.suppress(FileExistsError):
            kind(handle.name, *small, handle_existence=flag, unlink_on_delete=False).close()
    for bad in ("",), ("a/b",), (7,), ("x", "many"), ("x", -1), ("nob-none",):
        with contextlib.suppress(ValueError, OSError):
            kind(*bad)
    repr(handle)
    handle.unlink_on_delete = handle.unlink_on_delete
    _ = handle.stale, handle.closed, handle.linked_existing_object
    with contextlib.suppress(OSError):
        handle.unlink()
    again = kind(None, *small, handle_existence=CREATE)
    copy.copy(pickle.loads(pickle.dumps(again))).close()
    kind.unlink_name(again.name)
    again.close()
    with contextlib.suppress(ValueError):
        pickle.dumps(again)


def semaphores() -> None:
    permits = NamedSemaphore(None, 1, CREATE)
    with permits:
        permits.acquire(False)
        permits.acquire(timeout=0.01)
    permits.release(3)
    with contextlib.suppress(OverflowError):
        permits.release(2_147_483_647)
    for _ in range(permits.value):
        permits.acquire()
    closer = threading.Timer(0.2, permits.close)
    closer.start()
    with contextlib.suppress(ValueError):
        permits.acquire()
    closer.join()


def owned() -> None:
    lock, permits = NamedLock(None, CREATE), NamedBoundedSemaphore(None, 2, CREATE)
    for mine in lock, permits:
        with contextlib.suppress(RuntimeError):
            mine.release()
        other = type(mine)(mine.name)
        with mine:
            mine.acquire(False)
            other.acquire(timeout=0.01)
        other.close()
    with contextlib.suppress(RuntimeError):
        lock.mark_repaired()
    with lock:
        lock.mark_repaired()
        _ = lock.fence, permits.holders
    _ = lock.owner, lock.held, lock.locked(), lock.owner_died, permits.value, permits.bound
    if (pid := os.fork()) == 0:
        # It is killed by nobody, and ends while it holds both.
        lock.acquire()
        permits.acquire()
        os._exit(0)
    os.waitpid(pid, 0)
    lock.acquire()
    while permits.acquire(False):
        pass
    NamedLock(lock.name).close()
    for waits in lock, permits:
        closer = threading.Timer(0.2, waits.close)
        closer.start()
        with contextlib.suppress(ValueError):
            waits.acquire()
        closer.join()


def segments() -> None:
    segment = NamedSharedMemory(None, 4096, handle_existence=CREATE)
    with segment.mmap() as memory:
        memory[:] = bytes(4096)
        with contextlib.suppress(BufferError):
            segment.resize(1)
    segment.resize(100_000)
    segment.resize(10)
    with NamedSharedMemory(segment.name, read_only=True) as reader:
        reader.mmap().close()
    os.fstat(segment.fileno())


def queues() -> None:
    queue = NamedMessageQueue(None, 4, 64, handle_existence=CREATE)
    told = threading.Event()
    queue.request_notification((lambda _: told.set(), None))
    queue.send("text", priority=3)
    told.wait(30)
    queue.send_many([b"a", bytearray(b"b"), memoryview(b"c")])
    queue.send(b"x", 0.01)
    queue.receive_many(2, into=[])
    queue.receive_many()
    queue.receive(0.01)
    queue.request_notification(signal.SIGURG)
    queue.request_notification()
    for bad in b"x" * 65, "x" * 65, 7:
        with contextlib.suppress(ValueError, TypeError):
            queue.send(bad)  # type: ignore[arg-type]
    queue.block = False
    queue.receive()
    queue.block = True
    closer = threading.Timer(0.2, queue.close)
    closer.start()
    with contextlib.suppress(ValueError):
        queue.receive()
    closer.join()


def channels() -> None:
    channel = NamedChannel(None, capacity=1 << 20, priorities=2, handle_existence=CREATE)
    large = bytes(900_000)
    for message in "text", b"", b"a", bytearray(b"b"), memoryview(b"c"), large:
        channel.send(message, priority=1)
        channel.receive()
    channel.send_many([b"a", large, bytearray(b"b"), "c"])
    channel.send_many([large, large], 0.01)
    channel.receive_many(2, into=[])
    buffer = bytearray(len(large))
    with contextlib.suppress(ValueError):
        channel.receive_into(bytearray(0))
    while channel.receive_into(buffer, 0.01):
        pass
    channel.receive(0.01)
    channel.fileno()
    NamedChannel(channel.name).send(b"told")
    _ = channel.capacity, channel.priorities, channel.max_messages, channel.current_messages
    for bad, rank in (bytes(2 << 20), 0), (7, 0), (b"x", 2):
        with contextlib.suppress(ValueError, TypeError):
            channel.send(bad, priority=rank)  # type: ignore[arg-type]
    channel.block = False
    channel.receive_many()
    channel.block = True
    if (pid := os.fork()) == 0:
        # It has handles of its own to the same channel, and ends without a goodbye.
        channel.send(b"from a child")
        channel.fileno()
        os._exit(0)
    os.waitpid(pid, 0)
    channel.receive()
    with open(f"/dev/shm/nob.channel.{channel.name[1:]}", "r+b") as file:
        # An end that cannot be.
        file.seek(12288 + 512)
        file.write(b"\xff" * 8)
    for call in (channel.receive, lambda: channel.send(b"x"), lambda: channel.current_messages):
        with contextlib.suppress(OSError):
            call()
    waits = NamedChannel(None, handle_existence=CREATE)
    closer = threading.Timer(0.2, waits.close)
    closer.start()
    with contextlib.suppress(ValueError):
        waits.receive()
    closer.join()


async def loops() -> None:
    permits = NamedSemaphore(None, 1, CREATE)
    queue = NamedMessageQueue(None, 1, 64, handle_existence=CREATE)
    async with permits, NamedLock(None, CREATE) as lock, NamedBoundedSemaphore(None, 1, CREATE):
        await lock.acquire_async(0.01)
        await permits.acquire_async(0.01)
        waiting = asyncio.ensure_future(permits.acquire_async())
        await asyncio.sleep(0.01)
        waiting.cancel()
        receiving = asyncio.ensure_future(queue.receive_async())
        await asyncio.sleep(0.01)
        await queue.send_async(b"x")
        await receiving
        await queue.receive_async(0.01)
    channel = NamedChannel(None, 1, 64, handle_existence=CREATE)
    receiving = asyncio.ensure_future(channel.receive_async())
    await asyncio.sleep(0.01)
    await channel.send_async(b"x")
    await receiving
    channel.send(b"it is full")
    await channel.send_async(b"x", 0.01)
    sending = asyncio.ensure_future(channel.send_async(b"y"))
    await asyncio.sleep(0.01)
    channel.receive()
    await sending


def main() -> None:
    for kind, small in KINDS:
        common(kind, small)
    semaphores()
    owned()
    segments()
    queues()
    channels()
    asyncio.run(loops())
    list_objects()
    reap()
    if (pid := os.fork()) == 0:
        semaphores()
        owned()
        channels()
        os._exit(0)
    os.waitpid(pid, 0)


main()
