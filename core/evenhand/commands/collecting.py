"""`toolkit evidence`: many runs in one table."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from evenhand.commands.session import Session, global_options, pass_session


@click.command()
@click.argument("folders", metavar="[RUN]...", nargs=-1)
@click.option(
    "--output",
    metavar="DIR",
    default="evidence",
    show_default=True,
    help="Folder of the table: README.md, results/, not_run.toml and about.md.",
)
@global_options
@pass_session
def evidence(session: Session, folders: tuple[str, ...], output: str) -> None:
    """Collect runs into one table of techniques, side by side.

    Of each complete RUN a small part is kept in DIR/results, over an older one of its name, and DIR/README.md is
    written from all that is kept there. Without RUN, the page is only written again.
    """
    from evenhand.collecting import RESULTS, keep
    from evenhand.evidence_page import write_page

    place = Path(output)
    if not folders and not place.is_dir():
        from evenhand.errors import UsageError

        raise UsageError(
            "no run is named, and there is no table to write again", where=str(place),
            do="name the folders of runs, or with --output that of a table",
        )  # fmt: skip
    told = keep(folders, place / RESULTS)
    if not session.quiet:
        for line in told:
            click.echo(line)
    click.echo(write_page(place))
