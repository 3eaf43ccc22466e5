"""The rounds: in each, every contestant of every case gives one sample, back to back and in
rotating order, so that what disturbs the machine disturbs all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.cases import Case, Group
from harness.names import Names
from harness.workers import Worker, WorkerError, Workers

_MOST = 50_000_000  # operations in a sample
_TRACED_MS = 2  # of round trips per sample
_WAKE_UPS = 30  # per sample; each takes a quarter of a millisecond


@dataclass
class Entrant:
    """A contestant of a case, at work."""

    case: Case
    label: str
    worker: Worker
    key: str
    watchdog: float
    n: int = 1
    samples: dict[int, float] = field(default_factory=dict)  # ns of an operation, by round
    processor: dict[int, float] = field(default_factory=dict)  # the same, of processor time
    traced: list[int] = field(default_factory=list)
    failure: str | None = None

    def ask(self, verb: str, *words: object) -> list[int]:
        return self.worker.ask(verb, self.key, *words, within=self.watchdog)

    def open(self, name: str) -> None:
        self.ask("open", self.case.operation_of(self.label), name, self.case.size, self.case.limit)

    def calibrate(self, sample_ns: float) -> None:
        """Finds the `n` that takes about `sample_ns`. What the first operation sets up does not
        count, nor does a moment in which something else ran."""
        if not self.case.run:
            self.n = _WAKE_UPS
            self.ask("trace", self.n)
            return
        self.ask("run", 1)
        while True:
            elapsed = max(1, min(self.ask("run", self.n)[0] for _ in range(2)))
            if elapsed >= sample_ns / 4:
                break
            self.n = min(_MOST, self.n * min(20, max(2, int(sample_ns / elapsed / 2))))
        self.n = max(1, min(_MOST, round(self.n * sample_ns / elapsed)))

    def sample(self, round_number: int) -> None:
        if self.case.run:
            elapsed, *used = self.ask("run", self.n)
            each = elapsed / self.n / self.case.per
            self.samples[round_number] = each
            if used:
                self.processor[round_number] = used[0] / self.n / self.case.per
            if self.case.trace:
                count = max(10, min(2000, int(_TRACED_MS * 1e6 / each)))
                self.traced += self.ask("trace", count)
        else:
            times = sorted(self.ask("trace", self.n))
            self.samples[round_number] = times[len(times) // 2]
            self.traced += times

    def close(self) -> None:
        self.ask("close", 0)

    def attempt(self, step: Callable[..., None], *args: object) -> None:
        """A contestant that fails is out, and the others go on."""
        if self.failure is None:
            try:
                step(*args)
            except WorkerError as error:
                self.failure = str(error)


def rotated(entrants: Sequence[Entrant], by: int) -> list[Entrant]:
    by %= len(entrants)
    return [*entrants[by:], *entrants[:by]]


def measure(
    group: Group, workers: Workers, names: Names, advance: Callable[[], None]
) -> list[list[Entrant]]:
    """The contestants with their samples, by case."""
    cases = [
        [
            Entrant(
                case, label, workers.get(case.worker(label)), f"{case.key}.{number}", group.watchdog
            )
            for number, label in enumerate(case.contestants)
            if case.worker(label)[0] in workers.peers
        ]
        for case in group.cases
    ]
    for case in cases:
        for entrant in case:
            entrant.attempt(entrant.open, names.new())
            entrant.attempt(entrant.calibrate, group.sample_ms * 1e6)
        advance()
    for round_number in range(group.rounds):
        for case in cases:
            for entrant in rotated(case, round_number):
                entrant.attempt(entrant.sample, round_number)
            advance()
    for case in cases:
        for entrant in case:
            entrant.attempt(entrant.close)
    return cases
