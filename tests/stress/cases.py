"""Small programs, each for one kind of fault that was found once (case_programs)."""

from __future__ import annotations

import subprocess

from support.isolation import isolation
from support.tally import count

from stress.interpreters import COMPLAINT, Interpreter, environment
from stress.progress import HERE, Progress

PROGRAMS = sorted((HERE / "case_programs").glob("*.py"))
SKIPPED = 77
WATCHDOG = 60


def check(progress: Progress, interpreters: list[Interpreter]) -> None:
    """All of them with each interpreter; where that can be had, among no other objects."""
    for interpreter in interpreters:
        for program in PROGRAMS:
            progress.step = f"case: {program.stem}, Python {interpreter.version}"
            isolated = ["--isolated"] if isolation() else []
            command = interpreter.command("-X", "faulthandler", program, *isolated)
            try:
                done = subprocess.run(
                    [*isolation(), *command],
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=WATCHDOG,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                progress.fail("hangs")
                continue
            count("cases")
            if done.returncode == SKIPPED:
                progress.keep(f"{progress.step}: {done.stdout.strip()}")
            elif done.returncode != 0 or COMPLAINT.search(done.stderr):
                progress.fail(f"status {done.returncode}\n{done.stdout}{done.stderr}")
