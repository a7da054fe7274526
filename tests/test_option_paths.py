"""Options that are paths: looked for in the current folder, then beside the recipe, then beside what it extends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from evenhand.discovery import discover
from evenhand.errors import RecipeError
from evenhand.option_paths import PathOption, beside_recipe
from evenhand.plugin import Options
from evenhand.recipe import load_recipe, resolve_steps
from evenhand.wording import validated

PACK = """axis = "rank"
locale = "en"
groups = ["high", "low"]
licence = "CC0-1.0"
provenance = "Made up for this test."
limits = ["Two words."]
[[words]]
pos = "noun"
rows = [["captain", "sailor"]]
"""
RECIPE = """[model]
name = "smollm2-135m-instruct"
[[steps]]
use = "names-intervention"
counts = "names.csv"
[[steps]]
use = "counterfactual-augmentation"
axes = ["gender", "./own.toml"]
[[steps]]
use = "unwanted-text"
by = ""
texts = "bad.txt"
data = "published"
[[benchmarks]]
use = "perplexity"
text = "held.txt"
[evaluation]
data = "published"
"""


class Paths(Options):
    words: PathOption | None = None
    counts: Annotated[str, beside_recipe("census")] = "census"
    several: tuple[PathOption, ...] = ()
    column: str = Field("text")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    return tmp_path


def filled(folder: Path) -> Path:
    """A folder with everything that the recipe names, and the recipe."""
    (folder / "published").mkdir(parents=True)
    (folder / "names.csv").write_text("name,group,count\nAnna,female,3\nOtto,male,3\n")
    (folder / "own.toml").write_text(PACK)
    (folder / "bad.txt").write_text("Bad text.\n")
    (folder / "held.txt").write_text("Held text.\n")
    (folder / "my.toml").write_text(RECIPE)
    return folder / "my.toml"


def options_of(path: Path | str) -> dict[str, Any]:
    recipe = load_recipe(path)
    found = {step.use: step.options for step in resolve_steps(recipe, discover())}
    swap, augment, unwanted, quality = (
        found[use] for use in ("names-intervention", "counterfactual-augmentation", "unwanted-text", "perplexity")
    )
    return {
        "counts": swap.counts, "axes": augment.axes, "texts": unwanted.texts, "data": unwanted.data,
        "text": quality.text, "evaluation": recipe.evaluation.data,
    }  # fmt: skip


def test_what_lies_beside_the_recipe_is_found_from_anywhere(here: Path) -> None:
    filled(here / "rec")
    assert options_of("rec/my.toml") == {
        "counts": "rec/names.csv", "axes": ("gender", "rec/own.toml"), "texts": "rec/bad.txt",
        "data": "rec/published", "text": "rec/held.txt", "evaluation": "rec/published",
    }  # fmt: skip


def test_what_lies_in_the_current_folder_wins_and_keeps_its_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(here / "rec")
    filled(here / "other")
    monkeypatch.chdir(here / "other")
    assert options_of("../rec/my.toml") == {
        "counts": "names.csv", "axes": ("gender", "./own.toml"), "texts": "bad.txt", "data": "published",
        "text": "held.txt", "evaluation": "published",
    }  # fmt: skip


def test_what_lies_beside_a_recipe_that_is_extended_is_found_last(here: Path) -> None:
    filled(here / "below")
    (here / "above").mkdir()
    (here / "above/own.toml").write_text(PACK.replace("captain", "admiral"))
    (here / "above/my.toml").write_text('extends = "../below/my.toml"\n')
    found = options_of("above/my.toml")
    assert found["axes"] == ("gender", "above/own.toml")
    assert Path(found["counts"]).resolve() == here / "below/names.csv"


def test_what_is_nowhere_is_told_as_the_recipe_names_it(here: Path) -> None:
    path = filled(here / "rec")
    for name in ("names.csv", "own.toml"):
        (here / "rec" / name).unlink()
    with pytest.raises(RecipeError) as error:
        resolve_steps(load_recipe(path), discover())
    assert [line.partition("\n")[0] for line in error.value.problems] == [
        "steps[1].counts: there is no file 'names.csv'; write census:us-1990, or the path of a CSV file",
        "steps[2].axes[2]: no axis pack at own.toml",
    ]


def test_the_type_of_an_option_says_that_it_is_a_path(here: Path) -> None:
    for name in ("census", "list.csv", "text"):
        (here / "rec" / name).parent.mkdir(exist_ok=True)
        (here / "rec" / name).write_text("x")
    raw = {"words": "list.csv", "counts": "census", "several": ["list.csv", "text", "no"], "column": "text"}
    found, problems = validated(Paths, raw, "steps[1]", folders=[Path("rec")])
    assert problems == []
    assert found == Paths.model_construct(
        words="rec/list.csv", counts="census", several=("rec/list.csv", "rec/text", "no"), column="text"
    )
    other, _ = validated(Paths, {"counts": "list.csv"}, "steps[1]", folders=[Path("rec")])
    assert other is not None and (other.words, other.counts) == (None, "rec/list.csv")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "~nobody-of-this-name/a", "/nowhere/at/all"])
def test_what_can_be_no_path_stays_as_it_is(name: str, here: Path) -> None:
    found, problems = validated(Paths, {"words": name}, "steps[1]", folders=[here])
    assert problems == [] and found is not None and found.words == name


def test_from_python_a_path_is_one_from_the_current_folder(here: Path) -> None:
    (here / "list.csv").write_text("x")
    assert Paths(words="list.csv", counts="no").model_dump() == {
        "words": "list.csv", "counts": "no", "several": (), "column": "text"
    }  # fmt: skip
