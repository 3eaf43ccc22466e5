"""The tests that docs/reliability.md names exist: a promise without its test is none."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FOLDERS = (ROOT / "tests", ROOT / "crates" / "nob-ipc" / "tests", ROOT / "crates")
CITATION = re.compile(r"`([\w/-]+\.(?:py|rs))(?:::(\w+))?`")

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the tests are not in their repository")


def is_there(file: str, function: str) -> bool:
    """Whether one of the folders has the file, and that the function, if one is named."""
    for folder in FOLDERS:
        path = folder / file
        if path.is_file():
            wanted = rf"^\s*(?:async )?(?:def|fn) {function}\b"
            return not function or bool(re.search(wanted, path.read_text(), re.MULTILINE))
    return False


def test_the_tests_that_are_named_exist() -> None:
    cited = CITATION.findall(PAGE.read_text(encoding="utf-8"))
    assert len(cited) > 50, "the citations are written in another form"
    assert [citation for citation in cited if not is_there(*citation)] == []


@pytest.mark.parametrize(
    "citation", [("docs/test_none.py", ""), ("docs/test_reliability.py", "test_none")]
)
def test_what_is_not_there(citation: tuple[str, str]) -> None:
    assert not is_there(*citation)
