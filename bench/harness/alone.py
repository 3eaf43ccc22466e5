"""What is not measured in rounds of samples: import time, the Rust crate, the growth of memory, and
the cost of waiting idly, also in asyncio."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.cases import ORIGINAL, OURS, POSIX_IPC, C
from harness.environments import clean_environment, run
from harness.names import Names
from harness.results import Comparison, Result, Spread, Timing, percentile
from harness.workers import Workers

MOST_IMPORT_MS = 1.5
MOST_OF_ORIGINAL_IMPORT = 0.25
MOST_OF_C = 1.05
MOST_GROWTH_KIB = 64.0  # 0.07 bytes per operation: an interpreter's own heap moves by a few pages
MOST_IDLE_MS = 5.0  # of processor time while waiting
IDLE_MS = 5000
COROUTINES = 1000
WAKE_UPS = 300
MOST_OF_A_PROCESSOR = 2.0  # per cent, while that many wait
MOST_WAKE_UP_MS = 10.0

_IMPORT = (
    "import enum, time; start = time.perf_counter_ns(); import nob.ipc; "
    "print(time.perf_counter_ns() - start)"
)


def _import_ns(python: Path) -> float:
    done = subprocess.run(
        [python, "-I", "-c", _IMPORT],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=clean_environment(),
    )
    return float(done.stdout)


def imports(pythons: dict[str, Path], times: int, advance: Callable[[], None]) -> Result:
    """`import nob.ipc` in a new interpreter that has `enum` and `time`."""
    ours: list[float] = []
    original: list[float] = []
    for python in (pythons["ours"], pythons["original"]):
        _import_ns(python)  # compiles and reads in
    for number in range(times):
        order = [(ours, "ours"), (original, "original")]
        for values, name in order if number % 2 else reversed(order):
            values.append(_import_ns(pythons[name]))
        advance()
    pairs = [own / other for own, other in zip(ours, original, strict=True)]
    return Result(
        "import",
        "import",
        "import nob.ipc",
        [Timing(OURS, Spread.of(ours)), Timing(ORIGINAL, Spread.of(original))],
        [
            Comparison(
                "beyond `import enum`", Spread.of(ns / 1e6 for ns in ours), MOST_IMPORT_MS, "ms"
            ),
            Comparison(ORIGINAL, Spread.of(pairs), MOST_OF_ORIGINAL_IMPORT),
        ],
    )


def rust(rounds: int) -> Result:
    """The crate against the same calls from C: its own benchmark prints a pair of times a round."""
    printed = run(
        *("cargo", "bench", "--quiet", "--package", "nob-ipc", "--bench", "uncontended"),
        *("--", "--rounds", str(rounds)),
    )
    pairs = [(float(a), float(b)) for a, b in (line.split() for line in printed.splitlines())]
    crate, in_c = zip(*pairs, strict=True)
    return Result(
        "rust",
        "rust",
        "Rust: uncontended acquire and release",
        [Timing("Rust crate", Spread.of(crate)), Timing(C, Spread.of(in_c))],
        [Comparison(C, Spread.of(own / other for own, other in pairs), MOST_OF_C)],
    )


# operation, title, size, limit, operations in a quick run (a full one does a million of each)
_GROWTH = (
    ("acquire_release", "sem.acquire(); sem.release()", 0, 0, 1_000_000),
    ("send_receive", "mq.send(64 B); mq.receive()", 64, 64, 1_000_000),
    ("semaphore_create", "a semaphore created, closed, unlinked", 0, 0, 50_000),
    ("queue_create", "a queue created, closed, unlinked", 0, 64, 50_000),
    ("segment_create", "a segment created, mapped, unmapped, unlinked", 4096, 0, 50_000),
    ("segment_attach", "a segment attached, mapped, unmapped", 4096, 0, 50_000),
)


KINDS = len(_GROWTH)


def growth(
    workers: Workers, names: Names, quick: bool, advance: Callable[[], None]
) -> list[Result]:
    """Memory, descriptors and mappings of a process before and after many operations. Each
    operation has a process of its own, and all run at the same time."""
    results, started = [], []
    for operation, title, size, limit, some in _GROWTH:
        n = some if quick else 1_000_000
        worker = workers.start("ours", log_name=f"growth-{operation}")
        worker.ask("open", "0", operation, names.new(), size, limit)
        worker.tell("grow", "0", n)
        started.append((worker, operation, f"{n:,} times {title}"))
    for worker, operation, title in started:
        before_kib, *before, after_kib, fds, maps = worker.answer(within=900)
        worker.stop()
        advance()
        grown, held = float(after_kib - before_kib), float(fds + maps - sum(before))
        comparisons = [
            Comparison("memory", Spread.of([grown]), MOST_GROWTH_KIB, "KiB"),
            Comparison("descriptors and mappings", Spread.of([held]), 0.0, "more"),
        ]
        results.append(Result(f"growth_{operation}", "growth", title, (), comparisons))
    return results


_IDLE = ("sem.acquire()", "sem.acquire(timeout)", "mq.receive()", "mq.receive(timeout)")


def idle(workers: Workers, names: Names) -> list[Result]:
    """Processor time of a process that waits for five seconds; all wait at the same time."""
    keys = {OURS: "ours", POSIX_IPC: "posix_ipc"}
    contestants = {label: workers.get((peer, "free")) for label, peer in keys.items()}
    for worker in contestants.values():
        worker.ask("open", "idle", "idle", names.new(), 0, 64)
        worker.tell("run", "idle", IDLE_MS)
    used = {label: worker.answer() for label, worker in contestants.items()}
    for worker in contestants.values():
        worker.ask("close", "idle", 0)
    results = []
    for number, title in enumerate(_IDLE):
        ours = Spread.of([used[OURS][number] / 1e6])
        timings = [Timing(label, Spread.of([times[number]])) for label, times in used.items()]
        comparisons = [Comparison("processor time", ours, MOST_IDLE_MS, "ms")]
        results.append(Result(f"idle_{number}", "idle", title, timings, comparisons))
    return results


def coroutines(workers: Workers, names: Names) -> Result:
    """A thousand coroutines, each of which waits for a semaphore of its own."""
    worker = workers.get(("ours", "free"))
    worker.ask("open", "coroutines", "coroutines", names.new(), COROUTINES, 0)
    (used,) = worker.ask("run", "coroutines", IDLE_MS)
    times = worker.ask("trace", "coroutines", WAKE_UPS)
    worker.ask("close", "coroutines", 0)
    middle, late = percentile(times, 50), percentile(times, 99)
    share = Spread.of([used / IDLE_MS / 1e4])
    return Result(
        "coroutines",
        "coroutines",
        f"{COROUTINES:,} coroutines wait for {COROUTINES:,} semaphores: wake-up",
        [Timing(OURS, Spread.of(times), middle, late)],
        [
            Comparison("of a processor, waiting", share, MOST_OF_A_PROCESSOR, "%"),
            Comparison("wake-up, p99", Spread.of([late / 1e6]), MOST_WAKE_UP_MS, "ms"),
        ],
    )
