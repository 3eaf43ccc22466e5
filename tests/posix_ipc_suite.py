"""Runs the public test suite of posix_ipc against nob.posix_ipc.

The suite is in the source distribution on the package registry. It is fetched for the run, and
nothing of it stays. It uses fixed names: where this user may, it runs in a /dev/shm of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

from support.isolation import isolation

import nob.posix_ipc

RELEASE = f"posix_ipc=={nob.posix_ipc.VERSION}"
TESTS = 93
"""How many tests that release has."""
PATIENCE = 300.0
"""Seconds after which fetching or testing counts as hanging."""
SHIM = """
import sys
import nob.posix_ipc
sys.modules[__name__] = nob.posix_ipc
"""


def fetch(folder: Path) -> Path:
    """Downloads and unpacks the source distribution; the folder that it was packed from."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    try:
        subprocess.run([*pip, *options, RELEASE], check=True, timeout=PATIENCE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.exit(
            f"the source distribution of {RELEASE} could not be fetched, so nothing ran: {error}"
        )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def run(unpacked: Path, shim: Path) -> None:
    """Runs the suite in this process."""
    sys.path[:0] = [str(shim), str(unpacked)]
    import posix_ipc  # type: ignore[import-not-found, import-untyped, unused-ignore]

    if posix_ipc is not nob.posix_ipc:
        sys.exit(f"the tests would not run against nob.posix_ipc but against {posix_ipc}")
    suite = unittest.defaultTestLoader.discover(
        str(unpacked / "tests"), top_level_dir=str(unpacked)
    )
    result = unittest.TextTestRunner().run(suite)
    remove_what_is_left()
    ran = result.testsRun - len(result.skipped)
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    if not result.wasSuccessful() or ran < TESTS:
        sys.exit(f"{ran} of {TESTS} tests of {RELEASE} ran; see above for those that failed")


def remove_what_is_left() -> None:
    """Unlinks the segments that the suite has neither closed nor unlinked."""
    held = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            held.add(identity(os.fstat(int(entry))))
    for file in os.scandir("/dev/shm"):
        if identity(file.stat(follow_symlinks=False)) in held:
            os.unlink(file)


def identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in", dest="unpacked", type=Path, help="run what was unpacked here")
    parser.add_argument("--shim", type=Path, help="where the module posix_ipc of the tests is")
    arguments = parser.parse_args()
    if arguments.unpacked:
        run(arguments.unpacked, arguments.shim)
        return
    with tempfile.TemporaryDirectory(prefix="nob-posix-ipc-suite-") as folder:
        unpacked = fetch(Path(folder))
        shim = Path(folder) / "shim"
        shim.mkdir()
        (shim / "posix_ipc.py").write_text(SHIM, encoding="utf-8")
        command = [sys.executable, __file__, "--in", str(unpacked), "--shim", str(shim)]
        done = subprocess.run(
            [*isolation(), *command],
            stdin=subprocess.DEVNULL,
            cwd=folder,
            timeout=PATIENCE,
            check=False,
        )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
