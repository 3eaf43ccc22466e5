"""What the documents show is true: their programs run, their commands and links lead somewhere.

A block of Python is a program of its own, unless it has a title: then it is a file that the
page's blocks of shell run. Those make one script, from the page's top to its end. What
`# prints: TEXT`, or a block of text with the title "prints", says has to be in the output.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import WATCHDOG
from support.documents import BLOCK, BLOCKS, DOCUMENTS, PYTHON, ROOT, Block
from support.isolation import isolation
from support.kinds import removed, unique
from support.servers import Server, programs

import nob.ipc

RUN_ELSEWHERE = {
    ("README.md", "rust"),  # a doctest of the core
    ("docs/index.md", "rust"),  # another
    ("docs/command.md", "sh"),  # crates/nob-ipc-cli/tests/it/recipes.rs
}

A_SERVER = "redis://127.0.0.1:6379"
"""What pages that are run with a server call it."""

FENCE = re.compile(r"^\s*(```|~~~)", re.MULTILINE)
PRINTS = re.compile(r"# prints: (.*)$", re.MULTILINE)
OPENS = r"\bNamed\w+|\.unlink_name|\bposix_ipc\.\w+|\bSharedMemory"
OPENED = re.compile(rf"""((?:{OPENS})\(\s*["'])(/?[\w.-]+)""")
MAKE = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)\b", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def with_names_of_its_own(code: str) -> tuple[str, list[str]]:
    """The code with other names of objects: whoever uses those of the document is left alone."""
    suffix = unique()[1:]
    names: set[str] = set()

    def rename(match: re.Match[str]) -> str:
        name = f"{match[2]}-{suffix}"
        names.add(name)
        return match[1] + name

    return OPENED.sub(rename, code), sorted(names)


def run(command: list[str], folder: Path, isolated: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; `python` and `nob-ipc` are those of the tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [*isolated, *command],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONWARNINGS": "error", "NOB_IPC_URL": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )


def said(block: Block) -> list[str]:
    """What a block says is printed."""
    if (block.language, block.title) == ("text", "prints"):
        return [block.code]
    return PRINTS.findall(block.code)


PROGRAMS = [block for block in PYTHON if not block.title]
SHELL = [
    block
    for block in BLOCKS
    if block.language == "sh" and (block.document, "sh") not in RUN_ELSEWHERE
]
PAGES = sorted({block.document for block in SHELL})


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_run(block: Block, tmp_path: Path) -> None:
    isolated = isolation()
    if not isolated and "reap" in block.code:
        pytest.skip("it looks at all objects, and this user may not hide those of others")
    code, names = with_names_of_its_own(block.code)
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    with removed(*names):
        done = run([sys.executable, str(program)], tmp_path, isolated)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in said(block):
        assert text in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_pages_with_commands_run(page: str, tmp_path: Path) -> None:
    """From top to end, as somebody who follows the page would."""
    isolated = isolation()
    if not isolated:
        pytest.skip("its commands see all objects, and this user may not hide those of others")
    with contextlib.ExitStack() as stack:
        url = A_SERVER
        if any(A_SERVER in block.code for block in SHELL if block.document == page):
            # The first that is found: the page is the same on all.
            program = next(iter(programs()), "none")
            (tmp_path / "server").mkdir()
            url = stack.enter_context(Server(program, tmp_path / "server")).url
        run_page(page, tmp_path, isolated, url)


def run_page(page: str, folder: Path, isolated: list[str], url: str) -> None:
    script = ""
    for number, block in enumerate(block for block in BLOCKS if block.document == page):
        if block in SHELL:
            script += block.code.replace(A_SERVER, url)
        elif block.title and block in PYTHON:
            kept = folder / f"{number}-{block.title}"
            kept.write_text(block.code, encoding="utf-8")
            script += f"cp {shlex.quote(str(kept))} {shlex.quote(block.title)}\n"
    done = run(["sh", "-euc", script], folder, isolated)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for block in BLOCKS:
        if block.document == page and (block in SHELL or block.language == "text"):
            for text in said(block):
                assert text.replace(A_SERVER, url) in done.stdout, f"{block}: {done.stdout}"


@pytest.mark.parametrize("block", [block for block in PYTHON if block.title], ids=str)
def test_every_file_is_run(block: Block) -> None:
    commands = [other.code for other in SHELL if other.document == block.document]
    assert any(block.title in code for code in commands), "no command of the page runs it"


def test_the_readme_shows_each_kind() -> None:
    """So that nobody loses the blocks, or the test that finds them."""
    shown = "".join(block.code for block in PYTHON if block.document == "README.md")
    for cls in nob.ipc.__all__:
        if not cls.startswith("Named"):
            continue
        assert f"{cls}(" in shown


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_program_is_run(block: Block) -> None:
    here = block.language in {"python", "text"} or block in SHELL
    assert here or (block.document, block.language) in RUN_ELSEWHERE, "nothing runs this block"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_block_is_overlooked(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert len(FENCE.findall(text)) == 2 * len(BLOCK.findall(text)), "a fence of another form"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {first or second for first, second in MAKE.findall(text)}
    assert named <= targets, "make does not know it"
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing
