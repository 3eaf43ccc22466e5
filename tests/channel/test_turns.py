"""Another handle copies, and does not end: a process that was stopped amid its copy, for example.

The turn is given by hand to a handle that lives.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.checks import WATCHDOG
from support.kinds import CHANNEL
from support.scripts import Script
from support.waits import Background

from nob.ipc import Flags, NamedChannel

SENDERS, RECEIVERS = 12288 + 64, 12288 + 128
"""Where the words are that say which slot sends, and which receives."""

SLOT_HINT, SLOTS = 32, 1023

LARGE = (64 << 10) + 1
"""So large a message is copied without the GIL."""

RECEIVING: dict[str, Callable[[NamedChannel, float | None], Any]] = {
    "receive": lambda channel, timeout: channel.receive(timeout),
    "receive_into": lambda channel, timeout: channel.receive_into(bytearray(LARGE), timeout),
    "receive_many": lambda channel, timeout: channel.receive_many(timeout=timeout),
}

receiving = pytest.mark.parametrize("receive", RECEIVING.values(), ids=RECEIVING)

sizes = pytest.mark.parametrize("size", [1, LARGE])


@pytest.fixture
def channel(name: str) -> Iterator[NamedChannel]:
    """One whose receivers' turn another handle has."""
    channel = NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS)
    with open(CHANNEL.path(name), "r+b", buffering=0) as file:
        file.seek(SLOT_HINT)
        slot = int.from_bytes(file.read(4), "little") % SLOTS + 1
        with NamedChannel(name):
            file.seek(RECEIVERS)
            file.write(slot.to_bytes(4, "little"))
            yield channel


@pytest.fixture
def full_turns(channel: NamedChannel) -> NamedChannel:
    """One in which another handle also has the senders' turn, with a message."""
    channel.send("one")
    with open(CHANNEL.path(channel.name), "r+b", buffering=0) as file:
        file.seek(RECEIVERS)
        slot = file.read(4)
        file.seek(SENDERS)
        file.write(slot)
    return channel


@receiving
@sizes
@pytest.mark.parametrize("timeout", [0, 0.1])
def test_a_timeout_is_kept(channel: NamedChannel, receive: Any, size: int, timeout: float) -> None:
    channel.send(bytes(size))
    assert not Background(lambda: receive(channel, timeout)).result()
    assert channel.current_messages == 1


@receiving
@sizes
def test_what_a_handler_raises_comes_out(channel: NamedChannel, receive: Any, size: int) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    channel.send(bytes(size))
    watchdog = threading.Timer(WATCHDOG, channel.close)
    watchdog.start()
    before = signal.signal(signal.SIGALRM, fail)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(ZeroDivisionError):
            receive(channel, None)
    finally:
        watchdog.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert channel.current_messages == 1


ATTEMPTS: dict[str, Callable[[NamedChannel], Any]] = {
    "send": lambda channel: channel.send("two", timeout=0),
    "send_many": lambda channel: channel.send_many(["two"], timeout=0),
    "receive": lambda channel: channel.receive(0),
    "receive_into": lambda channel: channel.receive_into(bytearray(9), 0),
    "receive_many": lambda channel: channel.receive_many(timeout=0),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_other_threads_run_while_a_copy_is_borne(full_turns: NamedChannel, attempt: Any) -> None:
    """5.5: also by calls that do not wait for messages or room."""
    begin, ran = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: (begin.wait(WATCHDOG), ran.set()))
    other.start()
    before = sys.getswitchinterval()
    try:
        # Nothing but a call that releases the GIL lets the other one run.
        sys.setswitchinterval(WATCHDOG)
        begin.set()
        assert not attempt(full_turns)
        assert ran.is_set()
    finally:
        sys.setswitchinterval(before)
        other.join()


def test_signal_handlers_run_amid_a_batch(name: str) -> None:
    """Also where the receiver is so quick that nothing has to be waited for."""
    channel = NamedChannel(name, capacity=4096, handle_existence=Flags.RAISE_IF_EXISTS)
    code = """
channel = NamedChannel(name)
say("ready")
channel.receive()
os.kill(os.getppid(), signal.SIGUSR1)
while True: channel.receive_many()
"""
    batch = [b"x" * 8] * 1_000_000
    before = signal.signal(signal.SIGUSR1, lambda *_: channel.close())
    try:
        with Script(code, name) as receiver:
            receiver.expect("ready")
            assert 0 < channel.send_many(batch) < len(batch)
    finally:
        signal.signal(signal.SIGUSR1, before)


ASYNCHRONOUS: dict[str, Callable[[NamedChannel, float | None], Any]] = {
    "receive_async": lambda channel, timeout: channel.receive_async(timeout),
    "send_async": lambda channel, timeout: channel.send_async("two", timeout),
}

asynchronous = pytest.mark.parametrize("wait", ASYNCHRONOUS.values(), ids=ASYNCHRONOUS)


@asynchronous
def test_a_loop_does_not_stand_still(full_turns: NamedChannel, wait: Any) -> None:
    """What else there is to do in it goes on while a coroutine waits for a copy to end."""

    async def share_of_standing_still() -> float:
        waiting = asyncio.ensure_future(wait(full_turns, 0.5))
        start = last = time.monotonic()
        still = 0.0
        while not waiting.done():
            await asyncio.sleep(0)
            now = time.monotonic()
            if now - last > 0.01:
                still += now - last
            last = now
        assert not waiting.result()
        return still / (last - start)

    assert asyncio.run(share_of_standing_still()) < 0.5


@asynchronous
def test_a_coroutine_goes_on_when_the_copy_has_ended(full_turns: NamedChannel, wait: Any) -> None:
    async def main() -> object:
        waits = [asyncio.ensure_future(wait(full_turns, timeout)) for timeout in (0.02, None)]
        assert not await waits[0]
        assert not waits[1].done()
        with open(CHANNEL.path(full_turns.name), "r+b", buffering=0) as file:
            for word in (SENDERS, RECEIVERS):
                file.seek(word)
                file.write(bytes(4))
        return await asyncio.wait_for(waits[1], WATCHDOG)

    assert asyncio.run(main()) in {True, (b"one", 0)}
