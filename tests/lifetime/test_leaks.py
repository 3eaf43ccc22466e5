"""A thousand rounds leave descriptors, mappings, threads and memory where they were."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.checks import conformance, eventually, rounds
from support.kinds import (
    CHANNEL,
    KINDS,
    LOCK,
    MESSAGES,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
)
from support.system import descriptors
from support.tally import counting
from support.waits import Background

from nob.ipc import Flags, InvalidArgument

pytestmark = conformance("C42")
ROUNDS = rounds(1000)
SLACK = 1024 * 1024
"""What the resident memory may grow by in all rounds: far less than a page each."""


@dataclass(frozen=True)
class State:
    """What this process has open, mapped and running."""

    descriptors: dict[int, str]
    mappings: int
    threads: int
    tasks: int

    @classmethod
    def now(cls) -> State:
        gc.collect()
        with open("/proc/self/maps", encoding="utf-8") as maps:
            mappings = sum("/dev/shm" in line for line in maps)
        tasks = len(os.listdir("/proc/self/task"))
        return cls(descriptors(), mappings, threading.active_count(), tasks)

    def has_not_grown(self) -> bool:
        """Whether there is nothing more now; a thread of an earlier test may have ended."""
        now = State.now()
        return (
            now.descriptors.items() <= self.descriptors.items()
            and now.mappings <= self.mappings
            and now.threads <= self.threads
            and now.tasks <= self.tasks
        )


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def repeat(function: Callable[[], None], number: int = ROUNDS, warm_up: int | None = None) -> None:
    """Calls the function so often, and compares before and after; the first rounds warm up."""
    # A collection need not look at what was there before.
    gc.freeze()
    for _ in range(warm_up or max(5, number // 5)):
        function()
    before, memory = State.now(), resident()
    for _ in counting(number):
        function()
    # A thread that was joined may take a moment to end.
    eventually(before.has_not_grown, f"what there was before, {before},")
    assert resident() - memory < SLACK


def test_create_use_close_unlink(name: str) -> None:
    """C42: every kind, by every way to end."""

    def life() -> None:
        for kind in KINDS:
            handle = kind.create(name)
            kind.use(handle)
            linked = kind.open(name)
            kind.use(linked)
            linked.close()
            handle.close()
            handle.unlink()
            kind.create(name, Flags.LINK_OR_CREATE)
            kind.create(name, Flags.UNLINK_AND_CREATE).__del__()

    repeat(life)


def test_blocks_and_mappings(name: str) -> None:
    def life() -> None:
        with SEGMENT.create(name, size=20_000).mmap() as memory:
            memory[:] = b"x" * 20_000
        with SEGMENT.create(name) as segment:
            segment.resize(10_000)
            view = memoryview(segment.mmap())
            view.release()
        segment.unlink()
        for kind in MESSAGES:
            with kind.create(name) as queue:
                queue.block = False
                queue.fileno()
                queue.send("text", 0, 7)
                queue.receive()
            del queue
        with SEMAPHORE.create(name, Flags.UNLINK_AND_CREATE):
            pass

    repeat(life)


def test_constructors_that_fail(name: str) -> None:
    """C42: each way to fail gives back what it had."""
    kept = [kind.create(name) for kind in KINDS]
    for kind in (SEGMENT, LOCK):
        os.symlink("/nowhere", kind.path(name + "-link"))
    with open(PERMITS.path(name + "-short"), "xb") as file:
        file.write(b"short")

    def fail() -> None:
        for kind in KINDS:
            for call in (
                lambda kind=kind: kind.create(name),
                lambda kind=kind: kind.open(name + "-missing"),
                lambda kind=kind: kind.create(name, mode="x"),
                lambda kind=kind: kind.create("/a/b"),
                lambda kind=kind: kind.cls(),
            ):
                with contextlib.suppress(OSError, InvalidArgument, TypeError):
                    call()
                    pytest.fail("it worked")
        for call in (
            lambda: LOCK.open(name + "-link"),
            lambda: LOCK.open(name).release(),
            lambda: PERMITS.open(name + "-short"),
            lambda: PERMITS.open(name).release(),
            lambda: SEGMENT.open(name + "-link"),
            lambda: SEGMENT.open(name, size=2**62),
            lambda: SEGMENT.open(name, size=65, read_only=True),
            lambda: QUEUE.create(name, Flags.UNLINK_AND_CREATE, max_messages=2**40),
            lambda: QUEUE.open(name, write=False).send(b"x"),
            lambda: CHANNEL.create(name, Flags.UNLINK_AND_CREATE, max_messages=2**40),
            lambda: CHANNEL.open(name, write=False).send(b"x"),
            lambda: CHANNEL.open(name).receive_into(b""),
            lambda: SEMAPHORE.open(name).release(2**31),
        ):
            with contextlib.suppress(OSError, ValueError, OverflowError, RuntimeError):
                call()
                pytest.fail("it worked")

    try:
        repeat(fail, ROUNDS // 4)
    finally:
        for kind in (SEGMENT, LOCK, PERMITS):
            kind.remove(name + "-link")
            kind.remove(name + "-short")
    for kind, handle in zip(KINDS, kept, strict=True):
        kind.use(handle)


def test_waits_that_run_out(name: str) -> None:
    semaphore = SEMAPHORE.create(name, initial_value=0)
    queue, channel = QUEUE.create(name), CHANNEL.create(name)
    lock, permits = LOCK.create(name), PERMITS.create(name, value=1)
    lock.acquire()
    permits.acquire()

    def wait() -> None:
        assert not lock.acquire(timeout=1e-6)
        assert not permits.acquire(timeout=1e-6)
        assert not semaphore.acquire(timeout=1e-6)
        assert not queue.receive(1e-6)
        assert not queue.receive(0)
        assert not channel.receive(1e-6)
        assert not channel.receive(0)

    repeat(wait)


def test_messages(message_kind: Kind, name: str) -> None:
    """C42: of all sizes; no buffer is kept."""
    queue = message_kind.create(name, max_messages=1, max_message_size=8192)

    def talk() -> None:
        for size in (0, 1, 4096, 8192):
            queue.send(b"x" * size)
            assert len(queue.receive()[0]) == size

    repeat(talk)


def test_notifications(name: str) -> None:
    """C42: registered, cancelled, fired; with their threads."""
    queue = QUEUE.create(name)

    def notify() -> None:
        fired = threading.Event()
        assert queue.request_notification((lambda _: fired.set(), None))
        queue.send(b"x")
        assert fired.wait(30)
        queue.receive()
        assert queue.request_notification((print, "never"))
        assert queue.request_notification(None)

    for _ in range(20):
        notify()
    queue.request_notification(None)
    before, memory = State.now(), resident()
    for _ in range(ROUNDS // 4):
        notify()
    eventually(before.has_not_grown, "the end of the threads")
    assert resident() - memory < SLACK


def test_pickling(name: str) -> None:
    handles = [kind.create(name) for kind in KINDS]

    def copy() -> None:
        for handle in handles:
            pickle.loads(pickle.dumps(handle)).close()

    repeat(copy)


def test_subclasses_and_cycles(name: str) -> None:
    def life() -> None:
        for kind in KINDS:
            sub = type("Sub", (kind.cls,), {})
            handle = sub(name, handle_existence=Flags.UNLINK_AND_CREATE, **kind.small)
            handle.me = handle
        gc.collect()

    repeat(life, ROUNDS // 20)


def test_closing_under_waiters(name: str) -> None:
    """C42: the last call in flight gives the resource back, each time."""
    kept = SEMAPHORE.create(name, initial_value=0), LOCK.create(name)
    kept += QUEUE.create(name), CHANNEL.create(name)
    kept[1].acquire()

    def close() -> None:
        # Several at a time: a wait needs up to 0.5 s to see that its handle is closed.
        kinds = SEMAPHORE, QUEUE, CHANNEL, LOCK
        handles = [kind.open(name) for kind in kinds for _ in range(5)]
        calls = [getattr(handle, "acquire", None) or handle.receive for handle in handles]
        waiters = [Background(call) for call in calls]
        for handle in handles:
            handle.close()
        for waiter in waiters:
            with pytest.raises(ValueError, match="closed"):
                waiter.result()

    repeat(close, rounds(3, 10), warm_up=2)
    assert not kept[0].closed


def test_python_objects_are_given_back(name: str) -> None:
    """C42: what the interpreter itself counts."""
    semaphore, lock, permits = SEMAPHORE.create(name), LOCK.create(name), PERMITS.create(name)
    queues = QUEUE.create(name), CHANNEL.create(name)
    buffer = bytearray(16)

    def use() -> None:
        for _ in range(100):
            with lock, permits:
                _ = lock.owner, lock.fence, lock.owner_died, permits.holders, permits.value
            semaphore.acquire(timeout=1.5)
            semaphore.release()
            for queue in queues:
                queue.send("text", priority=3)
                queue.receive(timeout=2)
                queue.send_many(["text", b"x"])
                queue.receive_many()
                _ = repr(queue), queue.block, queue.current_messages
            queues[1].send(b"x")
            queues[1].receive_into(buffer)
            _ = semaphore.name, semaphore.value

    use()
    tracemalloc.start()
    try:
        use()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            use()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
