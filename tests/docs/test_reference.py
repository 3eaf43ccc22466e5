"""The pages of the reference say where the source is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in (ROOT / "docs" / "reference").glob("*.md")
    if "\n::: nob.ipc." in page.read_text(encoding="utf-8") and page.stem != "errors"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_source_of_each_class_is_named(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paragraph = re.search(r"^Source: (.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    assert paragraph
    paths = re.findall(r"`((?:crates|python)/[^`]+)`", paragraph[1])
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]
