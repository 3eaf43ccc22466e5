"""The log of what happens to names (contract 4.8): `logging.getLogger("nob.ipc")`, at DEBUG."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.children import in_child
from support.isolation import isolation
from support.kinds import KINDS, SEGMENT, SEMAPHORE, Kind, each_kind
from support.scripts import Script, run

from nob.ipc import Flags

WORDS = {"semaphore": "sem", "segment": "shm", "queue": "mq"}


def of(kind: Kind, name: str) -> str:
    """What the log calls an object."""
    return f"{WORDS.get(kind.word, kind.word)}:{name}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "nob.ipc"):
        yield caplog


def said(log: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last look."""
    assert {(record.name, record.levelno) for record in log.records} <= {("nob.ipc", 10)}
    messages = list(log.messages)
    log.clear()
    return messages


@each_kind
def test_the_events(kind: Kind, name: str, log: pytest.LogCaptureFixture) -> None:
    it = of(kind, name)
    handle = kind.create(name)
    assert said(log) == [f"created {it}, owned"]
    other = kind.open(name)
    assert said(log) == [f"linked to {it}"]
    other.close()
    del other
    assert said(log) == []
    del handle
    assert said(log) == [f"unlinked {it}"]

    first, last = (kind.create(name, Flags.LINK_OR_CREATE) for _ in range(2))
    assert said(log) == [f"created {it}, shared", f"linked to {it}"]
    del first
    assert said(log) == [f"left {it}, which is in use"]
    del last
    assert said(log) == [f"unlinked {it}"]

    kept = kind.create(name, unlink_on_delete=False)
    del kept
    assert said(log) == [f"created {it}, to be kept"]
    kind.cls.unlink_name(name)
    assert said(log) == [f"unlinked {it}"]
    handle = kind.create(name)
    handle.unlink()
    del handle
    assert said(log) == [f"created {it}, owned", f"unlinked {it}"]


def test_the_record_is_that_of_the_caller(name: str, log: pytest.LogCaptureFixture) -> None:
    SEMAPHORE.cls(name, 1, Flags.RAISE_IF_EXISTS)
    first, last = log.records
    assert (first.filename, first.funcName) == (
        "test_log.py",
        "test_the_record_is_that_of_the_caller",
    )
    assert (first.args, last.args) == (("sem", name),) * 2


LEFT = """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(message)s", stream=sys.stdout)
from nob.ipc import reap
KIND = {"sem": lambda flag: NamedSemaphore(name, 1, flag),
        "shm": lambda flag: NamedSharedMemory(name, 8, handle_existence=flag)}[sys.argv[2]]
child = os.fork()
if child == 0:
    logging.disable()
    kept = KIND(Flags.LINK_OR_CREATE)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
if sys.argv[3] == "replace":
    handle = KIND(Flags.LINK_OR_CREATE)
else:
    reap(dry_run=False)
"""


@pytest.mark.parametrize("how", ["replace", "reap"])
@pytest.mark.parametrize("kind", [SEMAPHORE, SEGMENT], ids=lambda kind: kind.word)
def test_what_killed_processes_left(kind: Kind, how: str, name: str) -> None:
    """In a machine of its own: reaping looks at all objects, and removes those of others."""
    isolated = isolation()
    if not isolated:
        pytest.skip("it reaps, and this user may not hide the objects of others")
    it = of(kind, name)
    with Script(LEFT, name, it.split(":")[0], how, before=isolated) as script:
        script.expect(f"unlinked {it}, which killed processes had left behind")
        if how == "replace":
            script.expect(f"created {it}, shared")
        assert script.end() == (0, "")


def test_nothing_is_said_above_debug(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nob.ipc"):
        for kind in KINDS:
            kind.create(name)
    assert caplog.messages == []


@each_kind
def test_an_error_is_no_event(kind: Kind, name: str, log: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FileNotFoundError):
        kind.open(name)
    with pytest.raises(FileNotFoundError):
        kind.cls.unlink_name(name)
    assert said(log) == []


class Sends(logging.Handler):
    """A handler that opens objects itself, to send its records to somebody."""

    def emit(self, record: logging.LogRecord) -> None:
        SEMAPHORE.cls(None, 1, Flags.RAISE_IF_EXISTS)
        self.seen = [*getattr(self, "seen", []), record.getMessage()]


def test_a_handler_that_uses_the_library(name: str, log: pytest.LogCaptureFixture) -> None:
    """It is not told of its own doings, which would have no end."""
    sends = Sends()
    logging.getLogger("nob.ipc").addHandler(sends)
    try:
        SEGMENT.create(name)
    finally:
        logging.getLogger("nob.ipc").removeHandler(sends)
    assert sends.seen == said(log) == [f"created shm:{name}, owned", f"unlinked shm:{name}"]


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise LookupError("broken")


def test_a_handler_that_raises(
    name: str, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of a constructor, which leaves nothing then; of a deletion it goes to unraisablehook."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: seen.append(told.exc_value))
    kept = SEMAPHORE.create(name)
    broken = Broken()
    logging.getLogger("nob.ipc").addHandler(broken)
    try:
        with pytest.raises(LookupError):
            SEGMENT.create(name)
        gc.collect()
        assert not SEGMENT.exists(name)
        seen.clear()
        try:
            raise KeyError("on its way")
        except KeyError:
            del kept
        assert [str(error) for error in seen] == ["broken"]
        assert not SEMAPHORE.exists(name)
    finally:
        logging.getLogger("nob.ipc").removeHandler(broken)


def test_a_forked_child(name: str, log: pytest.LogCaptureFixture) -> None:
    def child() -> list[str]:
        handle = SEMAPHORE.create(name)
        del handle
        return said(log)

    assert in_child(child) == [f"created sem:{name}, owned", f"unlinked sem:{name}"]


def test_the_end_of_the_interpreter(name: str) -> None:
    """What it unlinks is said; of what is shared, that it will be."""
    code = """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(message)s", stream=sys.stdout)
owned = NamedSemaphore(name, 1, CREATE)
shared = NamedMessageQueue(name, handle_existence=Flags.LINK_OR_CREATE)
"""
    with Script(code, name) as script:
        script.expect(f"created sem:{name}, owned")
        script.expect(f"created mq:{name}, shared")
        after = {script.hear(), script.hear()}
        script.finish()
    assert after == {
        f"unlinked sem:{name}",
        f"leaves mq:{name} when the interpreter has ended; unlinked then unless others use it",
    }
    assert not any(kind.exists(name) for kind in KINDS)


def test_modules_that_are_called_logging(name: str) -> None:
    """One of the program's own, and one that another thread is just importing."""
    code = """
import types
assert "logging" not in sys.modules
for module in (types.ModuleType("logging"), None):
    sys.modules["logging"] = module
    NamedSemaphore(name, 1, CREATE)
"""
    assert run(code, name) == (0, "")


def test_the_log_imports_nothing(name: str) -> None:
    code = """
import sys
from nob.ipc import Flags, NamedSemaphore
NamedSemaphore(sys.argv[1], 1, Flags.RAISE_IF_EXISTS).close()
assert "logging" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, name], check=True, timeout=60)
