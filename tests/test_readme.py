"""What the documents show is true: their programs run, their commands and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from isolation import isolation
from support import WATCHDOG, removed, unique

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("crates/*/*.md")})

RUN_ELSEWHERE = {
    ("README.md", "rust"),  # a doctest of the core
    ("docs/command.md", "sh"),  # crates/nob-ipc-cli/tests/it/recipes.rs
}

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OPENS = r"\bNamed\w+|\.unlink_name|\bposix_ipc\.\w+|\bSharedMemory"
OPENED = re.compile(rf"""((?:{OPENS})\(\s*["'])(/?[\w.-]+)""")
MAKE = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)\b", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Block:
    document: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(str(path.relative_to(ROOT)), line, match[1], match[2]))
    return found


def with_names_of_its_own(code: str) -> tuple[str, list[str]]:
    """The code with other names of objects: whoever uses those of the document is left alone."""
    suffix = unique()[1:]
    names: set[str] = set()

    def rename(match: re.Match[str]) -> str:
        name = f"{match[2]}-{suffix}"
        names.add(name)
        return match[1] + name

    return OPENED.sub(rename, code), sorted(names)


BLOCKS = blocks()
PYTHON = [block for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_programs_run(block: Block, tmp_path: Path) -> None:
    isolated = isolation()
    if not isolated and "reap" in block.code:
        pytest.skip("it looks at all objects, and this user may not hide those of others")
    code, names = with_names_of_its_own(block.code)
    with removed(*names):
        done = subprocess.run(
            [*isolated, sys.executable, "-W", "error", "-c", code],
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
    shown = "".join(block.code for block in PYTHON if block.document == "README.md")
    for cls in ("NamedSemaphore", "NamedSharedMemory", "NamedMessageQueue"):
        assert f"{cls}(" in shown


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_program_is_run(block: Block) -> None:
    here = block.language in {"python", "text"}
    assert here or (block.document, block.language) in RUN_ELSEWHERE, "nothing runs this block"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {first or second for first, second in MAKE.findall(text)}
    assert named <= targets, "make does not know it"
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing
