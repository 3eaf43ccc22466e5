"""Handles that several threads use, and what the module says of the GIL."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from support.checks import WATCHDOG
from support.kinds import LOCK, PERMITS, SEMAPHORE, Kind, Messages

from nob.ipc import NamedLock

WORKERS, EACH = 4, 50


def is_free(turn: Any) -> bool:
    return not turn.locked() if isinstance(turn, NamedLock) else turn.value > 0


def work(turn: Any, jobs: Messages, results: Messages) -> list[bool]:
    """Takes jobs one by one, in turn with the others, and returns what it has seen there."""
    seen = []
    for _ in range(EACH):
        with turn:
            received = jobs.receive(timeout=WATCHDOG)
            assert received is not None
            seen.append(is_free(turn))
        results.send(received[0])
    return seen


def executor(kind: str) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(WORKERS)
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(kind))


@pytest.mark.parametrize("kind", ["threads", "fork", "spawn"])
@pytest.mark.parametrize(
    "turns",
    [(SEMAPHORE, {"initial_value": 1}), (LOCK, {}), (PERMITS, {"value": 1})],
    ids=lambda turns: turns[0].word,
)
def test_concurrent_futures(
    message_kind: Kind, name: str, kind: str, turns: tuple[Kind, dict[str, int]]
) -> None:
    """Tasks that share handles: as they are in threads, pickled in other processes."""
    turn = turns[0].create(name, **turns[1])
    with (
        message_kind.create(name) as jobs,
        message_kind.create(f"{name}-results") as results,
        executor(kind) as pool,
    ):
        seen = [pool.submit(work, turn, jobs, results) for _ in range(WORKERS)]
        sending = ThreadPoolExecutor(1).submit(jobs.send_many, map(str, range(WORKERS * EACH)))
        messages: list[Any] = [results.receive(WATCHDOG) for _ in range(WORKERS * EACH)]
        assert sending.result(WATCHDOG) == WORKERS * EACH
        assert [each.result(WATCHDOG) for each in seen] == [[False] * EACH] * WORKERS
    assert is_free(turn)
    assert sorted(int(message) for message, _ in messages) == list(range(WORKERS * EACH))


def test_the_gil_is_on() -> None:
    """A free-threaded interpreter turns it on when it loads the module, which relies on it."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    if is_enabled is None:
        pytest.skip("this interpreter cannot be without its GIL")
    assert is_enabled()
