"""The tests of objects on this machine, once more for objects on a server."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nob import ipc
from support import scripts, waits
from support.checks import rounds
from support.kinds import LOCK, PERMITS, QUEUE, SEMAPHORE, Kind
from support.servers import Server

THERE = {SEMAPHORE: "sem", QUEUE: "mq", LOCK: "lock", PERMITS: "permits"}
"""The kinds that there are on a server, with their words in a listing."""

PRELUDE = """
from nob import ipc as _ipc
_place = _ipc.connect({url!r})
def _there(cls):
    def __init__(self, *arguments, **options):
        cls.__init__(self, *arguments, connection=_place, **options)
    return type(cls)(cls.__name__, (cls,), {{"__init__": __init__}})
NamedSemaphore, NamedMessageQueue, NamedLock, NamedBoundedSemaphore = map(
    _there, (NamedSemaphore, NamedMessageQueue, NamedLock, NamedBoundedSemaphore)
)
"""
"""What scripts begin with, whose classes then mean a server."""


def there(cls: Any, place: ipc.Connection) -> Any:
    """A class of the same name whose objects are at a place."""

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        cls.__init__(self, *arguments, **{"connection": place, **options})

    def unlink_name(_: Any, name: str) -> None:
        cls.unlink_name(name, place)

    return type(cls)(
        cls.__name__, (cls,), {"__init__": init, "unlink_name": classmethod(unlink_name)}
    )


def reuse(namespace: dict[str, Any], name: str, without: Mapping[str, str], *more: str) -> None:
    """Take over the tests of a module, without some; `without` says why.

    More modules are those that have fixtures of theirs.
    """
    module = importlib.import_module(name)
    tests = {
        word: thing
        for word, thing in vars(module).items()
        if word.startswith("test_") and callable(thing)
    }
    assert tests.keys() >= without.keys(), f"{name} has no {without.keys() - tests.keys()}"
    fixtures = {
        word: thing
        for each in (module, *map(importlib.import_module, more))
        for word, thing in vars(each).items()
        if type(thing).__name__ == "FixtureFunctionDefinition"
    }

    @pytest.fixture(autouse=True)
    def on_a_server(server: Server) -> Iterator[None]:
        with moved(server, module):
            yield

    if hasattr(module, "pytestmark"):
        # Those that create what the tests use, for example.
        namespace["pytestmark"] = module.pytestmark
    namespace.update(fixtures)
    namespace.update({word: test for word, test in tests.items() if word not in without})
    namespace["on_a_server"] = on_a_server


@contextlib.contextmanager
def moved(server: Server, module: ModuleType) -> Iterator[ipc.Connection]:
    """Have the kinds, the classes of a module of tests, and scripts, mean a server."""
    with ipc.connect(server.url) as place, pytest.MonkeyPatch.context() as patch:
        for kind, word in THERE.items():
            here = kind.cls
            _move(patch, kind, word, there(here, place), place)
            if hasattr(module, here.__name__):
                patch.setattr(module, here.__name__, kind.cls)
        if hasattr(module, "rounds"):
            patch.setattr(module, "rounds", _fewer_rounds)
        patch.setattr(scripts, "PRELUDE", scripts.PRELUDE + PRELUDE.format(url=server.url))
        patch.setattr(waits, "waits_in", _seems_asleep)
        yield place
    server.command("FLUSHALL")


def _move(
    patch: pytest.MonkeyPatch, kind: Kind, word: str, cls: Any, place: ipc.Connection
) -> None:
    def exists(name: str) -> bool:
        return any((one["kind"], one["name"]) == (word, name) for one in place.list_objects())

    def remove(name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            cls.unlink_name(name)

    # A kind is frozen for everybody else.
    for field, value in {"cls": cls, "exists": exists, "remove": remove}.items():
        patch.setitem(vars(kind), field, value)


def _fewer_rounds(short: int, base: int | None = None) -> int:
    """What costs this machine a microsecond costs a server fifty."""
    return rounds(short, base) // 5


def _seems_asleep(pid: int, thread: int | None = None) -> str | None:
    """A wait on a server sleeps in several system calls: at last it does at every look."""
    stat = Path(f"/proc/{pid}/task/{thread or pid}/stat")
    for _ in range(10):
        if ") S " not in stat.read_text(encoding="utf-8"):
            return None
        time.sleep(0.01)
    return "server"
