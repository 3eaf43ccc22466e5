"""Processes killed at any moment, and what is left of their objects (contract 3.3)."""

import errno
import itertools
import os
import random
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.checks import conformance, eventually, rounds
from support.children import as_stranger, fork
from support.kinds import (
    KINDS,
    LOCK,
    OWNED,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    removed,
    unique,
)
from support.system import forget_unfinished, made_by
from support.tally import count, counting
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags

ROUNDS = rounds(15, 50)
"""In `make stress` 500 of each test."""


def kill_at_random(work: Callable[[], None]) -> int:
    """Runs the work in a forked child, without end, and kills it within 20 ms; its pid.

    On every other occasion it is stopped first, and goes on, wherever it may be in its work.
    """
    child = fork()
    if child == 0:
        try:
            while True:
                work()
        finally:
            os._exit(1)
    if random.random() < 0.5:
        time.sleep(random.uniform(0, 0.01))
        os.kill(child, signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.01))
        os.kill(child, signal.SIGCONT)
        count("stops")
    time.sleep(random.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    count("kills")
    forget_unfinished(child)
    assert os.WIFSIGNALED(status), "the work has ended by itself"
    return child


@pytest.fixture
def counters(name: str) -> Iterator[memoryview]:
    """Some numbers that this process and its children share."""
    numbers = name + "-numbers"
    with removed(numbers), SEGMENT.create(numbers).mmap() as memory:
        view = memoryview(memory).cast("q")
        yield view
        view.release()


@conformance("S28", "S29", "S30")
def test_semaphore_users_killed(name: str, counters: memoryview) -> None:
    """S28 to S30: the value is what was released less what was acquired, to one."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    for _ in counting(ROUNDS):
        counters[0] = counters[1] = 0
        start = semaphore.value

        def work() -> None:
            counters[0] += 1
            semaphore.release()
            counters[1] += 1
            semaphore.acquire(timeout=0.001)

        kill_at_random(work)
        begun, ended = counters[0], counters[1]
        assert begun - ended in (0, 1)
        assert 0 <= semaphore.value <= start + 1 + begun - ended + 1
        waiting = Background(lambda: semaphore.acquire(timeout=20))
        semaphore.release()
        assert waiting.result() is True
        while semaphore.acquire(timeout=0):
            pass
        assert semaphore.value == 0


@conformance("S29", "S30")
def test_waiters_killed(name: str) -> None:
    """S29, S30: a kill may eat a wake-up, never a permit; the next release goes through."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    for _ in counting(ROUNDS):
        other = fork()
        if other == 0:
            semaphore.acquire()
            os._exit(0)
        kill_at_random(lambda: semaphore.acquire(timeout=0.002) and semaphore.release())
        for _ in range(1000):
            if os.waitpid(other, os.WNOHANG)[0]:
                break
            semaphore.release()
            time.sleep(0.001)
        else:
            os.kill(other, signal.SIGKILL)
            os.waitpid(other, 0)
            pytest.fail("a waiter was never woken")
        while semaphore.acquire(timeout=0):
            pass


@conformance("M49")
def test_senders_killed(message_kind: Kind, name: str, counters: memoryview) -> None:
    """M49: what has arrived is whole, in order, and each message once."""
    queue = message_kind.create(name)
    received = -1
    for _ in counting(ROUNDS):
        counters[0] = received + 1

        def work() -> None:
            queue.send(struct.pack("<q", counters[0]) * 2)
            counters[0] += 1

        # Drained while the sender lives, and after its death.
        stop = [False]

        def drain(stop: list[bool] = stop) -> list[bytes]:
            got = []
            while not stop[0] or queue.current_messages:
                message = queue.receive(0.001)
                if message is not None:
                    got.append(message[0])
            return got

        draining = Background(drain)
        kill_at_random(work)
        stop[0] = True
        messages = draining.result()
        count("messages", len(messages))
        for message in messages:
            one, two = struct.unpack("<qq", message)
            assert one == two == received + 1
            received = one
        assert received - counters[0] in (0, -1)
        assert queue.current_messages == 0


@conformance("M50")
def test_receivers_killed(message_kind: Kind, name: str, counters: memoryview) -> None:
    """M50: at most the one message in the hands of the dead is gone; the others come in order."""
    queue = message_kind.create(name, max_messages=5)
    for _ in counting(ROUNDS):
        counters[0] = counters[1] = 0

        def work() -> None:
            message, _ = queue.receive()
            counters[1] = int(message)

        stop = [False]

        def feed(stop: list[bool] = stop) -> int:
            number = 0
            while not stop[0]:
                number += queue.send(str(number + 1), 0.001)
            return number

        feeding = Background(feed)
        kill_at_random(work)
        stop[0] = True
        sent = feeding.result()
        count("messages", sent)
        rest = []
        while (message := queue.receive(0)) is not None:
            rest.append(int(message[0]))
        last = counters[1]
        assert rest == list(range(sent - len(rest) + 1, sent + 1))
        assert sent - len(rest) - last in (0, 1)


@conformance("H26")
def test_writers_killed(name: str) -> None:
    """H26: every store that was done is there, and the name can be had anew."""
    segment = SEGMENT.create(name)
    view = memoryview(segment.mmap()).cast("q")
    for _ in counting(ROUNDS):

        def work() -> None:
            view[0] += 1
            view[1] += 1

        before = view[1]
        kill_at_random(work)
        assert view[0] - view[1] in (0, 1)
        assert view[1] >= before
        view[0] = view[1]
    view.release()
    new = SEGMENT.create(name, Flags.UNLINK_AND_CREATE)
    SEGMENT.use(new)


@conformance("S27", "H25", "M51")
@each_kind
def test_creators_killed(kind: Kind, name: str) -> None:
    """S27, H25: the name is missing or whole, nothing else is left, and the next one creates."""
    for _ in counting(ROUNDS):

        def work() -> None:
            flag = random.choice([Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE])
            handle = kind.create(name, flag)
            handle.unlink_on_delete = random.random() < 0.5
            if random.random() < 0.5:
                handle.close()
            del handle

        child = kill_at_random(work)
        left = {each for each in os.listdir("/dev/shm") if name[1:] in each}
        ours = {os.path.basename(each.path(name)) for each in KINDS if each is not QUEUE}
        assert left | made_by(child) <= ours
        handle = kind.create(name, Flags.LINK_OR_CREATE)
        if kind is SEMAPHORE:
            assert handle.value == 3
        elif kind is SEGMENT:
            assert handle.size == 64
        elif kind is LOCK:
            assert (handle.locked(), handle.owner_died) == (False, False)
        elif kind is PERMITS:
            assert (handle.value, handle.bound) == (3, 3)
        else:
            assert (handle.max_messages, handle.max_message_size) == (2, 16)
        kind.use(handle)
        handle.unlink()


@conformance("M51")
def test_limits_come_back(name: str) -> None:
    """After all holders have died, a queue as large as before can be made."""
    queues = [unique() for _ in range(3)]

    def created(name: str, flag: Flags) -> Any:
        # Who lists the objects of the machine has each queue open for a moment, and as long its
        # memory is not given back.
        try:
            return QUEUE.create(name, flag)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            return None

    def campaign() -> bool:
        need = 2 * (16 + 96)
        resource.setrlimit(12, (need, need))  # RLIMIT_MSGQUEUE
        for each, _ in zip(itertools.cycle(queues), counting(ROUNDS), strict=False):
            kill_at_random(lambda each=each: created(each, Flags.LINK_OR_CREATE))
            if QUEUE.exists(each):
                QUEUE.cls.unlink_name(each)
            QUEUE.use(eventually(lambda: created(name, Flags.RAISE_IF_EXISTS), "the memory"))
        return True

    with removed(*queues):
        assert as_stranger(campaign)


@conformance("M51")
def test_everybody_dies(name: str) -> None:
    """M51: queue, segment and semaphore are there as they were left; the others are free."""
    child = fork()
    if child == 0:
        try:
            handles = [kind.create(name) for kind in KINDS]
            for kind, handle in zip(KINDS, handles, strict=True):
                kind.stamp(handle)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    for kind in KINDS:
        handle = kind.open(name)
        # What the dead one had of a lock or bounded semaphore has gone with it.
        assert kind.is_stamped(handle) is (kind not in OWNED)
        kind.use(handle)
    assert LOCK.open(name).owner_died


@pytest.mark.stress
@conformance("S29")
def test_many_killed_waiters(name: str) -> None:
    """S29: the waiters that glibc still counts cost a call each time, and nothing more."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    for _ in counting(rounds(25, 100)):
        child = fork()
        if child == 0:
            semaphore.acquire()
            os._exit(1)
        wait_until_asleep(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert semaphore.value == 0
    for _ in range(1000):
        semaphore.release()
        assert semaphore.acquire(timeout=0)
    waiting = Background(lambda: semaphore.acquire(timeout=20))
    waiting.wait_until_asleep()
    semaphore.release()
    assert waiting.result() is True
