"""Names of this run, and their removal when something went wrong."""

import ctypes
import os
import secrets
import shutil
import tempfile
from pathlib import Path

_SHM = Path("/dev/shm")
_SUFFIXES = ("", "-there", "-back", "-0", "-1", "-2", "-3")  # what an operation appends


class Names:
    def __init__(self) -> None:
        self.prefix = f"nob-bench-{os.getpid()}-{secrets.token_hex(3)}-"
        self.given: list[str] = []

    def new(self) -> str:
        name = f"/{self.prefix}{len(self.given)}"
        self.given.append(name)
        return name

    def sweep(self) -> None:
        """Removes what workers that ended early have left. Queues are removed by name, because
        their file system need not be mounted."""
        for path in _SHM.glob(f"*{self.prefix}*"):  # each kind has a prefix of its own
            path.unlink(missing_ok=True)
        for path in Path(tempfile.gettempdir()).glob(f"{self.prefix}*"):
            shutil.rmtree(path, ignore_errors=True)
        libc = ctypes.CDLL(None)
        for name in self.given:
            for suffix in _SUFFIXES:
                libc.mq_unlink((name + suffix).encode())
