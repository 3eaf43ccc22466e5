"""A program that ends while its daemon threads are inside calls.

    python exit_program.py NAME ENDING SEED [CALL ...]

The seed chooses the calls, if none is given, and the moment.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import pickle
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
)


class Slow:
    """A number that takes its time to say which, and lets other threads run meanwhile."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __index__(self) -> int:
        time.sleep(0.005)
        return int(self.value)

    def __float__(self) -> float:
        time.sleep(0.005)
        return self.value


class Late:
    """What is destroyed late and slowly: daemon threads come back meanwhile, and are ended."""

    def __del__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        sleep(0.05)


NAME = sys.argv[1]
CREATE = Flags.RAISE_IF_EXISTS

permits = NamedSemaphore(NAME, 0, CREATE)
lock, bounded = NamedLock(NAME, CREATE), NamedBoundedSemaphore(NAME, 2, CREATE)
held = NamedLock(NAME + "-full", CREATE)
held.acquire()
segment = NamedSharedMemory(NAME, 4096, handle_existence=CREATE)
grown = NamedSharedMemory(NAME + "-grown", 4096, handle_existence=CREATE)
queue = NamedMessageQueue(NAME, 4, 64, handle_existence=CREATE)
empty = NamedMessageQueue(NAME + "-empty", 4, 64, handle_existence=CREATE)
full = NamedMessageQueue(NAME + "-full", 1, 64, handle_existence=CREATE)
full.send(b"full")
channel = NamedChannel(NAME, 4, 100_000, handle_existence=CREATE)
empty_channel = NamedChannel(NAME + "-empty", handle_existence=CREATE)
full_channel = NamedChannel(NAME + "-full", 1, 64, handle_existence=CREATE)
full_channel.send(b"full")


def slowly(pause: float) -> Iterator[bytes]:
    while True:
        time.sleep(pause)
        yield b"x"


def suspended() -> Iterator[None]:
    while True:
        with permits, lock, bounded:
            yield


def suspend() -> None:
    permits.release()
    generator = suspended()
    next(generator)
    time.sleep(0.01)


def other(kind: Any, flag: Flags, *arguments: Any) -> None:
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        kind(NAME + "-other", *arguments, handle_existence=flag).close()


def notify() -> None:
    empty.request_notification((lambda _: time.sleep(60), None))
    empty.send(b"x", 0)
    empty.receive(0)


async def cancelled(wait: Any) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(wait, 0.002)


async def many_waits() -> None:
    while True:
        waits = [permits.acquire_async(), queue.receive_async(), full.send_async(b"x")]
        waits += [held.acquire_async(), bounded.acquire_async()]
        waits += [empty_channel.receive_async(), full_channel.send_async(b"x")]
        await asyncio.gather(*map(cancelled, waits), permits.acquire_async(0.001))


LINK_OR_CREATE, REPLACE = Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE

