"""Native threads of the package take no signal of the program's."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from nob.ipc import Flags, NamedMessageQueue, NamedSemaphore

CREATE = Flags.RAISE_IF_EXISTS
permits = NamedSemaphore(None, 0, CREATE)
queue = NamedMessageQueue(None, 1, 8, handle_existence=CREATE)
queue.request_notification((print, None))


def check() -> None:
    pythons = {thread.native_id for thread in threading.enumerate()}
    for task in map(int, os.listdir("/proc/self/task")):
        status = Path(f"/proc/self/task/{task}/status").read_text()
        blocked = int(status.split("SigBlk:")[1].split()[0], 16)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGRTMIN + 3):
            if task not in pythons and not blocked >> (number - 1) & 1:
                sys.exit(f"a native thread takes signal {number}")


async def main() -> None:
    waits = [asyncio.ensure_future(permits.acquire_async()) for _ in range(3)]
    await asyncio.sleep(0.1)
    check()
    # Only a thread that has it blocked may be left for it: then it stays pending.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.kill(os.getpid(), signal.SIGUSR2)
    if signal.sigtimedwait([signal.SIGUSR2], 10) is None:
        sys.exit("somebody else took the signal")
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


asyncio.run(main())
