"""`toolkit run` and `toolkit validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from evenhand.commands.session import Session, at_once, global_options, pass_session

if TYPE_CHECKING:
    from evenhand.recipe import Recipe, ResolvedStep

SET = click.option(
    "overrides",
    "--set",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a value, such as steps.ID.strength=0.5 or training.max_steps=20. May be repeated.",
)


@click.command()
@click.argument("recipe")
@SET
@click.option("--resume", is_flag=True, help="Continue the newest unfinished run of this recipe.")
@click.option("--output", metavar="DIR", help="Folder that the run folder is made in; default: runs.")
@click.option(
    "--strict",
    is_flag=True,
    help="Fail on a fault of a monitor or of a report section, and on an expected value that is not reproduced.",
)
@click.option("--offline", is_flag=True, help="Refuse every download.")
@global_options
@pass_session
def run(
    session: Session,
    recipe: str,
    overrides: tuple[str, ...],
    resume: bool,
    output: str | None,
    strict: bool,
    offline: bool,
) -> None:
    """Run RECIPE: measure, mitigate, measure again, and write the evidence.

    RECIPE is a TOML file, or the name of a recipe that comes with the toolkit, such as quickstart.
    """
    checked, _ = checked_recipe(recipe, overrides)
    from evenhand.execution import execute

    result = execute(checked, output=output, resume=resume, strict=strict, offline=offline or None)
    if session.quiet:
        click.echo(result.folder)
        return
    from evenhand.summary import print_summary

    print_summary(result)


@click.command()
@click.argument("recipe")
@SET
@global_options
@pass_session
@at_once
def validate(session: Session, recipe: str, overrides: tuple[str, ...]) -> None:
    """Check RECIPE and show its steps, without loading a model."""
    checked, steps = checked_recipe(recipe, overrides)
    if session.quiet:
        return
    from evenhand.commands.layout import columns, counted, styled

    listed = {section: [s for s in steps if s.section == section] for section in ("steps", "benchmarks")}
    counts = " and ".join(counted(len(found), name[:-1]) for name, found in listed.items())
    click.echo(f"{styled(checked.origin, bold=True)} is sound: {counts} on {checked.model.name}.")
    for name, found in listed.items():
        if found:
            click.echo("")
            rows = [_row(number, step) for number, step in enumerate(found, 1)]
            header = ("", name, "stage", "from", "set in the recipe")
            click.echo("\n".join(columns(header, rows)))
    from evenhand.opposing_steps import opposing
    from evenhand.recipe_inputs import notes

    for sentence in [*opposing(steps), *notes(checked, steps)]:
        click.echo(f"\nNote: {sentence}.")


def checked_recipe(recipe: str, overrides: tuple[str, ...]) -> tuple[Recipe, list[ResolvedStep]]:
    """The recipe, every problem of its text, its options, its plugins and its inputs reported at once."""
    from evenhand.discovery import discover
    from evenhand.recipe import load_recipe, resolve_steps

    catalogue = discover()
    checked = load_recipe(Path(recipe) if recipe else "", overrides, catalogue=catalogue)
    return checked, resolve_steps(checked, catalogue)


def _row(number: int, step: ResolvedStep) -> tuple[str, str, str, str, str]:
    from evenhand.option_table import toml_text

    stages = ", ".join(step.plugin.stages()) if step.plugin else "training"
    given = ", ".join(f"{key} = {toml_text(value)}" for key, value in step.raw_options.items())
    if not step.active:
        given = ", ".join(filter(None, ("inactive: used by other steps", given)))
    return str(number), step.id, stages, step.row.provider if step.row else "evenhand", given
