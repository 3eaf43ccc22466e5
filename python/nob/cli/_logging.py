"""Where the log records of a program go: to standard output, through rich."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

# A hierarchy of its own: a command may have the name of a logger that belongs to somebody else,
# and what else the process logs is for its program to configure.
_root = logging.RootLogger(logging.INFO)
_root.manager = logging.Manager(_root)


def logger_of(command: str) -> logging.Logger:
    """The logger of the command called so."""
    return _root.manager.getLogger(command)


def show_from(level: int) -> None:
    """Show records from this level on; the standard output is looked at anew."""
    for old in list(_root.handlers):
        _root.removeHandler(old)
        old.close()
    _root.addHandler(_handler())
    _root.setLevel(level)


def shows(level: int) -> bool:
    """Whether records of this level are shown."""
    return _root.isEnabledFor(level)


def _handler() -> logging.Handler:
    if sys.stdout is None:  # it was closed before Python started
        return logging.NullHandler()
    encoding = sys.stdout.encoding or "utf-8"
    if not sys.stdout.isatty():
        lines = _Lines(sys.stdout)
        lines.setFormatter(_OneLine(encoding, "%(levelname)s %(name)s: %(message)s"))
        return lines
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(file=sys.stdout), show_path=False, markup=False)
    handler.setFormatter(_Encodable(encoding, "%(message)s", datefmt="[%X]"))
    return handler


class _Encodable(logging.Formatter):
    """Escapes what the stream's encoding does not have, so that no record is lost for it."""

    def __init__(self, encoding: str, text: str, datefmt: str | None = None) -> None:
        super().__init__(text, datefmt)
        self._encoding = encoding

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)


class _OneLine(_Encodable):
    """One unwrapped line for a record, for whatever reads it after us."""

    # What str.splitlines() splits at.
    _BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

    def format(self, record: logging.LogRecord) -> str:
        return self._BREAK.sub(_escape, super().format(record))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be written is an error, as with print()."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if isinstance(sys.exception(), OSError):
            raise  # noqa: PLE0704 (logging calls this while it handles the error)
        super().handleError(record)
