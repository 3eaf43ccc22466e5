"""The tests of the package on every interpreter that can be had, with the wheel that users get.

python packaging/pythons.py WHEEL [--quick] [--strict]

Interpreters are python3.N on the PATH and pyenv's. As root on Debian, 3.14 and 3.15 come from a
Debian sid. `--quick` runs some tests of what differs between interpreters, not on the version that
runs this (which has been tested), and makes no Debian system. With `--strict`, an interpreter that
cannot be had is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import debian

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
ENVIRONMENTS = ROOT / "target" / "pythons"

# Signatures, threads, fork, pickling, workers, the end of the interpreter, asyncio, signals.
QUICK = [
    *(f"tests/interface/test_{what}.py" for what in ("signatures", "threads", "package")),
    *(f"tests/lifetime/test_{what}.py" for what in ("daemon_threads", "first_thread", "fork")),
    *(f"tests/lifetime/test_{what}.py" for what in ("pickle", "pool", "worker_ends", "workers")),
    "tests/lifetime/test_exit.py",
    "tests/asynchronous/test_async_use.py",
    "tests/waiting/test_python_code_amid_calls.py",
]

Python = list[str]
"""How an interpreter is called."""


def main() -> None:
    wheel, quick = Path(sys.argv[1]), "--quick" in sys.argv[2:]
    strict = "--strict" in sys.argv[2:]
    found = dict(here())
    if quick:
        found.pop(f"3.{sys.version_info.minor}", None)
    missing = [version for version in VERSIONS if version not in found]
    if not quick:
        found |= of_debian([version for version in missing if version in ("3.14", "3.15")])
        missing = [version for version in missing if version not in found]
    results = {}
    for version in sorted(found, key=lambda text: int(text.split(".")[1])):
        print(f"== CPython {version}: {found[version][-1]}", flush=True)
        results[version] = test(found[version], version, wheel, QUICK if quick else [])
    for version in missing:
        print(f"CPython {version}: not tested here")
    for version, passed in results.items():
        print(f"CPython {version}: {'passed' if passed else 'FAILED'}")
    if strict and missing:
        print(f"all were to be tested, and {len(missing)} could not be had")
    sys.exit(not all(results.values()) or (strict and bool(missing)))


def here() -> Iterator[tuple[str, Python]]:
    """The interpreters of this machine, one of each version."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in VERSIONS:
        pyenvs = sorted(root.glob(f"versions/{version}.*/bin/python3"))
        for path in [*pyenvs, shutil.which(f"python{version}")]:
            if path and works([str(path)], version):
                yield version, [str(path)]
                break


def of_debian(versions: list[str]) -> dict[str, Python]:
    """The interpreters of a Debian sid, as far as it has them today."""
    found: dict[str, Python] = {}
    for wanted in (versions, *([version] for version in versions)):
        packages = [f"python{version}-venv" for version in wanted if version not in found]
        if not packages or found:
            continue
        try:
            root = debian.make("sid", [*packages, *TOOLS])
        except debian.UnavailableError as error:
            print(f"CPython {', '.join(wanted)}: {error}", flush=True)
            continue
        for version in wanted:
            command = debian.inside(root, f"/usr/bin/python{version}")
            if works(command, version):
                found[version] = command
    return found


SIDE_BY_SIDE = ("--numprocesses", "3", "--dist", "loadfile")
"""Tests wait more than they work; a file stays in one process."""

TOOLS = ("gcc", "libc6-dev", "procps", "strace", "util-linux")
"""What some tests use."""


def works(python: Python, version: str) -> bool:
    """It has this version, can make environments, and is one with the GIL."""
    code = "import sys, sysconfig, ensurepip; print(*sys.version_info[:2], sep='.')\n"
    code += "sys.exit(bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    try:
        done = subprocess.run(
            [*python, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def test(python: Python, version: str, wheel: Path, files: list[str]) -> bool:
    """Install the wheel into an environment of its own, and run the tests there."""
    folder = ENVIRONMENTS / version
    within = [*python[:-1], folder / "bin" / "python"]
    environment = {
        key: value for key, value in os.environ.items() if not re.match("PYTHON|VIRTUAL_ENV", key)
    }

    def run(*command: object) -> bool:
        done = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, check=False)
        return done.returncode == 0

    pip = [*within, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return (
        run(*python, "-m", "venv", "--clear", folder)
        and run(*pip, "--upgrade", "pip>=25.1")
        and run(*pip, "--group", "test", wheel.resolve())
        and run(*within, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SIDE_BY_SIDE, *files)
    )


if __name__ == "__main__":
    main()
