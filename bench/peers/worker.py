"""One peer, in its own interpreter: reads a command a line, answers with a line of nanoseconds.

    open ID OPERATION NAME SIZE LIMIT   ok
    run ID N                            ok ELAPSED [CPU ...]      how long N took
    trace ID N                          ok EACH EACH ...          how long each of N took
    grow ID N                           ok KIB FDS MAPS KIB FDS MAPS    before and after N
    close ID 0                          ok

A line that starts with `error` says what went wrong. usage: worker.py PEER PLACEMENT
"""

import importlib
import os
import sys
import traceback
from contextlib import ExitStack

import operations
import remote
from forked import die_with_parent
from operation import Operation
from pairs import PLACEMENT

OPERATIONS = operations.OPERATIONS | remote.OPERATIONS

Memory = list[int]


def memory() -> Memory:
    """KiB of private memory, open descriptors and mappings of this process."""
    with open("/proc/self/smaps_rollup") as file:
        anonymous = next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
    with open("/proc/self/maps") as file:
        mappings = sum(1 for _ in file)
    return [anonymous, len(os.listdir("/proc/self/fd")), mappings]


def grow(operation: Operation, n: int) -> Memory:
    operation.run(max(1, n // 20))  # caches and free lists fill up once
    memory()  # to look takes memory, too: the allocator's next 132 KiB, when it has just run out
    before = memory()
    operation.run(n)
    return before + memory()


class Worker:
    def __init__(self, peer_name: str) -> None:
        self.peer = importlib.import_module(f"peer_{peer_name}").Peer()
        self.operations: dict[str, Operation] = {}

    def open(self, key: str, operation: str, name: str, size: str, limit: str) -> list[int]:
        self.operations[key] = OPERATIONS[operation](self.peer, name, int(size), int(limit))
        return []

    def answer(self, line: str) -> list[int]:
        verb, key, *rest = line.split()
        if verb == "open":
            return self.open(key, *rest)
        if verb == "close":
            self.operations.pop(key).close()
            return []
        operation, n = self.operations[key], int(rest[0])
        match verb:
            case "run":
                return operation.run(n)
            case "trace":
                return operation.trace(n)
            case "grow":
                return grow(operation, n)
        raise ValueError(f"no such command: {verb}")

    def close(self) -> None:
        with ExitStack() as stack:
            for operation in self.operations.values():
                stack.callback(operation.close)


def main() -> None:
    peer_name, placement = sys.argv[1:]
    die_with_parent()
    PLACEMENT.choose(placement)  # before the peer counts the processors
    worker = Worker(peer_name)
    for line in sys.stdin:
        try:
            print("ok", *worker.answer(line), flush=True)
        except Exception as error:
            traceback.print_exc()
            text = " ".join(str(error).split())
            print(f"error {type(error).__name__}: {text}", flush=True)
    worker.close()


if __name__ == "__main__":
    main()
