"""What the page begins with: the operations of the plot and of the first table."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.cases import MULTIPROCESSING, POSIX_IPC, ROBUST, SIMPLE_QUEUE, C
from harness.results import TIMES, Results

_OPERATIONS = {
    "acquire_release": "semaphore: acquire, release",
    "lock": "lock: acquire, release",
    "lock_hand_over_apart": "lock: to a running process",
    "semaphores_two": "semaphores: there and back",
    "send_receive": "queue: send, receive 64 bytes",
    "queues_two": "queues: there and back",
    "channel_64": "channel: send, receive 64 bytes",
    "channel_round_trip_64_apart": "channels: there and back",
    "segment_create": "segment: create, use, remove",
    "segment_attach": "segment: attach, detach",
}
OTHERS = {
    POSIX_IPC: POSIX_IPC,
    MULTIPROCESSING: MULTIPROCESSING,
    SIMPLE_QUEUE: MULTIPROCESSING,
    C: C,
    ROBUST: C,
}
"""The others by label, and the name of the column or bar that they have."""


@dataclass(frozen=True)
class Headline:
    title: str
    ns: float  # ours
    times: dict[str, float]  # how many times as long the others take, by the name of their column


def headlines(results: Results) -> Iterator[Headline]:
    """Those that were measured."""
    by_key = {result.key: result for result in results.results}
    for key, title in _OPERATIONS.items():
        result = by_key.get(key)
        if result is None or not result.timings:
            continue
        times = {
            OTHERS[it.against]: 1 / it.value.median
            for it in result.comparisons
            if it.unit == TIMES and it.against in OTHERS
        }
        if times:
            yield Headline(title, result.timings[0].ns.median, times)


def times_text(times: float) -> str:
    digits = 2 if times < 2 else 1 if times < 10 else 0
    return f"{times:.{digits}f} {TIMES}"


def sentence(results: Results) -> str:
    """The result in words."""
    rows = list(headlines(results))
    parts = []
    for other in dict.fromkeys(OTHERS.values()):
        times = [row.times[other] for row in rows if other in row.times]
        if times:
            faster = sum(value > 1 for value in times)
            parts.append(f"than {other} in {faster} of {len(times)}")
    if not parts:
        return "None of the operations below was measured."
    *first, last = parts
    return f"In these operations `nob.ipc` is faster {', '.join(first)} and {last}."
