"""How a program ends: a status for whoever started it, and a line for people."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from nob.cli._logging import shows


class Raised(BaseException):
    """Carries past click what it would take for a wish of the user's to abort, or swallow.

    An EOFError or BrokenPipeError can come from any of the command's own files and pipes.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    @classmethod
    @contextlib.contextmanager
    def past_click(cls) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, EOFError, BrokenPipeError) as error:
            raise cls(error) from None


def run_to_the_end(run: Callable[[], Any]) -> NoReturn:
    """Run a program and exit; what it raises, but an OSError, is left to the interpreter."""
    try:
        try:
            run()
        finally:
            # What cannot be written is better known now than while the interpreter shuts down.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # ends the line on which the terminal shows ^C
        status = 130
    except OSError as error:
        if not (isinstance(error, BrokenPipeError) and _nobody_reads()):
            _report(error)
        status = 1
    else:
        status = 0
    _give_up_what_cannot_be_written()
    sys.exit(status)


def _report(error: OSError) -> None:
    if shows(logging.DEBUG):
        traceback.print_exception(error)
    else:
        print(*traceback.format_exception_only(error), sep="", end="", file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    try:
        poll.register(sys.stdout, 0)
    except (OSError, TypeError, ValueError):  # there is no descriptor behind it
        return False
    return bool(poll.poll(0))


def _give_up_what_cannot_be_written() -> None:
    """The interpreter would try once more, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
