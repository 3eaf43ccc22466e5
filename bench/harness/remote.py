"""Objects on a server: what is measured, the run, and its page `docs/benchmarks-server.md`."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness import environments, servers
from harness.cases import OURS, Case, Group
from harness.environments import BENCH
from harness.facts import SERVER_DISTRIBUTIONS, facts
from harness.measure import measure
from harness.names import Names
from harness.page import fill
from harness.results import Comparison, Result, Results, Spread, Timing, percentile
from harness.stages import Stages
from harness.summary import summarise
from harness.tables import Table, Tables, by_contestant, targets, time_text
from harness.workers import Workers

TEMPLATE = BENCH / "benchmarks-server.md.in"

PING = "PING"
REDIS_PY = "redis-py"
REDIS_LOCK = "python-redis-lock"
RQ = "rq"
DRAMATIQ = "dramatiq"
KOMBU = "kombu"
HUEY = "huey"
_PEERS = {
    OURS: "server_ours",
    REDIS_PY: "redis_py",
    REDIS_LOCK: "redis_lock",
    RQ: "rq",
    DRAMATIQ: "dramatiq",
    KOMBU: "kombu",
    HUEY: "huey",
    PING: "ping",
}
_SIZE = 64  # bytes of a message
_BATCH = 500  # messages: see peers/remote.py
_COROUTINES = 1000
_WAIT_MS = 5000
_DEADLINES = 100

MOST_ROUND_TRIPS = 1.3
MOST_CONNECTIONS = 2.0
MOST_THREADS = 2.0
MOST_OF_A_PROCESSOR = 2.0  # per cent, while that many wait
MOST_SERVED_S = 1.0
MOST_LATE_MS = 5.0


@dataclass(frozen=True)
class ServerCase(Case):
    """Each peer has a process for each case, so that one that hangs takes no other with it."""

    size: int = _SIZE
    limit: int = _SIZE

    def worker(self, contestant: str) -> tuple[str, ...]:
        alone = () if contestant == OURS else (self.key,)
        return _PEERS[contestant], self.placement, *alone


def _loopback() -> list[Case]:
    return [
        ServerCase(
            "send",
            "send 64 B",
            "send",
            (OURS, REDIS_PY, RQ, DRAMATIQ, KOMBU, HUEY, PING),
            {REDIS_PY: 0.90, KOMBU: 0.15, RQ: 0.25},
        ),
        ServerCase(
            "receive",
            "receive 64 B, message there",
            "receive",
            (OURS, REDIS_PY, KOMBU, HUEY, PING),
            {REDIS_PY: 0.80},
        ),
        ServerCase(
            "lock",
            "lock.acquire(); lock.release()",
            "lock_acquire_release",
            (OURS, REDIS_PY, REDIS_LOCK, PING),
            {REDIS_PY: 0.50},
        ),
        ServerCase(
            "batch",
            f"send {_BATCH} of 64 B at once, a message",
            "send_batch_of_many",
            (OURS, REDIS_PY),
            {REDIS_PY: 0.45},
            per=_BATCH,
        ),
        ServerCase(
            "round_trip",
            "64 B to another process and back",
            "queue_round_trip",
            (OURS, REDIS_PY, KOMBU),
        ),
    ]


def _delayed() -> list[Case]:
    target = {PING: MOST_ROUND_TRIPS}
    return [
        ServerCase(
            "delayed_send",
            "1 ms each way: send 64 B",
            "send",
            (OURS, REDIS_PY, RQ, DRAMATIQ, KOMBU, HUEY, PING),
            target,
        ),
        ServerCase(
            "delayed_receive",
            "1 ms each way: receive 64 B, message there",
            "receive",
            (OURS, REDIS_PY, KOMBU, HUEY, PING),
            target,
        ),
        ServerCase(
            "delayed_lock",
            "1 ms each way: acquire or release a lock, each",
            "lock_acquire_release",
            (OURS, REDIS_PY, REDIS_LOCK, PING),
            target,
            per=2,
        ),
        ServerCase(
            "delayed_round_trip",
            "1 ms each way: 64 B to another process and back",
            "queue_round_trip",
            (OURS, REDIS_PY, KOMBU),
        ),
    ]


def groups(quick: bool) -> list[Group]:
    return [
        Group(
            "loopback",
            "on a server, loopback",
            _loopback(),
            rounds=41 if quick else 151,
            sample_ms=4,
            watchdog=20,
        ),
        Group(
            "delayed",
            "on a server, 1 ms each way",
            _delayed(),
            rounds=7 if quick else 25,
            sample_ms=30,
            watchdog=20,
        ),
    ]


def waiting(workers: Workers, names: Names) -> Result:
    """A thousand coroutines that wait for messages of as many queues."""
    worker = workers.get(("server_ours", "free"))
    worker.ask("open", "waiting", "waiting", names.new(), _COROUTINES, _SIZE)
    used, connections, threads, served = worker.ask("run", "waiting", _WAIT_MS)
    worker.ask("close", "waiting", 0)

    def one(against: str, value: float, target: float, unit: str) -> Comparison:
        return Comparison(against, Spread.of([value]), target, unit)

    return Result(
        "waiting",
        "waiting",
        f"{_COROUTINES:,} coroutines wait for messages of {_COROUTINES:,} queues",
        [],
        [
            one("connections", connections, MOST_CONNECTIONS, "in all"),
            one("threads", threads, MOST_THREADS, "in all"),
            one("of a processor, waiting", used / _WAIT_MS / 1e4, MOST_OF_A_PROCESSOR, "%"),
            one(f"{_COROUTINES:,} messages to them", served / 1e9, MOST_SERVED_S, "s"),
        ],
    )


def deadline(workers: Workers, names: Names) -> Result:
    worker = workers.get(("server_ours", "free"))
    worker.ask("open", "deadline", "deadline", names.new(), 0, _SIZE)
    times = worker.ask("trace", "deadline", _DEADLINES)
    worker.ask("close", "deadline", 0)
    late = Spread.of(time / 1e6 for time in times)
    return Result(
        "deadline",
        "deadline",
        "a wait of 50 ms for a message that does not come",
        [Timing(OURS, Spread.of(times), percentile(times, 50), percentile(times, 99))],
        [Comparison("late by", late, MOST_LATE_MS, "ms")],
    )


def _times(title: str, group: str) -> Callable[[Results], Table]:
    def table(results: Results) -> Table:
        return by_contestant(
            title,
            "operation",
            results.group(group),
            tuple(_PEERS),
            lambda timing: time_text(timing.ns.median),
        )

    return table


def _round_trips(results: Results) -> Table:
    """The others' too: each time divided by that of a bare PING."""
    group = results.group("delayed")
    pings = [ping.ns.median for result in group if (ping := result.timing(PING))]

    def text(timing: Timing) -> str:
        return f"{timing.ns.median / statistics.median(pings):.2f}" if pings else ""

    others = tuple(label for label in _PEERS if label != PING)
    return by_contestant("Round trips (median)", "operation", group, others, text)


