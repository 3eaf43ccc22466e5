"""Everything that is measured, each in an environment of its own under `.bench/`.

Only the standard library: this runs before the harness has its packages."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
HOME = ROOT / ".bench"
DOCS = ROOT / "docs"
STANDARD = ("multiprocessing", "flock", "seqpacket", "pipe", "mp_queue", "ping")  # need no package
PEERS = ("posix_ipc", "original", "filelock", "faster_fifo", "iceoryx2")
SERVER_PEERS = ("redis_py", "redis_lock", "rq", "dramatiq", "kombu", "huey")


class BuildError(Exception):
    """A part of the benchmark could not be built; the text says which and why."""


def run(*command: str | Path) -> str:
    """Runs a build step; what it printed is shown only when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{words[0]} is not installed, and the benchmark needs it") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """No PYTHONPATH and the like: a peer sees its own packages only."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def _python(home: Path) -> Path:
    return home / "bin" / "python"


def _make(name: str, requirements: str, install: list[str | Path], pip: bool = False) -> Path:
    """An environment with what `install` (arguments of pip) says; the path of its Python. It is
    made again when the requirements or this Python have changed."""
    home = HOME / name
    stamp = home / "stamp"
    wanted = hashlib.sha256(f"{sys.version}\n{requirements}".encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return _python(home)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=pip, symlinks=True)
    if install:
        installer = _python(home if pip else HOME / "harness")
        run(installer, "-m", "pip", "--python", _python(home), "install", "--quiet", *install)
    stamp.write_text(wanted)
    return _python(home)


def _from_file(name: str, pip: bool = False) -> Path:
    file = BENCH / "requirements" / f"{name}.txt"
    return _make(name, file.read_text(), ["--requirement", file], pip)


def harness() -> Path:
    """The environment of the harness itself."""
    return _from_file("harness", pip=True)


def peers(names: Sequence[str] = PEERS) -> tuple[dict[str, Path], dict[str, str]]:
    """The peers written in Python, by the name of their environment; and why others are not there:
    a package that cannot be installed does not take the run with it."""
    standard = _make("multiprocessing", "", [])
    pythons, missing = dict.fromkeys(STANDARD, standard), {}
    for name in names:
        try:
            pythons[name] = _from_file(name)
        except (BuildError, subprocess.TimeoutExpired) as error:
            missing[name] = str(error).strip().splitlines()[-1]
    return pythons, missing


def ours(package: str | None) -> Path:
    """Our package: a release wheel of this tree, or `package` (a wheel or a requirement)."""
    if package is None:
        wheels = HOME / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        maturin = HOME / "harness" / "bin" / "maturin"
        run(
            maturin,
            "build",
            "--profile",
            "release",
            "--out",
            wheels,
            "--interpreter",
            sys.executable,
        )
        (wheel,) = wheels.glob("*.whl")
        package = str(wheel)
        contents = hashlib.sha256(wheel.read_bytes()).hexdigest()
    else:
        contents = package
    # `nob.ipc` needs nothing else; what the command line needs is not measured.
    alone = ["--no-deps"] if package.endswith(".whl") else []
    return _make("ours", contents, [*alone, package])


def raw() -> Path:
    """The C program."""
    binary = HOME / "raw"
    sources = sorted((BENCH / "raw").glob("*.c"))
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, *sources, "-lrt", "-pthread")
    return binary
