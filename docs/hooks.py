"""What the build of the site does beside MkDocs.

Own diagrams take the colours of the page; a page that would load anything from another host is a
warning, which ends the build.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

log = logging.getLogger("mkdocs.hooks.nob")

DIAGRAM = re.compile(
    r'<p><img alt="(?P<words>[^"]*)" src="[^"]*diagrams/(?P<file>[\w-]+\.svg)" ?/></p>'
)
STUB = Path(__file__).parent.parent / "python" / "nob" / "ipc" / "_native.pyi"

WIDE = "conformance.md"
"""The page whose table takes the place of the table of contents."""

FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'> ]*"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//[^"'> ]*"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//\S*"""
    r"""|url\(["']?(?:https?:)?//[^)]*""",
    re.IGNORECASE,
)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Put diagrams into the page itself, where its scheme reaches them."""
    if page.parent is None:
        # A page that is a tab by itself has nothing to show beside it.
        page.meta.setdefault("hide", ["navigation"])
    if page.file.src_uri == WIDE:
        page.meta.setdefault("hide", ["toc"])
    folder = Path(config.docs_dir) / "diagrams"

    def inline(match: re.Match[str]) -> str:
        svg = (folder / match["file"]).read_text(encoding="utf-8")
        return f'<figure class="diagram" role="img" aria-label="{match["words"]}">{svg}</figure>'

    return DIAGRAM.sub(inline, html)


def public_methods() -> Iterator[str]:
    """What the reference has to document: the methods of the stub's classes, as `Class.method`."""
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Named"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}"


def on_post_build(config: Any) -> None:
    """See that the site is complete, also without a network."""
    site = Path(config.site_dir)
    reference = (site / "reference" / "ipc.html").read_text(encoding="utf-8")
    for name in public_methods():
        if f'id="nob.ipc.{name}"' not in reference:
            log.warning("the reference does not document %s", name)
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        for foreign in FOREIGN.findall(path.read_text(encoding="utf-8")):
            log.warning("%s loads from another host: %s", path.relative_to(site), foreign)


class OctalModes(griffe.Extension):
    """Permission bits as the stub writes them: the syntax tree has only their value."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        for parameter in func.parameters:
            if parameter.name == "mode" and parameter.default == str(0o600):
                parameter.default = "0o600"


class Overloads(griffe.Extension):
    """Functions of which the stub has overloads alone: the first of them stands for all."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for name, overloads in cls.overloads.items():
            if overloads and name not in cls.members:
                function = overloads[0]
                function.overloads = list(overloads)
                cls.set_member(name, function)
