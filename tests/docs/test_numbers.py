"""The numbers of the site's first page are those that were measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"

CLAIMS = {
    "taking and releasing a lock costs **less than 50 ns**": ("lock", "median", 50),
    "another running process costs **less than 1 µs**": ("lock_hand_over_apart", "median", 1e3),
    "a process that sleeps has it **within 20 ms**": ("lock_death_asleep", "worst", 20e6),
}


def measured(key: str, what: str) -> float:
    results = json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8"))["results"]
    timings = next(result["timings"] for result in results if result["key"] == key)
    ours: dict[str, Any] = next(timing for timing in timings if timing["label"] == "nob.ipc")
    return float(ours["worst"] if what == "worst" else ours["ns"][what])


@pytest.mark.parametrize("words", CLAIMS)
def test_the_first_page(words: str) -> None:
    text = " ".join((DOCS / "index.md").read_text(encoding="utf-8").split())
    assert words in text
    key, what, nanoseconds = CLAIMS[words]
    assert measured(key, what) < nanoseconds
