"""`toolkit models`: the models that need no hub, and those that the user made and added."""

from __future__ import annotations

import rich_click as click

from evenhand.commands.session import Session, global_options, pass_session


@click.group(invoke_without_command=True)
@global_options
@click.pass_context
def models(context: click.Context) -> None:
    """List the models that need no hub, or add one that a run made."""
    if context.invoked_subcommand is None:
        _list()


@models.command("list")
@global_options
def list_models() -> None:
    """List the models that need no hub, and whether they are on this machine."""
    _list()


@models.command()
@click.argument("name")
@click.argument("run", metavar="RUN")
@click.option("--title", metavar="TEXT", help="What tables and cards call it; default: what it was made of.")
@click.option("--replace", is_flag=True, help="Put it in the place of an added model of this name.")
@global_options
@pass_session
def add(session: Session, name: str, run: str, title: str | None, replace: bool) -> None:
    """Put the model of the run folder RUN on the shelf, so that recipes can call it NAME."""
    from evenhand import own_shelf

    own = own_shelf.add(name, run, title=title, replace=replace)
    if session.quiet:
        return
    click.echo(f"Added {own.name}: {own.display_name}")
    click.echo(f'In a recipe:  [model]  name = "{own.name}"')


@models.command()
@click.argument("name")
@global_options
def remove(name: str) -> None:
    """Take the added model NAME off the shelf; the run it came from stays as it is."""
    from evenhand import own_shelf

    own_shelf.remove(name)


def _list() -> None:
    from evenhand.cache import damage
    from evenhand.commands.layout import columns
    from evenhand.own_shelf import own_models
    from evenhand.shelf import list_shelf

    rows = []
    for row in list_shelf():
        entry = row.entry
        train = f"; train it: toolkit run {entry.recipe}" if entry.recipe else ""
        rows.append((entry.name, entry.kind, entry.licence, row.state, entry.display_name + train))
    for own in own_models():
        problem = damage(own.folder)
        state = f"damaged: {problem}; add it again" if problem else "added"
        rows.append((own.name, own.kind, own.licence or "", state, own.display_name))
    click.echo("\n".join(columns(("model", "kind", "licence", "state", "what it is"), rows)))
    click.echo("")
    click.echo("model.name may also be a folder, or the id of a model on the Hugging Face hub.")
    click.echo("toolkit models add NAME RUN puts the model of a run on this list.")
