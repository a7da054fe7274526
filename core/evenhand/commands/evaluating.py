"""`toolkit eval`: benchmarks on a model, without any mitigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click

from evenhand.commands.session import Session, global_options, pass_session

Command = Callable[..., Any]


def measuring_options(command: Command) -> Command:
    """Adds what `evaluate` may be told: `benchmarks`, `overrides`, `limit`, `data`, `output`, `dtype`, `seed`,
    `offline`."""
    for option in (
        click.option("--offline", is_flag=True, help="Refuse every download."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn."),
        click.option("--dtype", metavar="FORMAT", default="auto", show_default=True, help="auto, float32 or bfloat16."),
        click.option("--output", metavar="DIR", help="Folder that the evaluation folder is made in; default: runs."),
        click.option("--data", metavar="DIR", help="Folder of benchmark files; default: $EVENHAND_DATA."),
        click.option("--limit", type=int, metavar="N", help="The option limit of each benchmark that has one."),
        click.option(
            "overrides",
            "--set",
            metavar="BENCHMARK.KEY=VALUE",
            multiple=True,
            help="An option of a benchmark, such as crows-pairs.rule=harness, or a value of the sections model, "
            "evaluation or run of a recipe. May be repeated.",
        ),
        click.option(
            "--benchmark", "-b", "benchmarks", metavar="NAME", multiple=True, help="What to measure. May be repeated."
        ),
    ):
        command = option(command)
    return command


@click.command(name="eval")
@click.argument("model")
@measuring_options
@global_options
@pass_session
def evaluation(session: Session, /, model: str, benchmarks: tuple[str, ...], **how: Any) -> None:
    """Measure MODEL by benchmarks and change nothing.

    MODEL is anything that a recipe may name (a model of the shelf, a hub id, a folder, a GGUF file), or the folder of a
    complete run: then the finished model, with its decoding rules.
    """
    from evenhand.evaluating import evaluate

    found = evaluate(model, benchmarks, **how)
    if session.quiet:
        click.echo(found.folder)
        return
    from evenhand.evaluation_summary import print_evaluation

    print_evaluation(found.folder)
