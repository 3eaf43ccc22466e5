"""Where the log records of a program go: to standard output, through rich."""

from __future__ import annotations

import logging
import sys
from logging import Logger
from typing import TextIO

__all__ = ["Logger", "logger_of", "show_from"]

PROGRAMS = logging.getLogger("nob.cli.program")
"""The parent of all loggers that commands get: the root logger is left to the program."""


class _OneLine(logging.Formatter):
    """One unwrapped line for a record, for whatever reads it after us."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines; that nobody reads them any more ends the program, quietly."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if isinstance(sys.exception(), BrokenPipeError):
            raise  # noqa: PLE0704 (logging calls this while it handles the error)
        super().handleError(record)


def _handler() -> logging.Handler:
    if not sys.stdout.isatty():
        handler: logging.Handler = _Lines(sys.stdout)
        handler.setFormatter(_OneLine("%(levelname)s %(command)s: %(message)s"))
        return handler
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(file=sys.stdout), show_path=False, markup=False)
    handler.setFormatter(logging.Formatter("%(message)s", datefmt="[%X]"))
    return handler


def show_from(level: int) -> None:
    """Show records from this level on; the standard output is looked at anew."""
    for old in list(PROGRAMS.handlers):
        PROGRAMS.removeHandler(old)
    PROGRAMS.addHandler(_handler())
    PROGRAMS.setLevel(level)
    PROGRAMS.propagate = False


def logger_of(command: str) -> Logger:
    """The logger of the command called so."""
    logger = PROGRAMS.getChild(command)
    if not any(isinstance(each, _Command) for each in logger.filters):
        logger.addFilter(_Command(command))
    return logger


class _Command(logging.Filter):
    """Puts the name of the command into its records."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    def filter(self, record: logging.LogRecord) -> bool:
        record.command = self._command
        return True
