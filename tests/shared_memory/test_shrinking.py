"""Making a segment smaller beside threads that map it (contract 4.6, 5.5, 6)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from support.checks import eventually, seconds
from support.children import in_child
from support.kinds import SEGMENT
from support.scripts import run

from nob.ipc import NamedSharedMemory

LARGE = 256 << 20
"""Bytes that take the kernel some hundredths of a second to give back."""


@contextlib.contextmanager
def shrinking(segment: NamedSharedMemory) -> Iterator[threading.Event]:
    """Has another thread make the segment smaller; the event is set when that is done."""
    done = threading.Event()

    def shrink() -> None:
        segment.resize(100)
        done.set()

    thread = threading.Thread(target=shrink)
    thread.start()
    try:
        yield done
    finally:
        thread.join()


RACE = """
import sys, threading, time
sys.setswitchinterval(1e-6)
segment = NamedSharedMemory(name, 1 << 20, handle_existence=Flags.RAISE_IF_EXISTS, reserve=False)
end = time.monotonic() + {seconds}
outcomes = set()
def shrink():
    while time.monotonic() < end:
        try:
            segment.resize(4096)
            outcomes.add("smaller")
        except BufferError:
            outcomes.add("refused")
        segment.resize(1 << 20)
threads = [threading.Thread(target=shrink) for _ in range(2)]
for thread in threads:
    thread.start()
while time.monotonic() < end:
    with segment.mmap() as memory:
        memory[-1]
for thread in threads:
    thread.join()
assert "refused" in outcomes
"""


def test_no_race_is_a_bus_error(name: str) -> None:
    """Either the mapping is there first, and shrinking refused; or it has the smaller size."""
    assert run(RACE.replace("{seconds}", str(seconds(2))), name) == (0, "")


def test_other_threads_run_meanwhile(name: str) -> None:
    """The GIL is given up while the kernel gives the memory back."""
    segment = SEGMENT.create(name)
    begun = ended = 0.0

    def shrink() -> None:
        nonlocal begun, ended
        begun = time.monotonic()
        segment.resize(100)
        ended = time.monotonic()

    def turns() -> int:
        """How often this thread ran during the call. With the GIL held it is at its ends only."""
        segment.resize(LARGE)
        thread = threading.Thread(target=shrink)
        moments = []
        thread.start()
        while thread.is_alive():
            time.sleep(0.001)
            moments.append(time.monotonic())
        return sum(begun < moment < ended for moment in moments)

    eventually(lambda: turns() > 5, "a turn of another thread")


def test_a_mapping_waits_for_the_end(name: str) -> None:
    """It has the size that the segment has then."""
    segment = SEGMENT.create(name, size=LARGE)
    with shrinking(segment):
        while segment.size == LARGE:
            pass
        with segment.mmap() as memory:
            assert len(memory) == 100
            assert memory[-1] == 0


def test_a_forked_child_waits_for_nobody(name: str) -> None:
    """The thread that makes it smaller is the parent's."""
    segment = SEGMENT.create(name)

    def map_it() -> int:
        with segment.mmap() as memory:
            return len(memory)

    def forked_meanwhile() -> bool:
        segment.resize(LARGE)
        with shrinking(segment) as done:
            time.sleep(0.005)
            before = done.is_set()
            assert in_child(map_it) in {100, LARGE}
            return not before

    eventually(forked_meanwhile, "a fork while the segment is made smaller")
