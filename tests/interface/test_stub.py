"""The stub says what the native module says: an editor and help() agree."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import nob.ipc
from nob.ipc import _native

STUB = Path(nob.ipc.__file__).with_name("_native.pyi")


def documented(nodes: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names of what has a docstring, and that; special methods have Python's own."""
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("__"):
            if words := ast.get_docstring(node):
                yield prefix + node.name, words
            if isinstance(node, ast.ClassDef):
                yield from documented(node.body, f"{prefix}{node.name}.")


DOCUMENTED = dict(documented(ast.parse(STUB.read_text(encoding="utf-8")).body))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_first_lines_agree(name: str) -> None:
    native: object = _native
    for part in name.split("."):
        native = inspect.getattr_static(native, part)
    if isinstance(native, classmethod):
        native = native.__func__
    words = inspect.getdoc(native)
    assert words
    assert words.splitlines()[0] == DOCUMENTED[name].splitlines()[0]


def test_all_that_is_public_is_in_the_stub() -> None:
    for cls in (nob.ipc.NamedSemaphore, nob.ipc.NamedSharedMemory, nob.ipc.NamedMessageQueue):
        for base in cls.__mro__[:-1]:
            public = {f"{base.__name__}.{name}" for name in vars(base) if not name.startswith("_")}
            assert public <= DOCUMENTED.keys()
