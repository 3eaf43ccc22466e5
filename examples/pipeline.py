"""A pipeline: a producer, workers in several processes, and a collector in asyncio.

- Back-pressure: the queues are short. Whoever is too fast waits until there is room.
- Priorities: what is urgent overtakes; the end, which is the least urgent, comes last.
- Ctrl-C stops the producer. What is in the pipeline is finished, and nothing is left behind.
"""

import asyncio
import multiprocessing
import signal
import sys
from collections.abc import Callable

# A module of the standard library is called like the example queue.py: nothing comes from here.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from nob import cli
from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore

URGENT, USUAL, LAST = 9, 5, 0
END = b""


def produce(jobs: NamedMessageQueue, stop: NamedSemaphore, numbers: int, workers: int) -> None:
    for number in range(2, 2 + numbers):
        if stop.value:
            break
        jobs.send(str(number), priority=URGENT if number % 10 == 0 else USUAL)
    jobs.send_many([END] * workers, priority=LAST)


def work(jobs: NamedMessageQueue, results: NamedMessageQueue) -> None:
    for job, priority in jobs:
        if job == END:
            break
        results.send(f"{job.decode()} = {' * '.join(map(str, factors(int(job))))}", None, priority)
    results.send(END, priority=LAST)


def factors(number: int) -> list[int]:
    for factor in range(2, int(number**0.5) + 1):
        if number % factor == 0:
            return [factor, *factors(number // factor)]
    return [number]


async def collect(
    results: NamedMessageQueue, workers: list[multiprocessing.Process], lg: cli.Logger
) -> int:
    collected = ended = 0
    while ended < len(workers):
        received = await results.receive_async(timeout=1)
        if received is None:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a worker has died, and the job that it had is lost")
        elif received[0] == END:
            ended += 1
        else:
            result, priority = received
            lg.info("%s%s", result.decode(), " (urgent)" if priority == URGENT else "")
            collected += 1
    return collected


@cli.cmd()
@cli.opt("--numbers", default=40, show_default=True, help="How many numbers to take apart.")
@cli.opt("--workers", default=3, show_default=True, help="How many processes work.")
def main(lg: cli.Logger, numbers: int, workers: int) -> None:
    """Take numbers apart into their prime factors."""
    # The terminal sends Ctrl-C to all processes: those that are started now do not mind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    new = Flags.RAISE_IF_EXISTS
    with (
        NamedMessageQueue(None, 8, 32, handle_existence=new) as jobs,
        NamedMessageQueue(None, 8, 256, handle_existence=new) as results,
    ):
        stop = NamedSemaphore(None, 0, handle_existence=new)
        working = [daemon(work, jobs, results) for _ in range(workers)]
        producing = daemon(produce, jobs, stop, numbers, workers)

        async def run() -> int:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.release)
            return await collect(results, working, lg)

        collected = asyncio.run(run())
        for process in (producing, *working):
            process.join()
    lg.info("%s: %d results", "Stopped" if stop.value else "Done", collected)


def daemon(function: Callable[..., object], *arguments: object) -> multiprocessing.Process:
    """A process that does not outlive this one, whatever happens here."""
    process = multiprocessing.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


if __name__ == "__main__":
    main()
