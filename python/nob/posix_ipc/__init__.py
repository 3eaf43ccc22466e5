"""Stands in for the package posix_ipc: `import nob.posix_ipc as posix_ipc`.

Semaphore, SharedMemory, MessageQueue: handles to named objects of POSIX, as nob.ipc has them, with
the arguments, exceptions and habits of posix_ipc 1.3: nothing is unlinked but on request, and a
signal ends a wait.
unlink_semaphore, unlink_shared_memory, unlink_message_queue: remove names.

What differs on purpose is that nothing of another process gets lost: a segment in use is not made
smaller, a name that belongs to another object now is left alone, a constructor that fails removes
nothing, and what a signal handler raises comes out of the wait.
"""

import os
import signal

try:
    from nob.ipc._native import (
        MessageQueue,
        Semaphore,
        SharedMemory,
        _queue_defaults,
        unlink_message_queue,
        unlink_semaphore,
        unlink_shared_memory,
    )
except ModuleNotFoundError as _error:
    # The wheel for other systems has no native module.
    if _error.name != "nob.ipc._native":
        raise
    from nob.ipc._unsupported import NEEDS

    raise ImportError(f"nob.posix_ipc needs {NEEDS}", name=__name__) from _error

__all__ = [
    "MESSAGE_QUEUES_SUPPORTED",
    "O_CREAT",
    "O_CREX",
    "O_EXCL",
    "O_NONBLOCK",
    "O_RDONLY",
    "O_RDWR",
    "O_TRUNC",
    "O_WRONLY",
    "PAGE_SIZE",
    "QUEUE_MESSAGES_MAX_DEFAULT",
    "QUEUE_MESSAGE_SIZE_MAX_DEFAULT",
    "QUEUE_PRIORITY_MAX",
    "SEMAPHORE_TIMEOUT_SUPPORTED",
    "SEMAPHORE_VALUE_MAX",
    "SEMAPHORE_VALUE_SUPPORTED",
    "USER_SIGNAL_MAX",
    "USER_SIGNAL_MIN",
    "VERSION",
    "BusyError",
    "Error",
    "ExistentialError",
    "MessageQueue",
    "PermissionsError",
    "Semaphore",
    "SharedMemory",
    "SignalError",
    "unlink_message_queue",
    "unlink_semaphore",
    "unlink_shared_memory",
]

VERSION = "1.3.2"
"""The release of posix_ipc that this module stands in for."""
__version__ = VERSION
__author__ = "The nob.ipc authors"
__copyright__ = "Copyright The nob.ipc authors"
__license__ = "MIT"

O_CREAT = os.O_CREAT
O_EXCL = os.O_EXCL
O_CREX = os.O_CREAT | os.O_EXCL
O_TRUNC = os.O_TRUNC
O_RDONLY = os.O_RDONLY
O_WRONLY = os.O_WRONLY
O_RDWR = os.O_RDWR
O_NONBLOCK = os.O_NONBLOCK

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

SEMAPHORE_TIMEOUT_SUPPORTED = True
SEMAPHORE_VALUE_SUPPORTED = True
SEMAPHORE_VALUE_MAX = os.sysconf("SC_SEM_VALUE_MAX")

MESSAGE_QUEUES_SUPPORTED = True
# As the system has them when the module is imported.
QUEUE_MESSAGES_MAX_DEFAULT, QUEUE_MESSAGE_SIZE_MAX_DEFAULT = _queue_defaults()
QUEUE_PRIORITY_MAX = os.sysconf("SC_MQ_PRIO_MAX") - 1

USER_SIGNAL_MIN = int(signal.SIGRTMIN)
USER_SIGNAL_MAX = int(signal.SIGRTMAX)


class Error(Exception):
    """What the exceptions of this module have in common."""


class SignalError(Error):
    """A signal was handled while a call waited; nothing was taken."""


class PermissionsError(Error):
    """The object's mode, or what the handle was opened for, does not permit it."""


class ExistentialError(Error):
    """The name is taken, nothing has it, or the handle is closed."""


class BusyError(Error):
    """The time was over before the call was served, or it was not to wait."""
