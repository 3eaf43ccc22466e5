"""Handles to objects on a server: opening, closing, unlinking, what is not there (contract 11)."""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance
from support.children import in_child
from support.kinds import CHANNEL, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE, Kind
from support.servers import Server
from support.waits import Background

from nob import ipc
from nob.ipc import Flags, InvalidArgument

THERE = (SEMAPHORE, QUEUE, LOCK, PERMITS)
each_kind_there = pytest.mark.parametrize("kind", THERE, ids=lambda kind: kind.word)


def at(place: ipc.Connection, kind: Kind) -> Any:
    return getattr(place, kind.cls.__name__)


def create(place: ipc.Connection, kind: Kind, name: str, **more: Any) -> Any:
    options = {"handle_existence": Flags.RAISE_IF_EXISTS, **kind.small, **more}
    return at(place, kind)(name, **options)


def exists(place: ipc.Connection, kind: Kind, name: str) -> bool:
    words = {SEMAPHORE: "sem", QUEUE: "mq", LOCK: "lock", PERMITS: "permits"}
    found = [(one["kind"], one["name"]) for one in place.list_objects()]
    return (words[kind], name) in found


@each_kind_there
def test_the_classes_are_the_same(place: ipc.Connection, kind: Kind, name: str) -> None:
    handle = create(place, kind, name)
    assert type(handle) is kind.cls
    assert (handle.name, handle.linked_existing_object, handle.closed) == (name, False, False)
    assert repr(handle) == f"<{kind.cls.__name__} '{name}' at {place.url} (created, open)>"
    other = kind.cls(name, connection=place)
    assert other.linked_existing_object
    kind.stamp(handle)
    assert kind.is_stamped(other)
    assert not kind.exists(name)


@conformance("R6")
@each_kind_there
def test_existence(place: ipc.Connection, kind: Kind, name: str) -> None:
    """Contract 3.2."""
    with pytest.raises(FileNotFoundError) as missing:
        at(place, kind)(name)
    assert missing.value.filename == name
    first = create(place, kind, name)
    with pytest.raises(FileExistsError):
        create(place, kind, name)
    linked = at(place, kind)(name, handle_existence=Flags.LINK_OR_CREATE)
    assert linked.linked_existing_object
    new = create(place, kind, name, handle_existence=Flags.UNLINK_AND_CREATE)
    assert not new.linked_existing_object
    assert first.stale
    assert not new.stale
    # Open handles go on with the old one.
    kind.use(first)
    with pytest.raises(FileNotFoundError):
        first.unlink()
    new.unlink()
    assert new.stale
    kind.use(new)


@conformance("R7")
@each_kind_there
def test_lifetime(place: ipc.Connection, kind: Kind, name: str) -> None:
    """Contract 11.2: who created it owns it, and what LINK_OR_CREATE makes stays."""
    owned = create(place, kind, name)
    assert owned.unlink_on_delete is True
    del owned
    gc.collect()
    assert not exists(place, kind, name)
    kept = create(place, kind, name, handle_existence=Flags.LINK_OR_CREATE)
    assert kept.unlink_on_delete is False
    del kept
    assert exists(place, kind, name)
    other = at(place, kind)(name)
    other.unlink_on_delete = True
    other.__del__()
    assert not exists(place, kind, name)


@conformance("R7")
@each_kind_there
def test_removing_names(place: ipc.Connection, kind: Kind, name: str) -> None:
    create(place, kind, name, unlink_on_delete=False)
    at(place, kind).unlink_name(name)
    with pytest.raises(FileNotFoundError):
        kind.cls.unlink_name(name, place)
    handle = create(place, kind, name)
    handle.close()
    handle.unlink()
    assert not exists(place, kind, name)


@each_kind_there
def test_closed_handles(place: ipc.Connection, kind: Kind, name: str) -> None:
    """Contract 4.1."""
    handle = create(place, kind, name)
    handle.close()
    handle.close()
    assert handle.closed
    assert (handle.name, handle.unlink_on_delete, handle.linked_existing_object) == (
        name,
        True,
        False,
    )
    assert repr(handle).endswith("(created, closed)>")
    with pytest.raises(ValueError, match="closed"):
        kind.use(handle)
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(handle)
    with pytest.raises(ValueError, match="closed"), handle:
        pass


