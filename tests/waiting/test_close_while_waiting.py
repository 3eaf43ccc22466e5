"""Closing a handle in one thread while another waits in it (contract 4.7)."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance, rounds, seconds
from support.kinds import (
    CHANNEL,
    LOCK,
    OWNED,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    each_owned_kind,
    removed,
)
from support.scripts import Script, run
from support.system import descriptors
from support.tally import count, counting
from support.waits import Background, wait_until_asleep

from nob.ipc import Flags

pytestmark = conformance("C40")


def empty_semaphore(name: str) -> Any:
    return SEMAPHORE.create(name, initial_value=0)


def empty_queue(name: str) -> Any:
    return QUEUE.create(name)


def empty_channel(name: str) -> Any:
    return CHANNEL.create(name)


def full_queue(name: str) -> Any:
    return full(QUEUE, name)


def full_channel(name: str) -> Any:
    return full(CHANNEL, name)


def full(kind: Kind, name: str) -> Any:
    queue = kind.create(name, max_messages=1)
    queue.send(b"first")
    return queue


HOLDERS: dict[str, Any] = {}
"""By name, what holds all that there is of a lock or bounded semaphore."""


def held_lock(name: str) -> Any:
    return held(LOCK, name)


def held_permits(name: str) -> Any:
    return held(PERMITS, name, value=1)


def held(kind: Kind, name: str, **more: int) -> Any:
    handle = kind.create(name, **more)
    HOLDERS[name] = kind.open(name)
    assert HOLDERS[name].acquire(timeout=0)
    return handle


def enter(handle: Any) -> None:
    with handle:
        pytest.fail("it was entered")


WAITS: dict[str, tuple[Callable[[str], Any], Callable[[Any], Any]]] = {
    "acquire": (empty_semaphore, lambda handle: handle.acquire()),
    "acquire with timeout": (empty_semaphore, lambda handle: handle.acquire(timeout=60)),
    "enter": (empty_semaphore, enter),
    "receive": (empty_queue, lambda handle: handle.receive()),
    "receive with timeout": (empty_queue, lambda handle: handle.receive(60)),
    "send": (full_queue, lambda handle: handle.send(b"second")),
    "send with timeout": (full_queue, lambda handle: handle.send(b"second", 60)),
    "channel receive": (empty_channel, lambda handle: handle.receive()),
    "channel receive with timeout": (empty_channel, lambda handle: handle.receive(60)),
    "channel receive_into": (empty_channel, lambda handle: handle.receive_into(bytearray(9))),
    "channel send": (full_channel, lambda handle: handle.send(b"second")),
    "channel send with timeout": (full_channel, lambda handle: handle.send(b"second", 60)),
    "lock": (held_lock, lambda handle: handle.acquire()),
    "lock with timeout": (held_lock, lambda handle: handle.acquire(timeout=60)),
    "enter lock": (held_lock, enter),
    "permits": (held_permits, lambda handle: handle.acquire()),
    "permits with timeout": (held_permits, lambda handle: handle.acquire(timeout=60)),
    "enter permits": (held_permits, enter),
}
KIND_OF = {
    empty_semaphore: SEMAPHORE,
    empty_channel: CHANNEL,
    full_channel: CHANNEL,
    held_lock: LOCK,
    held_permits: PERMITS,
}
ENDINGS = {
    "close": lambda handle: handle.close(),
    "del": lambda handle: handle.__del__(),
}


def kind_of(wait: str) -> Kind:
    return KIND_OF.get(WAITS[wait][0], QUEUE)


def asleep(wait: str, handle: Any) -> Background:
    """A thread that waits in the handle."""
    waiter = Background(lambda: WAITS[wait][1](handle))
    waiter.wait_until_asleep()
    return waiter


@pytest.fixture
def names(name: str) -> Iterator[dict[str, str]]:
    """A name for each wait, so that all of them can be tried at the same time."""
    names = {wait: f"{name}-{number}" for number, wait in enumerate(WAITS)}
    with removed(*names.values()):
        yield names
        HOLDERS.clear()


def made(names: dict[str, str]) -> dict[str, Any]:
    """A new object for each wait."""
    return {wait: WAITS[wait][0](name) for wait, name in names.items()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_wait_ends_with_a_value_error(names: dict[str, str], ending: str) -> None:
    """C40: close returns, and every waiter hears of it; the rest stays as it was."""
    handles = made(names)
    waiters = [asleep(wait, handle) for wait, handle in handles.items() for _ in range(3)]
    for handle in handles.values():
        ENDINGS[ending](handle)
        assert handle.closed
    for waiter in waiters:
        with pytest.raises(ValueError, match="closed"):
            waiter.result()
    there = [kind_of(wait).exists(name) for wait, name in names.items()]
    assert there == [ending == "close"] * len(WAITS)


def test_the_resource_is_released_by_the_last_call(names: dict[str, str]) -> None:
    """C40: and a number that is used again is not touched."""
    before = descriptors()
    handles = made(names)
    waiters = [asleep(wait, handle) for wait, handle in handles.items()]
    for handle in [*handles.values(), *HOLDERS.values()]:
        handle.close()
    pipes = [os.pipe() for _ in range(4 * len(WAITS))]
    for waiter in waiters:
        with pytest.raises(ValueError, match="closed"):
            waiter.result()
    for reading, writing in pipes:
        os.write(writing, b"x")
        assert os.read(reading, 10) == b"x"
        os.close(reading)
        os.close(writing)
    assert descriptors() == before


def test_other_handles_wait_on(names: dict[str, str]) -> None:
    """C40: of the same process and of another; they can be served."""
    handles = made(names)
    others = {wait: kind_of(wait).open(name) for wait, name in names.items()}
    waiters = {wait: asleep(wait, handle) for wait, handle in handles.items()}
    waiters_on = {wait: asleep(wait, handle) for wait, handle in others.items()}
    for handle in handles.values():
        handle.close()
    for wait, waiter in waiters.items():
        with pytest.raises(ValueError, match="closed"):
            waiter.result()
        assert waiters_on[wait].is_running(), wait
    for wait, waiter in waiters_on.items():
        third = kind_of(wait).open(names[wait])
        if kind_of(wait) in OWNED:
            HOLDERS[names[wait]].release()
        elif kind_of(wait) is SEMAPHORE:
            third.release()
        elif "receive" in wait:
            third.send(b"x")
        else:
            third.receive()
        if wait.startswith("enter"):
            with pytest.raises(BaseException, match="it was entered"):
                waiter.result()
        else:
            assert waiter.result(), wait


def test_nothing_is_taken_and_dropped(message_kind: Kind, name: str) -> None:
    """C40: what a closed handle has taken it returns; everything else is still there."""
    number = rounds(60)
    for index in counting(number):
        semaphore = SEMAPHORE.create(name, Flags.UNLINK_AND_CREATE, initial_value=0)
        queue = message_kind.create(name, Flags.UNLINK_AND_CREATE)
        mine, ours = SEMAPHORE.open(name), message_kind.open(name)
        timeout = None if index % 2 else 60
        waiters = [
            Background(lambda mine=mine, timeout=timeout: mine.acquire(timeout=timeout)),
            Background(lambda ours=ours, timeout=timeout: ours.receive(timeout)),
        ]
        if index % 3:
            for waiter in waiters:
                waiter.wait_until_asleep()
        barrier = threading.Barrier(2)

        closing = Background(lambda b=barrier, m=mine, o=ours: (b.wait(), m.close(), o.close()))
        barrier.wait()
        semaphore.release()
        queue.send(b"x")
        closing.result()
        taken = [took(waiter) for waiter in waiters]
        assert [semaphore.value, queue.current_messages] == [1 - taken[0], 1 - taken[1]]


@each_owned_kind
def test_a_closed_handle_has_nothing(kind: Kind, name: str) -> None:
    """C40: likewise; and what a closed handle has taken is free, with or without its wait's end."""
    for index in counting(rounds(60)):
        holder = kind.create(name, Flags.UNLINK_AND_CREATE, **dict.fromkeys(kind.small, 1))
        assert holder.acquire()
        mine = kind.open(name)
        timeout = None if index % 2 else 60
        waiter = Background(lambda mine=mine, timeout=timeout: mine.acquire(timeout=timeout))
        if index % 3:
            waiter.wait_until_asleep()
        barrier = threading.Barrier(2)
        closing = Background(lambda b=barrier, m=mine: (b.wait(), m.close()))
        barrier.wait()
        holder.release()
        closing.result()
        taken = took(waiter)
        if kind is LOCK:
            # It is also told of a handle that had it for a moment, though its wait was refused.
            assert holder.owner_died or not taken
            assert not holder.locked()
        else:
            assert holder.value == holder.bound
        assert holder.acquire(timeout=0)
        holder.release()


