"""What LINK_OR_CREATE shares as a lock, a semaphore too; checked by a file that O_EXCL makes.

Two objects of one name would let two holders in, and the file shows it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nob.ipc import Flags, NamedBoundedSemaphore, NamedLock, NamedSemaphore


def keep_exclusive(
    folder: Path, prefix: str, me: str, end: float, expected: Callable[[], Any]
) -> None:
    """Takes and gives the locks until the end, each time by a new handle.

    To be called in a thread in which no handler of a signal runs: one that raises could take the
    permit out of the program's hands.
    """
    rounds = 0
    while time.monotonic() < end:
        kind = random.choice([NamedSemaphore, NamedLock, NamedBoundedSemaphore])
        name = f"{prefix}-{kind.__name__}-{random.randrange(3)}"
        with expected():
            # The number of permits is 1 unless it is said.
            lock: Any = kind(name, handle_existence=Flags.LINK_OR_CREATE)
            if lock.acquire(timeout=0.02):
                _hold(folder, name, me)
                lock.release()
                rounds += 1
            if random.random() < 0.5:
                lock.close()
            del lock
        # Pauses are what lets the last user leave.
        time.sleep(random.random() * 0.02)
    (folder / "rounds" / me).write_text(str(rounds))


def _hold(folder: Path, name: str, me: str) -> None:
    file = folder / f"held{name.replace('/', '-')}"
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        holder = file.read_text()
        # Whoever is killed as it holds the lock leaves the file; its name was written down first.
        if not (folder / "killed" / holder.partition("-")[0]).exists():
            fault = f"{me} holds {name}, and so does {holder or 'another'}"
            (folder / "faults" / f"{me}-{time.monotonic_ns()}").write_text(fault)
            return
        file.write_text(me)
    else:
        os.write(descriptor, me.encode())
        os.close(descriptor)
    time.sleep(random.random() * 0.002)
    file.unlink(missing_ok=True)
