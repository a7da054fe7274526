"""The recipes of published figures are sound, and say where each figure is from. They need the hub to be run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from evenhand.recipe import load_recipe

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "reproductions"
PUBLISHED = {
    "crows-pairs-albert": [("stereotype preferred", 67.0, 0.5)],
    "crows-pairs-bert": [("stereotype preferred", 60.5, 0.5)],
    "crows-pairs-roberta": [("stereotype preferred", 64.1, 0.5)],
    "stereoset-gender-bert": [("SS", 60.28, 7.1)],
    "stereoset-gender-gpt2": [("SS", 62.65, 7.1)],
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


def test_the_tolerance_on_other_items_is_what_two_samples_differ_by() -> None:
    """95 % half-widths of a share of one half, of the 255 items of the development part and of three times as many."""
    halves = [100 * 1.96 * 0.5 / math.sqrt(n) for n in (255, 765)]
    assert halves == pytest.approx([6.1, 3.5], abs=0.05)
    for name in ("stereoset-gender-bert", "stereoset-gender-gpt2"):
        assert PUBLISHED[name][0][2] == round(math.hypot(*halves), 1)
        (step,) = [s for s in load_recipe(FOLDER / f"{name}.toml").benchmarks if s.use == "stereoset"]
        assert step.options == {"task": "intra", "bias_types": ["gender"]}


def test_icat_is_within_what_lms_and_ss_allow() -> None:
    """The figures belong together: ICAT is made of the other two, so that a slip of the pen shows."""
    lms, ss, icat = (value for _, value, _ in PUBLISHED["stereoset-gpt2"])
    assert lms * min(ss, 100 - ss) / 50 == pytest.approx(icat, abs=0.1)
