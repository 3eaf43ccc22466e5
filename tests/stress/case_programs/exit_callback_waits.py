"""A callback of the exit, older than the import, waits for a daemon thread that uses handles."""

import atexit
import os
import queue
import sys
import threading

jobs: queue.Queue[int] = queue.Queue()
done = []


def work() -> None:
    while True:
        number = jobs.get()
        try:
            box = NamedMessageQueue(None, 2, 8, handle_existence=Flags.RAISE_IF_EXISTS)
            box.send(b"%d" % number)
            box.receive(0)
            with NamedSharedMemory(None, 64, handle_existence=Flags.RAISE_IF_EXISTS) as segment:
                segment.mmap().close()
            done.append(number)
        except Exception as error:
            print(f"the daemon thread: {error!r}", flush=True)
        finally:
            jobs.task_done()


def flush() -> None:
    for number in range(20):
        jobs.put(number)
    jobs.join()
    if len(done) != 20:
        os._exit(1)


atexit.register(flush)
threading.Thread(target=work, daemon=True).start()

from nob.ipc import Flags, NamedMessageQueue, NamedSharedMemory  # noqa: E402

sys.exit(0)
