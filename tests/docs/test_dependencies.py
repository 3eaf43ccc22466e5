"""docs/dependencies.md names every dependency, and no other."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def read(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def names(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w-]", requirement, maxsplit=1)[0] for requirement in requirements}


def documented() -> list[set[str]]:
    """The first column of both tables."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    tables = text.split("\n## ")[1:3]
    return [set(re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE)) for table in tables]


def test_every_dependency_is_documented() -> None:
    delivered, needed = set[str](), set[str]()
    for crate in read("Cargo.toml")["workspace"]["members"]:
        manifest = read(f"{crate}/Cargo.toml")
        delivered |= manifest.get("dependencies", {}).keys()
        needed |= manifest.get("dev-dependencies", {}).keys()
    project = read("pyproject.toml")
    delivered |= names(project["project"]["dependencies"])
    for group in project["dependency-groups"].values():
        needed |= names(requirement for requirement in group if isinstance(requirement, str))
    # The same crate with another feature is not another one.
    assert documented() == [delivered, needed - delivered]
