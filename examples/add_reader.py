"""An event loop that calls back when there are messages: a queue's descriptor can be watched.

In a coroutine, `await queue.receive_async()` is shorter; this is for programs built of callbacks.
"""

import asyncio
import multiprocessing
import sys

# A module of the standard library is called like the example queue.py: nothing comes from here.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from nob import cli
from nob.ipc import Flags, NamedMessageQueue


def talk(queue: NamedMessageQueue) -> None:
    """What the other process does."""
    for word in ("one", "two", "three", "bye"):
        queue.send(word)


async def listen(queue: NamedMessageQueue, lg: cli.Logger) -> None:
    bye = asyncio.Event()

    def readable() -> None:
        # Somebody else may have been quicker: with a timeout of 0, nobody has to wait.
        for message, _ in queue.receive_many(timeout=0):
            lg.info("Received '%s'", message.decode())
            if message == b"bye":
                bye.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(queue, readable)
    try:
        await bye.wait()
    finally:
        loop.remove_reader(queue)


@cli.cmd()
def main(lg: cli.Logger) -> None:
    """Listen to another process with `loop.add_reader`."""
    with NamedMessageQueue(None, handle_existence=Flags.RAISE_IF_EXISTS) as queue:
        talker = multiprocessing.Process(target=talk, args=[queue])
        talker.start()
        asyncio.run(listen(queue, lg))
        talker.join()


if __name__ == "__main__":
    main()
