"""What the thread of a notification runs; imported when the first one is requested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nob.ipc._native import _Watch


def run(watch: _Watch, function: Callable[[Any], object], argument: Any) -> None:
    """Wait for the notification, and call the function unless it can come no more."""
    if watch.wait():
        function(argument)
