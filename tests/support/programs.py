"""Command-line programs on nob.cli, run as a person or another program would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.checks import WATCHDOG

_CHANGES_OUTPUT = {"COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERM", "TTY_COMPATIBLE"}

ENVIRONMENT = {
    variable: value
    for variable, value in os.environ.items()
    if variable not in _CHANGES_OUTPUT and not variable.startswith("PYTHON")
} | {"TERM": "xterm-256color", "PYTHONUTF8": "1"}
"""Rich and Python look at the terminal or the pipe themselves; output is buffered as usual."""


class Program:
    """A file `prog.py` in a folder of its own."""

    def __init__(self, folder: Path, code: str) -> None:
        self.file = folder / "prog.py"
        self.file.write_text(code, encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-W", "error", str(self.file), *arguments]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end, its output into pipes unless told otherwise."""
        where = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": ENVIRONMENT,
        }
        return subprocess.run(
            self.command(*arguments),
            **{**where, **options},
            text=True,
            encoding="utf-8",
            timeout=WATCHDOG,
            check=False,
        )

    def shows(self, *arguments: str) -> str:
        """What it writes to standard output; it ends well and without complaint."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refuses(self, *arguments: str) -> str:
        """What it says about wrong usage, in one line; it does nothing else."""
        done = self.run(*arguments)
        assert done.returncode == 2, done
        assert done.stdout == "", done
        return " ".join(done.stderr.split())

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start it, and kill it afterwards if it still runs."""
        with subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
            encoding="utf-8",
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run_on_a_terminal(self, *arguments: str, columns: int, **options: Any) -> tuple[int, str]:
        """Its status, and what a terminal of so many columns got from it."""
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
            where = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "env": ENVIRONMENT}
            with subprocess.Popen(self.command(*arguments), **{**where, **options}) as process:
                os.close(theirs)
                try:
                    shown = b""
                    # When nobody has the other side open any more, reading is an error.
                    with contextlib.suppress(OSError):
                        while more := screen.read(65536):
                            shown += more
                    return process.wait(WATCHDOG), shown.decode().replace("\r\n", "\n")
                finally:
                    process.kill()
