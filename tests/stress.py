"""`make stress`: the loops, races, crashes and faults for minutes, and the fuzz targets.

NOB_IPC_STRESS says how many times as long as in the short suite; 10 takes ten to fifteen minutes. A
line tells what runs and how far it is, a summary at the end what was done. The exit status is 0 if
nothing failed.
"""

from __future__ import annotations

import mmap
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tally import count, counted

HERE = Path(__file__).parent
SCALE = float(os.environ.setdefault("NOB_IPC_STRESS", "10"))

# What counts system calls or lets them fail goes first, and is not disturbed.
UNDISTURBED = "faults/test_failing_calls.py"
TESTS = [
    UNDISTURBED,
    "faults/test_kills.py",
    "existence/test_races.py",
    "waiting/test_signals.py",
    "interface/test_models.py",
    "waiting/test_close_while_waiting.py",
    "asynchronous/test_async_cancellation.py",
    "lifetime/test_fork.py",
    "lifetime/test_leaks.py",
    "waiting/test_semaphore_waits.py",
    "waiting/test_queue_waits.py",
]


class Progress:
    """Says what runs, how far it is and what was counted; on a terminal in one line."""

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

    def figures(self) -> str:
        numbers = ", ".join(f"{number:,} {what}" for what, number in counted().items())
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        return f"{numbers}, {self.failures} failures · {minutes}:{seconds:02} min"

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self.say("")


class Plugin:
    """Tells the progress which test runs, and has its processes disturbed."""

    def __init__(self, progress: Progress, disturber: Disturber) -> None:
        self._progress = progress
        self._disturber = disturber
        self._number = self._done = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._number = len(session.items)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._done += 1
        self._progress.step = f"[{self._done}/{self._number}] {nodeid.removeprefix('tests/')}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._progress.failures += report.failed

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        # The line of the progress takes the place of the dots.
        return ("passed", "", "") if report.passed and report.when == "call" else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._disturber.pause(item.path == HERE / UNDISTURBED)
        return (yield)


class Disturber:
    """A process that stops the other children of this one for up to 20 ms, again and again."""

    def __init__(self) -> None:
        self._paused = memoryview(mmap.mmap(-1, 1))
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            while os.getppid() == parent:
                time.sleep(random.uniform(0, 0.1))
                if not self._paused[0]:
                    disturb(parent)
            os._exit(0)

    def pause(self, paused: bool) -> None:
        self._paused[0] = paused

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def disturb(parent: int) -> None:
    """Stops a child of that process, at random, and lets it go on."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    pid = int(random.choice(children))
    if pid == os.getpid():
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # it has ended meanwhile
    try:
        # The number may be another's by now.
        stat = Path(f"/proc/{pid}/stat").read_text()
        if int(stat.rsplit(")", 1)[1].split()[1]) == parent:
            signal.pidfd_send_signal(process, signal.SIGSTOP)
            time.sleep(random.uniform(0, 0.02))
            signal.pidfd_send_signal(process, signal.SIGCONT)
            count("stops")
    except (FileNotFoundError, ProcessLookupError):
        pass  # it was killed meanwhile
    finally:
        os.close(process)


def inject_faults(progress: Progress) -> None:
    """The sweeps of the crate: each call of each operation fails with each errno."""
    progress.step = "each system call of the core fails"
    command = ["cargo", "test", "--locked", "--package", "nob-ipc", "--lib"]
    run(
        progress, [*command, "faults::", "--", "--nocapture"], r"(\d+) calls made to fail", "faults"
    )


def fuzz(progress: Progress) -> None:
    progress.step = "fuzzing"
    command = [sys.executable, "fuzz/run.py", str(max(2, int(SCALE)))]
    run(progress, command, r"(\d+) inputs", "inputs")


def run(progress: Progress, command: list[str], figures: str, what: str) -> None:
    """Runs a command, and counts the figures in what it says."""
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    count(what, sum(int(number) for number in re.findall(figures, done.stdout)))
    for line in done.stdout.splitlines():
        if line.startswith("skipped"):
            progress.say(line)
    if done.returncode != 0:
        progress.failures += 1
        print(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> int:
    progress = Progress()
    inject_faults(progress)
    fuzz(progress)
    options = ["-q", "--timeout=1800", "-o", "faulthandler_timeout=2000", "-p", "no:cacheprovider"]
    options += ["--no-header", "-o", "console_output_style=classic"]
    tests = [str(HERE / test) for test in TESTS]
    disturber = Disturber()
    try:
        status = pytest.main([*options, *tests], plugins=[Plugin(progress, disturber)])
    finally:
        disturber.end()
        progress.end()
    failed = status != 0 or progress.failures > 0
    print(f"stress {'FAILED' if failed else 'passed'}: {progress.figures()}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
