"""Writes docs/conformance.md: which test covers which assertion.

The numbers come from the marks of the tests in Python (`@conformance("C1")`) and from the
documentation comments of those in Rust (`/// C1: ...`). Run it after changing either.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TABLE = ROOT / "docs" / "conformance.md"
RUST = ROOT / "crates" / "nob-ipc"
SERVERS = ROOT / "crates" / "nob-ipc-redis"

SECTIONS = {
    "C": "All kinds",
    "S": "Semaphores",
    "H": "Shared memory",
    "M": "Message queues",
    "L": "Locks and bounded semaphores",
    "N": "Channels",
    "R": "Beyond one machine",
}
HEAD = """\
# What is tested where

Each assertion about the observable behaviour of the library, and the tests that hold it to it.
Tests in Python go through the public package, those in Rust through the crate. Written by
`python tests/conformance_table.py`; a test sees to it that it is current.
"""

_NUMBER = re.compile(r"\b[CSHMLNR]\d{1,2}\b")
_RUST_TEST = re.compile(
    r"^(?P<doc>(?:[ \t]*///.*\n)+)(?:[ \t]*#\[.*\]\n)*[ \t]*fn (?P<name>\w+)", re.MULTILINE
)


def python_tests() -> Iterator[tuple[str, str]]:
    """Pairs of a number and the test that is marked with it."""
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole = [
            number
            for node in tree.body
            if isinstance(node, ast.Assign) and _names(node.targets) == ["pytestmark"]
            for number in _marked(node.value)
        ]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                own = [number for mark in node.decorator_list for number in _marked(mark)]
                for number in {*whole, *own}:
                    yield number, f"`{path.relative_to(TESTS)}::{node.name}`"


def _names(targets: list[ast.expr]) -> list[str]:
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _marked(expression: ast.expr) -> list[str]:
    return [
        argument.value
        for call in ast.walk(expression)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "conformance"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    ]


def rust_tests() -> Iterator[tuple[str, str]]:
    """Pairs of a number and the test whose documentation names it."""
    for path in sorted([*RUST.glob("**/*.rs"), *SERVERS.glob("**/*.rs")]):
        shown = path.relative_to(RUST if RUST in path.parents else ROOT / "crates")
        for test in _RUST_TEST.finditer(path.read_text(encoding="utf-8")):
            if "#[test]" in test.group():
                for number in _numbers(test["doc"]):
                    yield number, f"`{shown}::{test['name']}`"


def _numbers(text: str) -> set[str]:
    """The numbers in a text, ranges such as `S28 to S30` spelt out."""
    numbers = set(_NUMBER.findall(text))
    for kind, first, last in re.findall(r"\b([CSHMLNR])(\d+) to \1(\d+)\b", text):
        numbers |= {f"{kind}{index}" for index in range(int(first), int(last) + 1)}
    return numbers


def table() -> str:
    """The whole document."""
    with open(TESTS / "assertions.toml", "rb") as file:
        data = tomllib.load(file)
    assertions, left_out = data["assertions"], data["left_out"]
    found: dict[str, list[str]] = {}
    for number, test in [*python_tests(), *rust_tests()]:
        if number not in assertions:
            raise SystemExit(f"{test} names {number}, which is no assertion")
        found.setdefault(number, []).append(test)
    lines = [HEAD]
    for kind, title in SECTIONS.items():
        lines += [f"## {title}", "", "| | assertion | tests |", "|---|---|---|"]
        for number, assertion in assertions.items():
            if number.startswith(kind):
                tests = found.get(number) or [left_out.get(number, "**none**")]
                lines.append(f"| {number} | {assertion} | {'<br>'.join(sorted(tests))} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), encoding="utf-8")