@conformance("R8")
@each_kind_there
def test_closing_the_connection(server: Server, kind: Kind, name: str) -> None:
    place, other = ipc.connect(server.url), ipc.connect(server.url)
    owned = create(place, kind, name)
    kept = create(place, kind, name + "-kept", unlink_on_delete=False)
    place.close()
    place.close()
    assert place.closed
    assert owned.closed
    assert kept.closed
    assert not exists(other, kind, name)
    assert exists(other, kind, name + "-kept")
    for call in (lambda: create(place, kind, name), place.list_objects, place.check):
        with pytest.raises(ValueError, match="the connection is closed"):
            call()
    at(other, kind).unlink_name(name + "-kept")


@conformance("R5")
def test_what_a_server_has_not(place: ipc.Connection, name: str) -> None:
    """Contract 11.2: it is refused, and never ignored."""
    queue = create(place, QUEUE, name)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("NamedMessageQueue", lambda: place.NamedChannel(name)),
        ("NamedMessageQueue", lambda: place.NamedSharedMemory(name, 1)),
        ("ACL", lambda: create(place, SEMAPHORE, name, mode=0o644)),
        ("asyncio", queue.fileno),
        ("asyncio", lambda: queue.mqd),
        ("asyncio", lambda: queue.mdq),
        ("asyncio", lambda: queue.request_notification(None)),
        ("server", lambda: CHANNEL.cls.unlink_name(name, place)),
        ("server", lambda: SEGMENT.cls.unlink_name(name, place)),
    ]
    for words, call in calls:
        with pytest.raises(io.UnsupportedOperation, match=words):
            call()
    create(place, SEMAPHORE, name, mode=0o600)


@conformance("R25")
def test_a_password_is_shown_to_nobody(own_server: Callable[..., Server], name: str) -> None:
    """In no repr, URL or error."""
    server = own_server("--requirepass", "hunter2%")
    with ipc.connect(f"redis://:hunter2%25@127.0.0.1:{server.port}") as place:
        handle = create(place, QUEUE, name)
        shown = [place.url, repr(place), repr(handle), repr(place.NamedLock)]
        assert all("hunter2" not in text for text in shown)
        assert "***" in place.url
        # A pickle has it, or it would be of no use.
        assert b"hunter2" in pickle.dumps(handle)
        assert pickle.loads(pickle.dumps(handle)).send(b"x", timeout=0)
    with pytest.raises(PermissionError) as refused:
        ipc.connect(f"redis://:wrong-hunter2@127.0.0.1:{server.port}")
    assert "hunter2" not in str(refused.value)