def took(waiter: Background) -> bool:
    try:
        return bool(waiter.result())
    except ValueError:
        return False


def test_closing_the_moment_a_wait_begins(name: str) -> None:
    """C40: however the two meet, the wait ends."""
    semaphore, queue = SEMAPHORE.create(name, initial_value=0), QUEUE.create(name)
    channel = CHANNEL.create(name)
    lock, permits = LOCK.create(name), PERMITS.create(name, value=1)
    assert lock.acquire()
    assert permits.acquire()
    end = time.monotonic() + seconds(0.8, 3)
    while time.monotonic() < end:
        count("rounds")
        for make, call in (
            (SEMAPHORE, lambda h: h.acquire()),
            (QUEUE, lambda h: h.receive()),
            (QUEUE, lambda h: h.receive(60)),
            (CHANNEL, lambda h: h.receive()),
            (CHANNEL, lambda h: h.receive(60)),
            (LOCK, lambda h: h.acquire()),
            (PERMITS, lambda h: h.acquire(timeout=60)),
        ):
            handle = make.open(name)
            started = threading.Event()

            waiter = Background(lambda s=started, c=call, h=handle: (s.set(), c(h)))
            started.wait(WATCHDOG)
            handle.close()
            with pytest.raises(ValueError, match="closed"):
                waiter.result()
    assert semaphore.value == queue.current_messages == channel.current_messages == 0
    assert lock.held
    assert len(permits.holders) == 1


