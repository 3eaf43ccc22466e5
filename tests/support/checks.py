"""How long loops run, what an error has to say, and waiting for what should come about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

WATCHDOG = 30.0
"""Seconds after which something that should have happened counts as hanging."""


STRESS = float(os.environ.get("NOB_IPC_STRESS", "1"))


def seconds(short: float, base: float | None = None) -> float:
    """How long a loop runs: `short` in the short suite, else NOB_IPC_STRESS times `base`.

    The base is `short` where it is not given.
    """
    return short if STRESS <= 1 else STRESS * (base or short)


def rounds(short: int, base: int | None = None) -> int:
    """How often a loop runs, likewise."""
    return int(seconds(short, base))


conformance = pytest.mark.conformance
"""Names the assertions of docs/conformance.md that a test covers."""


def digits(text: str) -> str:
    """The text without what groups the digits of numbers."""
    return text.replace(",", "").replace("_", "").replace("\u202f", "")


def helpful(error: OSError, name: str | None, number: int) -> str:
    """Checks what every error promises, and returns its sentence."""
    assert error.errno == number, error
    assert error.filename == name
    sentence = error.strerror
    assert isinstance(sentence, str)
    assert len(sentence.split()) >= 4, f"not a sentence: {sentence!r}"
    assert not sentence.endswith("."), sentence
    assert sentence != os.strerror(number)
    return sentence


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Waits until the condition is true, and returns what it gave; fails after the watchdog."""
    end = time.monotonic() + WATCHDOG
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about in {WATCHDOG} s"
        time.sleep(0.002)
    return found


def _short(value: object) -> str:
    return repr(value) if len(repr(value)) < 30 else type(value).__name__


def values(*several: object) -> Any:
    """A test for each value of each of these."""
    return pytest.mark.parametrize("value", [v for s in several for v in s], ids=_short)  # type: ignore[attr-defined]


class Number:
    """Something that counts as an integer by its `__index__` only."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value
