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
OURS_QUEUE = "nob.ipc, queue"
SINGLE = "nob.ipc, one by one"
SEQPACKET = "SEQPACKET"
PIPE = "Pipe"
SIMPLE_QUEUE = "SimpleQueue"
MP_QUEUE = "Queue"
FASTER_FIFO = "faster-fifo"
ICEORYX2 = "iceoryx2"

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
    OURS_QUEUE: "ours_queue",
    SINGLE: "ours",
    SEQPACKET: "seqpacket",
    PIPE: "pipe",
    SIMPLE_QUEUE: "multiprocessing",
    MP_QUEUE: "mp_queue",
    FASTER_FIFO: "faster_fifo",
    ICEORYX2: "iceoryx2",
}
_SUFFIXES = {SPARSE: "_sparse", C_SPINNING: "_spinning", SINGLE: "_single"}  # of the operation
_ALL = (OURS, POSIX_IPC, MULTIPROCESSING, ORIGINAL, C)
_OWN = {OURS, SPARSE, OURS_QUEUE, SINGLE, C, C_SPINNING, ROBUST}
# Those that may wait for ever: each case has a process of its own, which takes no other with it.
_FRAGILE = {FASTER_FIFO, ICEORYX2}
_CARRIERS = (
    OURS,
    OURS_QUEUE,
    POSIX_IPC,
    SEQPACKET,
    PIPE,
    SIMPLE_QUEUE,
    MP_QUEUE,
    FASTER_FIFO,
    ICEORYX2,
)

MESSAGE_SIZES = (8, 32, 128, 512, 2048, 8192)
SEGMENT_SIZES = tuple(4096 << shift for shift in (0, 4, 8, 12, 16, 18))  # to 1 GiB
CROWDS = (1, 2, 4, 8, 16)
_PERMITS = 4
FLOW_BATCH = 64  # messages: see peers/flow.py
_SENDERS = 4
_KIB, _MIB = 1 << 10, 1 << 20


def is_own(contestant: str) -> bool:
    """Whether it is a fault of this project if the contestant fails."""
    return contestant in _OWN


@dataclass(frozen=True)
class Case:
    """One operation, done by each contestant in turn. The first contestant is ours."""

    key: str
    title: str
    operation: str
    contestants: Sequence[str]
    targets: Mapping[str, float] = field(default_factory=dict)  # of the ratio to a contestant
    processor_targets: Mapping[str, float] = field(default_factory=dict)  # of processor time
    size: int = 0
    limit: int = 0
    per: int = 1  # what one operation counts for
    # Of the processes: see peers/pairs.py. What one process does alone, every peer does on the same
    # processor: two are seldom equally fast, least of all virtual ones.
    placement: str = "one"
    run: bool = True  # the time of many is measured
    trace: bool = False  # the times of each are measured
    asleep: bool = False  # who waits is to sleep

    def worker(self, contestant: str) -> tuple[str, ...]:
        """Peer, placement, and what else tells its process from others. Ours spins only where it
        may run on more than one processor: it is never kept apart where it is not to sleep, but
        Linux puts it apart."""
        settled = self.placement == "apart" and not self.asleep and contestant == OURS
        alone = (self.key,) if contestant in _FRAGILE else ()
        return _WORKERS[contestant], "settled" if settled else self.placement, *alone

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
    watchdog: float = 60.0  # seconds in which a sample comes, or its contestant is out
    busy: bool = False  # beside a busy loop on each processor


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


def _without(*labels: str) -> tuple[str, ...]:
    return tuple(label for label in _CARRIERS if label not in labels)


_TOO_LARGE = (OURS_QUEUE, POSIX_IPC)  # for a message of 1 MiB


