"""A thin layer on rich-click and rich: command-line programs of a few functions.

grp, cmd: make a group or a command of a function; they are named after it.
arg, opt: rich-click's argument and option, below or above.
Logger: what a parameter called lg gets.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import rich_click as click
from click.exceptions import Exit
from rich_click import argument as arg
from rich_click import option as opt

from nob.cli._logging import Logger, logger_of, show_from

__all__ = ["Logger", "arg", "cmd", "grp", "opt"]


class _InReadingOrder:
    """Puts parameters that are declared above a command before those below it.

    Decorators that stand above append to the command one by one, the lowest first.
    """

    below: list[click.Parameter]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params: list[click.Parameter] = super().get_params(ctx)  # type: ignore[misc]
        known = {id(param) for param in (*self.below, _VERBOSE, _QUIET)}
        above = [each for each in params if id(each) not in known and "--help" not in each.opts]
        moved = {id(param) for param in above}
        return [*reversed(above), *(each for each in params if id(each) not in moved)]


class _Command(_InReadingOrder, click.RichCommand):
    pass


class _Group(_InReadingOrder, click.RichGroup):  # type: ignore[misc]
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Also finds the command when underscores of its name are typed as dashes."""
        found = super().get_command(ctx, cmd_name)
        return found or super().get_command(ctx, cmd_name.replace("-", "_"))


def grp(parent: click.Group | None = None) -> Callable[[Callable[..., Any]], click.Group]:
    """Make a group of commands of a function, which runs before each of them.

    parent: the group it belongs to; None: it is the program. The function's docstring is its help.
    """
    return functools.partial(_make, _Group, parent)


def cmd(parent: click.Group | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function.

    parent: the group it belongs to; None: it is the program. The function's docstring is its help.
    A parameter called lg gets a logger that is named after the command, ctx the click context.
    """
    return functools.partial(_make, _Command, parent)


def _make(kind: type[Any], parent: click.Group | None, function: Callable[..., Any]) -> Any:
    name = function.__name__
    below = list(reversed(getattr(function, "__click_params__", [])))
    verbosity = [] if parent is not None else [_VERBOSE, _QUIET]
    command = kind(
        name=name,
        callback=_callback(function, name, sets_verbosity=parent is None),
        params=[*below, *verbosity],
        help=inspect.getdoc(function),
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command.below = below
    if parent is not None:
        parent.add_command(command)
    return command


_VERBOSE = click.Option(
    ["-v", "--verbose", "nob_verbose"], is_flag=True, help="Log more: also what helps to debug."
)
_QUIET = click.Option(
    ["-q", "--quiet", "nob_quiet"], is_flag=True, help="Log less: warnings and errors only."
)


def _callback(
    function: Callable[..., Any], name: str, *, sets_verbosity: bool
) -> Callable[..., Any]:
    wanted = inspect.signature(function).parameters

    @functools.wraps(function)
    def run(*, nob_verbose: bool = False, nob_quiet: bool = False, **values: Any) -> Any:
        ctx = click.get_current_context()
        if nob_verbose and nob_quiet:
            raise click.UsageError("--verbose and --quiet exclude each other.")
        if sets_verbosity:
            level = logging.DEBUG if nob_verbose else logging.WARNING if nob_quiet else logging.INFO
            show_from(level)
        if "lg" in wanted:
            values["lg"] = logger_of(name)
        if "ctx" in wanted:
            values["ctx"] = ctx
        try:
            return function(**values)
        except KeyboardInterrupt:
            # As a shell reports a program that Ctrl-C ended.
            raise Exit(130) from None

    return run
