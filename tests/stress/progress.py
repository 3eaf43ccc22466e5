"""Says what runs, how far it is and what was counted; runs the programs of the parts."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path

from support.checks import STRESS as SCALE
from support.tally import count, counted

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Progress:
    """Shows a line now and then, on a terminal always in the same place."""

    def __init__(self) -> None:
        # pytest takes the descriptor over while a test runs.
        self._output = os.fdopen(os.dup(1), "w")
        self._start = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.step = "nothing yet"
        self.failures = 0

    def _run(self) -> None:
        while not self._over.wait(0.5 if self._output.isatty() else 15):
            self.say(f"{self.step} · {self.figures()}")

    def say(self, line: str) -> None:
        """Shows a line, on a terminal in the place of the one before."""
        if self._output.isatty():
            width = os.get_terminal_size(self._output.fileno()).columns
            line = f"\r\x1b[K{line[: width - 1]}"
        else:
            line += "\n"
        self._output.write(line)
        self._output.flush()

    def keep(self, text: str) -> None:
        """Shows what is not to be overwritten."""
        if self._output.isatty():
            text = f"\r\x1b[K{text}"
        self._output.write(text + "\n")
        self._output.flush()

    def fail(self, text: str) -> None:
        """Counts a failure, and says what it was."""
        self.failures += 1
        self.keep(f"FAILED {self.step}: {text}")

    def figures(self) -> str:
        numbers = ", ".join(f"{number:,} {what}" for what, number in counted().items())
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        return f"{numbers}, {self.failures} failures · {minutes}:{seconds:02} min"

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self.say("")


def run(
    progress: Progress, command: list[str], figures: str, what: str, **environment: str
) -> None:
    """Runs a command in the root of the repository, and counts the figures in what it says."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = sum(int(number) for number in re.findall(figures, done.stdout))
    count(what, found)
    skipped = False
    for line in done.stdout.splitlines():
        if line.startswith("skipped"):
            progress.keep(line)
            skipped = True
    if not found and not skipped and done.returncode == 0:
        progress.fail(f"{' '.join(command)}: none of {what}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        progress.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


__all__ = ["HERE", "ROOT", "SCALE", "Progress", "run"]
