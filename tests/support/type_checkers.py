"""mypy and pyright, as strict as they can be, over programs in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nob.ipc

TIMEOUT = 100
"""Seconds; the first run reads all of the standard library's types."""

PACKAGE = Path(nob.ipc.__path__[0]).parents[1]
"""Where the package under test is, which need not be the one that is installed."""


def mypy(folder: Path) -> str:
    """The complaints of mypy about the programs in a folder."""
    paths = {} if PACKAGE.name == "site-packages" else {"MYPYPATH": str(PACKAGE)}
    command = ["mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder / "cache")]
    return _complaints(command, sorted(folder.glob("*.py")), folder, paths)


def pyright(folder: Path) -> str:
    """Those of basedpyright: pyright with node in its wheels, so that it needs no network."""
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(PACKAGE)],
        # The checker's own rule, about a function of the standard library.
        "reportDeprecated": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = ["basedpyright", "--pythonpath", sys.executable]
    return _complaints(command, sorted(folder.glob("*.py")), folder, {})


def _complaints(
    command: list[str], programs: list[Path], folder: Path, environment: dict[str, str]
) -> str:
    checked = subprocess.run(
        [sys.executable, "-m", *command, *(program.name for program in programs)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    # Where it says nothing it has not run.
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr or "no words"
