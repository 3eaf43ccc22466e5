"""Fixtures of all tests: a name that is free afterwards, and a look at what a test left behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from support.dispositions import defaults_for_programs
from support.kinds import (
    KINDS,
    MESSAGES,
    QUEUE,
    SEMAPHORE,
    Kind,
    Messages,
    remove_what_killed_runs_left,
    unique,
)
from support.loops import Run, runner
from support.system import all_descriptors, made_by, records_of

from nob.ipc import NamedSemaphore

TESTS = f"nob-test-{os.getpid()}-"
"""How the names begin that this run makes."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance(*numbers): the assertions that a test covers")
    config.addinivalue_line("markers", "stress: a long version; NOB_IPC_STRESS makes it longer")


def pytest_collection_finish() -> None:
    """Garbage collections of the tests need not look at pytest and at all that it has collected."""
    gc.collect()
    gc.freeze()


def pytest_sessionstart() -> None:
    remove_what_killed_runs_left()


def pytest_sessionfinish() -> None:
    """Removes what processes that were killed have left elsewhere than in /dev/shm."""
    for record in records_of("/" + TESTS):
        record.unlink(missing_ok=True)


@pytest.fixture(autouse=True, scope="session")
def _signals_are_not_ignored() -> Iterator[None]:
    """By what the tests start, whatever nohup or a shell has told this process."""
    with defaults_for_programs():
        yield


@pytest.fixture
def name() -> Iterator[str]:
    """A name that nobody else uses; what has it after the test, of any kind, is removed."""
    name = unique()
    yield name
    for kind in KINDS:
        kind.remove(name)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine, in the loop of the standard library and in uvloop's."""
    return runner(request.param)


@pytest.fixture(params=MESSAGES, ids=lambda kind: kind.word)
def message_kind(request: pytest.FixtureRequest) -> Kind:
    """The kinds that carry messages, for what a queue and a channel promise alike."""
    kind: Kind = request.param
    return kind


@pytest.fixture
def queue(name: str, message_kind: Kind) -> Iterator[Messages]:
    """A queue, or a channel, of two messages of 16 bytes."""
    with message_kind.create(name) as queue:
        yield queue


@pytest.fixture
def semaphore(name: str) -> NamedSemaphore:
    """A semaphore without permits."""
    semaphore: NamedSemaphore = SEMAPHORE.create(name, initial_value=0)
    return semaphore


def _ours() -> set[str]:
    """What this process has left in the directory of all kinds but queues.

    Under names of the tests, or marked as its own: random names may be another program's.
    """
    beginnings = tuple(kind.prefix + TESTS for kind in KINDS if kind is not QUEUE)
    named = {entry for entry in os.listdir("/dev/shm") if entry.startswith(beginnings)}
    return named | made_by(os.getpid())


def _open() -> set[str]:
    """Our objects of which this process has a descriptor open, gone ones, too."""
    return {f"{number}: {what}" for number, what in all_descriptors().items() if TESTS in what}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    before, opened = _ours(), _open()
    yield
    left = _ours() - before
    for entry in left:
        os.unlink(f"/dev/shm/{entry}")
    assert not left, f"the test left {sorted(left)} in /dev/shm"
    if _open() - opened:
        gc.collect()
        assert not _open() - opened, f"the test left open {sorted(_open() - opened)}"
