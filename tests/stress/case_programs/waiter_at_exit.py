"""A shared object goes with its last user, though a daemon thread waits in it at the exit."""

import os
import subprocess
import sys
import threading
import time

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore, list_objects

NAME = f"/nob-case-{os.getppid() if 'waits' in sys.argv else os.getpid()}"


def waits(kind: str) -> None:
    if kind == "sem":
        permits = NamedSemaphore(NAME, 0, Flags.LINK_OR_CREATE)
        waiter = permits.acquire
    else:
        empty = NamedMessageQueue(NAME, 1, 8, handle_existence=Flags.LINK_OR_CREATE)
        waiter = empty.receive
    threading.Thread(target=waiter, daemon=True).start()
    time.sleep(0.1)


def leaves(kind: str) -> bool:
    """Whether the name is there after the program that waits has ended."""
    subprocess.run([sys.executable, __file__, "waits", kind], timeout=30, check=True)
    left = any((each["kind"], each["name"]) == (kind, NAME) for each in list_objects())
    if left:
        {"sem": NamedSemaphore, "mq": NamedMessageQueue}[kind].unlink_name(NAME)
    return left


if "waits" in sys.argv:
    waits(sys.argv[2])
elif left := [kind for kind in ("sem", "mq") if leaves(kind)]:
    sys.exit(f"left behind at a normal end: {left}")
