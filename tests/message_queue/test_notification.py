"""Notifications of queues, and waiting for readiness (contract 6)."""

import os
import signal
import threading
import time

import pytest
from support.checks import conformance, eventually, rounds
from support.children import in_child
from support.kinds import QUEUE
from support.notified import Calls, Signals
from support.scripts import Script
from support.system import descriptors
from support.waits import wait_until_asleep

from nob.ipc import InvalidArgument

SI_MESGQ = -3
RECEIVER = "say(1); say(*NamedMessageQueue(name).receive({}))"


@conformance("M40")
def test_a_signal_once_from_empty_to_not(name: str) -> None:
    """M40: one shot, on the first message only."""
    queue = QUEUE.create(name)
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1) is True
        queue.send(b"1")
        signals.one()
        queue.send(b"2")
        queue.receive()
        queue.receive()
        queue.send(b"3")
        signals.none()
        assert queue.request_notification(int(signal.SIGUSR1)) is True
        queue.send(b"4")
        signals.none()
        queue.receive()
        queue.receive()
        queue.send(b"5")
        signals.one()


@conformance("M46")
def test_what_the_signal_says(name: str) -> None:
    """M46: SI_MESGQ, and who sent the message."""
    queue = QUEUE.create(name)

    def receive() -> tuple[int, int, int]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        assert queue.request_notification(signal.SIGUSR1)
        sender = in_child(lambda: queue.send(b"x") and os.getpid())
        information = signal.sigtimedwait({signal.SIGUSR1}, 20)
        assert information is not None
        return information.si_code, information.si_pid - sender, information.si_uid

    assert in_child(receive) == (SI_MESGQ, 0, os.getuid())


@conformance("M40", "M47")
def test_a_callable_in_a_thread_of_its_own(name: str) -> None:
    """M40, M47: a daemon thread, with its argument; once."""
    queue, calls, argument = QUEUE.create(name), Calls(), object()
    assert queue.request_notification((calls, argument)) is True
    queue.send(b"1")
    calls.wait(1)
    assert calls.arguments[0] is argument
    assert calls.threads[0].daemon
    assert calls.threads[0] is not threading.main_thread()
    queue.receive()
    queue.send(b"2")
    time.sleep(0.05)
    calls.wait(1)


@conformance("M41")
def test_a_new_request_replaces_the_own_one(name: str) -> None:
    """M41: of whatever form; only the last one fires."""
    queue, first, second = QUEUE.create(name), Calls(), Calls()
    with Signals() as signals:
        assert queue.request_notification((first, 1)) is True
        assert queue.request_notification(signal.SIGUSR1) is True
        assert queue.request_notification((second, 2)) is True
        queue.send(b"x")
        second.wait(1)
        signals.none()
    assert first.arguments == []


@conformance("M43")
def test_cancelling(name: str) -> None:
    """M43: True also when there was nothing to cancel, a thousand times; then nothing fires."""
    queue, calls = QUEUE.create(name), Calls()
    assert all(queue.request_notification(None) is True for _ in range(1000))
    assert queue.request_notification((calls, 1)) is True
    assert all(queue.request_notification() is True for _ in range(3))
    queue.send(b"x")
    queue.receive()
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1)
        assert queue.request_notification(None)
        queue.send(b"x")
        signals.none()
    assert calls.arguments == []


@conformance("M43")
def test_cancelling_what_another_process_registered(name: str) -> None:
    """M43: it changes nothing."""
    queue = QUEUE.create(name)
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1)
        code = "queue = NamedMessageQueue(name); say(queue.request_notification(None))"
        with Script(code + "; queue.send('x')", name) as other:
            other.expect("True")
            signals.one()
            other.finish()


@conformance("M42")
def test_a_receiver_in_the_wait_queue_comes_first(name: str) -> None:
    """M42: it takes the message, and the notification stays armed."""
    queue = QUEUE.create(name)
    with Signals() as signals, Script(RECEIVER.format(""), name) as receiver:
        assert queue.request_notification(signal.SIGUSR1)
        receiver.expect("1")
        wait_until_asleep(receiver.pid)
        queue.send(b"x")
        receiver.expect("b'x' 0")
        signals.none()
        queue.send(b"y")
        signals.one()


@conformance("M39")
def test_a_receiver_with_a_timeout_holds_nothing_back(name: str) -> None:
    """M39: it waits for readiness only, as documented."""
    queue = QUEUE.create(name)
    with Signals() as signals, Script(RECEIVER.format("20"), name) as receiver:
        assert queue.request_notification(signal.SIGUSR1)
        receiver.expect("1")
        wait_until_asleep(receiver.pid)
        queue.send(b"x")
        signals.one()
        receiver.expect("b'x' 0")


@conformance("M47")
def test_registering_again_in_the_callback(name: str) -> None:
    """M47: ten times over; none is lost."""
    queue, calls = QUEUE.create(name), Calls()
    number = rounds(10)

    def again(argument: int) -> None:
        if argument < number:
            assert queue.request_notification((again, argument + 1))
        queue.receive(0)
        calls(argument)

    assert queue.request_notification((again, 1))
    for count in range(1, number + 1):
        queue.send(b"x", 20)
        calls.wait(count)
    assert calls.arguments == list(range(1, number + 1))


@conformance("M47")
def test_register_cancel_register(name: str) -> None:
    """M47: exactly one call; threads and descriptors are given back."""
    queue, calls = QUEUE.create(name), Calls()
    before, threads = len(descriptors()), threading.active_count()
    for count in range(1, rounds(50) + 1):
        assert queue.request_notification((calls, 0))
        assert queue.request_notification(None)
        assert queue.request_notification((calls, count))
        queue.send(b"x")
        calls.wait(count)
        assert calls.arguments[-1] == count
        queue.receive()
    queue.request_notification(None)
    eventually(lambda: threading.active_count() <= threads, "the end of the threads")
    eventually(lambda: len(descriptors()) <= before + 1, "the return of descriptors")


@conformance("M47")
@pytest.mark.parametrize(
    "bad",
    [-1, 0, 65, 1000, 2**31, 2**64, True, 1.0, "SIGUSR1", print, (print,), (print, 1, 2), (1, 2)],
    ids=str,
)
def test_what_is_no_notification(name: str, bad: object) -> None:
    """M47: an invalid argument, and what was registered stays."""
    queue = QUEUE.create(name)
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1)
        with pytest.raises(InvalidArgument):
            queue.request_notification(bad)
        queue.send(b"x")
        signals.one()


@conformance("M48")
def test_a_callback_that_raises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """M48: it goes to threading.excepthook."""
    heard: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(arguments.exc_type))

    def fail(_: object) -> None:
        raise ZeroDivisionError

    queue = QUEUE.create(name)
    assert queue.request_notification((fail, None))
    queue.send(b"x")
    eventually(lambda: heard, "the exception")
    assert heard == [ZeroDivisionError]
