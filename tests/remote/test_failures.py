"""Servers that die, stop, forget, refuse or do not answer (contract 11.3, 11.5)."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance, rounds
from support.children import fork
from support.kinds import LOCK, PERMITS, QUEUE, SEMAPHORE, Kind
from support.servers import CuttingProxy, Server
from support.waits import Background

from nob import ipc
from nob.ipc import Flags

CREATE = Flags.RAISE_IF_EXISTS
Start = Callable[..., Server]

each_kind_there = pytest.mark.parametrize(
    "kind", [SEMAPHORE, QUEUE, LOCK, PERMITS], ids=lambda kind: kind.word
)


@conformance("R13")
def test_every_message_exactly_once_through_a_proxy_that_cuts(server: Server, name: str) -> None:
    """Contract 11.3: a call whose answer was lost runs once."""
    proxy = CuttingProxy(server, 0.01, seed=7)
    each, senders = rounds(1500), 2
    with ipc.connect(server.url) as place, ipc.connect(proxy.url) as cut:
        queue = place.NamedMessageQueue(name, 50, handle_existence=CREATE)
        received: Counter[bytes] = Counter()
        orders: list[list[bytes]] = []

        def send(number: int) -> None:
            mine = cut.NamedMessageQueue(name)
            for count in range(each):
                assert mine.send(b"%d:%d" % (number, count))

        def receive() -> None:
            mine, order = cut.NamedMessageQueue(name), []
            while message := mine.receive(timeout=3):
                order.append(message[0])
            orders.append(order)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
        threads += [threading.Thread(target=receive) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * WATCHDOG)
            assert not thread.is_alive(), "a thread hangs"
        for order in orders:
            received.update(order)
            for number in range(senders):
                counts = [int(m.split(b":")[1]) for m in order if m.startswith(b"%d:" % number)]
                assert counts == sorted(counts), "one sender's messages stay in order"
        assert queue.current_messages == 0
        assert proxy.cuts > 5
        assert received == Counter(b"%d:%d" % (s, c) for s in range(senders) for c in range(each))
    proxy.close()


@conformance("R14", "R15")
def test_a_stopped_server_loses_nothing(own_server: Start, name: str) -> None:
    """What a `receive` without an answer had taken goes back."""
    server = own_server()
    place = ipc.connect(server.url, patience=1)
    queue = place.NamedMessageQueue(name, 50, handle_existence=CREATE)
    queue.send_many([b"%d" % number for number in range(20)])
    with server.stopped():
        # Sent into the socket, to be run when the server goes on.
        waits = [Background(lambda: queue.receive(timeout=0.3)) for _ in range(3)]
        for wait in waits:
            with pytest.raises(ipc.ServerUnavailable) as refused:
                wait.result()
            assert refused.value.filename == name
    found = []
    end = time.monotonic() + WATCHDOG
    while len(found) < 20 and time.monotonic() < end:
        found += [int(message) for message, _ in queue.receive_many(timeout=0.2)]
    assert sorted(found) == list(range(20))
    assert queue.receive(timeout=0.5) is None
    place.close()


@conformance("R21")
def test_an_unknown_outcome_can_be_had_later(own_server: Start, name: str) -> None:
    """Contract 11.5."""
    server = own_server()
    place = ipc.connect(server.url, patience=0.5)
    queue = place.NamedMessageQueue(name, 50, handle_existence=CREATE)
    with server.stopped():
        with pytest.raises(ipc.OutcomeUnknown) as sent:
            queue.send(b"one")
        with pytest.raises(ipc.OutcomeUnknown) as many:
            queue.send_many([b"two", b"three"])
        with pytest.raises(ipc.OutcomeUnknown):
            sent.value.retry(timeout=0.2)
    assert isinstance(sent.value, ConnectionError)
    assert sent.value.filename == name
    assert sent.value.retry() is True
    assert many.value.retry(WATCHDOG) == 2
    messages = sorted(message for message, _ in queue.receive_many(timeout=0))
    assert messages == [b"one", b"three", b"two"]
    # It was had, and is not had again; nor in another process.
    for gone in (sent.value, pickle.loads(pickle.dumps(many.value))):
        with pytest.raises(ipc.OutcomeUnknown):
            gone.retry()
    assert queue.current_messages == 0
    place.close()


@conformance("R21")
@each_kind_there
def test_a_creation_without_an_answer(own_server: Start, kind: Kind, name: str) -> None:
    """Its retry gives the handle, which counts as the creator's, and makes no second object."""
    server = own_server()
    place = ipc.connect(server.url, patience=0.5)
    create = getattr(place, kind.cls.__name__)
    with server.stopped():
        with pytest.raises(ipc.OutcomeUnknown) as unknown:
            create(name, handle_existence=CREATE, **kind.small)
        assert unknown.value.filename == name
        with pytest.raises(ipc.OutcomeUnknown) as again:
            unknown.value.retry()
    handle = again.value.retry()
    assert type(handle) is kind.cls
    assert not handle.linked_existing_object
    assert handle.unlink_on_delete
    kind.use(handle)
    assert not handle.stale
    with pytest.raises(ValueError, match="before"):
        unknown.value.retry()
    place.close()
    assert handle.closed


