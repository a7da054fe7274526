"""What plugins say of the options they are given, that is no mistake but may be a surprise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenhand.recipe_steps import ResolvedStep


def remarks(steps: Sequence[ResolvedStep]) -> list[str]:
    """A sentence each, of steps that act and whose options are right."""
    return [
        f"{step.section}.{step.id}: {sentence}"
        for step in steps
        if (plugin := step.acting)
        for sentence in plugin.remarks_for(step.options)
    ]
