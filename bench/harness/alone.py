"""What is not measured in rounds of samples: import time, the Rust crate, the growth of memory, and
the cost of waiting idly, also in asyncio."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.cases import FILELOCK, FLOCK, ORIGINAL, OURS, POSIX_IPC, ROBUST, C
from harness.environments import clean_environment, run
from harness.names import Names
from harness.results import Comparison, Result, Spread, Timing, percentile
from harness.workers import Workers

MOST_IMPORT_MS = 1.5
MOST_OF_ORIGINAL_IMPORT = 0.25
MOST_OF_C = 1.05
MOST_OF_ROBUST = 0.4
MOST_AFTER_DEATH_MS = 1.0
MOST_AFTER_DEATH_ASLEEP_MS = 50.0
MOST_GROWTH_KIB = 64.0  # 0.07 bytes per operation: an interpreter's own heap moves by a few pages
MOST_IDLE_MS = 5.0  # of processor time while waiting
MOST_IDLE_PERCENT = 0.3  # of a processor, where who waits looks whether the owner lives
MOST_IDLE_CHANNEL_PERCENT = 0.1  # where he looks less often
MOST_RUST_CHANNEL_NS = 60.0
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
    measured = [name for name in ("ours", "original") if name in pythons]
    values: dict[str, list[float]] = {name: [] for name in measured}
    for name in measured:
        _import_ns(pythons[name])  # compiles and reads in
    for number in range(times):
        for name in measured if number % 2 else reversed(measured):
            values[name].append(_import_ns(pythons[name]))
        advance()
    ours = values["ours"]
    timings = [Timing(OURS, Spread.of(ours))]
    own_time = Spread.of(ns / 1e6 for ns in ours)
    comparisons = [Comparison("beyond `import enum`", own_time, MOST_IMPORT_MS, "ms")]
    if original := values.get("original"):
        pairs = [own / other for own, other in zip(ours, original, strict=True)]
        timings.append(Timing(ORIGINAL, Spread.of(original)))
        comparisons.append(Comparison(ORIGINAL, Spread.of(pairs), MOST_OF_ORIGINAL_IMPORT))
    return Result("import", "import", "import nob.ipc", timings, comparisons)


# what its benchmark calls them, title, against, target
_RUST = (
    ("semaphore", "Rust: uncontended acquire and release", C, MOST_OF_C),
    ("lock", "Rust: a lock, uncontended", ROBUST, MOST_OF_ROBUST),
)


def rust(rounds: int) -> list[Result]:
    """The crate against C: its own benchmark prints what it is about and a pair of times, for each
    round. And a channel, of which there is nothing like in C."""
    printed = run(
        *("cargo", "bench", "--quiet", "--package", "nob-ipc", "--bench", "uncontended"),
        *("--", "--rounds", str(rounds)),
    )
    lines = [line.split() for line in printed.splitlines()]
    results = []
    for subject, title, against, target in _RUST:
        pairs = [(float(a), float(b)) for word, a, b in lines if word == subject]
        crate, in_c = zip(*pairs, strict=True)
        timings = [Timing("Rust crate", Spread.of(crate)), Timing(against, Spread.of(in_c))]
        ratio = Spread.of(own / other for own, other in pairs)
        results.append(
            Result(f"rust_{subject}", "rust", title, timings, [Comparison(against, ratio, target)])
        )
    return [*results, _rust_channel(rounds)]


def _rust_channel(rounds: int) -> Result:
    printed = run(
        *("cargo", "bench", "--quiet", "--package", "nob-ipc", "--bench", "one_way"),
        *("--", "--rounds", str(rounds)),
    )
    each = Spread.of(float(line) for line in printed.splitlines())
    return Result(
        "rust_channel",
        "rust",
        "Rust: a channel, 64 B one way between two processes",
        [Timing("Rust crate", each)],
        [Comparison("a message", each, MOST_RUST_CHANNEL_NS, "ns")],
    )


_DEATHS = (
    ("lock_death", "owner killed: an acquire after its death"),
    ("lock_death_asleep", "owner killed: an acquire that slept"),
)
_HEIRS = {OURS: "ours", FILELOCK: "filelock", FLOCK: "flock", ROBUST: "raw"}
DEATHS = len(_DEATHS) * len(_HEIRS)


def deaths(workers: Workers, names: Names, kills: int, advance: Callable[[], None]) -> list[Result]:
    """How soon the lock of a killed owner is had. Semaphores never are."""
    results = []
    for operation, title in _DEATHS:
        timings = []
        for label, peer in _HEIRS.items():
            if peer in workers.peers:
                worker = workers.get((peer, "free"))
                worker.ask("open", "deaths", operation, names.new(), 0, 0)
                times = worker.ask("trace", "deaths", kills)
                worker.ask("close", "deaths", 0)
                timings.append(Timing(label, Spread.of(times), worst=max(times)))
            advance()
        middle, worst = timings[0].ns, timings[0].worst
        if operation == "lock_death":
            median = Spread.of([middle.median / 1e6])
            comparison = Comparison("median", median, MOST_AFTER_DEATH_MS, "ms")
        else:
            slowest = Spread.of([worst / 1e6])
            comparison = Comparison("the worst", slowest, MOST_AFTER_DEATH_ASLEEP_MS, "ms")
        results.append(Result(operation, "deaths", title, timings, [comparison]))
    return results


# operation, title, size, limit, operations in a quick run
_GROWTH = (
    ("acquire_release", "sem.acquire(); sem.release()", 0, 0, 1_000_000),
    ("send_receive", "mq.send(64 B); mq.receive()", 64, 64, 1_000_000),
    ("semaphore_create", "a semaphore created, closed, unlinked", 0, 0, 50_000),
    ("queue_create", "a queue created, closed, unlinked", 0, 64, 50_000),
    ("lock_acquire_release", "lock.acquire(); lock.release()", 0, 0, 1_000_000),
    (
        "bounded_acquire_release",
        "permits.acquire(); permits.release()",
        4,
        0,
        1_000_000,
    ),
    ("channel_send_receive", "channel.send(64 B); channel.receive()", 64, 0, 1_000_000),
    ("lock_create", "a lock created, closed, unlinked", 0, 0, 50_000),
    ("channel_create", "a channel created, closed, unlinked", 64, 0, 2_000),
    ("segment_create", "a segment created, mapped, unmapped, unlinked", 4096, 0, 50_000),
    ("segment_attach", "a segment attached, mapped, unmapped", 4096, 0, 50_000),
)

_MANY = 1_000_000  # in a full run
_FEWER = {"channel_create": 20_000}  # which clears a mebibyte each time

KINDS = len(_GROWTH)


def growth(
    workers: Workers, names: Names, quick: bool, advance: Callable[[], None]
) -> list[Result]:
    """Memory, descriptors and mappings of a process before and after many operations. Each
    operation has a process of its own, and all run at the same time."""
    results, started = [], []
    for operation, title, size, limit, some in _GROWTH:
        n = some if quick else _FEWER.get(operation, _MANY)
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


_IDLE = (
    "sem.acquire()",
    "sem.acquire(timeout)",
    "mq.receive()",
    "mq.receive(timeout)",
    "lock.acquire()",
    "lock.acquire(timeout)",
    "permits.acquire()",
    "permits.acquire(timeout)",
    "channel.receive()",
    "channel.receive(timeout)",
)
# From here on, who waits looks whether the owner lives, or whether a sender was killed amid a send.
_FIRST_ROBUST, _FIRST_CHANNEL = 4, 8


def idle(workers: Workers, names: Names) -> list[Result]:
    """Processor time of a process that waits for five seconds; all wait at the same time."""
    keys = {OURS: "ours", POSIX_IPC: "posix_ipc"}
    contestants = {
        label: workers.get((peer, "free")) for label, peer in keys.items() if peer in workers.peers
    }
    for worker in contestants.values():
        worker.ask("open", "idle", "idle", names.new(), 0, 64)
        worker.tell("run", "idle", IDLE_MS)
    used = {label: worker.answer() for label, worker in contestants.items()}
    for worker in contestants.values():
        worker.ask("close", "idle", 0)
    results = []
    for number, title in enumerate(_IDLE):
        ours = used[OURS][number] / 1e6
        timings = [Timing(label, Spread.of([times[number]])) for label, times in used.items()]
        if number < _FIRST_ROBUST:
            limit = Comparison("processor time", Spread.of([ours]), MOST_IDLE_MS, "ms")
        else:
            share = Spread.of([100 * ours / IDLE_MS])
            most = MOST_IDLE_PERCENT if number < _FIRST_CHANNEL else MOST_IDLE_CHANNEL_PERCENT
            limit = Comparison("of a processor", share, most, "%")
        results.append(Result(f"idle_{number}", "idle", title, timings, [limit]))
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
