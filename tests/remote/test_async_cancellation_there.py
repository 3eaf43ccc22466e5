"""What `asynchronous.test_async_cancellation` asks of this machine, asked of a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from asynchronous.test_async_cancellation import (
    GIVE,
    RECEIVE,
    SEND,
    TAKE,
    cancel_at_random,
    competitors,
)
from support.checks import WATCHDOG, rounds
from support.kinds import QUEUE, SEMAPHORE
from support.loops import Run
from support.places import reuse

BACK = "what goes back may be invisible for a moment"
TAKEN_BACK: dict[str, str] = {
    "test_no_permit_is_lost": BACK,
    "test_no_message_is_lost": BACK,
    "test_nothing_is_taken_after_the_end": BACK,
    "test_no_message_is_sent_for_a_cancelled_wait": "what is on its way may arrive",
}

reuse(globals(), "asynchronous.test_async_cancellation", TAKEN_BACK)


def comes(look: Callable[[], Any]) -> bool:
    """Whether it becomes so, and stays so for a moment."""
    end = time.monotonic() + WATCHDOG
    while not look() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    return bool(look())


@pytest.mark.stress
def test_each_permit_comes_back(name: str, run: Run) -> None:
    """Contract 11.3: nothing is lost by a cancelled wait, but it may be on its way."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    with competitors(name, GIVE, GIVE, TAKE) as end:
        taken = run(cancel_at_random(semaphore.acquire_async, rounds(300, 1000)))
        [[given], [given_too], [taken_there]] = end()
    assert all(taken)
    left = given + given_too - len(taken) - taken_there
    assert comes(lambda: semaphore.value == left)
    assert taken, "it should get some permits"


@pytest.mark.stress
def test_each_message_comes_back(name: str, run: Run) -> None:
    queue = QUEUE.create(name)
    codes = [code.format(cls=QUEUE.class_name) for code in (SEND, RECEIVE)]
    with competitors(name, *codes) as end:
        received = run(cancel_at_random(queue.receive_async, rounds(300, 1000)))
        [[sent], there] = end()
    seen = [int(message) for message, _ in received] + there
    assert received, "it should get some messages"

    def all_of_them() -> bool:
        seen.extend(int(message) for message, _ in queue.receive_many(timeout=0))
        return sorted(seen) == list(range(sent))

    assert comes(all_of_them), f"{sorted(seen)} of {sent}"
