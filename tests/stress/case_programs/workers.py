"""Workers: a first handle that a handler interrupts, and a pool's worker that returns its own."""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import sys
from typing import Any

from nob.ipc import Flags, NamedSharedMemory

CREATE = Flags.RAISE_IF_EXISTS
kept: list[NamedSharedMemory] = []


class HandlerError(Exception):
    pass


def interrupted(names: Any) -> None:
    real = multiprocessing.util.Finalize

    def raises(*_: Any, **__: Any) -> None:
        multiprocessing.util.Finalize = real  # type: ignore[misc]
        raise HandlerError

    multiprocessing.util.Finalize = raises  # type: ignore[assignment, misc]
    with contextlib.suppress(HandlerError):
        NamedSharedMemory(None, 64, handle_existence=CREATE)
    kept.append(NamedSharedMemory(None, 64, handle_existence=CREATE))
    names.put(kept[0].name)


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
