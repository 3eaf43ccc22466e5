"""What is measured against what, and the targets."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OURS = "nob.ipc"
SPARSE = "nob.ipc, sparse"
POSIX_IPC = "posix_ipc"
MULTIPROCESSING = "multiprocessing"
ORIGINAL = "original"
C = "C"
C_SPINNING = "C, spinning"
FILELOCK = "filelock"
FLOCK = "fcntl.flock"
ROBUST = "robust mutex, C"

_WORKERS = {
    OURS: "ours",
    SPARSE: "ours",
    POSIX_IPC: "posix_ipc",
    MULTIPROCESSING: "multiprocessing",
    ORIGINAL: "original",
    C: "raw",
    C_SPINNING: "raw",
    FILELOCK: "filelock",
    FLOCK: "flock",
    ROBUST: "raw",
}
_SUFFIXES = {SPARSE: "_sparse", C_SPINNING: "_spinning"}  # of the operation
_ALL = (OURS, POSIX_IPC, MULTIPROCESSING, ORIGINAL, C)

MESSAGE_SIZES = (8, 32, 128, 512, 2048, 8192)
SEGMENT_SIZES = tuple(4096 << shift for shift in (0, 4, 8, 12, 16, 18))  # to 1 GiB
CROWDS = (1, 2, 4, 8, 16)
_PERMITS = 4


@dataclass(frozen=True)
class Case:
    """One operation, done by each contestant in turn. The first contestant is ours."""

    key: str
    title: str
    operation: str
    contestants: Sequence[str]
    targets: Mapping[str, float] = field(default_factory=dict)  # of the ratio to a contestant
    size: int = 0
    limit: int = 0
    per: int = 1  # what one operation counts for
    # Of the processes: see peers/pairs.py. What one process does alone, every peer does on the same
    # processor: two are seldom equally fast, least of all virtual ones.
    placement: str = "one"
    run: bool = True  # the time of many is measured
    trace: bool = False  # the times of each are measured
    asleep: bool = False  # who waits is to sleep

    def worker(self, contestant: str) -> tuple[str, str]:
        """Ours spins only where it may run on more than one processor: it is never kept apart
        where it is not to sleep, but Linux puts it apart."""
        settled = self.placement == "apart" and not self.asleep and contestant == OURS
        return _WORKERS[contestant], "settled" if settled else self.placement

    def operation_of(self, contestant: str) -> str:
        return self.operation + _SUFFIXES.get(contestant, "")


@dataclass(frozen=True)
class Group:
    """Cases that are measured in the same rounds."""

    key: str
    title: str
    cases: Sequence[Case]
    rounds: int
    sample_ms: float


def _targets() -> list[Case]:
    cases = [
        Case(
            "acquire_release",
            "sem.acquire(); sem.release()",
            "acquire_release",
            _ALL,
            {POSIX_IPC: 0.70, MULTIPROCESSING: 1.0},
        ),
        Case("with", "with sem: pass", "with_statement", _ALL[:4], {POSIX_IPC: 0.70}),
        Case(
            "send_receive",
            "mq.send(64 B); mq.receive()",
            "send_receive",
            _ALL,
            {POSIX_IPC: 0.92, C: 1.20},
            size=64,
            limit=64,
        ),
        Case(
            "send_receive_roomy",
            "the same, room for 8 KiB",
            "send_receive",
            (OURS, POSIX_IPC, ORIGINAL, C),
            size=64,
            limit=8192,
        ),
        Case(
            "send_receive_8k",
            "mq.send(8 KiB); mq.receive()",
            "send_receive",
            _ALL,
            {POSIX_IPC: 1.0},
            size=8192,
            limit=8192,
        ),
        Case(
            "batch",
            "mq.send_many(ten of 64 B); mq.receive_many(), a message",
            "batch",
            (OURS, POSIX_IPC, C),
            {POSIX_IPC: 0.85},
            size=64,
            limit=64,
            per=10,
        ),
        Case(
            "segment_create",
            "create a 4 KiB segment, map, touch, unmap, unlink",
            "segment_create",
            _ALL,
            {C: 1.25, POSIX_IPC: 1.7, MULTIPROCESSING: 0.95},
            size=4096,
        ),
        Case(
            "segment_attach",
            "attach a segment, map, unmap",
            "segment_attach",
            _ALL,
            {POSIX_IPC: 1.3},
            size=4096,
        ),
    ]
    if len(os.sched_getaffinity(0)) > 1:
        cases += [
            Case(
                "semaphores_two",
                "round trip, two semaphores, a processor each",
                "semaphore_round_trip",
                (*_ALL, C_SPINNING),
                {POSIX_IPC: 0.03},
                placement="apart",
                trace=True,
            ),
            Case(
                "queues_two",
                "round trip, two queues (64 B), a processor each",
                "queue_round_trip",
                (*_ALL, C_SPINNING),
                {POSIX_IPC: 0.20},
                size=64,
                limit=64,
                placement="apart",
                trace=True,
            ),
            Case(
                "semaphores_free",
                "round trip, two semaphores, where Linux puts them",
                "semaphore_round_trip",
                _ALL,
                placement="free",
                trace=True,
            ),
            Case(
                "queues_free",
                "round trip, two queues (64 B), where Linux puts them",
                "queue_round_trip",
                _ALL,
                size=64,
                limit=64,
                placement="free",
                trace=True,
            ),
            Case(
                "semaphore_wake_up",
                "wake-up of a semaphore's sleeper, a processor each",
                "semaphore_wake_up",
                _ALL,
                placement="apart",
                run=False,
                trace=True,
                asleep=True,
            ),
            Case(
                "queue_wake_up",
                "wake-up of a queue's sleeper, a processor each",
                "queue_wake_up",
                _ALL,
                size=64,
                limit=64,
                placement="apart",
                run=False,
                trace=True,
                asleep=True,
            ),
        ]
    cases += [
        Case(
            "semaphores_one",
            "round trip, two semaphores, one processor",
            "semaphore_round_trip",
            _ALL,
            trace=True,
        ),
        Case(
            "queues_one",
            "round trip, two queues (64 B), one processor",
            "queue_round_trip",
            _ALL,
            size=64,
            limit=64,
            trace=True,
        ),
    ]
    return cases


def _locks() -> list[Case]:
    sleepers = (OURS, POSIX_IPC, MULTIPROCESSING, FLOCK, ROBUST)
    cases = [
        Case(
            "lock",
            "lock.acquire(); lock.release()",
            "lock_acquire_release",
            (OURS, POSIX_IPC, MULTIPROCESSING, FILELOCK, FLOCK, ROBUST),
            {POSIX_IPC: 0.65, MULTIPROCESSING: 0.95, FILELOCK: 0.002, FLOCK: 0.1},
        ),
        Case(
            "lock_with",
            "with lock: pass",
            "lock_with_statement",
            (OURS, POSIX_IPC, MULTIPROCESSING, FILELOCK),
        ),
        Case(
            "bounded",
            f"the two calls on a bounded semaphore, {_PERMITS} permits",
            "bounded_acquire_release",
            (OURS, POSIX_IPC, MULTIPROCESSING),
            {POSIX_IPC: 1.6},
            size=_PERMITS,
        ),
    ]
    if len(os.sched_getaffinity(0)) > 1:
        running, asleep = (
            "hand-over of a lock, waiter running",
            "hand-over of a lock, waiter asleep",
        )
        cases += [
            Case(
                f"{operation}_{placement}",
                f"{title}, {where}",
                operation,
                sleepers,
                {ROBUST: target},
                placement=placement,
                run=False,
                trace=True,
                asleep=operation == "lock_wake_up",
            )
            for title, operation, target in (
                (running, "lock_hand_over", 0.3),
                (asleep, "lock_wake_up", 1.7),
            )
            for placement, where in (
                ("apart", "a processor each"),
                ("free", "where Linux puts them"),
            )
        ]
    cases.append(
        Case(
            "locks_one",
            "hand-over of a lock and back, one processor",
            "lock_round_trip",
            sleepers,
            trace=True,
        )
    )
    return cases


def size_text(size: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def _message(size: int) -> Case:
    return Case(
        f"message_{size}",
        size_text(size),
        "send_receive",
        (OURS, POSIX_IPC, MULTIPROCESSING, C),
        size=size,
        limit=size,
    )


def _segment(size: int) -> Case:
    return Case(
        f"segment_{size}",
        size_text(size),
        "segment_create",
        (OURS, SPARSE, POSIX_IPC, MULTIPROCESSING, C),
        size=size,
    )


def _crowd(processes: int) -> Case:
    return Case(
        f"crowd_{processes}",
        str(processes),
        "crowd",
        (OURS, POSIX_IPC, MULTIPROCESSING),
        size=processes,
        placement="free",
    )


def groups(quick: bool) -> list[Group]:
    room = shutil.disk_usage("/dev/shm").free // 2
    segments = [size for size in SEGMENT_SIZES if size <= room]
    if quick:
        segments = [size for size in segments if size <= 256 << 20]
    return [
        Group(
            "targets",
            "operations",
            _targets(),
            rounds=30 if quick else 120,
            sample_ms=8 if quick else 16,
        ),
        Group(
            "locks",
            "locks",
            _locks(),
            rounds=20 if quick else 80,
            sample_ms=8 if quick else 16,
        ),
        Group(
            "messages",
            "message sizes",
            [_message(size) for size in MESSAGE_SIZES],
            rounds=9 if quick else 40,
            sample_ms=6 if quick else 12,
        ),
        Group(
            "segments",
            "segment sizes",
            [_segment(size) for size in segments],
            rounds=5 if quick else 15,
            sample_ms=6 if quick else 12,
        ),
        Group(
            "crowds",
            "processes on one semaphore",
            [_crowd(processes) for processes in CROWDS],
            rounds=7 if quick else 25,
            sample_ms=40 if quick else 80,
        ),
    ]
