"""`toolkit models`, `toolkit compare` and `toolkit report`: what there is to run, and what came out."""

from __future__ import annotations

import rich_click as click

from evenhand.commands.session import global_options


@click.command()
@global_options
def models() -> None:
    """List the models that need no hub, and whether they are on this machine."""
    from evenhand.commands.layout import columns
    from evenhand.shelf import list_shelf

    rows = [
        (row.entry.name, row.entry.kind, row.entry.licence, row.state, row.entry.display_name) for row in list_shelf()
    ]
    click.echo("\n".join(columns(("model", "kind", "licence", "state", "what it is"), rows)))
    click.echo("")
    click.echo("model.name may also be a folder, or the id of a model on the Hugging Face hub.")


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
