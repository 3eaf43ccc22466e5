"""`connect`, and what a connection to this machine does (contract 11)."""

from __future__ import annotations

import gc
import inspect
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance
from support.children import in_child
from support.kinds import (
    CHANNEL,
    KINDS,
    LOCK,
    OWNED,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_kind,
    each_owned_kind,
)
from support.waits import Background

from nob import ipc
from nob.ipc import Flags, InvalidArgument


@pytest.fixture(autouse=True)
def _no_url_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOB_IPC_URL", raising=False)


def at(place: ipc.Connection, kind: Kind) -> Any:
    """What is called as the class of this kind is."""
    return getattr(place, kind.cls.__name__)


def test_without_a_url_it_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract 11: the argument, else the variable, else this machine."""
    for value in (None, "", "local:"):
        if value is not None:
            monkeypatch.setenv("NOB_IPC_URL", value)
        for place in (ipc.connect(), ipc.connect(None), ipc.connect("local:")):
            assert (place.url, place.remote, place.closed) == ("local:", False, False)
            assert repr(place) == "<Connection 'local:' (open)>"


@conformance("R1")
def test_the_argument_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOB_IPC_URL", "nonsense")
    assert ipc.connect("local:").url == "local:"
    with pytest.raises(InvalidArgument):
        ipc.connect()


@conformance("R2")
def test_no_variable_moves_a_plain_constructor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract 11.1: it is always this machine."""
    monkeypatch.setenv("NOB_IPC_URL", "redis://127.0.0.1:1")
    with QUEUE.create(name) as queue:
        assert QUEUE.exists(name)
        assert queue.send(b"here", timeout=0)


@conformance("R3")
@pytest.mark.parametrize(
    "url", ["", "local", "local://", "local:x", "/tmp/x", "http://127.0.0.1", "redis", 3, b"redis:"]
)
def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"url|URL"):
        ipc.connect(url)


@conformance("R3")
@pytest.mark.parametrize("url", ["local", "localhost", "me:secret@localhost:6379"])
def test_what_has_no_scheme_is_told_of_this_machine(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r'"local:" for this machine, .* redis://') as caught:
        ipc.connect(url)
    assert "secret" not in str(caught.value)


@conformance("R3")
@pytest.mark.parametrize(
    "options",
    [
        {"patience": -1},
        {"patience": "3"},
        {"patience": True},
        {"durability": "disk"},
        {"durability": 3},
        {"namespace": 3},
    ],
)
def test_wrong_options_are_told_on_this_machine_too(options: Any) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(options))):
        ipc.connect("local:", **options)
    ipc.connect("local:", patience=0.5, durability="fsync", namespace="x").close()


@each_kind
def test_it_opens_what_the_class_opens(kind: Kind, name: str) -> None:
    with ipc.connect() as place:
        handle = at(place, kind)(name, handle_existence=Flags.RAISE_IF_EXISTS, **kind.small)
        assert type(handle) is kind.cls
        kind.stamp(handle)
        other = kind.cls(name, connection=place)
        assert kind.is_stamped(other)
        assert kind.is_stamped(kind.open(name))
        with pytest.raises(FileExistsError):
            at(place, kind)(name, handle_existence=Flags.RAISE_IF_EXISTS)
        # What gives up a hold warns of that.
        if kind in OWNED:
            handle.release()


@each_kind
def test_it_has_the_signature_of_the_class(kind: Kind) -> None:
    place = ipc.connect()
    here = at(place, kind)
    assert inspect.signature(here) == inspect.signature(kind.cls)
    assert repr(here) == f"<{kind.cls.__name__} at <Connection 'local:' (open)>>"
    with pytest.raises(TypeError, match="connection"):
        here("/x", connection=place)


@each_kind
def test_it_removes_names(kind: Kind, name: str) -> None:
    place = ipc.connect()
    for remove in (
        at(place, kind).unlink_name,
        lambda name: kind.cls.unlink_name(name, place),
        lambda name: kind.cls.unlink_name(name, connection=None),
    ):
        kind.create(name, unlink_on_delete=False).close()
        remove(name)
        assert not kind.exists(name)
        with pytest.raises(FileNotFoundError):
            remove(name)


