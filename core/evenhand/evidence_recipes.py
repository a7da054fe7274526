"""Recipes in a folder of evidence that are named after no technique: baselines, other settings, masked models.

What has no result yet must be seen to have none; a list made of the names of plugins cannot know of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evenhand.recipe_base import written_out
from evenhand.recipe_text import read
from evenhand.techniques import NOT_RUN, Technique

UNRECORDED = "its recipe has no recorded run"


def further_recipes(folder: Path, known: Sequence[Technique]) -> list[Technique]:
    """The recipes with steps in a folder that are none of the known techniques, each at the stage of its first step.

    A file without steps is what others extend, or no recipe. Raises RecipeError for one that cannot be read.
    """
    stages = {t.name: t.stage for t in known}
    found = []
    for path in sorted(folder.glob("*.toml")):
        if path.stem in stages or path.name == NOT_RUN:
            continue
        steps = written_out(*read(path)).table.get("steps")
        if isinstance(steps, list) and steps:
            uses = [step.get("use") for step in steps if isinstance(step, dict)]
            stage = next((stages[use] for use in uses if use in stages), "")
            found.append(Technique(path.stem, stage, UNRECORDED))
    return found
