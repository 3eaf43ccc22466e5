"""The examples run as they stand, show what they are to show, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import QUEUE, WATCHDOG, made_by

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def examples(tmp_path: Path, name: str) -> Path:
    """A copy of the examples, with a name of its own in place of the one that all users share."""
    for file in EXAMPLES.glob("*.py"):
        code, changed = re.subn('"/test_queue"', f'"{name}"', file.read_text(encoding="utf-8"))
        assert changed, "it uses another name now, or none: see to it here, too"
        (tmp_path / file.name).write_text(code, encoding="utf-8")
    return tmp_path


@contextlib.contextmanager
def running(program: Path) -> Iterator[subprocess.Popen[str]]:
    """An example in a process group of its own, which is expected to be empty afterwards."""
    process = subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not made_by(process.pid)


def test_all_examples_are_run_here() -> None:
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == {"demo.py", "queue.py"}


def test_the_demonstration(examples: Path, name: str) -> None:
    with running(examples / "demo.py") as demo:
        output, errors = demo.communicate(timeout=WATCHDOG)
    assert (demo.returncode, errors) == (0, ""), output
    # The program queue.py, run twice.
    assert "Message sent" in output
    assert "Received message: 'Hello there!' with priority 0" in output
    # With the semaphore, one sentence follows the other.
    assert re.search(r"with it +(after you.*INSIST|NO NO.*please)! $", output, re.MULTILINE)
    assert "none twice" in output
    assert "nothing is left" in output
    assert "\x1b" not in output, "colours are for terminals"
    assert not QUEUE.exists(name)


def test_the_demonstration_finds_its_queue_taken(examples: Path, name: str) -> None:
    with QUEUE.create(name) as queue:
        with running(examples / "demo.py") as demo:
            _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 1
        assert name in errors
        assert "unlink_name" in errors
        assert "Traceback" not in errors
        assert queue.current_messages == 0


@pytest.mark.parametrize("part", ["talk", "take turns", "paint"])
def test_the_demonstration_is_interrupted(examples: Path, name: str, part: str) -> None:
    """Ctrl-C: the terminal sends it to all processes of the group."""
    with running(examples / "demo.py") as demo:
        assert demo.stdout is not None
        while part not in demo.stdout.readline():
            assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=WATCHDOG)
    assert demo.returncode == 130
    assert not QUEUE.exists(name)


def test_uv_finds_the_package() -> None:
    """What `uv run examples/queue.py` reads: the dependency, and where it is."""
    text = (EXAMPLES / "queue.py").read_text(encoding="utf-8")
    head = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
    assert head
    script = tomllib.loads(re.sub(r"^# ?", "", head[1], flags=re.MULTILINE))
    [(distribution, source)] = script["tool"]["uv"]["sources"].items()
    project = tomllib.loads((EXAMPLES / source["path"] / "pyproject.toml").read_text())["project"]
    assert project["name"] == distribution
    assert script["dependencies"] == [f"{distribution}[ipc]"]
    assert script["requires-python"] == project["requires-python"]
