"""From the samples of the rounds to results."""

import statistics
from collections.abc import Iterable, Sequence

from harness.measure import Entrant
from harness.results import Comparison, Result, Spread, Timing, percentile


def ratios(ours: Entrant, other: Entrant) -> list[float]:
    """Ours over the other's, round by round."""
    both = sorted(ours.samples.keys() & other.samples.keys())
    return [ours.samples[number] / other.samples[number] for number in both]


def _timing(entrant: Entrant) -> Timing:
    return Timing(
        entrant.label,
        Spread.of(entrant.samples.values()),
        percentile(entrant.traced, 50) if entrant.traced else None,
        percentile(entrant.traced, 99) if entrant.traced else None,
        statistics.median(entrant.processor) if entrant.processor else None,
    )


def summarise(group: str, cases: Iterable[Sequence[Entrant]]) -> tuple[list[Result], list[str]]:
    """The results, and what failed."""
    results, failures = [], []
    for entrants in cases:
        case = entrants[0].case
        for entrant in entrants:
            if entrant.failure is not None:
                failures.append(f"{case.title}: {entrant.label}: {entrant.failure}")
        timings = [_timing(entrant) for entrant in entrants if entrant.samples]
        comparisons = []
        for other in entrants[1:]:
            if each := ratios(entrants[0], other):
                target = case.targets.get(other.label)
                comparisons.append(Comparison(other.label, Spread.of(each), target))
        results.append(Result(case.key, group, case.title, timings, comparisons))
    return results, failures