def _channels() -> list[Case]:
    cases = [
        Case(
            "channel_64",
            "64 B, one process: send, receive",
            "channel_send_receive",
            _CARRIERS,
            {POSIX_IPC: 0.20},
            size=64,
        ),
        Case(
            "channel_batch",
            f"the same, {FLOW_BATCH} in a batch, a message",
            "channel_batch",
            (OURS, SINGLE, FASTER_FIFO),
            {SINGLE: 0.60},
            size=64,
            per=FLOW_BATCH,
        ),
        Case(
            "channel_4k",
            "4 KiB, one process: send, receive",
            "channel_send_receive",
            _CARRIERS,
            size=4 * _KIB,
        ),
        Case(
            "channel_1m",
            "1 MiB, one process: send, receive",
            "channel_send_receive",
            _without(*_TOO_LARGE, PIPE, SIMPLE_QUEUE),  # two that hold no such message
            size=_MIB,
        ),
    ]
    if len(os.sched_getaffinity(0)) > 1:
        cases += [
            Case(
                "channel_round_trip_64",
                "64 B, round trip, where Linux puts them",
                "channel_round_trip",
                _CARRIERS,
                {POSIX_IPC: 0.40, SEQPACKET: 0.35, PIPE: 0.20, ICEORYX2: 0.20},
                size=64,
                placement="free",
                trace=True,
            ),
            Case(
                "channel_round_trip_64_apart",
                "64 B, round trip, a processor each",
                "channel_round_trip",
                _CARRIERS,
                size=64,
                placement="apart",
                trace=True,
            ),
            Case(
                "channel_round_trip_4k",
                "4 KiB, round trip, where Linux puts them",
                "channel_round_trip",
                _CARRIERS,
                {POSIX_IPC: 0.85},
                size=4 * _KIB,
                placement="free",
                trace=True,
            ),
            Case(
                "channel_round_trip_1m",
                "1 MiB, round trip, where Linux puts them",
                "channel_round_trip",
                _without(*_TOO_LARGE),
                size=_MIB,
                placement="free",
                trace=True,
            ),
        ]
    return cases


def _flows() -> list[Case]:
    """On one processor the time of a message is processor time, and depends on nothing else."""
    return [
        Case(
            "flow_64",
            "64 B, one way, one processor",
            "channel_flow",
            _CARRIERS,
            processor_targets={SEQPACKET: 0.15, MP_QUEUE: 0.03},
            size=64,
            limit=1,
        ),
        Case(
            "flow_batch",
            f"the same, {FLOW_BATCH} in a batch, a message",
            "channel_flow_of_batches",
            (OURS, FASTER_FIFO),
            processor_targets={FASTER_FIFO: 0.05},
            size=64,
            limit=1,
            per=FLOW_BATCH,
        ),
        Case(
            "flow_64_free",
            "64 B, one way, where Linux puts them",
            "channel_flow",
            _CARRIERS,
            size=64,
            limit=1,
            placement="free",
        ),
        Case(
            "flow_64_senders",
            f"64 B, {_SENDERS} senders, where Linux puts them",
            "channel_flow",
            _without(PIPE),  # which is for one
            processor_targets={FASTER_FIFO: 0.05},
            size=64,
            limit=_SENDERS,
            placement="free",
        ),
        Case(
            "flow_4k_free",
            "4 KiB, one way, where Linux puts them",
            "channel_flow",
            _CARRIERS,
            size=4 * _KIB,
            limit=1,
            placement="free",
        ),
        Case(
            "flow_1m_free",
            "1 MiB, one way, where Linux puts them",
            "channel_flow",
            _without(*_TOO_LARGE),
            {SEQPACKET: 0.85, PIPE: 0.50, ICEORYX2: 0.30},
            {SEQPACKET: 0.85, PIPE: 0.50, ICEORYX2: 0.30},
            size=_MIB,
            limit=1,
            placement="free",
        ),
    ]


def _busy() -> list[Case]:
    return [
        Case(
            "busy_round_trip_64",
            "64 B, round trip, beside busy loops",
            "channel_round_trip",
            _CARRIERS,
            {POSIX_IPC: 0.75},
            size=64,
            placement="free",
        ),
        Case(
            "busy_flow_64",
            "64 B, one way, beside busy loops",
            "channel_flow",
            _CARRIERS,
            size=64,
            limit=1,
            placement="free",
        ),
    ]


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
            "channels",
            "channels",
            _channels(),
            rounds=15 if quick else 60,
            sample_ms=6 if quick else 12,
            watchdog=20,
        ),
        Group(
            "flows",
            "channels, one way",
            _flows(),
            rounds=11 if quick else 40,
            sample_ms=12 if quick else 24,
            watchdog=20,
        ),
        Group(
            "busy",
            "channels beside busy loops",
            _busy(),
            rounds=41 if quick else 151,
            sample_ms=10,
            watchdog=20,
            busy=True,
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
