"""What the documents show, and the examples, are free of complaints of strict type checkers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from support import type_checkers
from support.documents import PYTHON, ROOT

needs_pyright = pytest.mark.skipif(
    importlib.util.find_spec("basedpyright") is None, reason="basedpyright is not installed"
)

EXEMPT = {
    # What somebody has before: its types say that `buf` may be None.
    ("docs/coming-from-shared_memory.md", "multiprocessing.shared_memory import"),
    # The program that runs as it stands (contract 8), without types of what its functions return.
    ("docs/contract.md", "@cli.grp()"),
}
EXAMPLES = {path.name for path in (ROOT / "examples").glob("*.py")} - {"queue.py", "demo.py"}
"""queue.py is the program of the contract; mypy has demo.py among the files of the project."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module for each block, named after its place, and with the examples."""
    folder = tmp_path_factory.mktemp("programs")
    exempt = set()
    for block in PYTHON:
        found = {one for one in EXEMPT if one[0] == block.document and one[1] in block.code}
        exempt |= found
        if not found:
            module = re.sub(r"\W", "_", str(block))
            (folder / f"{module}.py").write_text(block.code, encoding="utf-8")
    assert exempt == EXEMPT, "what is exempt is not there any more"
    for example in EXAMPLES:
        code = (ROOT / "examples" / example).read_text(encoding="utf-8")
        (folder / f"example_{example}").write_text(code, encoding="utf-8")
    return folder


def test_mypy_has_no_complaints(programs: Path) -> None:
    assert type_checkers.mypy(programs) == ""


@needs_pyright
def test_pyright_has_no_complaints(programs: Path) -> None:
    assert type_checkers.pyright(programs) == ""


@needs_pyright
@pytest.mark.parametrize("check", [type_checkers.mypy, type_checkers.pyright])
def test_the_checkers_have_complaints(check: object, tmp_path: Path) -> None:
    """About a program that deserves them, so that silence means something."""
    assert callable(check)
    program = (
        "from nob.ipc import NamedMessageQueue, NamedMutex\n"
        "NamedMessageQueue('/x').receive(1)[0]\n"
        "NamedMutex('/x')\n"
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    complaints = check(tmp_path)
    assert "None" in complaints
    assert re.search(r'has no attribute "NamedMutex"|"NamedMutex" is unknown import', complaints)