@conformance("R3")
@pytest.mark.parametrize(
    "url",
    [
        "redis://a,b",
        "redis+cluster://a/1",
        "redis+sentinel://a",
        "http://a",
        "redis://a?color=red",
        "redis://127.0.0.1:99999",
        "redis://",
        "local:x",
        "",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidArgument):
        ipc.connect(url)


def test_the_url_may_say_how(server: Server) -> None:
    with ipc.connect(server.url + "?patience=3&namespace=other") as place:
        queue = place.NamedMessageQueue("/q", handle_existence=Flags.RAISE_IF_EXISTS)
        assert "other:{q/q}" in server.command("KEYS", "other:*")
        del queue


def test_namespaces_are_apart(server: Server, name: str) -> None:
    with ipc.connect(server.url, namespace="one") as one, ipc.connect(server.url) as two:
        handle = create(one, QUEUE, name)
        assert exists(one, QUEUE, name)
        assert not exists(two, QUEUE, name)
        assert create(two, QUEUE, name).current_messages == 0
        handle.close()


@conformance("R20")
def test_no_server() -> None:
    with pytest.raises(ipc.ServerUnavailable) as refused:
        ipc.connect("redis://127.0.0.1:1", patience=0.2)
    assert isinstance(refused.value, ConnectionError)
    assert refused.value.errno is not None
    assert "127.0.0.1:1" in str(refused.value)


@conformance("R28")
def test_check_tells_of_a_server_that_forgets(
    place: ipc.Connection, own_server: Callable[..., Server]
) -> None:
    assert any("appendonly" in sentence for sentence in place.check())
    with ipc.connect(own_server("--appendonly", "yes").url) as other:
        assert not any("appendonly" in sentence for sentence in other.check())


@conformance("R28")
def test_a_server_that_throws_away(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(OSError, match="noeviction"):
        ipc.connect(server.url)


@conformance("R10")
@each_kind_there
def test_pickled_handles_share_a_connection(
    place: ipc.Connection, server: Server, kind: Kind, name: str
) -> None:
    """Contract 11.2."""
    handle = create(place, kind, name)
    others = [pickle.loads(pickle.dumps(handle)) for _ in range(5)]
    before = server.connections()
    others += [pickle.loads(pickle.dumps(handle)) for _ in range(5)]
    for other in others:
        kind.use(other)
        assert other.linked_existing_object
        assert other.unlink_on_delete is False
    assert server.connections() <= before + 1
    del others, other
    gc.collect()
    assert exists(place, kind, name)


@conformance("R10")
def test_a_pickled_lock_is_not_held(place: ipc.Connection, name: str) -> None:
    with create(place, LOCK, name, lease=2) as lock:
        other = pickle.loads(pickle.dumps(lock))
        assert lock.held
        assert not other.held
        assert not other.acquire(timeout=0)


def test_a_pickle_without_its_server(own_server: Callable[..., Server], name: str) -> None:
    """Unpickling raises nothing: `multiprocessing.Pool` would wait for ever. The first use does."""
    server = own_server()
    place = ipc.connect(server.url, patience=0.2)
    pickled = pickle.dumps(create(place, QUEUE, name, unlink_on_delete=False))
    server.kill()
    handle = pickle.loads(pickled)
    with pytest.raises(ipc.ServerUnavailable):
        handle.send(b"x")


@conformance("R11")
@each_kind_there
def test_a_forked_child(place: ipc.Connection, kind: Kind, name: str) -> None:
    """It works with the handle, and neither closes nor removes what is its parent's."""
    handle = create(place, kind, name)

    def child() -> bool:
        kind.use(handle)
        handle.__del__()
        place.close()
        return handle.closed

    assert in_child(child)
    assert not handle.closed
    assert exists(place, kind, name)
    kind.use(handle)


@conformance("R11")
def test_a_forked_child_holds_nothing(place: ipc.Connection, name: str) -> None:
    lock = create(place, LOCK, name)
    assert lock.acquire()

    def child() -> tuple[bool, bool, str]:
        try:
            lock.release()
            said = ""
        except RuntimeError as error:
            said = type(error).__name__
        return lock.held, lock.acquire(timeout=0), said

    assert in_child(child) == (False, False, "RuntimeError")
    assert lock.held
    lock.release()


@conformance("R8")
def test_closing_ends_waits(place: ipc.Connection, name: str) -> None:
    """Contract 4.7."""
    queue = create(place, QUEUE, name)
    lock = create(place, LOCK, name)
    other = place.NamedLock(name)
    assert lock.acquire()
    waits = [Background(queue.receive), Background(other.acquire)]
    asyncio.run(asyncio.sleep(0.3))
    assert all(wait.is_running() for wait in waits)
    queue.close()
    other.close()
    for wait in waits:
        with pytest.raises(ValueError, match="closed"):
            wait.result()
    lock.release()


@conformance("R8")
def test_closing_the_connection_gives_up_what_is_held(server: Server, name: str) -> None:
    with ipc.connect(server.url) as other:
        place = ipc.connect(server.url)
        lock = create(place, LOCK, name, unlink_on_delete=False)
        assert lock.acquire()
        with pytest.warns(ResourceWarning, match="while it was held"):
            place.close()
        assert at(other, LOCK)(name).acquire(timeout=WATCHDOG)
        at(other, LOCK).unlink_name(name)


def test_a_lock_that_is_given_up_while_held(place: ipc.Connection, name: str) -> None:
    """Contract 11.4."""
    lock = create(place, LOCK, name)
    other = place.NamedLock(name)
    assert lock.acquire()
    with pytest.warns(ResourceWarning, match="while it was held"):
        lock.close()
    assert other.acquire(timeout=WATCHDOG)
    assert other.owner_died
    other.mark_repaired()
    other.release()
    assert not other.owner_died


def test_what_is_listed(place: ipc.Connection, name: str) -> None:
    handles = [create(place, kind, name) for kind in THERE]
    listed = place.list_objects()
    assert [one["kind"] for one in listed] == sorted(
        (one["kind"] for one in listed), key=["sem", "mq", "lock", "permits"].index
    )
    assert {one["name"] for one in listed} == {name}
    assert all(re.fullmatch("[0-9a-f]{16}", one["generation"]) for one in listed)
    queue = next(one for one in listed if one["kind"] == "mq")
    assert (queue["max_messages"], queue["max_message_size"]) == (2, 16)
    assert len(handles) == len(listed)
