"""What came out, as plain data: what the reports are made of and what `benchmarks.json` keeps."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

TIMES = "\N{MULTIPLICATION SIGN}"
PROCESSOR = ", processor time"  # of a comparison that is not of elapsed time


@dataclass(frozen=True)
class Spread:
    """The median of many values, and where the middle four fifths of them lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        values = list(values)
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        tenths = statistics.quantiles(values, n=10, method="inclusive")
        return cls(statistics.median(values), tenths[0], tenths[-1])


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Timing:
    """A contestant's time for one operation, in nanoseconds."""

    label: str
    ns: Spread
    p50: float | None = None
    p99: float | None = None
    processor_ns: float | None = None  # of all processes that took part
    worst: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A value that may have a target: the ratio to a contestant, unless `unit` says otherwise."""

    against: str
    value: Spread
    target: float | None = None
    unit: str = TIMES

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value.median <= self.target


@dataclass(frozen=True)
class Result:
    """A case and what came of it."""

    key: str
    group: str
    title: str
    timings: Sequence[Timing] = ()
    comparisons: Sequence[Comparison] = ()

    def timing(self, label: str) -> Timing | None:
        return next((timing for timing in self.timings if timing.label == label), None)


@dataclass
class Results:
    quick: bool
    facts: dict[str, str]  # the machine and the versions
    results: list[Result] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)  # of others, and why

    def group(self, group: str) -> list[Result]:
        return [result for result in self.results if result.group == group]

    def to_json(self) -> str:
        """One result a line."""
        data = _rounded(asdict(self))
        results = [json.dumps(result, ensure_ascii=False) for result in data.pop("results")]
        head = json.dumps(data, indent=1, ensure_ascii=False).removesuffix("\n}")
        return head + ',\n "results": [\n  ' + ",\n  ".join(results) + "\n ]\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        data = json.loads(text)
        data["results"] = [_result(result) for result in data["results"]]
        return cls(**data)


def _rounded(value: Any) -> Any:
    """Four significant digits: more would be noise in the diff."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _result(data: dict[str, Any]) -> Result:
    timings = [Timing(**{**timing, "ns": Spread(**timing["ns"])}) for timing in data["timings"]]
    comparisons = [
        Comparison(**{**comparison, "value": Spread(**comparison["value"])})
        for comparison in data["comparisons"]
    ]
    return Result(**{**data, "timings": timings, "comparisons": comparisons})
