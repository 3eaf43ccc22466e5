"""What notifications are told to: a counter of signals, and a callable that remembers."""

from __future__ import annotations

import signal
import threading
import time
from typing import Self

from support.checks import eventually


class Signals:
    """Counts the signals SIGUSR1 that reach this process."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self.old = signal.signal(signal.SIGUSR1, self.handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGUSR1, self.old)

    def handle(self, *_: object) -> None:
        self.count += 1

    def one(self) -> None:
        """Waits for the next signal."""
        eventually(lambda: self.count, "the signal")
        self.count -= 1

    def none(self) -> None:
        """Gives a signal that should not come some time to come."""
        time.sleep(0.05)
        assert self.count == 0


class Calls:
    """A callable that remembers its calls."""

    def __init__(self) -> None:
        self.arguments: list[object] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, argument: object) -> None:
        self.threads.append(threading.current_thread())
        self.arguments.append(argument)

    def wait(self, number: int) -> None:
        eventually(lambda: len(self.arguments) >= number, "the call")
        assert len(self.arguments) == number
