"""Ends programs while their daemon threads are inside every call (exit_program.py)."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import time
from collections.abc import Sequence

from support.kinds import KINDS, unique
from support.tally import count

from stress.interpreters import COMPLAINT, Interpreter, environment
from stress.progress import HERE, SCALE, Progress

PROGRAM = HERE / "exit_program.py"
WATCHDOG = 60

# How the program ends, and with what status.
ENDINGS = {
    "return": 0,
    "late": 0,
    "atexit": 0,
    "closed": 0,
    "sys.exit": 3,
    "exception": 1,
    "os._exit": 4,
    "Ctrl-C": -signal.SIGINT,
    "handler": 5,
}

# A constructor that a daemon thread is in has not returned a handle that could be deleted.
SUFFIXES = "", "-grown", "-empty", "-full"
IN_FLIGHT = "-other"


def check(progress: Progress, interpreters: list[Interpreter], seed: int) -> None:
    """All endings on all interpreters in turn, for six seconds times SCALE."""
    end = time.monotonic() + 6 * SCALE
    chance = random.Random(seed)
    for interpreter, ending in itertools.cycle(itertools.product(interpreters, ENDINGS)):
        progress.step = f"exits: {ending}, Python {interpreter.version}"
        _end_once(progress, interpreter, ending, chance.randrange(1 << 32))
        count("exits")
        if time.monotonic() > end:
            return


def _end_once(progress: Progress, interpreter: Interpreter, ending: str, seed: int) -> None:
    name = unique()
    command = interpreter.command("-X", "faulthandler", PROGRAM, name, ending, seed)
    expected = ENDINGS[ending]
    try:
        done = subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WATCHDOG,
            check=False,
        )
    except subprocess.TimeoutExpired:
        progress.fail(f"{' '.join(command)}\nhangs")
        return
    finally:
        left = _remove(name, SUFFIXES)
        _remove(name, [IN_FLIGHT])
    again = f"{' '.join(command)} {done.stdout}"
    if done.returncode != expected:
        progress.fail(f"{again}status {done.returncode} instead of {expected}\n{done.stderr}")
    elif COMPLAINT.search(done.stderr):
        progress.fail(f"{again}says\n{done.stderr}")
    elif left and ending != "os._exit":
        progress.fail(f"{again}leaves {left}")


def _remove(name: str, suffixes: Sequence[str]) -> list[str]:
    """Removes what the program has left, and says what it was."""
    left = []
    for kind, suffix in itertools.product(KINDS, suffixes):
        if kind.exists(name + suffix):
            left.append(f"{kind.word} {name + suffix}")
            kind.remove(name + suffix)
    return left
