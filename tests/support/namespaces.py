"""Namespaces of a child: file systems, queues and pids that it shares with nobody."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest

from support.children import in_child
from support.system import libc, record_directories

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x0002_0000, 0x0800_0000, 0x2000_0000
MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 0x4000, 0x4_0000


def unshare(flags: int) -> None:
    """Leaves namespaces; to be called in a child."""
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def mount(target: str, options: str, flags: int = 0, kind: str = "tmpfs") -> None:
    """Mounts something for this process and its children only; to be called in a child."""
    unshare(CLONE_NEWNS)
    private = libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    done = libc.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode())
    if private != 0 or done != 0:
        raise OSError(ctypes.get_errno(), "mount")


def _may_unshare() -> bool:
    try:
        in_child(mount, "/dev/shm", "size=64k")
        in_child(unshare, CLONE_NEWIPC | CLONE_NEWPID)
    except OSError:
        return False
    return True


MAY_UNSHARE = _may_unshare()

needs_namespaces = pytest.mark.skipif(not MAY_UNSHARE, reason="namespaces are not permitted")


def alone(function: Callable[[], Any]) -> Any:
    """Calls a function in a child that sees no objects, records and processes but its own.

    Where namespaces are not permitted it sees those of others as well.
    """

    def inside() -> Any:
        mount("/proc", "", kind="proc")
        return function()

    def call() -> Any:
        mount("/dev/shm", "size=16m,mode=1777")
        for directory in record_directories():
            mount(str(directory), f"size=1m,mode=700,uid={os.geteuid()}")
        unshare(CLONE_NEWIPC | CLONE_NEWPID)
        return in_child(inside)

    return in_child(call if MAY_UNSHARE else function)
