"""release(n) is one step, however large n is."""

import signal
import sys

from nob.ipc import Flags, NamedSemaphore

LARGEST = 2_147_483_647


class HandlerError(Exception):
    pass


def on_signal(*_: object) -> None:
    raise HandlerError


signal.signal(signal.SIGALRM, on_signal)
for initial, number in (0, LARGEST), (1, LARGEST - 1), (LARGEST - 2**30, 2**30):
    permits = NamedSemaphore(None, initial, Flags.RAISE_IF_EXISTS)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        permits.release(number)
        signal.pause()
    except HandlerError:
        pass
    if permits.value not in (initial, LARGEST):
        sys.exit(f"release({number}) of {initial} stopped at {permits.value}")