@conformance("R21")
def test_a_release_without_an_answer(own_server: Start, name: str) -> None:
    server = own_server()
    place = ipc.connect(server.url, patience=0.5)
    semaphore = place.NamedSemaphore(name, 0, CREATE)
    with server.stopped(), pytest.raises(ipc.OutcomeUnknown) as unknown:
        semaphore.release(3)
    assert unknown.value.retry() is None
    assert semaphore.value == 3
    place.close()


@conformance("R24")
def test_a_server_that_was_killed_and_wrote_all(own_server: Start, name: str) -> None:
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    place = ipc.connect(server.url)
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    waiting = place.NamedMessageQueue(name + "-w", handle_existence=CREATE)
    queue.send(b"kept", priority=7)
    waiter = Background(waiting.receive)
    time.sleep(0.2)
    server.kill()
    server.start()
    assert queue.receive(WATCHDOG) == (b"kept", 7)
    assert waiter.is_running()
    assert waiting.send(b"late")
    assert waiter.result() == (b"late", 0)
    place.close()


@conformance("R23")
def test_a_server_that_was_killed_and_wrote_nothing(own_server: Start, name: str) -> None:
    """Handles never meet a silent new object."""
    server = own_server("--appendonly", "no")
    place = ipc.connect(server.url)
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    lock = place.NamedLock(name, CREATE)
    server.kill()
    server.start()
    new = place.NamedMessageQueue(name, handle_existence=CREATE)
    calls: list[Callable[[], Any]] = [
        lambda: queue.send(b"x"),
        lambda: queue.receive(0),
        lambda: queue.current_messages,
        lock.acquire,
    ]
    for call in calls:
        with pytest.raises(ipc.StaleHandle) as stale:
            call()
        assert isinstance(stale.value, FileNotFoundError)
        assert stale.value.errno == errno.ESTALE
        assert stale.value.filename == name
    assert queue.stale
    assert new.current_messages == 0
    place.close()


def test_a_server_that_was_killed_and_has_a_snapshot(own_server: Start, name: str) -> None:
    """It goes back to that, as the guide says, and no handle tells."""
    server = own_server("--appendonly", "no", "--save", "3600 1000000")
    place = ipc.connect(server.url)
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    permits = place.NamedSemaphore(name, handle_existence=CREATE, initial_value=1)
    queue.send(b"received before")
    permits.acquire()
    assert server.command("SAVE") == "+OK\r\n"
    assert queue.receive() == (b"received before", 0)
    queue.send(b"sent since")
    permits.release()
    server.kill()
    server.start()
    assert queue.receive() == (b"received before", 0)
    assert queue.receive(0) is None
    assert permits.value == 0
    assert not queue.stale
    assert any("snapshot" in sentence for sentence in place.check())
    place.close()


