"""What a recipe names outside itself, looked for before any work: what is missing is told at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evenhand.data import find, missing
from evenhand.errors import EvenhandError

if TYPE_CHECKING:
    from pathlib import Path

    from evenhand.recipe_model import Recipe
    from evenhand.recipe_steps import ResolvedStep


def base_of(recipe: Recipe) -> Path | None:
    """The folder that a recipe's relative paths are looked for in besides the current one."""
    return recipe.path.parent if recipe.path else None


def heldout_of(recipe: Recipe) -> str | None:
    """`data.heldout`, with the path where it was found."""
    name = recipe.data.heldout
    if name is None or name.startswith("builtin:"):
        return name
    path, _ = find(name, base_of(recipe))
    return str(path) if path is not None else name


def missing_inputs(
    recipe: Recipe, steps: Sequence[ResolvedStep], *, trains: bool, unread: Collection[str] = ()
) -> list[str | EvenhandError]:
    """Everything that certainly is not there; what only the hub can know passes.

    `unread` are tables of the recipe that could not be read, and whose values are therefore not known.
    """
    found: list[str | EvenhandError | None] = []
    if "model" not in unread:
        found.append(_model(recipe))
    if "data" not in unread:
        found += _texts(recipe, trains)
    if "traffic" not in unread and recipe.traffic.limit:
        found.append(missing(recipe.traffic.prompts, base_of(recipe), what="prompts"))
    return [problem for problem in found if problem is not None]


def _model(recipe: Recipe) -> EvenhandError | None:
    from evenhand.resolution import impossible

    return impossible(recipe.model.name)


def _texts(recipe: Recipe, trains: bool) -> list[str | EvenhandError | None]:
    base, data = base_of(recipe), recipe.data
    found: list[str | EvenhandError | None] = [missing(data.train, base, what="training text")] if trains else []
    if data.heldout is not None:
        if trains and data.heldout == data.train:
            found.append("data.heldout: is the text that is trained on")
        if data.heldout != "wikitext2":  # a benchmark file, which the benchmark itself looks for
            found.append(missing(data.heldout, base, what="held-out text"))
    return found
