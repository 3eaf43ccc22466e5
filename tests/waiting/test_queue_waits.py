"""Waiting to send and to receive (contract 5, 6)."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.checks import conformance, eventually
from support.kinds import QUEUE, Kind
from support.scripts import PRELUDE, Script
from support.waits import Background, wait_until_asleep, waits_in


def receiver_of(kind: Kind, timeout: str) -> str:
    """A process that says what it receives."""
    return f"queue = {kind.class_name}(name); say(1); say(queue.receive({timeout})[0])"


def sender_to(kind: Kind, arguments: str) -> str:
    """A process that sends, and says what came of it."""
    return f"queue = {kind.class_name}(name); say(1); say(queue.send({arguments}))"


def full(kind: Kind, name: str, **more: int):  # type: ignore[no-untyped-def]
    """A queue or channel for one message, which is there."""
    queue = kind.create(name, **{"max_messages": 1, **more})
    queue.send(b"first")
    return queue


@conformance("M25")
@pytest.mark.parametrize("timeout", ["", "20", "float('inf')"])
def test_a_receiver_waits_for_a_message(message_kind: Kind, name: str, timeout: str) -> None:
    """M25: with a timeout and without."""
    queue = message_kind.create(name)
    with Script(receiver_of(message_kind, timeout), name) as receiver:
        receiver.expect("1")
        wait_until_asleep(receiver.pid)
        queue.send(b"there")
        receiver.expect("b'there'")
        receiver.finish()
    assert queue.current_messages == 0


@conformance("M25")
@pytest.mark.parametrize("timeout", ["None", "20", "10**400"])
def test_a_sender_waits_for_room(message_kind: Kind, name: str, timeout: str) -> None:
    """M25: and goes on after one receive."""
    queue = full(message_kind, name)
    with Script(sender_to(message_kind, f"b'second', {timeout}"), name) as sender:
        sender.expect("1")
        wait_until_asleep(sender.pid)
        assert queue.current_messages == 1
        assert queue.receive() == (b"first", 0)
        sender.expect("True")
        sender.finish()
    assert queue.receive(0) == (b"second", 0)


@conformance("M24", "M27", "M28")
@pytest.mark.parametrize("timeout", [None, 0, 0.001, 5, 1e18])
def test_block_false_never_waits(message_kind: Kind, name: str, timeout: float | None) -> None:
    """M24, M27, M28: whatever the timeout; not even the highest priority gets in."""
    queue = full(message_kind, name)
    queue.block = False
    assert queue.send(b"second", timeout, message_kind.highest) is False
    assert queue.current_messages == 1
    assert queue.receive(timeout) == (b"first", 0)
    assert queue.receive(timeout) is None
    assert queue.send(b"third", timeout) is True


@conformance("M24", "M27")
def test_timeout_zero_does_not_wait(message_kind: Kind, name: str) -> None:
    """M24, M27: what can be done at once is done, what cannot is not."""
    queue = full(message_kind, name)
    for timeout in (0, 0.0, -0.0):
        assert queue.send(b"second", timeout, message_kind.highest) is False
    assert queue.receive(0) == (b"first", 0)
    for timeout in (0, 0.0, -0.0):
        assert queue.receive(timeout) is None
    assert queue.send(b"second", 5e-324) is True
    assert queue.receive(5e-324) == (b"second", 0)


@conformance("M30")
@pytest.mark.parametrize("timeout", [1e-9, 0.001, 0.0502, 0.1, 0.5])
def test_a_wait_never_ends_early(message_kind: Kind, name: str, timeout: float) -> None:
    """M30: on the monotonic clock, in both directions."""
    queue = full(message_kind, name)
    start = time.monotonic_ns()
    assert queue.send(b"second", timeout) is False
    assert time.monotonic_ns() - start >= timeout * 1e9
    queue.receive()
    start = time.monotonic_ns()
    assert queue.receive(timeout) is None
    assert time.monotonic_ns() - start >= timeout * 1e9
    assert queue.current_messages == 0


@conformance("M31")
def test_waits_use_the_monotonic_clock(name: str, tmp_path: Path) -> None:
    """M31: the kernel's queue calls, which know the wall clock only, get no deadline of it.

    A wait without an end may check for signals from time to time; one with an end may not depend on
    that clock.
    """
    log = tmp_path / "log"
    code = PRELUDE + (
        "queue = NamedMessageQueue(name, 1, 8, handle_existence=CREATE)\n"
        "assert queue.receive(0.05) is None\n"
        "queue.send(b'x')\n"
        "assert queue.send(b'x', 0.05) is False\n"
    )
    trace = ["strace", "-f", "-o", str(log), "-e", "trace=mq_timedreceive,mq_timedsend,ppoll,poll"]
    try:
        subprocess.run([*trace, sys.executable, "-c", code, name], check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here")
    calls = log.read_text()
    for call in re.findall(r"mq_timed\w+\(.*", calls):
        assert "tv_sec=" not in call or re.search(r"tv_sec=0, tv_nsec=0", call), call
    assert re.search(r"p?poll\(", calls)


@conformance("M26")
def test_waits_without_a_timeout_are_in_the_wait_queue(name: str) -> None:
    """Contract 5.7: without a timeout in the queue call itself, with one in poll."""
    queue = QUEUE.create(name)
    with (
        Script(receiver_of(QUEUE, ""), name) as untimed,
        Script(receiver_of(QUEUE, "20"), name) as timed,
    ):
        for receiver in (untimed, timed):
            receiver.expect("1")
            wait_until_asleep(receiver.pid)
        eventually(lambda: waits_in(untimed.pid) == "queue")
        eventually(lambda: waits_in(timed.pid) == "poll")
        queue.send(b"untimed")
        untimed.expect("b'untimed'")
        queue.send(b"timed")
        timed.expect("b'timed'")


@conformance("M52")
def test_each_message_has_one_receiver(message_kind: Kind, name: str) -> None:
    """M52: waiting with and without a timeout, as threads and as a process."""
    queue = message_kind.create(name)
    waiters = [Background(queue.receive) for _ in range(4)]
    waiters += [Background(lambda: queue.receive(20)) for _ in range(4)]
    with Script(receiver_of(message_kind, ""), name) as process:
        process.expect("1")
        wait_until_asleep(process.pid)
        for waiter in waiters:
            waiter.wait_until_asleep()
        for number in range(9):
            assert queue.send(str(number), timeout=20)
        got = [process.hear(), *(repr(waiter.result()[0]) for waiter in waiters)]
    assert sorted(got) == [repr(str(number).encode()) for number in range(9)]
    assert queue.current_messages == 0


@conformance("M52")
def test_each_message_is_sent_once(message_kind: Kind, name: str) -> None:
    """M52 the other way: senders that wait, with and without a timeout."""
    queue = full(message_kind, name)
    senders = [Background(lambda n=n: queue.send(str(n), None if n % 2 else 20)) for n in range(6)]
    for sender in senders:
        sender.wait_until_asleep()
    got = [queue.receive(20)[0] for _ in range(7)]
    assert all(sender.result() is True for sender in senders)
    assert sorted(got) == [*(str(n).encode() for n in range(6)), b"first"]
    assert queue.receive(0) is None


@conformance("M38")
def test_a_timed_sender_gets_its_turn_beside_others(message_kind: Kind, name: str) -> None:
    """M38: though it is not in the kernel's wait queue, and may be overtaken by those in it."""
    queue = full(message_kind, name)
    with Script(sender_to(message_kind, "b'untimed'"), name) as untimed:
        untimed.expect("1")
        wait_until_asleep(untimed.pid)
        timed = Background(lambda: queue.send(b"timed", 20))
        timed.wait_until_asleep()
        got = [queue.receive(20)[0] for _ in range(3)]
        assert timed.result() is True
        untimed.expect("True")
    assert got[0] == b"first"
    assert sorted(got[1:]) == [b"timed", b"untimed"]


