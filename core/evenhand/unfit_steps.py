"""What steps say of a model before the first of them begins: that they do not fit it, or not what stands before them.

A step at the end of a recipe is reached when all trainings before it are done: what its options and the configuration
of the model show already is told before those hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.model_shape import ModelShape

if TYPE_CHECKING:
    from evenhand.plugin import Plugin
    from evenhand.recipe_steps import ResolvedStep


def unfit(steps: Sequence[ResolvedStep], shape: ModelShape) -> list[str]:
    """A sentence for each reason, with the step's place, of steps that act and whose options are right."""
    found: list[str] = []
    before: list[Plugin] = []
    for step in steps:
        if (kind := step.acting) is None:
            continue
        plugin = kind(step.options)
        found += [f"{step.section}.{step.id}: {sentence}" for sentence in plugin.unfit(shape, tuple(before))]
        before.append(plugin)
    return found
