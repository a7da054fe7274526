"""Which values that a sweep may draw are refused: every key is tried at its ends, as a recipe of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evenhand.errors import RecipeError
from evenhand.examination import examined
from evenhand.recipe import varied
from evenhand.sweep_space import PLACE, Value, as_overrides, samples

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue
    from evenhand.recipe_model import Recipe, SweepRange


def refused_values(
    recipe: Recipe, parameters: Mapping[str, SweepRange | Sequence[Value]], catalogue: Catalogue
) -> list[str]:
    """What is said against the values of these keys, one value of each key; empty where all can be tried."""
    problems: dict[str, None] = {}
    for key, given in parameters.items():
        for value in samples(given):
            override = as_overrides({key: value})
            try:
                examined(varied(recipe, override, catalogue), catalogue)
            except RecipeError as error:
                hint = "; for whole numbers give step = 1" if any("whole number" in p for p in error.problems) else ""
                problems |= dict.fromkeys(f"{PLACE}.{key!r} at {value}: {p}{hint}" for p in error.problems)
                break
    return list(problems)
