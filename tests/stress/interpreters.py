"""The interpreters that programs are run with: this one, and the others that are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nob.ipc
from stress.progress import ROOT, Progress

PACKAGE = Path(nob.ipc.__file__).parents[2]
"""The folder to import the package from. It is built for the stable ABI: one build serves all."""

TESTS = ROOT / "tests"

OLDEST = (3, 11)
"""The first Python that the package is for."""

# Python itself may complain about daemon threads and about handlers that raise anywhere; about the
# package there is nothing to say.
COMPLAINT = re.compile(r"nob[./_]ipc|panicked|fatal|abort|core dumped", re.IGNORECASE)

_PROBE = "import sys, nob.ipc; print(sys.version.split()[0], end=' ');"
_PROBE += "print('debug' if hasattr(sys, 'gettotalrefcount') else '')"


@dataclass(frozen=True)
class Interpreter:
    """A Python that can import the package."""

    path: str
    version: str

    def command(self, *arguments: object) -> list[str]:
        return [self.path, *map(str, arguments)]


def environment() -> dict[str, str]:
    """That of a program that any of the interpreters runs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"PYTHONPATH": f"{PACKAGE}:{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"}


def _candidates() -> list[str]:
    """NOB_IPC_PYTHONS (paths with colons between), pyenv's versions, and debug builds."""
    given = os.environ.get("NOB_IPC_PYTHONS", "").split(":")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pyenvs = sorted(map(str, pyenv.glob("versions/*/bin/python3")))
    folders = map(Path, os.environ["PATH"].split(":"))
    debug = sorted(str(file) for folder in folders for file in folder.glob("python3*-dbg"))
    return [sys.executable, *filter(None, given), *pyenvs, *debug]


def find(progress: Progress) -> list[Interpreter]:
    """One of each version; says which are left out, and why."""
    found: dict[str, Interpreter] = {}
    for path in _candidates():
        done = subprocess.run(
            [path, "-c", _PROBE],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        version = done.stdout.strip()
        if done.returncode == 0 and tuple(map(int, version.split(".")[:2])) < OLDEST:
            # It may import the package, and nobody promises that it works.
            continue
        if done.returncode == 0:
            found.setdefault(version, Interpreter(path, version))
        elif path in os.environ.get("NOB_IPC_PYTHONS", "").split(":"):
            progress.fail(f"{path} cannot import the package\n{done.stderr}")
    if not any("debug" in version for version in found):
        progress.keep("skipped: debug interpreter: not installed (python3-dbg)")
    progress.keep(f"interpreters: {', '.join(found)}")
    return list(found.values())
