"""Several processes on one semaphore."""

import os
import struct
from itertools import repeat
from time import perf_counter_ns as clock
from time import process_time_ns
from typing import Any

from forked import end, fork
from operation import Operation
from peer import AbstractPeer

_COUNT = struct.Struct("q")
_REPORT = struct.Struct("qqq")  # start, end, processor time


class Crowd(Operation):
    """`size` processes take and give one semaphore of value 1, `n` times in all."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.semaphore = peer, peer.semaphore(name, 1)
        self.reports, self.report = os.pipe()
        self.starters: list[int] = []
        self.members: list[int] = []
        for _ in range(size):
            start, starter = os.pipe()
            self.starters.append(starter)
            self.members.append(fork(lambda start=start: self.belong(start)))  # type: ignore[misc]
            os.close(start)

    def belong(self, start: int) -> None:
        semaphore: Any = self.peer.reopen(self.semaphore)
        while command := os.read(start, _COUNT.size):
            (n,) = _COUNT.unpack(command)
            used, begin = process_time_ns(), clock()
            for _ in repeat(None, n):
                semaphore.acquire()
                semaphore.release()
            report = _REPORT.pack(begin, clock(), process_time_ns() - used)
            os.write(self.report, report)

    def run(self, n: int) -> list[int]:
        """The nanoseconds from the first start to the last end, and the processor time of all."""
        each = max(1, n // len(self.members))
        for starter in self.starters:
            os.write(starter, _COUNT.pack(each))
        reports = [_REPORT.unpack(os.read(self.reports, _REPORT.size)) for _ in self.members]
        begins, ends, used = zip(*reports, strict=True)
        scale = n / (each * len(self.members))
        return [int((max(ends) - min(begins)) * scale), int(sum(used) * scale)]

    def close(self) -> None:
        for member in self.members:
            end(member)
        for fd in (self.reports, self.report, *self.starters):
            os.close(fd)
        self.peer.remove(self.semaphore)