def use_once(kind: Kind, handle: Any) -> None:
    if kind is SEMAPHORE:
        handle.release()
        handle.acquire(timeout=1)
    elif kind is SEGMENT:
        handle.mmap().close()
    elif kind in OWNED:
        if handle.acquire(timeout=1):
            # Other threads share the handle, and may have released it.
            with contextlib.suppress(RuntimeError):
                handle.release()
    else:
        handle.send(b"x", 0)
        handle.receive(0)


@each_kind
def test_closing_in_every_thread_at_once(kind: Kind, name: str) -> None:
    """C40: eight threads use and close; nothing crashes, each is told, no stranger is touched."""
    for _ in counting(rounds(20)):
        handle = kind.create(name, Flags.UNLINK_AND_CREATE)
        barrier = threading.Barrier(8)

        def use(handle: Any = handle, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(ValueError):
                for _ in range(20):
                    use_once(kind, handle)
            handle.close()
            with pytest.raises(ValueError, match="closed"):
                use_once(kind, handle)

        for thread in [Background(use) for _ in range(8)]:
            thread.result()
        assert handle.closed


def test_a_closed_handle_still_unlinks_though_a_thread_waits(message_kind: Kind, name: str) -> None:
    """Contract 4.7: its deletion does not wait for the thread either."""
    handle = message_kind.create(name)
    waiter = Background(handle.receive)
    waiter.wait_until_asleep()
    handle.close()
    assert message_kind.exists(name)
    handle.__del__()
    assert not message_kind.exists(name)
    with pytest.raises(ValueError, match="closed"):
        waiter.result()


@pytest.mark.parametrize("wait", ["acquire()", "acquire(timeout=60)"])
@pytest.mark.parametrize("kind", [SEMAPHORE, LOCK, PERMITS], ids=lambda kind: kind.word)
def test_the_exit_closes_under_a_waiter(kind: Kind, name: str, wait: str) -> None:
    """C40: a daemon thread waits while the main thread closes and ends."""
    code = f"""
semaphore = {kind.source("CREATE")}
# Closing the handle that holds it would serve the wait.
holder = {kind.cls.__name__}(name)
while holder.acquire(False):
    pass
threading.Thread(target=lambda: semaphore.{wait}, daemon=True).start()
time.sleep(0.05)
semaphore.close()
"""
    assert run(code, name) == (0, "")
    assert not kind.exists(name)


def test_a_handler_closes_what_its_thread_waits_in(name: str) -> None:
    """C40: the same thread, by a signal handler: the wait ends with a ValueError."""
    code = """
def link():
    global handles, semaphore, queue, channel, lock, permits
    handles = NamedSemaphore, NamedMessageQueue, NamedChannel, NamedLock, NamedBoundedSemaphore
    handles = semaphore, queue, channel, lock, permits = [kind(name) for kind in handles]
link()
signal.signal(signal.SIGUSR1, lambda *_: [handle.close() for handle in handles])
for wait in (
    lambda: semaphore.acquire(), lambda: queue.receive(), lambda: queue.receive(60),
    lambda: channel.receive(), lambda: channel.receive(60),
    lambda: lock.acquire(), lambda: permits.acquire(timeout=60),
):
    say("ready")
    try:
        wait()
    except ValueError as error:
        say("closed" in str(error))
    link()
"""
    handles = [SEMAPHORE.create(name, initial_value=0), QUEUE.create(name), CHANNEL.create(name)]
    handles += [LOCK.create(name), PERMITS.create(name, value=1)]
    for handle in handles[3:]:
        assert handle.acquire()
    with Script(code, name) as script:
        for _ in range(7):
            script.expect("ready")
            wait_until_asleep(script.pid)
            script.process.send_signal(10)
            script.expect("True")
        script.finish()
    assert handles[3].held
