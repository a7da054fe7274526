"""`toolkit compare` and `toolkit report`: what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

from evenhand.commands.evaluating import measuring_options
from evenhand.commands.session import global_options
from evenhand.errors import RunNotFound, UsageError


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@measuring_options
@global_options
def compare(first: str, second: str, benchmarks: tuple[str, ...], **how: Any) -> None:
    """Compare two folders of runs or evaluations, benchmark by benchmark and item by item; or two models.

    Of a run, its result is compared, with all its seeds. Runs must have begun with the same model; evaluations may be
    of different ones. With --benchmark, A and B are models, as `toolkit eval` takes them: both are measured first, and
    the other options are those of `toolkit eval`.
    """
    from evenhand.compare import compare as compare_folders
    from evenhand.compare import print_comparison
    from evenhand.evaluating import demand_comparable, evaluate

    if benchmarks:
        demand_comparable(first, second, benchmarks, **how)
        first, second = (str(evaluate(model, benchmarks, **how).folder) for model in (first, second))
    elif given := _given(how):
        raise UsageError(
            f"{given} says how a model is measured, and nothing is measured",
            where="compare",
            do="name what to measure both models by: --benchmark NAME",
        )
    try:
        found = compare_folders(first, second)
    except RunNotFound as error:
        if not all((Path(side) / "run.json").is_file() for side in (first, second)):
            error.add_note("or, to measure two models and compare them, add --benchmark NAME")
        raise
    print_comparison(found)


def _given(how: dict[str, Any]) -> str:
    """The first option of measuring that was given; empty where none was."""
    source = get_current_context().get_parameter_source
    names = (name for name in how if source(name) is ParameterSource.COMMANDLINE)
    return next((f"--{'set' if name == 'overrides' else name}" for name in names), "")


@click.command()
@click.argument("folder", metavar="RUN")
@global_options
def report(folder: str) -> None:
    """Write report.html and the model card of a run folder again, from its run.json and items.

    Of an evaluation folder the report alone: it has no model.
    """
    from evenhand.model_card import write_card
    from evenhand.report import write_report
    from evenhand.report_reading import read_run

    click.echo(write_report(folder))
    if read_run(folder).kind == "run":
        click.echo(write_card(folder))