@each_kind
def test_a_connection_that_is_none(kind: Kind, name: str) -> None:
    class Looks:
        url = "local:"

    for wrong in (Looks(), "local:", 3):
        for call in (
            lambda wrong: kind.cls(name, Flags.RAISE_IF_EXISTS, connection=wrong),
            lambda wrong: kind.cls.unlink_name(name, wrong),
        ):
            with pytest.raises(InvalidArgument, match="connect"):
                call(wrong)


@each_kind
def test_closing_closes_the_handles_and_removes_what_is_due(kind: Kind, name: str) -> None:
    """Contract 11.2, as on a server."""
    kept = f"{name}-kept"
    try:
        with ipc.connect() as place:
            due = at(place, kind)(name, handle_existence=Flags.LINK_OR_CREATE, **kind.small)
            stays = at(place, kind)(
                kept, handle_existence=Flags.RAISE_IF_EXISTS, unlink_on_delete=False, **kind.small
            )
        assert place.closed
        assert due.closed
        assert stays.closed
        assert not kind.exists(name)
        assert kind.exists(kept)
        assert not kind.open(kept).closed
    finally:
        kind.remove(kept)


@each_kind
def test_closing_leaves_what_others_use(kind: Kind, name: str) -> None:
    other = kind.create(name, Flags.LINK_OR_CREATE)
    with ipc.connect() as place:
        at(place, kind)(name)
    kind.use(other)
    assert kind.exists(name)


def test_a_mapping_outlives_the_connection(name: str) -> None:
    with ipc.connect() as place:
        memory = place.NamedSharedMemory(name, 64, False, Flags.LINK_OR_CREATE).mmap()
    memory[:3] = b"own"
    assert bytes(memory[:3]) == b"own"
    memory.close()
    assert not SEGMENT.exists(name)


def test_what_a_closed_connection_does() -> None:
    place = ipc.connect()
    semaphore = place.NamedSemaphore
    place.close()
    place.close()
    assert place.closed
    assert repr(place) == "<Connection 'local:' (closed)>"
    assert (place.url, place.remote) == ("local:", False)
    for call in (
        lambda: semaphore("/x", 1, Flags.LINK_OR_CREATE),
        lambda: semaphore.unlink_name("/x"),
        lambda: ipc.NamedLock("/x", Flags.LINK_OR_CREATE, connection=place),
        place.list_objects,
        place.check,
        place.__enter__,
        lambda: pickle.dumps(place),
    ):
        with pytest.raises(ValueError, match="the connection is closed"):
            call()


def test_a_connection_that_is_forgotten_leaves_its_handles(name: str) -> None:
    handle = ipc.connect().NamedSemaphore(name, 1, Flags.RAISE_IF_EXISTS)
    gc.collect()
    assert handle.acquire(timeout=0)


def test_it_keeps_no_handle_alive(name: str) -> None:
    place = ipc.connect()
    for _ in range(100):
        place.NamedSemaphore(name, 1, Flags.RAISE_IF_EXISTS)
        gc.collect()
        assert not SEMAPHORE.exists(name)


def test_closing_ends_waits(name: str) -> None:
    """Contract 4.7."""
    place = ipc.connect()
    queue = place.NamedMessageQueue(name, handle_existence=Flags.RAISE_IF_EXISTS)
    waiter = Background(queue.receive)
    waiter.wait_until_asleep()
    place.close()
    with pytest.raises(ValueError, match="closed"):
        waiter.result()


@each_owned_kind
def test_closing_gives_up_what_is_held(kind: Kind, name: str) -> None:
    other = kind.create(name)
    place = ipc.connect()
    handle = at(place, kind)(name)
    assert handle.acquire()
    with pytest.warns(ResourceWarning, match="while it was held"):
        place.close()
    assert handle.closed
    kind.use(other)
    if kind is LOCK:
        assert other.owner_died


def test_all_handles_are_closed_though_one_raises(name: str) -> None:
    """Where warnings are errors, closing what is held raises; the names go nevertheless."""
    place = ipc.connect()
    first = place.NamedLock(name, Flags.RAISE_IF_EXISTS)
    second = place.NamedSemaphore(name, 1, Flags.RAISE_IF_EXISTS)
    assert first.acquire()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ResourceWarning):
            place.close()
    assert first.closed
    assert second.closed
    assert not LOCK.exists(name)
    assert not SEMAPHORE.exists(name)


