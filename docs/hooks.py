"""What the build of the site does beside MkDocs.

Each page says the version, and where the repository is. Own diagrams take the colours of the page.
A page that would load anything from another host is a warning, which ends the build.
"""

from __future__ import annotations

import ast
import logging
import re
import tomllib
from pathlib import Path
from typing import Any

import griffe

log = logging.getLogger("mkdocs.hooks.nob")

ROOT = Path(__file__).parent.parent
STUB = ROOT / "python" / "nob" / "ipc" / "_native.pyi"
PACKAGE = ROOT / "python" / "nob" / "ipc" / "__init__.py"

DIAGRAM = re.compile(r'<p><img alt="(?P<words>[^"]*)" src="(?P<path>[^":]*\.svg)" ?/></p>')

MANUAL = re.compile(r"\b(?P<page>[a-z]\w+)\((?P<section>[2-8])\)")
"""A page of the Linux manual, as docstrings name it."""

NOT_TEXT = re.compile(r"(<(pre|code|a|h[1-6]|svg)\b.*?</\2>|<[^>]*>)", re.DOTALL)

CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)

CELL_CODE = re.compile(r"(?<=<code>)[^<]*(?=</code>)")
"""What is in a cell of a table, as code."""

JOINT = re.compile(r"(?<=\w\w)(?:[._/=(]|::)(?=\w{3})|(?<=\w)(?=\[)|\](?=\[)")
"""Where a long word of code can end a line: behind a dot or an underscore, before a bracket."""

TEST = re.compile(r"\.(?:py|rs)::")

OPTION = re.compile(r"<code>(?=[^<\s]*-)([^<\s]{1,20})</code>")
"""A short word of code with a hyphen, where a browser would end the line."""

WIDE = {"index.md", "conformance.md"}
"""Pages whose tables and columns take the place of the table of contents."""

FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'> ]*"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//[^"'> ]*"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//\S*"""
    r"""|url\(["']?(?:https?:)?//[^)]*""",
    re.IGNORECASE,
)


def on_config(config: Any) -> Any:
    """The version is that of the crates; so is the repository, as soon as Cargo.toml names one."""
    package = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"][
        "package"
    ]
    config.site_name = f"nob.ipc {package['version']}"
    words = [config.site_name]
    if repository := package.get("repository"):
        config.repo_url = repository
        config.repo_name = "Repository"
        words.append(f'<a href="{repository}">Repository</a>')
    config.copyright = " · ".join([*words, config.copyright])
    return config


def with_manual_pages(html: str) -> str:
    """Links to the pages of the Linux manual that a text names, outside of code and links."""

    def link(match: re.Match[str]) -> str:
        page, section = match["page"], match["section"]
        address = f"https://man7.org/linux/man-pages/man{section}/{page}.{section}.html"
        return f'<a href="{address}">{match[0]}</a>'

    # The pattern has two groups: text, a tag or what is left alone, the name of the tag, text, ...
    parts = NOT_TEXT.split(html)
    parts[::3] = [MANUAL.sub(link, text) for text in parts[::3]]
    parts[2::3] = [""] * len(parts[2::3])
    return "".join(parts)


def with_joints(html: str) -> str:
    """Let long names in tables end a line, where extra.css lets them: on a phone.

    What names a test stays whole: the column of tests is looked things up in, and scrolls.
    """

    def joints(match: re.Match[str]) -> str:
        return match[0] if TEST.search(match[0]) else JOINT.sub(r"\g<0><wbr>", match[0])

    def cell(match: re.Match[str]) -> str:
        return CELL_CODE.sub(joints, match[0])

    return CELL.sub(cell, html)


def with_whole_options(html: str) -> str:
    """Keep `--at` and `nob-ipc` on one line."""
    return OPTION.sub(r'<code class="whole">\1</code>', html)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Put diagrams into the page itself, where its scheme reaches them."""
    if page.parent is None:
        # A page that is a tab by itself has nothing to show beside it.
        page.meta.setdefault("hide", []).append("navigation")
    if page.file.src_uri in WIDE:
        page.meta.setdefault("hide", []).append("toc")
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def inline(match: re.Match[str]) -> str:
        path = folder / match["path"]
        svg = path.read_text(encoding="utf-8")
        kind = "plot" if path.parent == Path(config.docs_dir) else "diagram"
        return f'<figure class="{kind}" role="img" aria-label="{match["words"]}">{svg}</figure>'

    html = with_manual_pages(DIAGRAM.sub(inline, html))
    return with_whole_options(with_joints(html))


def public_names() -> set[str]:
    """What the reference has to document: all that is public, and the methods of the classes."""
    names = set[str]()
    for node in ast.parse(PACKAGE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names.update(ast.literal_eval(node.value))
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    names.add(f"{node.name}.{method.name}")
    return names


def on_post_build(config: Any) -> None:
    """See that the site is complete, also without a network."""
    site = Path(config.site_dir)
    pages = sorted((site / "reference").glob("*.html"))
    reference = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name in sorted(public_names()):
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


class Members(griffe.Extension):
    """The members of a class as a reader looks for them: its own before those of all kinds.

    Where the stub has overloads alone, the first of them stands for all.
    """

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for name, overloads in cls.overloads.items():
            if overloads and name not in cls.members:
                function = overloads[0]
                function.overloads = list(overloads)
                cls.set_member(name, function)
        own = sorted(cls.members.values(), key=lambda member: member.lineno or 0)
        cls.members = {member.name: member for member in own}
        if any(str(base) == "_Named" for base in cls.bases):
            for name, member in cls.module.members["_Named"].members.items():
                if name not in cls.members:
                    cls.set_member(name, griffe.Alias(name, member, parent=cls, inherited=True))
