"""Looks at the system past the library: descriptors, mappings, marks, limits."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534

RANDOM = re.compile(r"(^|[/.])nob-[0-9a-f]{32}$")
"""How the names end that the library makes."""

# Before glibc 2.34 the queues were in librt; libc comes with it.
libc = ctypes.CDLL("librt.so.1", use_errno=True)


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they refer to, without what is garbage: that of
    an earlier test may be collected at any moment."""
    gc.collect()
    return all_descriptors()


def all_descriptors() -> dict[int, str]:
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return {number: what for number, what in found.items() if "/proc/" not in what}


def made_by(pid: int) -> set[str]:
    """The files of /dev/shm that are marked as made by the process, and not yet removed by it."""
    made = set()
    for entry in os.listdir("/dev/shm"):
        with contextlib.suppress(OSError):
            mark = os.getxattr(f"/dev/shm/{entry}", "user.nob-ipc")
            if int(mark.split()[1]) == pid:
                made.add(entry)
    return made


def record_directories() -> list[Path]:
    """Where the records of queues are that this user's processes were due to unlink."""
    user = os.geteuid()
    directories = Path(f"/run/user/{user}/nob-ipc"), Path(f"/tmp/nob-ipc-{user}")
    return [directory for directory in directories if directory.is_dir()]


def records() -> Iterator[Path]:
    for directory in record_directories():
        yield from directory.iterdir()


def records_of(names: str) -> list[Path]:
    """Those of queues whose names begin so, or that this process has not finished."""
    found = []
    for record in records():
        with contextlib.suppress(FileNotFoundError):
            unfinished = record.name.startswith(f"new-{os.getpid()}-")
            if unfinished or record.read_bytes().partition(b"\n")[2].startswith(names.encode()):
                found.append(record)
    return found


def forget_unfinished(pid: int) -> None:
    """Removes the records that a process was writing when it was killed; nobody knows of what."""
    for record in records():
        if record.name.startswith(f"new-{pid}-"):
            record.unlink(missing_ok=True)


def members(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        # Processes come and go.
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(int(entry)) == group:
                found.append(int(entry))
    return found


def remove_random_names_of(*pids: int) -> None:
    """Removes what processes that were killed have left under names that they did not choose.

    Others are the test's own, which removes them itself, or looks at them.
    """
    for entry in {entry for pid in pids for entry in made_by(pid)}:
        if RANDOM.search(entry):
            os.unlink(f"/dev/shm/{entry}")
    for record in records():
        with contextlib.suppress(FileNotFoundError):
            mark, _, name = record.read_bytes().strip().partition(b"\n")
            # One that another process is writing at this moment is empty.
            version, made_by_pid = [*mark.split(), b"", b""][:2]
            if version == b"2" and int(made_by_pid) in pids and RANDOM.search(name.decode()):
                libc.mq_unlink(name)
                record.unlink()


def mappings(file: int) -> int:
    """How often this process has mapped the file with this inode of /dev/shm."""
    device = os.stat("/dev/shm").st_dev
    where = f"{os.major(device):02x}:{os.minor(device):02x} {file} "
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum(where in line for line in maps)


def sysctl(limit: str) -> int:
    """A limit of message queues, such as msg_max."""
    with open(f"/proc/sys/fs/mqueue/{limit}", encoding="ascii") as file:
        return int(file.read())
