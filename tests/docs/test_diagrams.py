"""Diagrams and plots can be read on a phone, and without seeing them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
DIAGRAMS = sorted((DOCS / "diagrams").glob("*.svg"))
PLOTS = sorted(DOCS.glob("*.svg"))

PHONE = 360
MARGINS = 32
"""What the theme leaves free at both sides of the text, in pixels."""

SMALLEST = 11
"""Pixels of a letter's size that can be read."""

VIEW = re.compile(r'<svg\b[^>]*\bviewBox="0 0 ([\d.]+) [\d.]+"')
SIZE = re.compile(r"\bfont(?:-size)?: (?:\w+ )?([\d.]+)px")
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]*\.svg)\)")


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("drawing", [*DIAGRAMS, *PLOTS], ids=name)
def test_a_phone_shows_it_whole_and_readable(drawing: Path) -> None:
    text = drawing.read_text(encoding="utf-8")
    view = VIEW.search(text)
    assert view
    width = float(view[1])
    assert width <= PHONE
    sizes = [float(size) for size in SIZE.findall(text)]
    assert min(sizes) * (PHONE - MARGINS) / width >= SMALLEST


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=name)
def test_it_has_a_title(diagram: Path) -> None:
    first = ElementTree.parse(diagram).getroot()[0]
    assert first.tag.endswith("title")
    assert first.text


def test_a_page_shows_each_of_them_and_says_what_is_on_it() -> None:
    shown = {
        (page.parent / path).resolve(): words
        for page in DOCS.rglob("*.md")
        for words, path in SHOWN.findall(page.read_text(encoding="utf-8"))
    }
    assert shown.keys() == {*DIAGRAMS, *PLOTS}
    assert all(shown.values())