def test_subclasses_take_the_keyword(name: str) -> None:
    class Jobs(ipc.NamedMessageQueue):
        def __init__(self, place: ipc.Connection) -> None:
            super().__init__(name, 3, handle_existence=Flags.RAISE_IF_EXISTS, connection=place)

    with ipc.connect() as place:
        jobs = Jobs(place)
        assert jobs.max_messages == 3
    assert jobs.closed


@pytest.mark.parametrize("lease", [0, 0.999, -1, float("inf"), float("nan"), None, "3", True])
@each_owned_kind
def test_leases_that_are_none(kind: Kind, name: str, lease: Any) -> None:
    """Contract 11.4: from 1 s, on this machine, too."""
    with pytest.raises(InvalidArgument, match="lease"):
        kind.create(name, lease=lease)
    assert not kind.exists(name)


@each_owned_kind
def test_a_lease_has_no_effect_here(kind: Kind, name: str) -> None:
    for lease in (1, 1.0, 1e9, 2**63):
        kind.create(name, lease=lease).close()
        kind.remove(name)


def test_it_lists_and_checks_what_is_here(name: str) -> None:
    with ipc.connect() as place:
        place.NamedSemaphore(name, 7, Flags.RAISE_IF_EXISTS)
        handle = place.NamedChannel(name, handle_existence=Flags.RAISE_IF_EXISTS, **CHANNEL.small)
        (listed,) = [one for one in place.list_objects() if one["name"] == name]
        assert listed["kind"] == "channel"
        findings = place.check()
        assert all(isinstance(sentence, str) and ": " in sentence for sentence in findings)
        assert handle.close() is None


def test_what_check_says_is_what_doctor_marks() -> None:
    """Both look at the same things."""
    command = Path(sys.executable).with_name("nob-ipc")
    done = subprocess.run(
        [command, "doctor"], capture_output=True, text=True, timeout=WATCHDOG, check=True
    )
    marked = [line.split("  ")[0][2:] for line in done.stdout.splitlines() if line[:2] == "! "]
    assert [sentence.partition(": ")[0] for sentence in ipc.connect().check()] == marked


def test_a_connection_is_pickled_as_what_connects_again(name: str) -> None:
    place = ipc.connect()
    place.NamedSemaphore(name, 1, Flags.RAISE_IF_EXISTS)
    other = pickle.loads(pickle.dumps(place))
    assert (type(other), other.url, other.closed) == (ipc.Connection, "local:", False)
    other.close()
    assert not place.closed


@each_kind
def test_handles_are_pickled_as_ever(kind: Kind, name: str) -> None:
    with ipc.connect() as place:
        handle = at(place, kind)(name, handle_existence=Flags.RAISE_IF_EXISTS, **kind.small)
        other = pickle.loads(pickle.dumps(handle))
    assert handle.closed
    assert not other.closed
    other.close()


@each_kind
def test_a_forked_child_closes_its_own(kind: Kind, name: str) -> None:
    """Contract 4.5: what the parent owns is left alone."""
    place = ipc.connect()
    handle = at(place, kind)(name, handle_existence=Flags.RAISE_IF_EXISTS, **kind.small)

    def close() -> tuple[bool, bool]:
        place.close()
        return handle.closed, kind.exists(name)

    assert in_child(close) == (True, True)
    assert not place.closed
    kind.use(handle)


def test_connections_can_be_referenced_weakly_and_not_made_otherwise() -> None:
    import weakref

    place = ipc.connect()
    assert weakref.ref(place)() is place
    for make in (ipc.Connection, type(place.NamedLock)):
        with pytest.raises(TypeError):
            make()


def test_importing_reads_no_variable() -> None:
    """What a program imports does not look for servers."""
    done = subprocess.run(
        [sys.executable, "-c", "import nob.ipc; print(nob.ipc.NamedLock.__name__)"],
        env={**os.environ, "NOB_IPC_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=True,
    )
    assert done.stdout == "NamedLock\n"


def test_all_kinds_are_there() -> None:
    place = ipc.connect()
    assert all(at(place, kind).__wrapped__ is kind.cls for kind in KINDS)
