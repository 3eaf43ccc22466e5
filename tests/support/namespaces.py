"""Namespaces of a child: file systems, queues and pids that it shares with nobody."""

from __future__ import annotations

import ctypes

import pytest

from support.children import in_child
from support.system import libc

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
