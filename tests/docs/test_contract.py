"""What tests and sources cite as "contract 3.4" is a numbered item of docs/contract.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "docs" / "contract.md"
CITING = ("tests/**/*.py", "crates/*/tests/**/*.rs", "crates/*/src/**/*.rs")

SECTION = re.compile(r"^## (\d+)\. ", re.MULTILINE)
ITEM = re.compile(r"^(\d+)\. ", re.MULTILINE)
NUMBER = r"\d+(?:\.\d+)?"
# Between the words there may be a line end, and the sign that begins a comment.
GAP = r"[\s/!#]+"
CITATION = re.compile(rf"\bcontract{GAP}({NUMBER}(?:(?:,|{GAP}to|{GAP}and){GAP}{NUMBER})*)")

pytestmark = pytest.mark.skipif(
    not CONTRACT.exists(), reason="the tests are not in their repository"
)


def numbers(contract: str) -> set[str]:
    """The sections, such as "3", and their items, such as "3.4"."""
    parts = SECTION.split(contract)
    found = set()
    for section, text in zip(parts[1::2], parts[2::2], strict=True):
        found.add(section)
        found.update(f"{section}.{item}" for item in ITEM.findall(text))
    return found


def cited(text: str) -> set[str]:
    return {number for found in CITATION.findall(text) for number in re.findall(NUMBER, found)}


def citations() -> Iterator[tuple[Path, str]]:
    for pattern in CITING:
        for path in sorted(ROOT.glob(pattern)):
            if path != Path(__file__):
                for number in cited(path.read_text(encoding="utf-8")):
                    yield path, number


def test_what_is_cited_exists() -> None:
    found = list(citations())
    assert len({number for _, number in found}) > 10, "the citations are written in another form"
    known = numbers(CONTRACT.read_text(encoding="utf-8"))
    assert [f"{path}: contract {number}" for path, number in found if number not in known] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(contract 2, 3.4, 5.3)", {"2", "3.4", "5.3"}),
        ("/// H4, contract 3.4: linking", {"3.4"}),
        ("contract 4.1 to 4.4 and 6", {"4.1", "4.4", "6"}),
        ("/// contract\n/// 3.3,\n/// 3.9", {"3.3", "3.9"}),
        ("the contract has 12 sections", set()),
    ],
)
def test_citations_are_found(text: str, expected: set[str]) -> None:
    assert cited(text) == expected


def test_items_belong_to_their_section() -> None:
    text = "## 3. Third\n\n1. one\n    1. nested\n2. two\n\n## 4. Fourth\n\n1. one\n"
    assert numbers(text) == {"3", "3.1", "3.2", "4", "4.1"}


def test_the_contract_has_no_gap() -> None:
    """So that a number that was removed by mistake is missed even if nothing cites it."""
    parts = SECTION.split(CONTRACT.read_text(encoding="utf-8"))
    assert parts[1::2] == [str(number) for number in range(1, 13)]
    for text in parts[2::2]:
        items = ITEM.findall(text)
        assert items == [str(number) for number in range(1, len(items) + 1)]
