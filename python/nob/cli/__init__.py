"""A thin layer on rich-click and rich: command-line programs of a few functions.

grp, cmd: make a group or a command of a function; they are named after it.
arg, opt: rich-click's argument and option, below or above.
Logger: what a parameter called lg gets.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from logging import Logger
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from nob.cli._commands import Command, Group
from nob.cli._logging import logger_of

__all__ = ["Logger", "arg", "cmd", "grp", "opt"]

# rich-click's own, with types that its overloads do not give.
if not TYPE_CHECKING:
    from rich_click import argument as arg
    from rich_click import option as opt
else:
    _Function = TypeVar("_Function", bound=Callable[..., Any] | click.Command)

    def arg(*names: str, **attributes: Any) -> Callable[[_Function], _Function]:
        return click.argument(*names, **attributes)

    def opt(*names: str, **attributes: Any) -> Callable[[_Function], _Function]:
        return click.option(*names, **attributes)


_Made = TypeVar("_Made", Command, Group)


def grp(parent: click.Group | None = None) -> Callable[[Callable[..., Any]], click.RichGroup]:
    """Make a group of commands of a function, which runs before each of them.

    The function's docstring is its help. A parameter called `lg` gets a logger that is named after
    the group, `ctx` the click context.

    Args:
        parent: The group it belongs to; `None`: it is the program.
    """
    return _maker(Group, parent)


def cmd(parent: click.Group | None = None) -> Callable[[Callable[..., Any]], click.RichCommand]:
    """Make a command of a function.

    The function's docstring is its help. A parameter called `lg` gets a logger that is named after
    the command, `ctx` the click context.

    Args:
        parent: The group it belongs to; `None`: it is the program.
    """
    return _maker(Command, parent)


def _maker(kind: type[_Made], parent: click.Group | None) -> Callable[[Callable[..., Any]], _Made]:
    if parent is not None and not isinstance(parent, click.Group):
        raise TypeError(
            f"the parent is to be a group, not {parent!r}; "
            "a decorator without a parent needs its parentheses: @cli.grp(), @cli.cmd()"
        )

    def make(function: Callable[..., Any]) -> _Made:
        command = kind(
            name=function.__name__,
            callback=_callback(function),
            params=list(reversed(getattr(function, "__click_params__", []))),
            help=inspect.getdoc(function),
            is_program=parent is None,
        )
        if parent is not None:
            parent.add_command(command)
        return command

    return make


def _callback(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called with what its parameters lg and ctx ask for."""
    name = function.__name__
    wanted = inspect.signature(function).parameters
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        raise TypeError(
            f"{name} would not run: a call only makes a coroutine or generator of it; "
            "make a plain function that runs it (asyncio.run) the command"
        )

    @functools.wraps(function)
    def call(**values: Any) -> Any:
        if "lg" in wanted:
            values["lg"] = logger_of(name)
        if "ctx" in wanted:
            values["ctx"] = click.get_current_context()
        return function(**values)

    return call