@conformance("R20")
def test_a_server_that_is_gone(own_server: Start, name: str) -> None:
    """Calls end after the patience, and `close` ends at once."""
    server = own_server()
    place = ipc.connect(server.url, patience=0.3)
    queue = place.NamedMessageQueue(name, handle_existence=CREATE, unlink_on_delete=False)
    server.kill()
    for call in (queue.receive, lambda: queue.send(b"x"), lambda: queue.current_messages):
        with pytest.raises(ipc.ServerUnavailable):
            call()
    queue.close()
    place.close()


def test_scripts_that_the_server_forgot(server: Server, place: ipc.Connection, name: str) -> None:
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    assert queue.send(b"x")
    assert server.command("SCRIPT", "FLUSH") == "+OK\r\n"
    assert queue.receive(0) == (b"x", 0)


def test_connections_that_are_killed_under_waits(
    server: Server, place: ipc.Connection, name: str
) -> None:
    queue = place.NamedMessageQueue(name, handle_existence=CREATE)
    waiter = Background(queue.receive)
    time.sleep(0.3)
    for kind in ("normal", "pubsub"):
        server.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    time.sleep(0.1)
    assert queue.send(b"x")
    assert waiter.result() == (b"x", 0)


@conformance("R27")
def test_memory_that_is_full(own_server: Start, name: str) -> None:
    """What is there can be had; the rest is refused."""
    server = own_server("--maxmemory", "3mb")
    place = ipc.connect(server.url)
    queue = place.NamedMessageQueue(name, 10_000, 65536, handle_existence=CREATE)
    sent = 0

    def fill() -> None:
        nonlocal sent
        while True:
            assert queue.send(b"x" * 60_000, timeout=0)
            sent += 1

    with pytest.raises(OSError, match="maxmemory") as full:
        fill()
    assert full.value.errno == errno.ENOSPC
    assert sent > 0
    received = 0
    while queue.receive(0):
        received += 1
    assert received == sent
    place.close()


@conformance("R26")
def test_users_without_rights(own_server: Start, name: str) -> None:
    server = own_server()
    rights = "+eval +evalsha +hello +ping +ssubscribe +sunsubscribe +spublish +time +hgetall +hget"
    rights += " +hset +hmget +hincrby +del +pexpire +exists +get +set +zcard +zadd +zrange +zrem"
    rights += " +zpopmin +zscore"

    def user(who: str, *more: str) -> str:
        words = ["ACL", "SETUSER", who, "on", ">pw", *more]
        assert server.command(*words) == "+OK\r\n"
        return f"redis://{who}:pw@127.0.0.1:{server.port}"

    few = user("few", "~nipc:{?/*", "&nipc:{?/*", *rights.split())
    with ipc.connect(few) as place:
        queue = place.NamedMessageQueue(name, handle_existence=CREATE)
        assert queue.send(b"x")
        assert queue.receive(0) == (b"x", 0)
        assert queue.receive(0.1) is None
        with place.NamedLock(name, CREATE) as lock:
            assert lock.held
        with pytest.raises(PermissionError):
            place.list_objects()
    mute = user("mute", "~nipc:{?/*", "resetchannels", *rights.split())
    other = user("other", "~theirs:*", "&theirs:*", *rights.split())
    for url in (mute, other):
        with ipc.connect(url) as place, pytest.raises(PermissionError):
            place.NamedMessageQueue(name, handle_existence=CREATE)
    with ipc.connect(few) as place, pytest.raises(FileNotFoundError):
        place.NamedMessageQueue(name)
    with pytest.raises(PermissionError):
        ipc.connect(f"redis://few:wrong@127.0.0.1:{server.port}")


