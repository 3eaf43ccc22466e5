"""The run from the command line to the written page."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from harness import alone, cases, environments, plot
from harness.console import Reporter
from harness.environments import HOME, ROOT, BuildError
from harness.facts import facts
from harness.measure import measure
from harness.names import Names
from harness.page import guide, page
from harness.results import Result, Results
from harness.summary import summarise
from harness.workers import WorkerError, Workers, busy_loops

DOCS = ROOT / "docs"
GUIDE = DOCS / "guides" / "channels.md"
STAGES = (
    "targets",
    "locks",
    "channels",
    "flows",
    "busy",
    "messages",
    "segments",
    "crowds",
    "import",
    "rust",
    "deaths",
    "growth",
    "idle",
    "coroutines",
)


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python bench/run.py", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="about three minutes; the page goes to .bench/quick instead of docs",
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="measure nothing: write the page again from docs/benchmarks.json",
    )
    parser.add_argument(
        "--package",
        metavar="WHEEL",
        help="measure this wheel, or this requirement of pip, instead of a build of this tree",
    )
    parser.add_argument(
        "--only",
        metavar="STAGE",
        choices=STAGES,
        action="append",
        help="measure this only, and write nothing; may be repeated: " + ", ".join(STAGES),
    )
    return parser.parse_args(words)


def _write(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "benchmarks.json").write_text(results.to_json())
    # From what was written, so that `--render` makes the same page.
    results = Results.from_json(results.to_json())
    (directory / "benchmarks.md").write_text(page(results))
    plot.write(results, directory)
    here = GUIDE if directory == DOCS else directory / GUIDE.name
    here.write_text(guide(GUIDE.read_text(), results))


class Run:
    def __init__(self, quick: bool, only: Sequence[str], reporter: Reporter) -> None:
        self.quick, self.only, self.reporter = quick, only, reporter

    def build(self, package: str | None) -> None:
        with self.reporter.stage("building", 3) as advance:
            pythons, missing = environments.peers()
            advance()
            pythons["ours"] = pythons["ours_queue"] = environments.ours(package)
            advance()
            self.pythons, self.raw = pythons, environments.raw()
            advance()
        self.results = Results(self.quick, facts(pythons, missing))
        self.results.unmeasured += [
            f"{peer}: it could not be installed: {why}" for peer, why in missing.items()
        ]

    def attempt(self, stage: str, title: str, total: int, step: Callable[..., None]) -> None:
        """One stage that fails does not take the others with it."""
        if stage not in self.only:
            return
        with self.reporter.stage(title, total) as advance:
            try:
                step(advance)
            except (WorkerError, BuildError) as error:
                self.results.failures.append(f"{title}: {error}")

    def add(self, results: Sequence[Result]) -> None:
        self.results.results += results

    def measure(self, names: Names) -> Results:
        with Workers(self.pythons, self.raw) as workers:
            for group in cases.groups(self.quick):

                def in_rounds(advance: Callable[[], None], group: cases.Group = group) -> None:
                    with busy_loops() if group.busy else nullcontext():
                        entrants = measure(group, workers, names, advance)
                    summarise(group, entrants, self.results)

                self.attempt(
                    group.key, group.title, len(group.cases) * (group.rounds + 1), in_rounds
                )
            times = 15 if self.quick else 60
            self.attempt(
                "import",
                "import",
                times,
                lambda advance: self.add([alone.imports(self.pythons, times, advance)]),
            )
            rounds = 100 if self.quick else 400
            self.attempt("rust", "the Rust crate", 1, lambda _: self.add(alone.rust(rounds)))
            kills = 15 if self.quick else 40
            self.attempt(
                "deaths",
                "locks of processes that were killed",
                alone.DEATHS,
                lambda advance: self.add(alone.deaths(workers, names, kills, advance)),
            )
            self.attempt(
                "growth",
                "growth of memory",
                alone.KINDS,
                lambda advance: self.add(alone.growth(workers, names, self.quick, advance)),
            )
            self.attempt("idle", "waiting", 1, lambda _: self.add(alone.idle(workers, names)))
            self.attempt(
                "coroutines",
                "waiting in asyncio",
                1,
                lambda _: self.add([alone.coroutines(workers, names)]),
            )
        return self.results


def main(words: Sequence[str]) -> int:
    arguments, reporter = _arguments(words), Reporter()
    if arguments.render:
        _write(Results.from_json((DOCS / "benchmarks.json").read_text()), DOCS)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = Names()
    try:
        run = Run(arguments.quick, arguments.only or STAGES, reporter)
        run.build(arguments.package)
        results = run.measure(names)
    except BuildError as error:
        reporter.say(str(error), "bold red")
        return 1
    except KeyboardInterrupt:
        reporter.say("interrupted: nothing is written")
        return 130
    finally:
        names.sweep()
    reporter.show(results)
    if not arguments.only:
        directory = HOME / "quick" if arguments.quick else DOCS
        _write(results, directory)
        reporter.say(f"written: {directory.relative_to(ROOT)}/benchmarks.md, .svg, .json")
    return 1 if results.failures else 0
