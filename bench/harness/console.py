"""What the person at the terminal sees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from harness.results import Results
from harness.tables import TABLES, Table, Tables

_STYLES = {"met": "green", "missed": "bold red"}


def _rich(table: Table) -> RichTable:
    rich = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(table.columns):
        rich.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        rich.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return rich


class Reporter:
    def __init__(self) -> None:
        self.console = Console()
        if not self.console.is_terminal:
            self.console.width = 160  # a log is not folded

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Shows how far a stage is; the block calls what it gets after each of `total` steps."""
        if not self.console.is_terminal:
            self.console.print(f"{title} ...")
            yield lambda: None
            return
        columns = (
            TextColumn("{task.description:28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def show(self, results: Results, tables: Tables = TABLES) -> None:
        for make in tables.values():
            table = make(results)
            if table.rows:
                self.console.print(_rich(table))
        for text in results.unmeasured:
            self.say(f"not measured: {text}", "yellow")
        for failure in results.failures:
            self.say(f"failed: {failure}", "bold red")
