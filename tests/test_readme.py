"""What the documents show is true: their programs run, their commands and links lead somewhere.

Blocks in Rust are doctests of the core; blocks of plain text are shown only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import WATCHDOG, removed, unique

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("crates/*/*.md")})

INTERPRETERS = {"python": [sys.executable, "-W", "error", "-c"], "sh": ["bash", "-euc"]}
ELSEWHERE = {"rust", "text"}

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPENED = re.compile(r"""((?:\bNamed\w+|\.unlink_name)\(\s*["'])(/?[\w.-]+)""")
MAKE = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Block:
    where: str
    language: str
    code: str


def blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            where = f"{document.relative_to(ROOT)}:{line}"
            found.append(Block(where, match[1], match[2]))
    return found


BLOCKS = blocks()
# The recipes in docs/command.md are run by the tests of the command, in namespaces of their own.
RUN = [
    block
    for block in BLOCKS
    if block.language in INTERPRETERS and not block.where.startswith("docs/command.md")
]


def with_names_of_its_own(code: str) -> tuple[str, list[str]]:
    """The code with other names of objects: whoever uses those of the document is left alone."""
    suffix = unique()[1:]
    names: set[str] = set()

    def rename(match: re.Match[str]) -> str:
        name = f"{match[2]}-{suffix}"
        names.add(name)
        return match[1] + name

    return OPENED.sub(rename, code), sorted(names)


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.where)
def test_programs_run(block: Block, tmp_path: Path) -> None:
    code, names = with_names_of_its_own(block.code)
    with removed(*names):
        done = subprocess.run(
            [*INTERPRETERS[block.language], code],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WATCHDOG,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_readme_shows_each_kind() -> None:
    """So that nobody loses the blocks, or the test that finds them."""
    shown = "".join(block.code for block in RUN if block.where.startswith("README.md:"))
    for cls in ("NamedSemaphore", "NamedSharedMemory", "NamedMessageQueue"):
        assert f"{cls}(" in shown


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_languages_are_known(block: Block) -> None:
    assert block.language in {*INTERPRETERS, *ELSEWHERE}, "nothing runs blocks of this language"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {first or second for first, second in MAKE.findall(text)}
    assert named <= set(targets), "make does not know it"
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing
