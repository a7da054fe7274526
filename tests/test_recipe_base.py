"""`extends`: what a recipe takes over from another one, what it changes, and what is refused."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.errors import RecipeError
from evenhand.recipe import load_recipe
from evenhand.toml_writing import toml_document

PROTOCOL = """
[model]
name = "tiny"
[training]
max_steps = 40
batch_size = 4
[[benchmarks]]
use = "pair-gap"
limit = 240
[[benchmarks]]
use = "perplexity"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "protocol.toml").write_text(PROTOCOL)
    return tmp_path


def written(place: Path, text: str, name: str = "own.toml") -> Path:
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problem(source: Path | str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source)
    (found,) = caught.value.problems
    return found


# ------------------------------------------------------------------------------------------------------- merging
def test_a_key_replaces_the_one_below_and_the_rest_of_the_section_stays(place: Path) -> None:
    recipe = load_recipe(written(place, 'extends = "protocol.toml"\n[training]\nmax_steps = 7\n'))
    assert (recipe.model.name, recipe.training.max_steps, recipe.training.batch_size) == ("tiny", 7, 4)


def test_steps_and_benchmarks_stand_behind_those_below(place: Path) -> None:
    recipe = load_recipe(
        written(
            place,
            'extends = "protocol.toml"\n[[steps]]\nuse = "pair-parity"\n'
            '[[benchmarks]]\nuse = "bold"\n[[benchmarks]]\nuse = "pair-gap"\naxis = "race"\n',
        )
    )
    assert [s.id for s in recipe.steps] == ["pair-parity"]
    assert [(b.id, b.options) for b in recipe.benchmarks] == [
        ("pair-gap", {"limit": 240}),
        ("perplexity", {}),
        ("bold", {}),
        ("pair-gap-2", {"axis": "race"}),
    ]


def test_an_id_without_use_changes_the_entry_below_and_leaves_its_place(place: Path) -> None:
    recipe = load_recipe(
        written(place, 'extends = "protocol.toml"\n[[benchmarks]]\nid = "pair-gap"\nlimit = 9\naxis = "race"\n')
    )
    assert [(b.id, b.use, b.options) for b in recipe.benchmarks] == [
        ("pair-gap", "pair-gap", {"limit": 9, "axis": "race"}),
        ("perplexity", "perplexity", {}),
    ]


def test_an_id_without_use_that_is_nowhere_below_is_a_step_without_a_plugin(place: Path) -> None:
    path = written(place, 'extends = "protocol.toml"\n[[benchmarks]]\nid = "pare-gap"\nlimit = 9\n')
    assert problem(path) == "benchmarks[3].use: is required: the name of a plugin"


def test_several_levels_and_what_is_set_on_the_command_line_wins(place: Path) -> None:
    written(place, 'extends = "protocol.toml"\n[training]\nmax_steps = 50\nlearning_rate = 1e-3\n', "middle.toml")
    path = written(place, 'extends = "middle.toml"\n[training]\nmax_steps = 60\n')
    training = load_recipe(path).training
    assert (training.max_steps, training.batch_size, training.learning_rate) == (60, 4, 1e-3)
    recipe = load_recipe(path, ["training.max_steps=3", "benchmarks.pair-gap.limit=5"])
    assert (recipe.training.max_steps, recipe.benchmarks[0].options) == (3, {"limit": 5})


def test_the_base_is_looked_for_beside_the_recipe_and_not_in_the_current_folder(place: Path) -> None:
    written(place, PROTOCOL.replace("40", "41"), "inner/protocol.toml")
    path = written(place, 'extends = "protocol.toml"\n', "inner/own.toml")
    assert load_recipe(path).training.max_steps == 41
    up = written(place, 'extends = "../protocol.toml"\n', "inner/up.toml")
    assert load_recipe(up).training.max_steps == 40


