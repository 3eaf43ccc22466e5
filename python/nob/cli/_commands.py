"""The classes of commands and groups: rich-click's, with what our programs have in common."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import rich_click as click

from nob.cli._ending import Raised, run_to_the_end
from nob.cli._logging import show_from


class Command(click.RichCommand):
    """A command; one that is a program takes --verbose and --quiet."""

    def __init__(self, *, params: list[click.Parameter], is_program: bool, **more: Any) -> None:
        self._is_program = is_program
        self._below = len(params)
        super().__init__(
            params=[*params, *_verbosity()] if is_program else params,
            context_settings={"help_option_names": ["-h", "--help"]},
            **more,
        )
        self._declared = len(self.params)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters in the order in which they are read.

        Decorators above the command's own append to its list, the lowest of them first.
        """
        params = super().get_params(ctx)
        below, common = params[: self._below], params[self._below : self._declared]
        above, help_option = params[self._declared : len(self.params)], params[len(self.params) :]
        return [*reversed(above), *below, *common, *help_option]

    def invoke(self, ctx: click.Context) -> Any:
        if self._is_program:
            verbose, quiet = ctx.params.pop(_VERBOSE), ctx.params.pop(_QUIET)
            if verbose and quiet:
                raise click.UsageError("--verbose and --quiet exclude each other.", ctx)
            show_from(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
        if ctx.parent is not None:
            return super().invoke(ctx)
        with Raised.past_click():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program, as click does; how it ends is told by the status of the process.

        Wrong usage is 2, an exception 1, Ctrl-C 130. An OSError, of which the user can know what to
        do about it, is one line; --verbose shows where it comes from.
        """

        def run() -> Any:
            try:
                return super(Command, self).main(
                    args, prog_name, complete_var, standalone_mode, **extra
                )
            except Raised as raised:
                error = raised.error
            raise error

        return run_to_the_end(run) if standalone_mode else run()


class Group(Command, click.RichGroup):  # type: ignore[misc]  # so is RichGroup itself
    """A group of commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Also finds the command when underscores of its name are typed as dashes."""
        found = super().get_command(ctx, cmd_name)
        return found or super().get_command(ctx, cmd_name.replace("-", "_"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """However it was typed, the command is known by its own name from here on."""
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest


# Nothing that a function's parameter is likely to be called.
_VERBOSE, _QUIET = "nob_cli_verbose", "nob_cli_quiet"


def _verbosity() -> list[click.Parameter]:
    return [
        click.RichOption(
            ["-v", "--verbose", _VERBOSE],
            is_flag=True,
            help="Log more, and show where an error comes from.",
        ),
        click.RichOption(
            ["-q", "--quiet", _QUIET], is_flag=True, help="Log less: warnings and errors only."
        ),
    ]
