"""A queue of jobs and one of results in place of two `multiprocessing.Queue`s.

Handles are arguments like any others, for spawned workers as for forked ones. What changes:

- Nothing is pickled: messages are bytes. (`pickle.dumps` makes some of anything.)
- A queue holds so many messages, and then `send` waits. There is no thread that feeds a pipe, so
  what was sent is there, and a process that ends has sent all it sent.
- Whoever knows the name can take part, in any language, and see the queue with `nob-ipc ls`.
"""

import multiprocessing
import sys
from multiprocessing.context import ForkContext, SpawnContext

# A module of the standard library is called like the example queue.py: nothing comes from here.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from nob import cli
from nob.ipc import Flags, NamedMessageQueue

WORKERS = 3
END = b""


def work(jobs: NamedMessageQueue, results: NamedMessageQueue) -> None:
    for job, _ in jobs:
        if job == END:
            break
        results.send(str(int(job) ** 2))


def squares(numbers: range, context: ForkContext | SpawnContext) -> list[int]:
    """The squares of the numbers, sorted, by workers that are started this way."""
    new = Flags.RAISE_IF_EXISTS
    with (
        NamedMessageQueue(None, max_message_size=32, handle_existence=new) as jobs,
        NamedMessageQueue(None, max_message_size=32, handle_existence=new) as results,
    ):
        # Daemons: should anything fail here, they are ended.
        workers = [
            context.Process(target=work, args=(jobs, results), daemon=True) for _ in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        found: list[int] = []
        for sent, number in enumerate(numbers):
            # Both queues are bounded: send no more jobs than there is room for results.
            if sent - len(found) == results.max_messages:
                found += [int(result) for result, _ in results.receive_many()]
            jobs.send(str(number))
        while len(found) < len(numbers):
            found += [int(result) for result, _ in results.receive_many()]
        jobs.send_many([END] * WORKERS)
        for worker in workers:
            worker.join()
    return sorted(found)


@cli.cmd()
def main(lg: cli.Logger) -> None:
    """Have forked and spawned workers square numbers."""
    for context in (multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")):
        end = squares(range(100), context)[-3:]
        lg.info("%s: the squares end with %s", context.get_start_method(), end)


if __name__ == "__main__":
    main()
