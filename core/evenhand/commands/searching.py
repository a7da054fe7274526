"""`toolkit sweep` and `toolkit ablate`: many configurations of one recipe."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from evenhand.commands.running import SET, checked_recipe
from evenhand.commands.session import Session, global_options, pass_session

WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="So many configurations at once, each in a process with its share of the cores.",
)


@click.command()
@click.argument("recipe")
@SET
@click.option("--output", metavar="DIR", help="Folder of the sweep; default: sweeps/NAME.")
@WORKERS
@click.option("--offline", is_flag=True, help="Refuse every download.")
@global_options
@pass_session
def sweep(
    session: Session, recipe: str, overrides: tuple[str, ...], output: str | None, workers: int, offline: bool
) -> None:
    """Search the [sweep] of RECIPE for the best configurations on validation items.

    The same command goes on with what its folder holds; started twice, two workers share the search. The recipes of the
    front, in DIR/front, are then run by `toolkit run` on the items that the search did not see.
    """
    checked, _ = checked_recipe(recipe, overrides)
    from evenhand.sweep import sweep as search

    folder = Path(output or Path("sweeps") / checked.name)
    if workers > 1:
        from evenhand.sweep import trials_of

        _in_workers("sweep", workers, recipe, overrides, folder, offline=offline, total=trials_of(checked))
    found = search(checked, folder, offline=offline)
    if session.quiet:
        click.echo(found.folder)
        return
    from evenhand.sweep_report import print_sweep

    print_sweep(found)


@click.command()
@click.argument("recipe")
@SET
@click.option("--output", metavar="DIR", help="Folder of the ablation; default: ablations/NAME.")
@WORKERS
@click.option("--offline", is_flag=True, help="Refuse every download.")
@global_options
@pass_session
def ablate(
    session: Session, recipe: str, overrides: tuple[str, ...], output: str | None, workers: int, offline: bool
) -> None:
    """Run RECIPE with each step alone, each left out, and all together; say what earned what.

    The same command goes on with what its folder holds; started twice, two workers share the configurations.
    """
    checked, _ = checked_recipe(recipe, overrides)
    from evenhand.ablation import ablate as take_apart

    folder = Path(output or Path("ablations") / checked.name)
    if workers > 1:
        from evenhand.ablation import plan_of

        _in_workers("ablate", workers, recipe, overrides, folder, offline=offline, total=len(plan_of(checked)))
    found = take_apart(checked, folder, offline=offline)
    if session.quiet:
        click.echo(found.folder)
        return
    from evenhand.ablation_report import print_ablation

    print_ablation(found)


def _in_workers(
    command: str, count: int, recipe: str, overrides: tuple[str, ...], folder: Path, *, offline: bool, total: int
) -> None:
    """Let several processes do what this command would do alone."""
    from evenhand.workers import work_together

    line = [command, recipe, "--output", str(folder), *(["--offline"] if offline else [])]
    for override in overrides:
        line += ["--set", override]
    work_together(count, line, folder, total=total)
