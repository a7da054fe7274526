"""`toolkit sweep` and `toolkit ablate`: many configurations of one recipe."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from evenhand.commands.running import SET, checked_recipe
from evenhand.commands.session import Session, global_options, pass_session


@click.command()
@click.argument("recipe")
@SET
@click.option("--output", metavar="DIR", help="Folder of the sweep; default: sweeps/NAME.")
@click.option("--offline", is_flag=True, help="Refuse every download.")
@global_options
@pass_session
def sweep(session: Session, recipe: str, overrides: tuple[str, ...], output: str | None, offline: bool) -> None:
    """Search the [sweep] of RECIPE for the best configurations on validation items.

    The same command goes on with what its folder holds; started twice, two workers share the search. The recipes of the
    front, in DIR/front, are then run by `toolkit run` on the items that the search did not see.
    """
    checked, _ = checked_recipe(recipe, overrides)
    from evenhand.sweep import sweep as search

    found = search(checked, Path(output or Path("sweeps") / checked.name), offline=offline)
    if session.quiet:
        click.echo(found.folder)
        return
    from evenhand.sweep_report import print_sweep

    print_sweep(found)


@click.command()
@click.argument("recipe")
@SET
@click.option("--output", metavar="DIR", help="Folder of the ablation; default: ablations/NAME.")
@click.option("--offline", is_flag=True, help="Refuse every download.")
@global_options
@pass_session
def ablate(session: Session, recipe: str, overrides: tuple[str, ...], output: str | None, offline: bool) -> None:
    """Run RECIPE with each step alone, each left out, and all together; say what earned what.

    The same command goes on with what its folder holds.
    """
    checked, _ = checked_recipe(recipe, overrides)
    from evenhand.ablation import ablate as take_apart

    found = take_apart(checked, Path(output or Path("ablations") / checked.name), offline=offline)
    if session.quiet:
        click.echo(found.folder)
        return
    from evenhand.ablation_report import print_ablation

    print_ablation(found)
