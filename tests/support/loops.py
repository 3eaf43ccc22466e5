"""The event loops that the asyncio side is tested with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from support.checks import WATCHDOG, seconds

Run = Callable[..., Any]


async def settle() -> None:
    """Long enough for all tasks to have come to their waits, also those on a server."""
    await asyncio.sleep(0.2)


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """A loop of the standard library, or uvloop's; skips where that is missing."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    reason = "uvloop cannot be imported here"
    uvloop = pytest.importorskip("uvloop", reason=reason, exc_type=ImportError)
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def runner(kind: str) -> Run:
    """What runs a coroutine in a new loop of this kind, to its end."""

    # Skips here, and not in a thread that somebody waits for.
    new_loop(kind).close()

    def run(coroutine: Coroutine[Any, Any, Any], debug: bool = False) -> Any:
        with asyncio.Runner(loop_factory=lambda: new_loop(kind), debug=debug) as runner:
            return runner.run(asyncio.wait_for(coroutine, seconds(WATCHDOG)))

    return run
