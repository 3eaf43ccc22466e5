"""Runs the parts that are named, or all.

    python -m stress [tools] [exits] [chaos] [cases] [loops] [servers]

NOB_IPC_STRESS says how many times as long as in the short suite; 10 takes about twenty minutes.
NOB_IPC_SEED repeats the choices of an earlier run, and NOB_IPC_PYTHONS names more interpreters,
with colons between. NOB_IPC_REDIS_SERVER names servers, in the same way, in place of those of the
path. A line tells what runs and how far it is, a summary at the end what was done. The exit status
is 0 if nothing failed.
"""

from __future__ import annotations

import os
import random
import sys

# The short suite is the default of the tests that are imported below.
os.environ.setdefault("NOB_IPC_STRESS", "10")

from stress import cases, chaos, exits, loops, servers, tools
from stress.interpreters import find
from stress.progress import Progress

PARTS = ["tools", "exits", "chaos", "cases", "loops", "servers"]


def main() -> int:
    parts = sys.argv[1:] or PARTS
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no part of it: {' '.join(unknown)}; there are {' '.join(PARTS)}")
    seed = int(os.environ.get("NOB_IPC_SEED", random.randrange(1 << 32)))
    progress = Progress()
    try:
        progress.keep(f"seed {seed}: NOB_IPC_SEED={seed} makes the same choices")
        interpreters = find(progress)
        if "tools" in parts:
            tools.check(progress)
        if "exits" in parts:
            exits.check(progress, interpreters, seed)
        if "chaos" in parts:
            chaos.check(progress, interpreters, seed)
        if "cases" in parts:
            cases.check(progress, interpreters)
        if "loops" in parts:
            loops.check(progress)
        if "servers" in parts:
            servers.check(progress)
    finally:
        progress.end()
    print(f"stress {'FAILED' if progress.failures else 'passed'}: {progress.figures()}")
    return int(progress.failures > 0)


if __name__ == "__main__":
    sys.exit(main())
