"""What the global flags say, and how each command accepts them before or behind its name."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import rich_click as click

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Session:
    """The global flags of one call of the program."""

    debug: bool = False
    """Show tracebacks."""
    quiet: bool = False
    """Show no progress and no summary."""


pass_session = click.make_pass_decorator(Session, ensure=True)


def global_options(command: Command) -> Command:
    """Adds `--debug` and `--quiet`; they mean the same before and behind the name of a command."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_switch, help="Show the traceback of an error."
    )
    quiet = click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_switch,
        help="Show no progress and no summary; errors still appear.",
    )
    return debug(quiet(command))


def at_once(command: Command) -> Command:
    """For commands that only read and answer: what they make stays until the end, so nothing is collected."""

    @functools.wraps(command)
    def quick(*arguments: Any, **options: Any) -> Any:
        gc.disable()
        try:
            return command(*arguments, **options)
        finally:
            gc.enable()

    return quick  # type: ignore[return-value]


def _switch(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        session = context.find_root().ensure_object(Session)
        setattr(session, str(parameter.name), True)
        if parameter.name == "quiet":
            from evenhand.progress import configure

            configure("quiet")