CALLS: dict[str, Callable[[], Any]] = {
    "acquire": permits.acquire,
    "acquire-timed": lambda: permits.acquire(timeout=0.001),
    "acquire-slow": lambda: permits.acquire(timeout=Slow(0.001)),
    "release": permits.release,
    "release-slow": lambda: permits.release(Slow(1)),
    "suspended": suspend,
    "lock": lock.acquire,
    "lock-timed": lambda: lock.acquire(timeout=0.001),
    "lock-slow": lambda: held.acquire(timeout=Slow(0.001)),
    "lock-held": held.acquire,
    "unlock": lock.release,
    "lock-linked": lambda: NamedLock(NAME).acquire(timeout=0.001),
    "bounded": lambda: (bounded.acquire(), bounded.release()),
    "bounded-timed": lambda: bounded.acquire(timeout=Slow(0.001)),
    "receive": empty.receive,
    "receive-timed": lambda: queue.receive(0.001),
    "receive-slow": lambda: queue.receive(Slow(0.001)),
    "receive-many": lambda: empty.receive_many(Slow(2)),
    "iterate": lambda: next(empty),
    "send": lambda: full.send(b"x"),
    "send-timed": lambda: queue.send(b"x", 0.001, Slow(3)),
    "send-many": lambda: full.send_many([b"x"] * 9),
    "send-generator": lambda: full.send_many(slowly(0.002)),
    "send-long-generator": lambda: full.send_many(slowly(0.03)),
    "channel-receive": empty_channel.receive,
    "channel-receive-timed": lambda: channel.receive(Slow(0.001)),
    "channel-receive-into": lambda: empty_channel.receive_into(bytearray(64)),
    "channel-receive-many": lambda: empty_channel.receive_many(Slow(2)),
    "channel-iterate": lambda: next(empty_channel),
    "channel-send": lambda: full_channel.send(b"x"),
    "channel-talk": lambda: (channel.send(bytes(100_000), 0.001), channel.receive(0.001)),
    "channel-send-many": lambda: full_channel.send_many([b"x"] * 9),
    "channel-send-generator": lambda: channel.send_many(slowly(0.002)),
    "channel-send-long-generator": lambda: channel.send_many(slowly(0.03)),
    "channel-fileno": lambda: NamedChannel(NAME).fileno(),
    "channel-async": lambda: asyncio.run(empty_channel.receive_async()),
    "share-channel": lambda: other(NamedChannel, LINK_OR_CREATE, Slow(1), Slow(16)),
    "replace-channel": lambda: other(NamedChannel, REPLACE, 1, 16),
    "map": lambda: segment.mmap().close(),
    "map-kept": segment.mmap,
    "resize": lambda: grown.resize(random.randrange(1, 1 << 20)),
    "resize-slow": lambda: grown.resize(Slow(8192)),
    "notify": notify,
    "asyncio": lambda: asyncio.run(many_waits()),
    "lock-async": lambda: asyncio.run(held.acquire_async()),
    "acquire-async": lambda: asyncio.run(permits.acquire_async()),
    "receive-async": lambda: asyncio.run(empty.receive_async()),
    "share-semaphore": lambda: other(NamedSemaphore, LINK_OR_CREATE, Slow(1)),
    "share-lock": lambda: other(NamedLock, LINK_OR_CREATE),
    "share-bounded": lambda: other(NamedBoundedSemaphore, LINK_OR_CREATE, Slow(1)),
    "share-segment": lambda: other(NamedSharedMemory, LINK_OR_CREATE, 100_000),
    "share-queue": lambda: other(NamedMessageQueue, LINK_OR_CREATE, Slow(1), Slow(16)),
    "replace-semaphore": lambda: other(NamedSemaphore, REPLACE),
    "replace-lock": lambda: other(NamedLock, REPLACE),
    "replace-queue": lambda: other(NamedMessageQueue, REPLACE, 1, 16),
    "pickle": lambda: pickle.loads(pickle.dumps(queue)),
    "list": list_objects,
}


def again(call: Callable[[], Any]) -> None:
    def run() -> None:
        while True:
            # The end of an interpreter closes handles, removes names, and lets no thread start.
            with contextlib.suppress(ValueError, FileNotFoundError, RuntimeError):
                call()

    threading.Thread(target=run, daemon=True).start()


def end(ending: str) -> None:
    if ending == "sys.exit":
        sys.exit(3)
    if ending == "exception":
        raise KeyError("the end")
    if ending == "os._exit":
        os._exit(4)
    if ending == "Ctrl-C":
        os.kill(os.getpid(), signal.SIGINT)
        permits.acquire(timeout=60)
    if ending == "handler":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        os.kill(os.getpid(), signal.SIGTERM)
        full.send(b"x", timeout=60)
    if ending == "closed":
        handles = permits, segment, grown, queue, empty, full, lock, bounded, held
        for handle in (*handles, channel, empty_channel, full_channel):
            handle.close()
    if ending == "late":
        sys.late = Late()  # type: ignore[attr-defined]
    if ending == "atexit":
        atexit.register(time.sleep, 0.03)


def main() -> None:
    ending, seed = sys.argv[2:4]
    chance = random.Random(seed)
    # Few at a time leave each other room; all at once meet in every combination.
    number = chance.choice([1, 2, 4, len(CALLS)])
    calls = sys.argv[4:] or chance.sample(sorted(CALLS), number)
    print(*calls, flush=True)
    for call in calls:
        again(CALLS[call])
    time.sleep(chance.random() * 0.04)
    end(ending)


main()
