"""`docs/benchmarks.md`: the prose of the template with the tables filled in. And the table of a
guide, between two marks."""

import re
from pathlib import Path
from string import Template

from harness.environments import BENCH
from harness.headline import sentence
from harness.results import Results
from harness.tables import TABLES, Table, Tables, choices

TEMPLATE = BENCH / "benchmarks.md.in"
_MARKED = re.compile(
    r"(<!-- bench/run\.py writes this table -->\n).*?(<!-- to here -->\n)", re.DOTALL
)


def _bare(text: str) -> str:
    return text.replace("|", "\\|")


def _markdown(table: Table) -> str:
    if not table.rows:
        return "Not measured in this run.\n"
    lines = [
        "| " + " | ".join(map(_bare, table.columns)) + " |",
        "|---|" + "---:|" * (len(table.columns) - 1),
    ]
    lines += ["| " + " | ".join(map(_bare, row)) + " |" for row in table.rows]
    return "\n".join(lines) + "\n"


def page(results: Results) -> str:
    run = "make bench-quick" if results.quick else "make bench"
    return fill(TEMPLATE, TABLES, results, run, sentence=sentence(results))


def fill(template: Path, tables: Tables, results: Results, run: str, **parts: str) -> str:
    """The text of a template with the tables, the facts and the other parts."""
    parts |= {key: _markdown(make(results)) for key, make in tables.items()}
    facts = {"run": f"`{run}`", **results.facts}
    why = "".join(f"- {text}\n" for text in results.unmeasured)
    parts["unmeasured"] = f"Not measured, and why:\n\n{why}" if why else ""
    parts["facts"] = "".join(f"- {key}: {value}\n" for key, value in facts.items())
    text = Template(template.read_text()).substitute(parts)
    return re.sub(r"\n{3,}", "\n\n", text)


def guide(text: str, results: Results) -> str:
    """The text of the guide to channels, with the table of these results."""
    table = _markdown(choices(results))
    filled, count = _MARKED.subn(lambda marks: f"{marks[1]}\n{table}\n{marks[2]}", text)
    assert count == 1, "the guide has one place for the table"
    return filled
