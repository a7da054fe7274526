"""The command line: `toolkit`. It prints messages, not tracebacks; `evenhand.errors` has the exit codes.

Nothing heavy is imported here or at the top of a command's file: `toolkit --help` must answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import rich_click as click
from click.exceptions import Exit

from evenhand import __version__
from evenhand.commands.authoring import check, new
from evenhand.commands.collecting import evidence
from evenhand.commands.evaluating import evaluation
from evenhand.commands.evidence import compare, report
from evenhand.commands.exporting import export
from evenhand.commands.layout import styled
from evenhand.commands.models import models
from evenhand.commands.plugins import plugins, schema
from evenhand.commands.running import run, validate
from evenhand.commands.searching import ablate, sweep
from evenhand.commands.session import Session, global_options
from evenhand.errors import EvenhandError, told
from evenhand.processes import is_first
from evenhand.stopping import GOES_ON, heed_termination, signal_of, stop_behind

DEFECT = 70
"""Exit code of an exception that nobody foresaw (EX_SOFTWARE)."""


_GO_ON = ("sweep", "ablate")
"""Commands that keep what they have done: the same one goes on."""


class Toolkit(click.RichGroup):
    """The group of all commands; it turns exceptions into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        from evenhand.lenient_metadata import ignore_undecodable_entry_points

        ignore_undecodable_entry_points()
        try:
            return super().invoke(ctx)
        except (click.ClickException, Exit, click.Abort, BrokenPipeError):
            raise
        except BaseException as error:  # noqa: BLE001 -- what is no stop and no EvenhandError is reported as a defect
            stop = stop_behind(error)
            if stop is not None:
                known = getattr(stop, "__notes__", []) or [GOES_ON] * (ctx.invoked_subcommand in _GO_ON)
                _explain(ctx, error, "\n".join(["stopped", *(f"  {note}" for note in known)]))
                ctx.exit(128 + signal_of(stop))
            if isinstance(error, EvenhandError):
                _explain(ctx, error, told(error))
                ctx.exit(error.exit_code)
            _explain(ctx, error, _defect(error))
            ctx.exit(DEFECT)


def _explain(ctx: click.Context, error: BaseException, message: str) -> None:
    """Writes the message to standard error, its first line in red; with `--debug` the traceback first."""
    if ctx.ensure_object(Session).debug:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)
    first, newline, rest = message.partition("\n")
    click.echo(styled(first, colour="red", bold=True, error=True) + newline + rest, err=True)


def _defect(error: BaseException) -> str:
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
    return f"this is a defect in the toolkit, not in your input ({what}); --debug shows the traceback"


@click.group(cls=Toolkit, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="toolkit")
@click.command_panel("Mitigate and measure", commands=["run", "validate", "eval", "compare", "report", "export"])
@click.command_panel("Search and take apart", commands=["sweep", "ablate", "evidence"])
@click.command_panel("Plugins, models and recipes", commands=["plugins", "new", "check", "models", "schema"])
@global_options
def toolkit() -> None:
    """Mitigate social bias in Hugging Face language models, and show what it did and what it cost.

    A first run: toolkit run quickstart
    """


for command in (
    run,
    evaluation,
    validate,
    sweep,
    ablate,
    schema,
    plugins,
    check,
    new,
    models,
    compare,
    report,
    evidence,
    export,
):
    toolkit.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; ends the process with the exit code. Of several processes only the first one speaks."""
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    heed_termination()
    toolkit.main(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="toolkit")


if __name__ == "__main__":
    main()
