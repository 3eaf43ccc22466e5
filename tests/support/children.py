"""Forked children that call a function, as another user if told."""

from __future__ import annotations

import contextlib
import encodings.ascii  # noqa: F401
import os
import pickle
import select
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

# Loaded when first needed, as the encoding above, which is too late in a child that has become
# another user.
from nob.ipc import Mapping  # noqa: F401
from support.checks import WATCHDOG, seconds
from support.system import NOBODY


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
    # The long versions of the loops have as much more time as they are longer.
    end = time.monotonic() + 2 * seconds(WATCHDOG)
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
