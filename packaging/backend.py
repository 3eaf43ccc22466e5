"""Builds the package: maturin, and the command nob-ipc as a program of its own in the same wheel.

maturin makes a wheel of a native module or of programs, not of both. So it is asked for two, and
the programs of the second are put into the first. pyproject.toml names this as the build backend.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

COMMAND = Path("crates", "nob-ipc-cli", "Cargo.toml")

ADDED = re.compile(r"\.data/scripts/|\.dist-info/sboms/")
"""What is taken of the wheel of programs: these, and the lists of what they are made of."""

Settings = Mapping[str, Any] | None


def build_wheel(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """The wheel, with the command in it."""
    return with_command(folder, settings, maturin.build_wheel(folder, settings, metadata))


def build_editable(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """The wheel that leads to this source tree, with the command in it."""
    return with_command(folder, settings, maturin.build_editable(folder, settings, metadata))


def with_command(folder: str, settings: Settings, name: str) -> str:
    """Build the command as the module was built, and put it into that wheel."""
    arguments = maturin.get_maturin_pep517_args(settings)
    if "--" in arguments:
        # What follows is for the linker of the module.
        arguments = arguments[: arguments.index("--")]
    if "--compatibility" not in arguments:
        # As maturin has it for the module: the wheel is for this machine.
        arguments = ["--compatibility", "off", *arguments]
    with tempfile.TemporaryDirectory() as other:
        build = ["maturin", "build", "--manifest-path", str(COMMAND), "--bindings", "bin"]
        # What this process prints may be read: the name of the wheel, last.
        subprocess.run([*build, "--out", other, *arguments], stdout=sys.stderr, check=True)
        [programs] = Path(other).glob("*.whl")
        add_programs(Path(folder, name), programs)
    return name


def add_programs(wheel: Path, programs: Path) -> None:
    """Copy them from one wheel into another."""
    with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
        new = Path(folder, wheel.name)
        with (
            zipfile.ZipFile(wheel) as old,
            zipfile.ZipFile(programs) as other,
            zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            entries = [(old, entry) for entry in old.infolist()]
            [place] = [index for index, (_, entry) in enumerate(entries) if is_record(entry)]
            _, record = entries.pop(place)
            added = [entry for entry in other.infolist() if ADDED.search(entry.filename)]
            assert added, f"{programs} holds no program"
            entries += [(other, entry) for entry in added]
            lines = io.StringIO()
            writer = csv.writer(lines, lineterminator="\n")
            for source, entry in entries:
                content = source.read(entry)
                archive.writestr(entry, content)
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
                hashed = f"sha256={digest.rstrip(b'=').decode()}"
                writer.writerow([entry.filename, hashed, len(content)])
            writer.writerow([record.filename, "", ""])
            archive.writestr(record, lines.getvalue())
        new.replace(wheel)


def is_record(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(".dist-info/RECORD")
