"""Whatever way a queue's name goes, its record goes as well."""

import os
import sys
from pathlib import Path

from nob.ipc import Flags, NamedMessageQueue

MADE: set[str] = set()
FOLDERS = Path(f"/run/user/{os.getuid()}/nob-ipc"), Path(f"/tmp/nob-ipc-{os.getuid()}")


def records() -> list[Path]:
    found = [file for folder in FOLDERS if folder.is_dir() for file in folder.iterdir()]
    return [file for file in found if file.is_file() and _text(file).partition("\n")[2] in MADE]


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def new() -> NamedMessageQueue:
    queue = NamedMessageQueue(None, 1, 8, handle_existence=Flags.RAISE_IF_EXISTS)
    MADE.add(queue.name)
    return queue


for turn in range(20):
    queue = new()
    NamedMessageQueue.unlink_name(queue.name)
    queue.unlink_on_delete = False
    queue.unlink_on_delete = True
    queue = new()
    NamedMessageQueue(queue.name).unlink()
    queue.unlink_on_delete = bool(turn % 2)
    queue = new()
    NamedMessageQueue(queue.name, 1, 8, handle_existence=Flags.UNLINK_AND_CREATE)
    queue.close()
    queue.unlink_on_delete = False
    queue.unlink_on_delete = True
    queue = new()
    queue.unlink_on_delete = False
    queue.unlink()
    del queue
if left := records():
    sys.exit(f"{len(left)} records are left, such as {_text(left[0])!r}")
