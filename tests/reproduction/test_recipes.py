"""The recipes of published figures are sound, and say where each figure is from. They need the hub to be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.recipe import load_recipe

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "reproductions"
PUBLISHED = {
    "crows-pairs-albert": [("stereotype preferred", 67.0, 0.5)],
    "crows-pairs-bert": [("stereotype preferred", 60.5, 0.5)],
    "crows-pairs-roberta": [("stereotype preferred", 64.1, 0.5)],
    "stereoset-gpt2": [("LMS", 91.1, 0.5), ("SS", 61.9, 0.5), ("ICAT", 69.4, 1.0)],
}


def test_each_recipe_is_known() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_measures_the_model_as_it_is_and_expects_the_published_values(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.toml")
    assert recipe.steps == () and recipe.model.dtype == "float32"
    assert [(one.metric, one.value, one.tolerance) for one in recipe.expect] == PUBLISHED[name]
    assert all(one.when == "before" and "et al. 20" in one.source for one in recipe.expect)
    assert "It was NOT run where this project was made." in recipe.source


def test_icat_is_within_what_lms_and_ss_allow() -> None:
    """The figures belong together: ICAT is made of the other two, so that a slip of the pen shows."""
    lms, ss, icat = (value for _, value, _ in PUBLISHED["stereoset-gpt2"])
    assert lms * min(ss, 100 - ss) / 50 == pytest.approx(icat, abs=0.1)