TABLES: Tables = {
    "targets": targets,
    "loopback": _times("Loopback (median)", "loopback"),
    "delayed": _times("1 ms each way (median)", "delayed"),
    "round_trips": _round_trips,
}


class ServerRun(Stages):
    """Each stage has a server of its own, which ends with it."""

    names = ("loopback", "delayed", "waiting", "deadline")
    page, tables = "benchmarks-server", TABLES

    @classmethod
    def write_page(cls, results: Results, directory: Path) -> None:
        text = fill(TEMPLATE, TABLES, results, "make bench-server")
        (directory / f"{cls.page}.md").write_text(text)

    def build(self, package: str | None) -> None:
        server = servers.version()  # there is no need to build if there is none
        with self.reporter.stage("building", 2) as advance:
            self.pythons, missing = environments.peers(environments.SERVER_PEERS)
            advance()
            self.pythons["ours"] = self.pythons["server_ours"] = environments.ours(package)
            advance()
        measured = facts(self.pythons, missing, SERVER_DISTRIBUTIONS)
        self.begin({**measured, "server": server}, missing)

    def measure(self, names: Names) -> Results:
        for group in groups(self.quick):
            self.attempt(
                group.key,
                group.title,
                len(group.cases) * (group.rounds + 1),
                lambda advance, group=group: self._rounds(group, names, advance),
            )
        for stage, title, alone in (
            ("waiting", "waiting in asyncio", waiting),
            ("deadline", "deadlines", deadline),
        ):
            self.attempt(
                stage, title, 1, lambda advance, alone=alone: self._alone(alone, names, advance)
            )
        return self.results

    def _workers(self, port: int) -> Workers:
        return Workers(self.pythons, settings=servers.settings(port))

    def _rounds(self, group: Group, names: Names, advance: Callable[[], None]) -> None:
        with ExitStack() as stack:
            port = stack.enter_context(servers.server(on_one_processor=True))
            if group.key == "delayed":
                port = stack.enter_context(servers.delayed(port))
            workers = stack.enter_context(self._workers(port))
            entrants = measure(group, workers, names, advance)
        summarise(group, entrants, self.results)

    def _alone(
        self,
        alone: Callable[[Workers, Names], Result],
        names: Names,
        advance: Callable[[], None],
    ) -> None:
        with servers.server() as port, self._workers(port) as workers:
            self.add([alone(workers, names)])
        advance()
