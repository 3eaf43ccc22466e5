"""Writes the docstrings of the stub, `_native.pyi`: they are those of the native module.

Run it after building a module with other docstrings; with --check, it only says which differ.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nob.ipc
from nob.ipc import _native

STUB = Path(nob.ipc.__file__).with_name("_native.pyi")

Documented = ast.ClassDef | ast.FunctionDef


def documented(
    nodes: list[ast.stmt], owner: object = _native, prefix: str = ""
) -> Iterator[tuple[str, Documented, str]]:
    """What has a docstring in the stub: its dotted name, the node, and the native docstring."""
    for node in nodes:
        if not isinstance(node, Documented):
            continue
        if ast.get_docstring(node):
            yield prefix + node.name, node, native_docstring(owner, node.name)
        if isinstance(node, ast.ClassDef) and hasattr(owner, node.name):
            yield from documented(node.body, getattr(owner, node.name), f"{prefix}{node.name}.")


def native_docstring(owner: object, name: str) -> str:
    """The docstring of an attribute, without asking a property for its value."""
    native = inspect.getattr_static(owner, name)
    return inspect.getdoc(native.__func__ if isinstance(native, classmethod) else native) or ""


def with_native_docstrings(text: str) -> str:
    """The stub with the docstrings of the native module."""
    lines = text.splitlines()
    for _, node, words in reversed(list(documented(ast.parse(text).body))):
        old = node.body[0]
        quoted = f'"""{words}\n"""' if "\n" in words else f'"""{words}"""'
        indented = textwrap.indent(quoted, " " * old.col_offset)
        lines[old.lineno - 1 : old.end_lineno] = indented.splitlines()
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the stub, or say where it differs."""
    text = STUB.read_text(encoding="utf-8")
    if sys.argv[1:] != ["--check"]:
        STUB.write_text(with_native_docstrings(text), encoding="utf-8")
        return
    differ = [
        name
        for name, node, words in documented(ast.parse(text).body)
        if ast.get_docstring(node) != words
    ]
    if differ:
        sys.exit(f"{STUB}: not the native docstrings: {', '.join(differ)}; run {sys.argv[0]}")


if __name__ == "__main__":
    main()
