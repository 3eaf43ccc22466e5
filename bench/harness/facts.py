"""On what, and of what, the numbers are."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from harness.environments import clean_environment

_VERSION = "from importlib.metadata import version; print(version({!r}))"


def _version(python: Path, distribution: str) -> str:
    done = subprocess.run(
        [python, "-I", "-c", _VERSION.format(distribution)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=clean_environment(),
    )
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.machine()


# what the page calls it: its environment and its distribution
DISTRIBUTIONS = {
    "posix_ipc": ("posix_ipc", "posix_ipc"),
    "filelock": ("filelock", "filelock"),
    "faster-fifo": ("faster_fifo", "faster-fifo"),
    "iceoryx2": ("iceoryx2", "iceoryx2"),
    "original nob.py": ("original", "nob.py"),
}
SERVER_DISTRIBUTIONS = {
    "redis-py": ("redis_py", "redis"),
    "hiredis, for all of them": ("redis_py", "hiredis"),
    "python-redis-lock": ("redis_lock", "python-redis-lock"),
    "rq": ("rq", "rq"),
    "dramatiq": ("dramatiq", "dramatiq"),
    "kombu": ("kombu", "kombu"),
    "huey": ("huey", "huey"),
}


def facts(
    pythons: dict[str, Path],
    missing: dict[str, str],
    distributions: Mapping[str, tuple[str, str]] = DISTRIBUTIONS,
) -> dict[str, str]:
    """Also why a peer is not there."""

    def version(peer: str, distribution: str) -> str:
        why = missing.get(peer)
        return f"not installed: {why}" if why else _version(pythons[peer], distribution)

    return {
        "date": time.strftime("%Y-%m-%d"),
        "processors": f"{len(os.sched_getaffinity(0))}, {_processor()}",
        "kernel": f"Linux {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "Python": platform.python_version(),
        "nob.ipc (ours)": _version(pythons["ours"], "nob.py"),
        **{title: version(*names) for title, names in distributions.items()},
    }
