"""New Python processes that run a few lines, and that tests talk to."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import pytest

from support.checks import WATCHDOG
from support.system import remove_random_names_of

PRELUDE = """
import ctypes, gc, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not to outlive the test
from nob.ipc import Flags, InvalidArgument, NamedMessageQueue, NamedSemaphore, NamedSharedMemory
from nob.ipc import NamedBoundedSemaphore, NamedChannel, NamedLock
LINK, CREATE = Flags.RAISE_IF_NOT_EXISTS, Flags.RAISE_IF_EXISTS
name = sys.argv[1] if len(sys.argv) > 1 else None
def say(*words):
    print(*words, flush=True)
def hear():
    return sys.stdin.readline().strip()
"""

# Leaves in an object what tells it from a new one, as Kind.stamp does.
STAMP = """
if isinstance(handle, NamedSemaphore):
    handle.release()
elif isinstance(handle, NamedSharedMemory):
    with handle.mmap() as memory: memory[:5] = b"stamp"
elif isinstance(handle, (NamedMessageQueue, NamedChannel)):
    assert handle.send(b"stamp")
else:
    assert handle.acquire(timeout=0)
"""


class Script:
    """A new Python process that runs a few lines, with `name`, `say` and `hear` at hand."""

    def __init__(self, code: str, *arguments: object, **options: Any) -> None:
        command = [*options.pop("before", ()), sys.executable, "-c", PRELUDE + code]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        killed = self.process.poll() is None
        self.process.kill()
        self.process.communicate()
        if killed:
            remove_random_names_of(self.pid)

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, word: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        self.process.stdin.flush()

    def hear(self) -> str:
        """The next line that the process says."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        end = time.monotonic() + WATCHDOG
        while b"\n" not in self._read:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the process has said nothing for too long"
            more = os.read(descriptor, 65536)
            if not more:
                pytest.fail(f"the process has ended: {self.process.communicate()[1].decode()}")
            self._read += more
        line, self._read = self._read.split(b"\n", 1)
        return line.decode()

    def heard(self) -> bytes:
        """What has been read of the process beyond the last line that was heard."""
        return self._read

    def expect(self, line: str) -> None:
        assert self.hear() == line

    def end(self) -> tuple[int, str]:
        """Waits for the end; the status and what was written to standard error."""
        _, errors = self.process.communicate(timeout=2 * WATCHDOG)
        return self.process.returncode, errors.decode()

    def finish(self) -> None:
        """Waits for an end without complaint."""
        status, errors = self.end()
        assert status == 0, errors
        assert errors == "", errors


def run(code: str, *arguments: object, **options: Any) -> tuple[int, str]:
    """Runs a script to its end; the status and what was written to standard error."""
    with Script(code, *arguments, **options) as script:
        return script.end()
