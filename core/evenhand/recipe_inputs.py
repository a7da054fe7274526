"""What a recipe names outside itself, looked for before any work: a missing file is told at once, not after an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.data import find, missing
from evenhand.errors import EvenhandError, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from evenhand.recipe import Recipe


def base_of(recipe: Recipe) -> Path | None:
    """The folder that a recipe's relative paths are looked for in besides the current one."""
    return recipe.path.parent if recipe.path else None


def heldout_of(recipe: Recipe) -> str | None:
    """`data.heldout`, with the path where it was found."""
    name = recipe.data.heldout
    if name is None or name.startswith(("builtin:", "mirror:")):
        return name
    path, _ = find(name, base_of(recipe))
    return str(path) if path is not None else name


def demand_inputs(recipe: Recipe, *, trains: bool) -> None:
    """Raises the error for the first thing that certainly is not there; what only the hub can know passes."""
    for problem in (_model(recipe), *_texts(recipe, trains)):
        if problem is not None:
            raise problem


def _model(recipe: Recipe) -> EvenhandError | None:
    from evenhand.resolution import impossible

    return impossible(recipe.model.name)


def _texts(recipe: Recipe, trains: bool) -> list[EvenhandError | None]:
    base, data, mirrors = base_of(recipe), recipe.data, recipe.evaluation.data
    found: list[EvenhandError | None] = []
    if trains:
        found.append(missing(data.train, base, what="training text", mirrors=mirrors))
    if recipe.traffic.limit:
        found.append(missing(recipe.traffic.prompts, base, what="prompts"))
    if data.heldout is not None:
        if trains and data.heldout == data.train:
            found.append(RecipeError(["data.heldout: is the text that is trained on"], where=recipe.origin))
        if data.heldout != "wikitext2":  # a benchmark file, which the benchmark itself looks for
            found.append(missing(data.heldout, base, what="held-out text", mirrors=mirrors))
    return found
