"""The run from the command line to the written page."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from harness import alone, cases, environments, plot
from harness.console import Reporter
from harness.environments import DOCS, HOME, ROOT, BuildError
from harness.facts import facts
from harness.measure import measure
from harness.names import Names
from harness.page import guide, page
from harness.remote import ServerRun
from harness.results import Results
from harness.stages import Stages
from harness.summary import summarise
from harness.tables import TABLES
from harness.workers import Workers, busy_loops

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
        "--server",
        action="store_true",
        help="measure objects on a server instead, for less than three minutes",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds, about three minutes without --server; the page goes to .bench/quick "
        "instead of docs",
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="measure nothing: write the page again from its numbers in docs",
    )
    parser.add_argument(
        "--package",
        metavar="WHEEL",
        help="measure this wheel, or this requirement of pip, instead of a build of this tree",
    )
    parser.add_argument(
        "--only",
        metavar="STAGE",
        choices=(*STAGES, *ServerRun.names),
        action="append",
        help="measure this only, and write nothing; may be repeated: "
        + ", ".join(STAGES)
        + "; with --server: "
        + ", ".join(ServerRun.names),
    )
    arguments = parser.parse_args(words)
    arguments.kind = ServerRun if arguments.server else Run
    for stage in arguments.only or ():
        if stage not in arguments.kind.names:
            parser.error(
                f"{stage} is measured {'without' if arguments.server else 'with'} --server"
            )
    return arguments


class Run(Stages):
    names, page, tables = STAGES, "benchmarks", TABLES

    @classmethod
    def write_page(cls, results: Results, directory: Path) -> None:
        (directory / "benchmarks.md").write_text(page(results))
        plot.write(results, directory)
        here = GUIDE if directory == DOCS else directory / GUIDE.name
        here.write_text(guide(GUIDE.read_text(), results))

    def build(self, package: str | None) -> None:
        with self.reporter.stage("building", 3) as advance:
            pythons, missing = environments.peers()
            advance()
            pythons["ours"] = pythons["ours_queue"] = environments.ours(package)
            advance()
            self.pythons, self.raw = pythons, environments.raw()
            advance()
        self.begin(facts(pythons, missing), missing)

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
        written = DOCS / f"{arguments.kind.page}.json"
        arguments.kind.write(Results.from_json(written.read_text()), DOCS)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = Names()
    try:
        run: Stages = arguments.kind(arguments.quick, arguments.only, reporter)
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
    reporter.show(results, run.tables)
    if not arguments.only:
        directory = HOME / "quick" if arguments.quick else DOCS
        run.write(results, directory)
        reporter.say(f"written: {directory.relative_to(ROOT)}/{run.page}.md and what belongs to it")
    return 1 if results.failures else 0
