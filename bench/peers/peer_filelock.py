"""The package `filelock`, kept by tox-dev, on files in memory: to acquire is to open a file and to
lock it with `flock`, to release is to close it."""

from pathlib import Path

from filelock import FileLock
from peer import AbstractPeer


class Peer(AbstractPeer):
    def lock(self, name: str) -> FileLock:
        return FileLock(f"/dev/shm{name}")

    def reopen(self, shared: FileLock) -> FileLock:
        return FileLock(shared.lock_file)

    def remove(self, shared: FileLock) -> None:
        shared.release(force=True)
        Path(shared.lock_file).unlink(missing_ok=True)
