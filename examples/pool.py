"""A pool of workers, on this machine or on many: the place is a URL.

    python pool.py run                                  # this machine, no server
    python pool.py run --at redis://db.example          # on a server, and meanwhile elsewhere:
    python pool.py work --at redis://db.example         # one more worker

Without `--at` it is the environment variable NOB_IPC_URL that says where. What the program does
for a network: a job that a killed worker had is sent once more, a result that comes twice counts
once, and a call that was sent and not answered is repeated under its number, never done twice.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import TypeVar

# A module of the standard library is called like the example queue.py: nothing comes from here.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from nob import cli, ipc
from nob.ipc import Flags

T = TypeVar("T")

END = b""
SILENCE = 5.0
"""Seconds without a result after which a job counts as lost with its worker."""


def once(call: Callable[[], T]) -> T:
    """What a call returns, however long the server is away; it is done once."""
    while True:
        try:
            return call()
        except ipc.ServerUnavailable:
            continue  # Nothing was changed: call again.
        except ipc.OutcomeUnknown as unknown:
            call = unknown.retry


@cli.grp()
def main() -> None: ...


@cli.cmd(main)
@cli.opt("--at", default=None, help="The URL of a server; else $NOB_IPC_URL; else this machine.")
@cli.opt("--name", default="/pool", show_default=True, help="What the names begin with.")
@cli.opt("--numbers", default=100, show_default=True, help="How many numbers to square.")
@cli.opt("--workers", default=2, show_default=True, help="How many processes work here.")
def run(lg: cli.Logger, at: str | None, name: str, numbers: int, workers: int) -> None:
    """Hand out the jobs, and collect the results."""
    new = Flags.RAISE_IF_EXISTS
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(ipc.connect(at))
        jobs = place.NamedMessageQueue(f"{name}-jobs", 10, 32, handle_existence=new)
        results = place.NamedMessageQueue(f"{name}-results", 10, 64, handle_existence=new)
        options = ["--name", name] + (["--at", at] if at else [])
        here = [
            stack.enter_context(subprocess.Popen([sys.executable, __file__, "work", *options]))
            for _ in range(workers)
        ]
        waiting = list(range(numbers))
        sent: dict[int, None] = {}
        squares: dict[int, int] = {}
        while len(squares) < numbers:
            # Both queues are bounded: send no more jobs than there is room for results.
            while waiting and len(sent) < results.max_messages:
                number = waiting.pop(0)
                sent[number] = None
                once(partial(jobs.send, str(number)))
            received = once(partial(results.receive, timeout=SILENCE))
            if received is None:
                lg.warning("no result for %g s: %d jobs are sent again", SILENCE, len(sent))
                waiting = [*sent, *waiting]
                sent.clear()
                continue
            number, square = map(int, received[0].split())
            squares[number] = square
            sent.pop(number, None)
        lg.info("%d squares on %s, the last is %d", len(squares), place.url, max(squares.values()))
        # A worker that ends hands the word on: it does not matter how many there are, and where.
        once(partial(jobs.send, END))
        for worker in here:
            worker.wait()


@cli.cmd(main)
@cli.opt("--at", default=None, help="The URL of a server; else $NOB_IPC_URL; else this machine.")
@cli.opt("--name", default="/pool", show_default=True, help="What the names begin with.")
def work(lg: cli.Logger, at: str | None, name: str) -> None:
    """Square numbers until the jobs are done."""
    with ipc.connect(at) as place:
        jobs = place.NamedMessageQueue(f"{name}-jobs")
        results = place.NamedMessageQueue(f"{name}-results")
        done = 0
        while True:
            received = once(jobs.receive)
            assert received is not None, "a wait without a timeout ends with a message"
            job, _ = received
            if job == END:
                once(partial(jobs.send, END, timeout=SILENCE))
                break
            number = int(job)
            # Nobody waits for what was sent again and is done already.
            done += once(partial(results.send, f"{number} {number**2}", timeout=SILENCE))
        lg.info("%d jobs done", done)


if __name__ == "__main__":
    main()
