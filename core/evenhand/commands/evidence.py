"""`toolkit compare` and `toolkit report`: what came out."""

from __future__ import annotations

import rich_click as click

from evenhand.commands.session import global_options


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@global_options
def compare(first: str, second: str) -> None:
    """Compare two folders of runs or evaluations, benchmark by benchmark and item by item.

    Of a run, its result is compared. Runs must have begun with the same model; evaluations may be of different ones.
    """
    from evenhand.compare import compare as compare_folders
    from evenhand.compare import print_comparison

    print_comparison(compare_folders(first, second))


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
