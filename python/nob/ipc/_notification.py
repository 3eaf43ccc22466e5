"""The thread of a notification; imported when the first one is requested."""

from __future__ import annotations

import _thread
import importlib.util
import signal
import sys
import threading
from importlib.machinery import BuiltinImporter
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nob.ipc._native import _Watch


def start(watch: _Watch, function: Callable[[Any], object], argument: Any) -> None:
    """Start a daemon thread that waits for the notification, and then calls the function."""
    # The thread takes no signals while it waits. It inherits the mask.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _start_thread(_run, (watch, function, argument, mask))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _start_thread(run: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    if isinstance(_thread.start_new_thread, BuiltinFunctionType):
        name = "nob.ipc notification"
        threading.Thread(target=run, args=arguments, name=name, daemon=True).start()
        return
    # Something like gevent has replaced threads by what a wait in native code would stop for good.
    # A copy of the module has what was replaced.
    spec = BuiltinImporter.find_spec("_thread")
    assert spec is not None
    assert spec.loader is not None
    unpatched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpatched)
    unpatched.start_new_thread(run, arguments)


def _run(
    watch: _Watch, function: Callable[[Any], object], argument: Any, mask: set[signal.Signals]
) -> None:
    if not watch.wait():
        return
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        function(argument)
    except BaseException:
        kind, error, traceback = sys.exc_info()
        details = (kind, error, traceback, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(details))