@conformance("R22")
def test_what_is_not_confirmed(server: Server, name: str) -> None:
    """Contract 11.5: without a replica nothing is."""
    with ipc.connect(server.url) as place, ipc.connect(server.url, durability="replica") as sure:
        queue = place.NamedMessageQueue(name, handle_existence=CREATE)
        mine = sure.NamedMessageQueue(name)
        with pytest.raises(ipc.Unconfirmed) as sent:
            mine.send(b"x", priority=2)
        assert sent.value.result is True
        with pytest.raises(ipc.Unconfirmed) as received:
            mine.receive()
        assert received.value.result == (b"x", 2)
        with pytest.raises(ipc.Unconfirmed) as many:
            mine.send_many([b"y", b"z"])
        assert many.value.result == 2
        with pytest.raises(ipc.Unconfirmed) as both:
            mine.receive_many()
        assert both.value.result == [(b"y", 0), (b"z", 0)]
        assert queue.current_messages == 0


@conformance("R18")
def test_an_owner_that_is_killed(server: Server, place: ipc.Connection, name: str) -> None:
    """Contract 11.4: the lease ends the hold, and the next owner is told."""
    lock = place.NamedLock(name, CREATE, lease=1)
    permits = place.NamedBoundedSemaphore(name, 1, CREATE, lease=1)
    ready, told = os.pipe()
    child = fork()
    if child == 0:
        lock.acquire()
        permits.acquire()
        os.write(told, b"x")
        time.sleep(WATCHDOG)
        os._exit(1)
    assert os.read(ready, 1) == b"x"
    assert not lock.acquire(timeout=0)
    # It renews.
    assert not lock.acquire(timeout=1.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.acquire(timeout=WATCHDOG)
    assert lock.owner_died
    lock.mark_repaired()
    lock.release()
    assert permits.acquire(timeout=WATCHDOG)
    permits.release()
    os.close(ready)
    os.close(told)


@conformance("R18")
def test_an_owner_that_is_silent(server: Server, place: ipc.Connection, name: str) -> None:
    """A process that was stopped for longer than its lease has lost the lock, and is told."""
    lock = place.NamedLock(name, CREATE, lease=1)
    ready, told = os.pipe()
    child = fork()
    if child == 0:
        status = 1
        try:
            assert lock.acquire()
            first = lock.fence
            os.write(told, b"x")
            while lock.held:
                time.sleep(0.05)
            for lost in (lock.release, lock.mark_repaired):
                try:
                    lost()
                except ipc.LockLost:
                    continue
                except RuntimeError:
                    continue
                os._exit(2)
            status = 0 if first > 0 else 3
        finally:
            os._exit(status)
    assert os.read(ready, 1) == b"x"
    os.kill(child, signal.SIGSTOP)
    assert lock.acquire(timeout=WATCHDOG)
    assert lock.owner_died
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert lock.held
    lock.release()
    os.close(ready)
    os.close(told)


@conformance("R18")
def test_a_lock_that_was_lost_within_a_block(own_server: Start, name: str) -> None:
    """What the block raises goes out, with a note; else LockLost does."""
    server = own_server()
    place = ipc.connect(server.url)
    lock = place.NamedLock(name, CREATE, lease=1)

    def lose() -> None:
        assert lock.held
        with server.stopped():
            while lock.held:
                time.sleep(0.05)

    with pytest.raises(ipc.LockLost) as lost, lock:
        lose()
    assert isinstance(lost.value, RuntimeError)

    def lose_and_raise() -> None:
        lose()
        raise KeyError("own")

    with pytest.raises(KeyError) as raised, lock:
        lose_and_raise()
    (note,) = raised.value.__notes__
    assert name in note
    place.close()


@conformance("R9")
def test_handles_that_go_when_the_server_is_gone(
    own_server: Start, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletion tries for a second, and says so; the others of the connection do not try."""
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", told.append)
    server = own_server()
    place = ipc.connect(server.url)
    handles = [place.NamedSemaphore(f"{name}-{number}", 1, CREATE) for number in range(20)]
    server.kill()
    began = time.monotonic()
    while handles:
        handles.pop()
    # Twenty seconds, if each tried.
    assert time.monotonic() - began < 15
    assert {type(one.exc_value) for one in told} == {ipc.ServerUnavailable}
