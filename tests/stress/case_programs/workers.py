"""Workers: a first handle that a handler interrupts, and a pool's worker that returns its own."""

import multiprocessing
import multiprocessing.util
import os
import sys
from typing import Any

from nob.ipc import Flags, NamedSharedMemory

CREATE = Flags.RAISE_IF_EXISTS


class Interrupted(Exception):
    pass


def interrupted(names: Any) -> None:
    real = multiprocessing.util.Finalize

    def raises(*_: Any, **__: Any) -> None:
        multiprocessing.util.Finalize = real  # type: ignore[misc]
        raise Interrupted

    multiprocessing.util.Finalize = raises  # type: ignore[assignment, misc]
    try:
        NamedSharedMemory(None, 64, handle_existence=CREATE)
    except Interrupted:
        pass
    global kept
    kept = NamedSharedMemory(None, 64, handle_existence=CREATE)
    names.put(kept.name)


def made(size: int) -> NamedSharedMemory:
    return NamedSharedMemory(None, size, handle_existence=CREATE)


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    names = context.SimpleQueue()
    worker = context.Process(target=interrupted, args=(names,))
    worker.start()
    worker.join()
    if os.path.exists("/dev/shm" + (name := names.get())):
        NamedSharedMemory.unlink_name(name)
        sys.exit("an interrupted worker leaves its segment behind")
    with context.Pool(1) as pool:
        try:
            pool.apply_async(made, (64,)).get(timeout=15)
        except multiprocessing.TimeoutError:
            os.write(2, b"a pool hangs whose worker returns the segment that it made\n")
            os._exit(1)
        except Exception:
            pass
