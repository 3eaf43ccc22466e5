"""ARCHITECTURE.md is the map of the code as it is: each file is in it, what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

FOLDERS = (
    "crates/nob-ipc/src",
    "crates/nob-ipc-python/src",
    "crates/nob-ipc-cli/src",
    "crates/nob-ipc-redis/src",
    "python/nob",
)
SECTION = re.compile(r"^##+ .*?`([^`]+)`$(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| (`[^|]*) \|", re.MULTILINE)
FILE = re.compile(r"`([\w./-]+\.(?:rs|py|pyi|md|txt|toml))`")
NAME = re.compile(r"`(\w+)::(\w+)`")
ORDERED = (
    "crates/nob-ipc/src",
    "crates/nob-ipc-python/src",
    "crates/nob-ipc-cli/src",
    "crates/nob-ipc-redis/src",
)
"""The crates whose tables list the files from above to below."""
PATH = re.compile(r"\b(crate|super)(?=::)((?:::\w+)*)(?:::\{([^}]*)\})?")
UNIT_TESTS = ROOT / "crates/nob-ipc/src/fault_tests"
ENTRIES = {"mod.rs", "__init__.py"}
"""What a folder is entered by, which is described with the folder."""


def listed() -> list[Path]:
    """The files in the first columns of the tables below the headings that name a folder."""
    return [
        ROOT / folder / file
        for folder, section in SECTION.findall(TEXT)
        for row in ROW.findall(section)
        for file in FILE.findall(row)
    ]


def sources(folder: str) -> list[Path]:
    files = [*(ROOT / folder).rglob("*.rs"), *(ROOT / folder).rglob("*.py*")]
    return [file for file in files if file.suffix in {".rs", ".py", ".pyi"}]


def test_what_the_tables_list_is_there() -> None:
    assert [file for file in listed() if not file.is_file()] == []
    assert len(listed()) == len(set(listed()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_source_file_is_listed(folder: str) -> None:
    known = set(listed())
    files = [file for file in sources(folder) if file.name not in ENTRIES]
    assert files
    assert [str(file.relative_to(ROOT)) for file in files if file not in known] == []


def test_paths_in_the_text_lead_somewhere() -> None:
    places = [ROOT, *(ROOT / folder for folder in FOLDERS)]
    places += [folder for place in places[1:] for folder in place.rglob("*") if folder.is_dir()]
    places += [folder for folder in ROOT.glob("crates/*/tests/**/") if folder.is_dir()]
    missing = [
        file for file in FILE.findall(TEXT) if not any((place / file).is_file() for place in places)
    ]
    assert missing == []


def test_functions_in_the_text_are_defined() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in sources("crates"))
    functions = {function for owner, function in NAME.findall(TEXT) if owner != "Python"}
    assert functions
    assert [name for name in functions if not re.search(rf"\b(?:const|fn) {name}\b", code)] == []


def imports(root: Path, file: Path) -> set[Path]:
    """The files and folders of a crate that a file of it names, unit tests apart."""
    code = re.sub(r"//.*", "", file.read_text(encoding="utf-8"))
    code, _, _ = code.partition("#[cfg(test)]\nmod tests {")
    above = file.parent.parent if file.name == "mod.rs" else file.parent
    found = set()
    for start, path, several in PATH.findall(code):
        for name in several.split(",") if several else [""]:
            place = root if start == "crate" else above
            for part in [*path.split("::"), *name.strip().split("::")]:
                inside = next(filter(Path.exists, (place / part, place / f"{part}.rs")), None)
                if inside is None:
                    break
                place = inside
            found.add(root / "lib.rs" if place == root else place)
    return found


@pytest.mark.parametrize("crate", ORDERED)
def test_a_file_uses_only_what_the_tables_have_below(crate: str) -> None:
    root = ROOT / crate
    known = [file for file in listed() if root in file.parents and file.parent != UNIT_TESTS]
    files = {file: place for place, file in enumerate(known)}
    places = {file.parent: place for file, place in reversed(files.items())} | files
    folders = set(places) - set(files) - {root}
    # The file by which a folder is entered may use all of it, and all of it may use that file.
    entries = {folder / "mod.rs": places[folder] for folder in folders}
    upward = [
        f"{file.relative_to(root)} uses {used.relative_to(root)}"
        for file, place in (entries | files).items()
        for used in imports(root, file)
        if used not in (file, *file.parents)
        and not (file.name == "mod.rs" and file.parent in used.parents)
        and places[used] <= place
    ]
    assert len(files) > len(folders) > 1
    assert upward == []
