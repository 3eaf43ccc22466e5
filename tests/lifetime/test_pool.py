"""Handles as results and arguments of pools of processes."""

import contextlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from support.kinds import KINDS, Kind, each_kind

# Newer Pythons warn of forking beside threads, which is done here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


def make(index: int, name: str, unlink: bool | None) -> Any:
    return KINDS[index].create(name, unlink_on_delete=unlink)


def use(index: int, handle: Any) -> str:
    KINDS[index].use(handle)
    return str(handle.name)


@each_kind
def test_a_worker_returns_what_goes_with_it(kind: Kind, name: str) -> None:
    """The pool goes on, and whoever uses the result is told."""
    index = KINDS.index(kind)
    with FORK.Pool(1) as pool:
        handle = pool.apply(make, (index, name, None))
        assert pool.apply(abs, (-1,)) == 1
    # It was opened if the pool was quicker than the end of the task.
    with contextlib.suppress(FileNotFoundError):
        kind.use(handle)
    with ProcessPoolExecutor(1, FORK) as executor:
        handle = executor.submit(make, index, name, None).result()
        assert executor.submit(abs, -1).result() == 1
    with contextlib.suppress(FileNotFoundError):
        kind.use(handle)


@each_kind
def test_a_worker_returns_what_stays(kind: Kind, name: str) -> None:
    with FORK.Pool(1) as pool:
        handle = pool.apply(make, (KINDS.index(kind), name, False))
    kind.use(handle)
    handle.unlink()


@each_kind
def test_the_argument_of_a_task_is_gone(kind: Kind, name: str) -> None:
    """The task fails, and the worker works on."""
    handle, index = kind.create(name), KINDS.index(kind)
    with FORK.Pool(1) as pool:
        assert pool.apply(use, (index, handle)) == name
        handle.unlink()
        with pytest.raises(FileNotFoundError):
            pool.apply(use, (index, handle))
        assert pool.apply(abs, (-1,)) == 1
