"""The results as tables of text: the console and the page show the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.cases import (
    C_SPINNING,
    FASTER_FIFO,
    FILELOCK,
    FLOCK,
    ICEORYX2,
    MP_QUEUE,
    MULTIPROCESSING,
    ORIGINAL,
    OURS,
    OURS_QUEUE,
    PIPE,
    POSIX_IPC,
    ROBUST,
    SEQPACKET,
    SIMPLE_QUEUE,
    SINGLE,
    SPARSE,
    C,
)
from harness.headline import OTHERS, headlines, times_text
from harness.results import Comparison, Result, Results, Timing


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def time_text(ns: float) -> str:
    """Three significant digits and a unit."""
    for unit, scale in (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        if ns < 999.5 * scale or unit == "s":
            break
    value = ns / scale
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"


def _number(value: float, unit: str) -> str:
    if unit in ("KiB", "more", "in all"):
        return f"{value:.0f}"
    return f"{value:.{4 if value < 0.01 else 3 if value < 0.1 else 2}f}"


def value_text(comparison: Comparison) -> str:
    return f"{_number(comparison.value.median, comparison.unit)} {comparison.unit}"


def spread_text(comparison: Comparison) -> str:
    low, high = comparison.value.low, comparison.value.high
    if low == high:
        return ""
    return f"{_number(low, comparison.unit)} to {_number(high, comparison.unit)}"


def target_text(comparison: Comparison) -> str:
    if comparison.target is None:
        return ""
    return f"≤ {_number(comparison.target, comparison.unit)}"


def verdict(comparison: Comparison) -> str:
    return {None: "", True: "met", False: "missed"}[comparison.met]


def _worst(title: str, results: Sequence[Result], number: int) -> Result:
    """One row for many results: their largest value."""
    values = [result.comparisons[number] for result in results]
    return Result("", "", title, (), [max(values, key=lambda value: value.value.median)])


def _with_targets(results: Results) -> list[Result]:
    chosen = [result for result in results.results if result.group not in ("growth", "idle")]
    if growth := results.group("growth"):
        chosen.append(_worst("growth over many operations, the worst kind", growth, 0))
        chosen.append(_worst("", growth, 1))
    idle = results.group("idle")
    for unit, channel, title in (
        ("ms", False, "five seconds of waiting, the worst kind"),
        ("%", False, "the same for a lock or a permit, the worst"),
        ("%", True, "the same for a message of a channel, the worst"),
    ):
        if alike := [
            result
            for result in idle
            if result.comparisons[0].unit == unit and result.title.startswith("channel") == channel
        ]:
            chosen.append(_worst(title, alike, 0))
    return chosen


def _both_times(timing: Timing) -> str:
    """Elapsed time, and processor time where it was measured."""
    used = "" if timing.processor_ns is None else f" / {time_text(timing.processor_ns)}"
    return time_text(timing.ns.median) + used


def targets(results: Results) -> Table:
    rows: list[list[str]] = []
    for result in _with_targets(results):
        title = result.title
        for comparison in result.comparisons:
            if comparison.target is None:
                continue
            ours = _both_times(result.timings[0]) if result.timings else ""
            cells = [comparison.against, value_text(comparison), spread_text(comparison)]
            cells += [target_text(comparison), verdict(comparison)]
            rows.append([title, ours if title else "", *cells])
            title = ""  # said once
    columns = ["operation", "ours", "against", "median", "p10 to p90", "target", "verdict"]
    return Table("Targets", columns, rows)


def result(results: Results) -> Table:
    others = list(dict.fromkeys(OTHERS.values()))
    rows = [
        [
            row.title,
            time_text(row.ns),
            *(times_text(row.times[other]) if other in row.times else "" for other in others),
        ]
        for row in headlines(results)
    ]
    return Table(
        "Result: the others, as a multiple of ours", ["operation", "nob.ipc", *others], rows
    )


def by_contestant(
    title: str,
    first: str,
    results: Sequence[Result],
    labels: Sequence[str],
    text: Callable[[Timing], str],
) -> Table:
    def cell(result: Result, label: str) -> str:
        timing = result.timing(label)
        return text(timing) if timing else ""

    present = [label for label in labels if any(result.timing(label) for result in results)]
    rows = [[result.title, *(cell(result, label) for label in present)] for result in results]
    return Table(title, [first, *present], rows)


_LABELS = (OURS, SPARSE, POSIX_IPC, MULTIPROCESSING, ORIGINAL, C, C_SPINNING)
_LOCK_LABELS = (OURS, POSIX_IPC, MULTIPROCESSING, FILELOCK, FLOCK, ROBUST)
_CHANNEL_LABELS = (
    OURS,
    SINGLE,
    OURS_QUEUE,
    POSIX_IPC,
    SEQPACKET,
    PIPE,
    SIMPLE_QUEUE,
    MP_QUEUE,
    FASTER_FIFO,
    ICEORYX2,
)


def times(results: Results) -> Table:
    chosen = [*results.group("targets"), *results.group("import")]
    return by_contestant(
        "Times (median)", "operation", chosen, _LABELS, lambda timing: time_text(timing.ns.median)
    )


def _percentiles(title: str, results: Sequence[Result], labels: Sequence[str]) -> Table:
    def text(timing: Timing) -> str:
        if timing.p50 is None or timing.p99 is None:
            return ""
        return f"{time_text(timing.p50)} / {time_text(timing.p99)}"

    chosen = [
        result for result in results if any(timing.p50 is not None for timing in result.timings)
    ]
    return by_contestant(title, "operation", chosen, labels, text)


def percentiles(results: Results) -> Table:
    return _percentiles("Hand-over (p50 / p99)", results.group("targets"), _LABELS)


def locks(results: Results) -> Table:
    return by_contestant(
        "Locks (median)",
        "operation",
        results.group("locks"),
        _LOCK_LABELS,
        lambda timing: time_text(timing.ns.median),
    )


def lock_percentiles(results: Results) -> Table:
    title = "Hand-over of a lock (p50 / p99)"
    return _percentiles(title, results.group("locks"), _LOCK_LABELS)


def _channels(title: str, group: str) -> Callable[[Results], Table]:
    def table(results: Results) -> Table:
        chosen = results.group(group)
        return by_contestant(title, "messages", chosen, _CHANNEL_LABELS, _both_times)

    return table


def channel_percentiles(results: Results) -> Table:
    title = "Round trip over channels (p50 / p99)"
    return _percentiles(title, results.group("channels"), _CHANNEL_LABELS)


# of the guide: what is measured, and what one would choose among
_CHOICES = (OURS, OURS_QUEUE, MP_QUEUE, FASTER_FIFO)
_CHOICE_NAMES = ("`NamedChannel`", "`NamedMessageQueue`", "`multiprocessing.Queue`", "faster-fifo")
_CHOICE_ROWS = {
    "channel_64": "send and receive 64 B in one process",
    "channel_batch": "the same, 64 messages in a batch, each",
    "channel_4k": "send and receive 4 KiB in one process",
    "channel_1m": "send and receive 1 MiB in one process",
    "channel_round_trip_64": "64 B to another process and back",
    "channel_round_trip_4k": "4 KiB to another process and back",
    "busy_round_trip_64": "64 B and back, all processors busy",
    "flow_64": "64 B one way, on one processor: elapsed / processor time",
    "flow_64_free": "64 B one way, on two: elapsed / processor time",
    "flow_64_senders": "64 B from four senders: elapsed / processor time",
}


def choices(results: Results) -> Table:
    """What the guide shows to whoever has to choose, or has chosen."""
    by_key = {result.key: result for result in results.results}
    rows = []
    for key, title in _CHOICE_ROWS.items():
        if result := by_key.get(key):
            timings = [result.timing(label) for label in _CHOICES]
            rows.append([title, *(_both_times(timing) if timing else "" for timing in timings)])
    return Table("", ["", *_CHOICE_NAMES], rows)


def deaths(results: Results) -> Table:
    def text(timing: Timing) -> str:
        worst = "" if timing.worst is None else f" / {time_text(timing.worst)}"
        return time_text(timing.ns.median) + worst

    return by_contestant(
        "After the death of a lock's owner (median / worst)",
        "who has it next",
        results.group("deaths"),
        _LOCK_LABELS,
        text,
    )


def _sweep(title: str, first: str, group: str) -> Callable[[Results], Table]:
    def table(results: Results) -> Table:
        return by_contestant(
            title,
            first,
            results.group(group),
            _LABELS,
            lambda timing: time_text(timing.ns.median),
        )

    return table


def crowds(results: Results) -> Table:
    def text(timing: Timing) -> str:
        used = "" if timing.processor_ns is None else f", {time_text(timing.processor_ns)}"
        return f"{1e3 / timing.ns.median:.2f} M/s{used}"

    return by_contestant(
        "Acquire and release by processes: how many in all, processor time of each",
        "processes",
        results.group("crowds"),
        _LABELS,
        text,
    )


def growth(results: Results) -> Table:
    rows = [
        [result.title, *(f"{it.value.median:+.0f}" for it in result.comparisons)]
        for result in results.group("growth")
    ]
    columns = ["operations", "memory, KiB", "descriptors and mappings"]
    return Table("Growth of a process", columns, rows)


def idle(results: Results) -> Table:
    return by_contestant(
        "Processor time of five seconds of waiting",
        "waiting in",
        results.group("idle"),
        _LABELS,
        lambda timing: time_text(timing.ns.median),
    )


Tables = Mapping[str, Callable[[Results], Table]]

TABLES: Tables = {
    "result": result,
    "targets": targets,
    "times": times,
    "percentiles": percentiles,
    "locks": locks,
    "lock_percentiles": lock_percentiles,
    "channels": _channels("Channels (median)", "channels"),
    "channel_percentiles": channel_percentiles,
    "flows": _channels("Messages one way (median: elapsed / processor time)", "flows"),
    "busy": _channels("Beside busy loops (median: elapsed / processor time)", "busy"),
    "deaths": deaths,
    "messages": _sweep("mq.send(); mq.receive() by message size", "message", "messages"),
    "segments": _sweep(
        "A segment created, mapped, touched, unmapped, unlinked, by size", "segment", "segments"
    ),
    "crowds": crowds,
    "growth": growth,
    "idle": idle,
}
