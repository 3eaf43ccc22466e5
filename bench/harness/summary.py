"""From the samples of the rounds to results."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.cases import Case, Group, is_own
from harness.measure import Entrant
from harness.results import PROCESSOR, Comparison, Result, Results, Spread, Timing, percentile


def ratios(ours: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Ours over the other's, round by round."""
    both = sorted(ours.keys() & other.keys())
    return [ours[number] / other[number] for number in both]


def _timing(entrant: Entrant) -> Timing:
    return Timing(
        entrant.label,
        Spread.of(entrant.samples.values()),
        percentile(entrant.traced, 50) if entrant.traced else None,
        percentile(entrant.traced, 99) if entrant.traced else None,
        statistics.median(entrant.processor.values()) if entrant.processor else None,
    )


def _comparisons(case: Case, ours: Entrant, others: Iterable[Entrant]) -> Iterator[Comparison]:
    for other in others:
        if each := ratios(ours.samples, other.samples):
            yield Comparison(other.label, Spread.of(each), case.targets.get(other.label))
        if each := ratios(ours.processor, other.processor):
            target = case.processor_targets.get(other.label)
            yield Comparison(f"{other.label}{PROCESSOR}", Spread.of(each), target)


def summarise(group: Group, cases: Iterable[Sequence[Entrant]], results: Results) -> None:
    """Adds what came of it. Another's failure is a result, and does not fail the run."""
    for entrants in cases:
        case = entrants[0].case
        for entrant in entrants:
            if entrant.failure is not None:
                failed = results.failures if is_own(entrant.label) else results.unmeasured
                title = f"{group.title}: {case.title}"
                failed.append(f"{title}: {entrant.label}: {entrant.failure}")
        timings = [_timing(entrant) for entrant in entrants if entrant.samples]
        comparisons = list(_comparisons(case, entrants[0], entrants[1:]))
        results.results.append(Result(case.key, group.key, case.title, timings, comparisons))
