"""Threads that wait, and how to see that a thread or a process does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.checks import WATCHDOG


class Background:
    """A thread that calls a function and keeps what came of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait_until_asleep(self) -> None:
        assert self._thread.native_id is not None
        wait_until_asleep(os.getpid(), self._thread.native_id)

    def result(self) -> Any:
        """What the function returned; raises what it raised."""
        self._thread.join(WATCHDOG)
        assert not self._thread.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._value


_WAITS = {
    "x86_64": {"futex": 202, "poll": {7, 271}, "queue": {242, 243}},
    "aarch64": {"futex": 98, "poll": {73}, "queue": {182, 183}},
}.get(os.uname().machine)
_PRIVATE_FUTEX = 128


def waits_in(pid: int, thread: int | None = None) -> str | None:
    """The kind of system call that a thread sleeps in: "futex", "poll", "queue", or None.

    A futex private to a process is one of the interpreter's own, and does not count.
    """
    folder = f"/proc/{pid}/task/{thread or pid}"
    with open(f"{folder}/stat", encoding="utf-8") as file:
        state = file.read().rsplit(")", 1)[1].split()[0]
    if state != "S" or _WAITS is None:
        return None
    with open(f"{folder}/syscall", encoding="ascii") as file:
        call = file.read().split()
    if not call[0].isdigit():
        return None
    number = int(call[0])
    if number == _WAITS["futex"]:
        return None if int(call[2], 16) & _PRIVATE_FUTEX else "futex"
    if number in _WAITS["poll"]:  # type: ignore[operator]
        return "poll"
    return "queue" if number in _WAITS["queue"] else None  # type: ignore[operator]


def wait_until_asleep(pid: int, thread: int | None = None) -> None:
    """Waits until a thread sleeps in a wait for a semaphore or a queue."""
    if _WAITS is None:
        pytest.skip("the numbers of this machine's system calls are not known here")
    end = time.monotonic() + WATCHDOG
    while waits_in(pid, thread) is None:
        assert time.monotonic() < end, "nothing waits"
        time.sleep(0.001)
