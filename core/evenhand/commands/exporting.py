"""`toolkit export`: the model of a run, ready to be published."""

from __future__ import annotations

import rich_click as click

from evenhand.commands.session import Session, global_options, pass_session


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--to", "folder", metavar="FOLDER", required=True, help="A new or empty folder.")
@click.option(
    "--with-code",
    is_flag=True,
    help="Also export a causal model with steps that weights cannot hold: custom_generate code puts them back.",
)
@global_options
@pass_session
def export(session: Session, run: str, folder: str, with_code: bool) -> None:
    """Write the model of a complete RUN into a folder for the Hugging Face hub.

    Weights and tokenizer, model card, licence of the base, evidence, and provenance.json with the digest of every file.
    It loads with plain transformers and needs no toolkit, unless it was exported with code.
    """
    from evenhand.exporting import export as export_run
    from evenhand.exporting import local_paths

    place = export_run(run, folder, with_code=with_code)
    click.echo(place)
    if not session.quiet:
        for name in local_paths(place):
            click.echo(f"{name} names folders of this machine; look at it before you publish it", err=True)
