"""The loops of the tests, for long, while their processes are stopped and continued."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tally import count

from stress.progress import ROOT, Progress

# What counts system calls or lets them fail goes first, and is not disturbed.
UNDISTURBED = "faults/test_failing_calls.py"
TESTS = [
    UNDISTURBED,
    "faults/test_kills.py",
    "channel/test_channel_kills.py",
    "lock/test_owner_dies.py",
    "existence/test_races.py",
    "waiting/test_signals.py",
    "waiting/test_signal_storms.py",
    "interface/test_models.py",
    "waiting/test_close_while_waiting.py",
    "asynchronous/test_async_cancellation.py",
    "lifetime/test_fork.py",
    "lifetime/test_workers.py",
    "lifetime/test_leaks.py",
    "waiting/test_semaphore_waits.py",
    "waiting/test_queue_waits.py",
    "message_queue/test_batches.py",
    "message_queue/test_receive_many_into.py",
]


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
        self._disturber.pause(item.path == ROOT / "tests" / UNDISTURBED)
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


def check(progress: Progress) -> None:
    """Runs the loops, NOB_IPC_STRESS times as long as in the short suite."""
    options = ["-q", "--timeout=1800", "-o", "faulthandler_timeout=2000", "-p", "no:cacheprovider"]
    options += ["--no-header", "-o", "console_output_style=classic"]
    tests = [str(ROOT / "tests" / test) for test in TESTS]
    disturber = Disturber()
    try:
        status = pytest.main([*options, *tests], plugins=[Plugin(progress, disturber)])
    finally:
        disturber.end()
    if status != 0 and progress.failures == 0:
        progress.fail(f"pytest ended with {status}")
