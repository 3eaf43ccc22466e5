"""Fixtures of all tests: a name that is free afterwards, and a look at what a test left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from support import KINDS, unique

OURS = re.compile(rf"nob-(test-{os.getpid()}-.*|[0-9a-f]{{32}})")
"""Names that this run made, and random ones that the library makes."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance(*numbers): the assertions that a test covers")
    config.addinivalue_line("markers", "stress: a long version; NOB_IPC_STRESS makes it longer")


@pytest.fixture
def name() -> Iterator[str]:
    """A name that nobody else uses; what has it after the test, of any kind, is removed."""
    name = unique()
    yield name
    for kind in KINDS:
        kind.remove(name)


def _ours() -> set[str]:
    """What tests and the library may have left in the directory of segments and semaphores."""
    return {entry for entry in os.listdir("/dev/shm") if OURS.fullmatch(entry.removeprefix("sem."))}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    before = _ours()
    yield
    left = _ours() - before
    for entry in left:
        os.unlink(f"/dev/shm/{entry}")
    assert not left, f"the test left {sorted(left)} in /dev/shm"
