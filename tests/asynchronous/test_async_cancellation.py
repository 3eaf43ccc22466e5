"""A wait that is cancelled has taken nothing, and nothing is taken for it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from support.checks import rounds
from support.kinds import CHANNEL, QUEUE, SEGMENT, SEMAPHORE, Kind, Messages
from support.loops import Run
from support.scripts import Script

from nob.ipc import NamedSemaphore

GIVE = """
semaphore, stop = NamedSemaphore(name), NamedSemaphore(name + "-stop")
given = 0
say("ready")
while stop.value == 0:
    semaphore.release()
    given += 1
    time.sleep(random.random() * 0.002)
say(given)
"""
TAKE = """
semaphore, stop = NamedSemaphore(name), NamedSemaphore(name + "-stop")
taken = 0
say("ready")
while stop.value == 0:
    taken += semaphore.acquire(timeout=random.random() * 0.002)
    time.sleep(random.random() * 0.002)
say(taken)
"""
SEND = """
queue, stop = {cls}(name), NamedSemaphore(name + "-stop")
sent = 0
say("ready")
while stop.value == 0:
    sent += queue.send(str(sent), random.random() * 0.002)
    time.sleep(random.random() * 0.001)
say(sent)
"""
RECEIVE = """
queue, stop = {cls}(name), NamedSemaphore(name + "-stop")
received = []
say("ready")
while stop.value == 0:
    message = queue.receive(random.random() * 0.002)
    if message:
        received.append(int(message[0]))
    time.sleep(random.random() * 0.002)
say(*received)
"""
WATCH = """
memory, read = NamedSharedMemory(name).mmap(), eval(sys.argv[2])
say("ready")
while memory[0] != 255:
    # A round counts if it is the same before and after the look.
    before, count = memory[0], read()
    if before and count == 0 and memory[0] == before:
        memory[1] = 1
"""


@contextlib.contextmanager
def competitors(name: str, *codes: str) -> Iterator[Callable[[], list[list[int]]]]:
    """Processes that take and give, all of them at work; ends them and asks each what it did."""
    with contextlib.ExitStack() as stack:
        stop = SEMAPHORE.create(f"{name}-stop", initial_value=0)
        scripts = [stack.enter_context(Script("import random\n" + code, name)) for code in codes]
        for script in scripts:
            script.expect("ready")

        def end() -> list[list[int]]:
            stop.release()
            return [[int(number) for number in script.hear().split()] for script in scripts]

        yield end


async def cancel_at_random(wait: Callable[[], Awaitable[Any]], times: int) -> list[Any]:
    """Waits of two or three tasks, cancelled in any order at any moment; what they got."""
    got = []
    cancelled = 0
    while cancelled < times:
        tasks = [asyncio.ensure_future(wait()) for _ in range(random.randint(2, 3))]
        await asyncio.sleep(random.random() * 0.003 if random.random() < 0.7 else 0)
        random.shuffle(tasks)
        for task in tasks:
            task.cancel()
            if random.random() < 0.3:
                await asyncio.sleep(0)
        await asyncio.wait(tasks)
        cancelled += sum(task.cancelled() for task in tasks)
        got += [task.result() for task in tasks if not task.cancelled()]
    return got


@pytest.mark.stress
def test_no_permit_is_lost(semaphore: NamedSemaphore, name: str, run: Run) -> None:
    with competitors(name, GIVE, GIVE, TAKE) as end:
        taken = run(cancel_at_random(semaphore.acquire_async, rounds(300, 1000)))
        [[given], [given_too], [taken_there]] = end()
    assert all(taken)
    assert given + given_too == len(taken) + taken_there + semaphore.value
    assert taken, "it should get some permits"


@pytest.mark.stress
def test_no_message_is_lost(message_kind: Kind, queue: Messages, name: str, run: Run) -> None:
    codes = [code.format(cls=message_kind.class_name) for code in (SEND, RECEIVE)]
    with competitors(name, *codes) as end:
        received = run(cancel_at_random(queue.receive_async, rounds(300, 1000)))
        [[sent], there] = end()
    here = [int(message) for message, _ in received]
    left = [int(message) for message, _ in queue.receive_many(timeout=0)]
    assert sorted(here + there + left) == list(range(sent))
    assert here, "it should get some messages"


@pytest.mark.stress
def test_no_message_is_sent_for_a_cancelled_wait(
    message_kind: Kind, queue: Messages, name: str, run: Run
) -> None:
    sent: list[int] = []
    numbers = iter(range(10**9))

    async def send() -> None:
        number = next(numbers)
        if await queue.send_async(str(number)):
            sent.append(number)

    receiver = RECEIVE.format(cls=message_kind.class_name)
    with competitors(name, receiver, receiver) as end:
        run(cancel_at_random(send, rounds(300, 1000)))
        received = [number for numbers in end() for number in numbers]
    received += [int(message) for message, _ in queue.receive_many(timeout=0)]
    assert sorted(received) == sorted(sent)
    assert sent, "it should send some messages"


@pytest.mark.stress
@pytest.mark.parametrize("kind", [SEMAPHORE, QUEUE, CHANNEL], ids=lambda kind: kind.word)
def test_nothing_is_taken_after_the_end(name: str, run: Run, kind: Any) -> None:
    """Not even for an instant: another process looks on without a pause."""
    if kind is SEMAPHORE:
        handle = kind.create(name, initial_value=0)
        wait, give, take = handle.acquire_async, handle.release, lambda: handle.acquire(False)
        reading = "(lambda s: lambda: s.value)(NamedSemaphore(name))"
    else:
        handle = kind.create(name)
        wait, give, take = (
            handle.receive_async,
            lambda: handle.send(b"x"),
            lambda: handle.receive(0),
        )
        reading = f"(lambda q: lambda: q.current_messages)({kind.class_name}(name))"

    async def main(memory: Any) -> None:
        for number in range(rounds(20, 60)):
            tasks = [asyncio.ensure_future(wait()) for _ in range(2)]
            # Also so long that the thread looks, which it does from 8 ms on.
            await asyncio.sleep(random.choice([0, 0.001, 0.004, 0.02]))
            for task in tasks:
                task.cancel()
            for task in tasks:
                with pytest.raises(asyncio.CancelledError):
                    await task
            give()
            memory[0] = 1 + number % 254
            await asyncio.sleep(0.012)
            memory[0] = 0
            assert not memory[1], "what was given was gone for a moment"
            assert take()

    segment = SEGMENT.create(name)
    with segment.mmap() as memory, Script(WATCH, name, reading) as watcher:
        watcher.expect("ready")
        run(main(memory))
        memory[0] = 255
        watcher.finish()
