"""The signatures of the classes, for help() and inspect; imported when one is asked for.

The text of a native signature has no place for a default that is a member of Flags.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nob.ipc.flags import Flags


def _named_semaphore(
    name: Any,
    initial_value: Any = 1,
    handle_existence: Any = Flags.RAISE_IF_NOT_EXISTS,
    unlink_on_delete: Any = None,
    *,
    mode: Any = 0o600,
) -> None: ...


def _named_shared_memory(
    name: Any,
    size: Any = 0,
    read_only: Any = False,
    handle_existence: Any = Flags.RAISE_IF_NOT_EXISTS,
    unlink_on_delete: Any = None,
    *,
    mode: Any = 0o600,
    reserve: Any = True,
) -> None: ...


def _named_message_queue(
    name: Any,
    max_messages: Any = None,
    max_message_size: Any = None,
    read: Any = True,
    write: Any = True,
    handle_existence: Any = Flags.RAISE_IF_NOT_EXISTS,
    unlink_on_delete: Any = None,
    *,
    mode: Any = 0o600,
) -> None: ...


_CONSTRUCTORS: dict[str, Callable[..., None]] = {
    "NamedSemaphore": _named_semaphore,
    "NamedSharedMemory": _named_shared_memory,
    "NamedMessageQueue": _named_message_queue,
}


def of(name: str) -> inspect.Signature:
    """The signature of the class called name."""
    bare = inspect.signature(_CONSTRUCTORS[name])
    parameters = [each.replace(annotation=each.empty) for each in bare.parameters.values()]
    return inspect.Signature(parameters)
