"""What every run has: stages, of which one that fails does not take the others with it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from harness.console import Reporter
from harness.environments import BuildError
from harness.names import Names
from harness.results import Result, Results
from harness.tables import Tables
from harness.workers import WorkerError


class Stages:
    names: ClassVar[Sequence[str]]
    page: ClassVar[str]  # without what tells the kind of file
    tables: ClassVar[Tables]

    def __init__(self, quick: bool, only: Sequence[str], reporter: Reporter) -> None:
        self.quick, self.only, self.reporter = quick, only or self.names, reporter

    def build(self, package: str | None) -> None:
        raise NotImplementedError

    def measure(self, names: Names) -> Results:
        raise NotImplementedError

    @classmethod
    def write_page(cls, results: Results, directory: Path) -> None:
        raise NotImplementedError

    @classmethod
    def write(cls, results: Results, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{cls.page}.json").write_text(results.to_json())
        # From what was written, so that `--render` makes the same page.
        cls.write_page(Results.from_json(results.to_json()), directory)

    def begin(self, facts: dict[str, str], missing: Mapping[str, str]) -> None:
        self.results = Results(self.quick, facts)
        self.results.unmeasured += [
            f"{peer}: it could not be installed: {why}" for peer, why in missing.items()
        ]

    def attempt(self, stage: str, title: str, total: int, step: Callable[..., None]) -> None:
        if stage not in self.only:
            return
        with self.reporter.stage(title, total) as advance:
            try:
                step(advance)
            except (WorkerError, BuildError) as error:
                self.results.failures.append(f"{title}: {error}")

    def add(self, results: Sequence[Result]) -> None:
        self.results.results += results
