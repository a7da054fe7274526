"""A recipe is read with every problem at once, each with its place, in plain words, with a near match."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.discovery import Catalogue, discover
from evenhand.errors import RecipeError
from evenhand.recipe import Recipe, ResolvedStep, load_recipe, resolve_steps

SITE = Path(__file__).parent / "site"
MODEL = '[model]\nname = "tiny"\n'


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.syspath_prepend(SITE / "sound")
    return discover([str(SITE / "sound")])


def problems(text: str, *overrides: str, catalogue: Catalogue | None = None, code: int = 2) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(text, overrides, catalogue=catalogue)
    assert caught.value.exit_code == code
    return caught.value.problems


def resolved(text: str, catalogue: Catalogue) -> dict[str, ResolvedStep]:
    return {step.id: step for step in resolve_steps(load_recipe(text), catalogue)}


# ---------------------------------------------------------------------------------------------------- reading
def test_a_minimal_recipe_is_filled_with_defaults() -> None:
    recipe = load_recipe(MODEL)
    assert recipe.source == MODEL
    assert recipe.resolved() == {
        "model": {
            "name": "tiny",
            "kind": None,
            "dtype": "auto",
            "device": "auto",
            "trust_remote_code": False,
            "endpoint": None,
            "endpoint_key": None,
            "endpoint_top": 20,
            "endpoint_timeout": 120.0,
        },
        "data": {
            "train": "builtin:everyday",
            "config": None,
            "split": "train",
            "column": "text",
            "limit": None,
            "heldout": None,
            "retention": None,
        },  # fmt: skip
        "training": {
            "max_steps": 100,
            "max_tokens": None,
            "batch_size": 8,
            "learning_rate": 1e-4,
            "max_length": 96,
            "warmup": 0.1,
            "weight_decay": 0.0,
            "gradient_clip": 1.0,
            "precision": "auto",
            "gradient_accumulation": 1,
            "save_every": 50,
            "language_modelling": 1.0,
            "normalise": False,
            "constraint": "auto",
            "dual_step": 1.0,
            "evaluate_every": 10,
            "log_every": 10,
            "report_to": [],
            "logits": "all",
        },
        "budget": {"perplexity": 1.02},
        "traffic": {"prompts": "builtin:prompts", "limit": 24, "max_new_tokens": 24, "temperature": 0.0},
        "evaluation": {
            "resamples": 10000,
            "confidence": 0.95,
            "batch_tokens": 4096,
            "data": None,
            "contamination": "report",
            "controls": "auto",
            "primary": None,
            "axis_margin": 0.1,
            "items": "all",
        },
        "run": {"seed": 0, "seeds": 1, "offline": False, "output": None, "name": None},
        "sweep": None,
        "searched": None,
        "steps": [],
        "benchmarks": [],
        "expect": [],
    }


def test_a_file_keeps_its_text_and_gives_its_name(tmp_path: Path) -> None:
    file = tmp_path / "gender.toml"
    text = "# my notes\n" + MODEL
    file.write_text(text)
    for recipe in (load_recipe(file), load_recipe(str(file))):
        assert (recipe.source, recipe.name, recipe.path, recipe.origin) == (text, "gender", file, str(file))
    assert load_recipe(MODEL + '[run]\nname = "mine"\n').name == "mine"
    assert load_recipe(MODEL).name == "recipe"


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + MODEL.encode())
    assert load_recipe(file).model.name == "tiny"


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.packaged_recipes.names", lambda: ["fast", "quickstart"])
    monkeypatch.setattr("evenhand.packaged_recipes.text", lambda name: f"# {name}\n{MODEL}")


@pytest.mark.usefixtures("packaged")
def test_a_packaged_recipe_has_a_name_and_a_file_of_that_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("quickstart")
    assert (recipe.name, recipe.origin, recipe.path) == ("quickstart", "quickstart", None)
    assert recipe.source.startswith("# quickstart")
    (tmp_path / "quickstart").mkdir()
    assert load_recipe("quickstart").path is None
    (tmp_path / "fast").write_text(MODEL)
    assert load_recipe("fast").path == Path("fast")


@pytest.mark.usefixtures("packaged")
def test_an_unknown_recipe_gets_a_near_match_and_the_list(tmp_path: Path) -> None:
    listed = "\n    Packaged recipes: fast, quickstart; anything else is a file, such as bias.toml"
    assert problems("quikstart") == ["there is no recipe 'quikstart'; did you mean 'quickstart'?" + listed]
    assert problems(str(tmp_path)) == [f"{str(tmp_path)!r} is a folder, not a recipe" + listed]
    (tmp_path / "recipe.toml").write_text(MODEL)  # the folder of a run
    inside = str(tmp_path / "recipe.toml")
    assert problems(str(tmp_path)) == [f"{str(tmp_path)!r} is a folder, not a recipe; did you mean {inside!r}?"]
    assert problems("") == ["there is no recipe ''" + listed]
    assert problems("a\0b") == ["there is no recipe 'a\\x00b'" + listed]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"[model]\nname = \xff")
    assert problems(str(tmp_path / "bad.toml")) == ["byte 16 is not UTF-8 text"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[model\nname = 'x'",
            "line 1, column 7: expected ']' at the end of a table declaration\n    [model",
        ),
        (
            MODEL + "kind causal\n",
            "line 3, column 6: expected '=' after a key in a key/value pair\n    kind causal",
        ),
        ("[model]\nname =", "at the end of the text: invalid value"),
        ("a = " + "[" * 5000, "it is nested too deeply"),
    ],
)
def test_toml_that_is_no_toml(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_number_that_python_refuses_to_read() -> None:
    (problem,) = problems("run.seed = " + "1" * 5000)
    assert problem.startswith("a value cannot be read: Exceeds the limit (4300 digits)")


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    with contextlib.suppress(RecipeError):
        assert isinstance(load_recipe(text + "\n"), Recipe)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["use", "id", "active", "allow_no_effect", "teacher", "seed", "name", "max_steps", "limit", "axes"]
)
TABLES = st.dictionaries(KEYS, VALUES | st.sampled_from(["train", "step:train", "row-shuffle"]), max_size=4)
SHAPES = st.dictionaries(
    st.sampled_from(["model", "training", "run", "steps", "benchmarks", "other", "extends"]),
    TABLES | st.lists(TABLES, max_size=3) | VALUES,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(
    shape=SHAPES,
    override=st.text(max_size=8) | st.sampled_from(["steps.train.id=1", "run.seed=[", "run.seed.a=1"]),
)
def test_any_table_is_a_recipe_or_a_recipe_error(shape: dict[str, object], override: str) -> None:
    from unittest.mock import patch

    with patch("evenhand.recipe_base.parsed", lambda text, origin: dict(shape)):
        try:
            load_recipe("\n", [override], catalogue=Catalogue(()))
        except RecipeError as error:
            assert error.problems


# --------------------------------------------------------------------------------------------------- problems
def test_every_problem_is_reported_at_once(sound: Catalogue) -> None:
    text = """
    [model]
    name = "tiny"
    kind = "casual"
    dtype = 16
    [training]
    max_step = 5
    batch_size = 0
    learning_rate = "fast"
    warmup = nan
    [run]
    seed = 1.5
    offline = "yes"
    [evalution]
    [[steps]]
    use = "row-shufle"
    [[steps]]
    use = "row-shuffle"
    strength = 1.5
    strenght = 0.5
    axes = ["gender", 3]
    order = "radom"
    rows = "ten"
    [[steps]]
    strength = 1
    [[benchmarks]]
    use = "word-count"
    active = true
    """
    assert problems(text, "runs.seed=1", catalogue=sound) == [
        "evalution: unknown section; did you mean 'evaluation'? "
        "(known: extends, model, data, training, budget, traffic, evaluation, run, sweep, searched, steps, "
        "benchmarks, expect)",
        "--set runs.seed=1: unknown section 'runs'; did you mean 'run'?",
        "model.kind: 'casual' is not 'causal' or 'masked'; did you mean 'causal'?",
        "model.dtype: 16 is not 'auto', 'float32' or 'bfloat16'",
        "training.batch_size: 0 is not at least 1",
        "training.learning_rate: 'fast' is not a number",
        "training.warmup: nan is not a finite number",
        "training.max_step: unknown key; did you mean 'max_steps'? (known: max_steps, max_tokens, batch_size, "
        "learning_rate, max_length, warmup, weight_decay, gradient_clip, precision, gradient_accumulation, "
        "save_every, language_modelling, normalise, constraint, dual_step, evaluate_every, log_every, "
        "report_to, logits)",
        "run.seed: 1.5 is not a whole number",
        "run.offline: 'yes' is not true or false",
        "steps[3].use: is required: the name of a plugin",
        "steps[1].use: no plugin is called 'row-shufle'; did you mean 'row-shuffle'?\n"
        "      Installed: imitation, quiet-decoding, row-shuffle, word-count",
        "steps[2].strength: 1.5 is not at most 1",
        "steps[2].axes[2]: 3 is not text",
        "steps[2].order: 'radom' is not 'random' or 'sorted'; did you mean 'random'?",
        "steps[2].rows: 'ten' is not a whole number",
        "steps[2].strenght: unknown option; did you mean 'strength'? (known: strength, axes, order, rows)",
        "benchmarks[1].active: unknown option (known: limit)",
    ]


def test_the_message_lists_the_problems_under_the_name_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[budget]\nperplexity = 0.5\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert str(caught.value) == (
        f"{file}: 2 problems\n  - model.name: is required\n  - budget.perplexity: 0.5 is not at least 1"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model = 3", "model: 3 is not a table; write [model]"),
        (
            MODEL + "[steps]\nuse = 'train'",
            "steps: is not a list of tables; write [[steps]], with double brackets, once for each",
        ),
        (MODEL + "[[steps]]\nuse = 3", "steps[1].use: 3 is not text"),
        (MODEL + "[[steps]]\nuse = 'train'\nactive = 'no'", "steps[1].active: 'no' is not true or false"),
        (MODEL + "[data]\nlimit = 0", "data.limit: 0 is not at least 1"),
        (
            MODEL + "[[steps]]\nuse = 'train'\nid = 'a b'",
            "steps[1].id: 'a b' is no id; use letters, digits, - and _",
        ),
        (
            MODEL + "[[steps]]\nuse = 'train'\nid = 'a'\n[[steps]]\nuse = 'train'\nid = 'a'",
            "steps[2].id: 'a' is already the id of steps[1]",
        ),
    ],
)
def test_single_problems(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_steps_and_benchmarks_cannot_change_places(sound: Catalogue) -> None:
    text = MODEL + (
        '[[steps]]\nuse = "word-count"\n[[benchmarks]]\nuse = "row-shuffle"\n[[benchmarks]]\nuse = "train"\n'
    )
    assert problems(text, catalogue=sound) == [
        "steps[1].use: 'word-count' is a benchmark; write it under [[benchmarks]]",
        "benchmarks[1].use: 'row-shuffle' is no benchmark; write it under [[steps]]",
        "benchmarks[2].use: 'train' belongs into [[steps]]",
    ]


def test_the_kind_of_model_is_checked_when_the_recipe_gives_it(sound: Catalogue) -> None:
    text = '[model]\nname = "tiny"\nkind = "masked"\n[[steps]]\nuse = "quiet-decoding"\n'
    assert problems(text, catalogue=sound) == [
        "steps[1].use: 'quiet-decoding' works on causal models only, model.kind is 'masked'"
    ]


def test_a_known_plugin_that_is_not_installed_gets_its_pip_line(sound: Catalogue) -> None:
    text = MODEL + '[[steps]]\nuse = "pair-parity"\n'
    assert problems(text, catalogue=sound, code=3) == [
        "steps[1].use: plugin 'pair-parity' is not installed\n      pip install evenhand-standard"
    ]


def test_resolve_steps_reports_all_problems_too(sound: Catalogue) -> None:
    recipe = load_recipe(MODEL + '[[steps]]\nuse = "row-shuffle"\nrows = 0\n[[steps]]\nuse = "nothing"\n')
    with pytest.raises(RecipeError) as caught:
        resolve_steps(recipe, sound)
    assert len(caught.value.problems) == 2


# ------------------------------------------------------------------------------------------------- references
def test_a_step_that_is_only_referred_to_is_inactive(sound: Catalogue) -> None:
    text = (
        MODEL
        + '[evaluation]\ncontrols = "none"\n'
        + """
    [[steps]]
    use = "row-shuffle"
    [[steps]]
    use = "quiet-decoding"
    [[steps]]
    use = "quiet-decoding"
    active = true
    [[steps]]
    use = "train"
    [[steps]]
    use = "imitation"
    teacher = "step:quiet-decoding"
    others = ["step:quiet-decoding-2", "a plain word", "step: not a reference"]
    [[steps]]
    use = "train"
    id = "last"
    active = false
    """
    )
    steps = resolved(text, sound)
    assert {name: step.active for name, step in steps.items()} == {
        "row-shuffle": True,
        "quiet-decoding": False,
        "quiet-decoding-2": True,
        "train": True,
        "imitation": True,
        "last": False,
    }
    assert steps["imitation"].references == {
        "teacher": ("quiet-decoding",),
        "others": ("quiet-decoding-2",),
    }


def test_references_that_lead_nowhere_or_in_a_circle(sound: Catalogue) -> None:
    text = (
        MODEL
        + """
    [[steps]]
    use = "imitation"
    id = "one"
    teacher = "step:two"
    [[steps]]
    use = "imitation"
    id = "two"
    teacher = "step:three"
    others = ["step:two", "step:thre", "step:"]
    [[steps]]
    use = "imitation"
    id = "three"
    teacher = "step:one"
    """
    )
    assert problems(text) == [
        "steps[2].others: 'step:two' refers to the step itself",
        "steps[2].others: 'step:thre' refers to no step; did you mean 'three'? (ids: one, two, three)",
        "steps[2].others: 'step:' refers to no step (ids: one, two, three)",
        "steps: they refer to each other in a circle: one -> two -> three -> one",
    ]


def test_an_automatic_id_avoids_the_ids_that_are_given() -> None:
    text = MODEL + (
        '[[steps]]\nuse = "a:x"\n[[steps]]\nuse = "x"\n[[steps]]\nuse = "y"\nid = "x-2"\n[[benchmarks]]\nuse = "x"\n'
    )
    recipe = load_recipe(text)
    assert [step.id for step in recipe.steps] == ["x", "x-3", "x-2"]
    assert [step.id for step in recipe.benchmarks] == ["x"]


# ---------------------------------------------------------------------------------------------------- options
def test_options_are_validated_and_filled_with_defaults(sound: Catalogue) -> None:
    text = MODEL + '[[steps]]\nuse = "row-shuffle"\naxes = ["race", "age"]\nstrength = 1\nallow_no_effect = true\n'
    step = resolved(text, sound)["row-shuffle"]
    assert step.plugin is not None and step.row is not None
    assert step.options == step.plugin.Options(axes=("race", "age"))
    assert step.raw_options == {"axes": ["race", "age"], "strength": 1}
    assert (step.section, step.allow_no_effect, step.row.provider) == ("steps", True, "fake-sound 1.0")
    assert repr(step.plugin(step.options)).startswith("RowShuffle(ShuffleOptions(strength=1.0, ")


def test_train_overrides_the_training_section(sound: Catalogue) -> None:
    text = MODEL + '[training]\nmax_steps = 7\nbatch_size = 2\n[[steps]]\nuse = "train"\nmax_steps = 3\n'
    step = resolved(text, sound)["train"]
    assert (step.plugin, step.row) == (None, None)
    assert step.options.model_dump() | {"max_steps": 3, "batch_size": 2} == step.options.model_dump()
    assert problems(text + "batch_sise = 1\n", catalogue=sound)[0].startswith(
        "steps[1].batch_sise: unknown option; did you mean 'batch_size'?"
    )


# -------------------------------------------------------------------------------------------------- overrides
STEPS = MODEL + '[[steps]]\nuse = "row-shuffle"\nid = "mix"\n[[benchmarks]]\nuse = "word-count"\n'


def test_overrides_reach_sections_steps_and_benchmarks(
    sound: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("evenhand.hub.cached_snapshot", lambda name: tmp_path)
    overrides = (
        "model.name=owner/a-model",
        "training.max_steps = 20",
        "training.learning_rate=1e-3",
        "run.offline=true",
        'data.train="my file.txt"',
        "steps.mix.strength=0.5",
        "steps.mix.axes=['race']",
        "steps.mix.active=false",
        "benchmarks.word-count.limit=3",
    )
    recipe = load_recipe(STEPS, overrides, catalogue=sound)
    assert (recipe.model.name, recipe.data.train) == ("owner/a-model", "my file.txt")
    assert (recipe.training.max_steps, recipe.training.learning_rate) == (20, 1e-3)
    assert recipe.run.offline is True
    assert recipe.steps[0].options == {"strength": 0.5, "axes": ["race"]}
    assert recipe.steps[0].active is False
    assert recipe.benchmarks[0].options == {"limit": 3}
    assert (recipe.source, recipe.overrides) == (STEPS, overrides)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("steps.mix.strength", "write key=value, such as steps.ID.strength=0.5"),
        ("steps.mux.strength=1", "no id 'mux' in [[steps]]; did you mean 'mix'? (ids: mix)"),
        ("steps.mix=1", "write steps.ID.key=value (ids: mix)"),
        ("steps.mix.id=1", "an id cannot be changed here, because other steps may refer to it"),
        ("step.mix.strength=1", "unknown section 'step'; did you mean 'steps'?"),
        ("trainin.max_steps=1", "unknown section 'trainin'; did you mean 'training'?"),
        ("mix.strength=1", "unknown section 'mix'; did you mean 'steps.mix.strength'?"),
        (
            "budget.perplexty=2",
            "unknown key budget.perplexty; did you mean 'perplexity'? (known: perplexity)",
        ),
        ("budget=2", "name one key of [budget]: budget.perplexity"),
        ("steps.mix.axes=['race'", "['race' is no complete TOML value"),
    ],
)
def test_an_override_that_has_no_target(override: str, problem: str) -> None:
    assert problems(STEPS, override) == [f"--set {override}: {problem}"]


def test_a_value_that_is_set_is_checked_like_a_written_one(sound: Catalogue) -> None:
    assert problems(STEPS, "steps.mix.strength=high", "run.seed=-1", catalogue=sound) == [
        "run.seed: -1 is not at least 0",
        "steps[1].strength: 'high' is not a number",
    ]
