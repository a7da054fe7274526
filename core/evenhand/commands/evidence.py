"""`toolkit compare` and `toolkit report`: what came out."""

from __future__ import annotations

import rich_click as click

from evenhand.commands.session import global_options


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@global_options
def compare(first: str, second: str) -> None:
    """Compare two run folders, benchmark by benchmark."""
    from evenhand.compare import compare as compare_runs
    from evenhand.compare import print_comparison

    print_comparison(compare_runs(first, second))


@click.command()
@click.argument("folder", metavar="RUN")
@global_options
def report(folder: str) -> None:
    """Write report.html and the model card of a run folder again, from its run.json and items."""
    from evenhand.model_card import write_card
    from evenhand.report import write_report

    click.echo(write_report(folder))
    click.echo(write_card(folder))