def test_a_packaged_recipe_can_be_extended_and_a_file_beside_wins(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.packaged_recipes.names", lambda: ["quick"])
    monkeypatch.setattr("evenhand.packaged_recipes.text", lambda name: PROTOCOL.replace("40", "42"))
    path = written(place, 'extends = "quick"\n')
    assert load_recipe(path).training.max_steps == 42
    assert load_recipe('extends = "quick"\n[training]\nbatch_size = 2\n').training.batch_size == 2
    written(place, PROTOCOL.replace("40", "43"), "quick")
    assert load_recipe(path).training.max_steps == 43


def test_relative_paths_are_looked_for_beside_each_recipe(place: Path) -> None:
    from evenhand.data import find

    written(place, PROTOCOL + '[data]\ntrain = "texts.txt"\n', "below/protocol.toml")
    (place / "below/texts.txt").write_text("One line.\n")
    recipe = load_recipe(written(place, 'extends = "../below/protocol.toml"\n', "above/own.toml"))
    found, _ = find("texts.txt", recipe.folders)
    assert found is not None and found.resolve() == (place / "below/texts.txt").resolve()
    (place / "above/texts.txt").write_text("Another line.\n")
    found, _ = find("texts.txt", recipe.folders)
    assert found is not None and found.resolve() == (place / "above/texts.txt").resolve()


# -------------------------------------------------------------------------------------------------- what is kept
def test_the_text_that_is_kept_says_the_same_alone(place: Path) -> None:
    recipe = load_recipe(
        written(place, '# note\nextends = "protocol.toml"\n[[steps]]\nuse = "pair-parity"\nweight = 0.5\n')
    )
    assert recipe.source.startswith("# own.toml, with what it extends written out: protocol.toml.\n")
    (place / "protocol.toml").unlink()
    assert load_recipe(recipe.source).resolved() == recipe.resolved()


def test_a_recipe_that_extends_nothing_is_kept_verbatim(place: Path) -> None:
    assert load_recipe(place / "protocol.toml").source == PROTOCOL


KEYS = st.text(max_size=6)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
    | st.dates(date(1900, 1, 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_table_is_written_so_that_it_is_read_as_the_same(table: dict[str, object]) -> None:
    assert tomllib.loads(toml_document(table)) == table


# ------------------------------------------------------------------------------------------------------- refusals
def test_a_base_that_is_not_there(place: Path) -> None:
    path = written(place, 'extends = "protocoll.toml"\n')
    assert problem(path) == (
        "extends: there is no recipe 'protocoll.toml'; did you mean 'protocol.toml'?\n"
        "    Packaged recipes: masked-model, quickstart; a file is looked for beside this one"
    )


@pytest.mark.parametrize(("value", "shown"), [("5", "5"), ('""', "''"), ('["a.toml"]', "['a.toml']")])
def test_a_base_that_is_no_name(place: Path, value: str, shown: str) -> None:
    path = written(place, f"extends = {value}\n")
    assert problem(path) == f"extends: {shown} is no name of a recipe; name one file"


def test_recipes_that_extend_each_other(place: Path) -> None:
    written(place, 'extends = "b.toml"\n', "a.toml")
    written(place, 'extends = "c.toml"\n', "b.toml")
    written(place, 'extends = "b.toml"\n', "c.toml")
    written(place, 'extends = "itself.toml"\n', "itself.toml")
    told = "extends: the recipes extend each other in a circle: "
    assert problem(place / "a.toml") == told + "b.toml -> c.toml -> b.toml"
    assert problem(place / "itself.toml") == told + "itself.toml -> itself.toml"


def test_a_base_that_is_no_toml_is_named_as_the_place(place: Path) -> None:
    written(place, "[model\n", "broken.toml")
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(place, 'extends = "broken.toml"\n'))
    assert str(caught.value).startswith(str(place / "broken.toml"))


def test_a_section_of_the_wrong_shape_is_told_from_either_side(place: Path) -> None:
    written(place, PROTOCOL.replace("[training]\nmax_steps = 40\nbatch_size = 4", ""), "plain.toml")
    (place / "plain.toml").write_text("training = 3\n" + (place / "plain.toml").read_text())
    path = written(place, 'extends = "plain.toml"\n[training]\nmax_steps = 7\n')
    assert problem(path) == "training: 3 is not a table; write [training]"
    path = written(place, 'extends = "protocol.toml"\nsteps = 3\n')
    assert problem(path) == "steps: is not a list of tables; write [[steps]], with double brackets, once for each"
