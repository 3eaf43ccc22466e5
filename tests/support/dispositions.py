"""Signals that this process was told to ignore, as by nohup or as a background job of a shell.

Whatever it starts would ignore them as well: Ctrl-C would not end a program that is tested.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

# Python ignores these itself, and `subprocess` takes that back in what it starts.
IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """As SIG_IGN here, but `exec` makes the default of it."""


@contextlib.contextmanager
def defaults_for_programs() -> Iterator[None]:
    """Programs that are started meanwhile find the default disposition of every signal."""
    others = signal.valid_signals() - IGNORED_BY_PYTHON
    ignored = [number for number in others if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, do_nothing)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