@conformance("C31", "M36")
def test_unlinking_wakes_nobody(message_kind: Kind, name: str) -> None:
    """C31, M36: it returns at once; who waits waits on, and can still be served."""
    queue = message_kind.create(name)
    with Script(receiver_of(message_kind, ""), name) as receiver:
        receiver.expect("1")
        wait_until_asleep(receiver.pid)
        queue.unlink()
        wait_until_asleep(receiver.pid)
        queue.send(b"there")
        receiver.expect("b'there'")


@conformance("C39")
def test_other_threads_run_during_a_wait(message_kind: Kind, name: str) -> None:
    """C39: one of them ends it, in both directions."""
    queue = message_kind.create(name, max_messages=1)
    receiver = Background(queue.receive)
    receiver.wait_until_asleep()
    queue.send(b"x")
    assert receiver.result() == (b"x", 0)
    queue.send(b"y")
    sender = Background(lambda: queue.send(b"z"))
    sender.wait_until_asleep()
    assert queue.receive() == (b"y", 0)
    assert sender.result() is True


@conformance("M50")
def test_a_killed_receiver_takes_nothing(message_kind: Kind, name: str) -> None:
    """M50: the next message goes to another one."""
    queue = message_kind.create(name)
    for timeout in ("", "20"):
        with Script(receiver_of(message_kind, timeout), name) as receiver:
            receiver.expect("1")
            wait_until_asleep(receiver.pid)
        other = Background(lambda: queue.receive(20))
        other.wait_until_asleep()
        queue.send(b"there")
        assert other.result() == (b"there", 0)


@conformance("M49")
def test_a_killed_sender_sends_nothing(message_kind: Kind, name: str) -> None:
    """M49: its message never appears, and the count is as it was."""
    queue = full(message_kind, name)
    for timeout in ("None", "20"):
        with Script(sender_to(message_kind, f"b'lost', {timeout}"), name) as sender:
            sender.expect("1")
            wait_until_asleep(sender.pid)
        assert queue.current_messages == 1
    assert queue.receive(0) == (b"first", 0)
    assert queue.receive(0.05) is None
