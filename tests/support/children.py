"""Processes and threads that tests talk to, and how to see that one of them waits."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

# Imported when first needed, which is too late in a child that has become another user.
import nob.ipc._mapping  # noqa: F401
from support.kinds import NOBODY, WATCHDOG, libc

PRELUDE = """
import ctypes, gc, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not to outlive the test
from nob.ipc import Flags, InvalidArgument, NamedMessageQueue, NamedSemaphore, NamedSharedMemory
LINK, CREATE = Flags.RAISE_IF_NOT_EXISTS, Flags.RAISE_IF_EXISTS
name = sys.argv[1] if len(sys.argv) > 1 else None
def say(*words):
    print(*words, flush=True)
def hear():
    return sys.stdin.readline().strip()
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
        self.process.kill()
        self.process.communicate()

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


def fork() -> int:
    """Forks; that other threads run is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(function: Callable[..., Any], *arguments: Any, uid: int | None = None) -> Any:
    """Calls a function in a forked child, as another user if told, and returns what it returned.

    What it raises is raised here, if it can be pickled.
    """
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        os.close(reading)
        answer = _answer(function, arguments, uid)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    answer = _read_all(reading, child)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
    good, value = pickle.loads(answer)
    if good:
        return value
    raise value


def as_nobody(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a forked child that has no privileges; skips where that needs some."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return in_child(function, *arguments, uid=NOBODY)


def as_stranger(function: Callable[..., Any], *arguments: Any) -> Any:
    """The same as a user whose limits nobody else draws on."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    uid = 1_000_000 + os.getpid()
    try:
        return in_child(function, *arguments, uid=uid)
    finally:
        # Where the user's records were.
        shutil.rmtree(f"/tmp/nob-ipc-{uid}", ignore_errors=True)


def become(uid: int) -> None:
    """Drops all privileges; to be called in a child."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], uid: int | None) -> bytes:
    signal.set_wakeup_fd(-1)
    try:
        if uid is not None:
            become(uid)
        return pickle.dumps((True, function(*arguments)))
    except BaseException as error:
        with contextlib.suppress(Exception):
            text = pickle.dumps((False, error))
            pickle.loads(text)
            return text
        return pickle.dumps((False, AssertionError(traceback.format_exc())))


def _read_all(descriptor: int, child: int) -> bytes:
    end = time.monotonic() + 2 * WATCHDOG
    read = b""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail("the child hangs")
            more = pipe.read(65536)
            if not more:
                return read
            read += more


CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x0002_0000, 0x0800_0000, 0x2000_0000
MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 0x4000, 0x4_0000


def unshare(flags: int) -> None:
    """Leaves namespaces; to be called in a child."""
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def mount(target: str, options: str, flags: int = 0) -> None:
    """Mounts a tmpfs for this process and its children only; to be called in a child."""
    unshare(CLONE_NEWNS)
    private = libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    done = libc.mount(b"tmpfs", target.encode(), b"tmpfs", flags, options.encode())
    if private != 0 or done != 0:
        raise OSError(ctypes.get_errno(), "mount")


def _may_unshare() -> bool:
    try:
        in_child(mount, "/dev/shm", "size=64k")
        in_child(unshare, CLONE_NEWIPC)
    except OSError:
        return False
    return True


needs_namespaces = pytest.mark.skipif(not _may_unshare(), reason="namespaces are not permitted")


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
