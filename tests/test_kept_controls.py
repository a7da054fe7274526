"""Continued training is the same model for all runs of one protocol, and is trained once for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from evenhand import api, cache, continued_training, controls, life_training
from evenhand.continued_training import CODE, ContinuedTraining, _file_digests, by_content, with_equal_tokens
from evenhand.contributions import ModelTransform
from evenhand.kept_controls import FILE, _places
from evenhand.recipe_model import TrainingSection
from evenhand.recipe_steps import ResolvedStep
from evenhand_sdk.tiny import save_tiny

PROTOCOL = """
[model]
name = "tiny"
[data]
train = "rows.txt"
[training]
max_steps = 6
learning_rate = 3e-3
precision = "float32"
[evaluation]
controls = ["continued-training"]
contamination = "off"
resamples = 50
[traffic]
limit = 0
[[benchmarks]]
use = "pair-gap"
limit = 24
"""
AUGMENTED = '[[steps]]\nuse = "counterfactual-augmentation"\naxes = ["gender"]\n'
PARITY = '[[steps]]\nuse = "pair-parity"\naxes = ["gender"]\n'
SELECTED = '[[steps]]\nuse = "selective-update"\n'
TRAIN = '[[steps]]\nuse = "train"\n'
ROWS = [f"The {noun} said that {who} would come on day {k}." for k, (noun, who) in enumerate(
    (noun, who) for noun in ("nurse", "baker", "pilot", "clerk") for who in ("he", "she") for _ in range(5)
)]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny model and a text, and an empty user cache."""
    folder = tmp_path_factory.mktemp("protocol")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EVENHAND_CACHE", str(folder / "cache"))
        save_tiny(folder / "tiny")
        (folder / "rows.txt").write_text("\n".join(ROWS))
        yield folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of all trainings."""
    titles: list[str] = []
    original = life_training.train
    monkeypatch.setattr(life_training, "train", lambda *a, **k: titles.append(k["title"]) or original(*a, **k))
    return titles


CONTROL = "Training the control continued-training"


def made(result: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A run's control, and the records that it was measured by."""
    (control,) = (c for c in result.record["controls"] if c["id"] == "continued-training")
    table = pq.read_table(result.folder / "items" / "pair-gap.continued-training.parquet").to_pylist()
    return control, [row for row in table if row["when"] == "before"]


@pytest.fixture(scope="module")
def first(place: Path) -> tuple[Any, ContinuedTraining, Any]:
    """The first run of the protocol, its control before it is trained again, and its benchmarks."""
    seen: list[tuple[ContinuedTraining, Any]] = []
    original = controls.trained_once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "trained_once", lambda w, t, b, m: seen.append((t, b)) or original(w, t, b, m))
        result = api.run(PROTOCOL + AUGMENTED + TRAIN)
    ((training, benchmarks),) = seen
    return result, training, benchmarks


def test_another_technique_under_the_same_protocol_trains_itself_alone(first: Any, trained: list[str]) -> None:
    """Its control has the same records, and says that an earlier run made it."""
    result = api.run(PROTOCOL + '[[steps]]\nuse = "names-intervention"\ncounts = "pack"\n' + TRAIN)
    assert trained == ["Training"]
    (before, rows), (after, again) = made(first[0]), made(result)
    assert (before["reused"], after["reused"]) == ([], [0])
    assert again == rows
    assert after["tokens"] == before["tokens"] > 0
    assert after["cost"] == before["cost"]
    assert "made by an earlier run with the same control" not in first[0].report.read_text()
    assert "made by an earlier run with the same control" in result.report.read_text()


def test_a_further_benchmark_is_measured_and_the_others_are_taken(first: Any, trained: list[str]) -> None:
    from evenhand import measuring

    titles: list[Any] = []
    original = measuring.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure", lambda b, *a, **k: titles.append((k["when"], *b)) or original(b, *a, **k))
        result = api.run(PROTOCOL + '[[benchmarks]]\nuse = "perplexity"\nlimit = 5\n' + AUGMENTED + TRAIN)
    assert trained == ["Training", CONTROL]
    assert [t for t in titles if "control" in t[0]] == [("on the control continued-training", "perplexity")]
    control, rows = made(result)
    assert control["reused"] == []
    assert rows == made(first[0])[1]


def test_records_that_were_damaged_are_not_taken(first: Any, place: Path, trained: list[str]) -> None:
    result, training, benchmarks = first
    (folder,) = _places(training._life, training, benchmarks).values()
    (folder / FILE).write_bytes(b"nothing")
    again = api.run(PROTOCOL + AUGMENTED + TRAIN)
    assert trained == ["Training", CONTROL]
    assert made(again)[1] == made(result)[1]
    assert cache.damage(folder, full=True) is None


# --------------------------------------------------------------------------------------------- what the key holds
def key(training: ContinuedTraining, benchmarks: Any) -> Path:
    (folder,) = _places(training._life, training, benchmarks).values()
    return folder


def changed(training: ContinuedTraining, **fields: Any) -> ContinuedTraining:
    """The control with other settings of its training."""
    other = object.__new__(ContinuedTraining)
    vars(other).update(vars(training))
    (step,) = training._steps
    other._steps = [replace(step, options=step.options.model_copy(update=fields))]
    return other


def test_the_same_control_has_the_same_key_and_each_part_of_it_counts(
    first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, training, benchmarks = first
    whole, run = training._life, training._life.manifest
    steps = list(whole.step_order)
    keys = {"": key(training, benchmarks)}
    assert key(ContinuedTraining(whole, steps, 0), benchmarks) == keys[""]
    keys["seed"] = key(ContinuedTraining(whole, steps, 1), benchmarks)
    for field, value in {
        "max_steps": 7, "batch_size": 4, "learning_rate": 1e-3, "max_length": 32, "warmup": 0.0, "weight_decay": 0.1,
        "gradient_clip": None, "precision": "bf16", "language_modelling": 0.5, "gradient_accumulation": 2,
    }.items():  # fmt: skip
        keys[field] = key(changed(training, **{field: value}), benchmarks)
    for table, field, value in (
        ("data", "digest", "of another text"), ("environment", "torch", "9.9"), ("environment", "transformers", "9.9"),
        ("environment", "threads", 99), ("environment", "processor", "another"),
        ("environment", "accelerator", "another"),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(run[table], field, value)
            keys[field] = key(training, benchmarks)
    for field in ("digest", "tokenizer_fingerprint", "dtype"):
        with pytest.MonkeyPatch.context() as patch:
            info = replace(whole.loaded.info, **{field: "another"})
            patch.setattr(whole, "loaded", replace(whole.loaded, info=info))
            keys[f"model {field}"] = key(training, benchmarks)
    original = continued_training.source_digests
    for module in CODE:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                continued_training, "source_digests", lambda names, m=module: original(names) | {f"evenhand.{m}": "new"}
            )
            keys[f"code of {module}"] = key(training, benchmarks)
    ((name, (step, benchmark)),) = benchmarks.items()
    keys["items"] = key(training, {name: (step, replace(benchmark, data_digest="another"))})
    keys["limit"] = key(
        training, {name: (replace(step, options=step.options.model_copy(update={"limit": 12})), benchmark)}
    )
    assert len(set(keys.values())) == len(keys)


def test_every_module_of_the_training_counts() -> None:
    """Those by name, and what the trainer's own modules import, save for what is told otherwise or moves nothing."""
    core = Path(continued_training.__file__).parent
    assert {p.stem for p in core.glob("train*.py")} <= set(CODE)
    own = {"run_callback", "separate_gradients", "split_parameters", "own_terms", "update_shares", "term_gradients"}
    assert own <= set(CODE)


def test_other_parameters_that_move_are_another_control(first: Any, place: Path, trained: list[str]) -> None:
    """And the same ones, under another technique, are the same control."""
    one = api.run(PROTOCOL + AUGMENTED + SELECTED + TRAIN)
    assert trained == ["Training", CONTROL], "all parameters move in the first run's control"
    two = api.run(PROTOCOL + '[[steps]]\nuse = "names-intervention"\ncounts = "pack"\n' + SELECTED + TRAIN)
    assert trained == ["Training", CONTROL, "Training"]
    assert made(two)[1] == made(one)[1] != made(first[0])[1]
    assert made(two)[0]["reused"] == [0]
    api.run(PROTOCOL + AUGMENTED + SELECTED + 'select = ["attention"]\n' + TRAIN)
    assert trained[3:] == ["Training", CONTROL]


# ------------------------------------------------------------------------------------ what is not kept, and the dose
def selecting(first: Any, **fields: Any) -> ContinuedTraining:
    """A control with a step that selects; `fields` are the parts of its transform."""
    training: ContinuedTraining = changed(first[1])
    step = replace(training._steps[0], id="chosen", plugin=SimpleNamespace(__module__="evenhand_standard.x"))
    transform = ModelTransform(**{"trainable": lambda model: ["lm_head.weight"]} | fields)
    training._steps = [step, *training._steps]
    training._other = SimpleNamespace(  # type: ignore[assignment]
        pending_terms=[], placed=[SimpleNamespace(transform=transform)], loaded=training._life.loaded
    )
    return training


def test_a_step_that_only_selects_is_told_by_its_names_options_files_and_code(first: Any, place: Path) -> None:
    training = selecting(first)
    known = training.deciding()
    assert known is not None and known["selected"] == ["lm_head.weight"]
    told: Any = known["selecting"]
    assert [(t["id"], sorted(t["code"])) for t in told] == [("chosen", ["evenhand_sdk", "evenhand_standard"])]
    other = selecting(first, trainable=lambda model: ["model.norm.weight"]).deciding()
    assert other is not None and {k for k in known if known[k] != other[k]} == {"selected"}
    notes = place / "notes.txt"
    found = []
    for text in ("one", "two"):
        notes.write_text(text)
        found.append(_file_digests(["notes.txt"], [place]))
    assert found[0] != found[1]
    (place / "texts").mkdir()
    of_folder = [_file_digests(["texts"], [place])]
    for name, text in (("a.txt", "one"), ("a.txt", "two"), ("b.txt", "")):
        (place / "texts" / name).write_text(text)
        of_folder.append(_file_digests(["texts"], [place]))
    assert len(set(of_folder)) == 4


def test_options_that_name_a_file_are_told_by_what_is_in_it_and_not_by_where_it_lies(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (place / folder).mkdir()
        (place / folder / "own.toml").write_text(text)
    monkeypatch.chdir(place)
    told = {f: by_content({"axes": ["gender", f"{f}/own.toml"], "share": 0.5, "on": True}) for f in "abc"}
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256sum of "one"
    assert told["a"] == {"axes": ["gender", ["own.toml", digest]], "share": 0.5, "on": True}
    assert told["b"] == told["a"] != told["c"]
    monkeypatch.chdir(place / "c")
    assert by_content({"axes": ["gender", "own.toml"], "share": 0.5, "on": True}) == told["c"]
    assert by_content(["", "x" * 5000, "a\0b", "~nobody/a", None]) == ["", "x" * 5000, "a\0b", "~nobody/a", None]


@pytest.mark.parametrize("part", ["apply", "on_step"])
def test_a_step_that_changes_the_model_or_acts_in_the_training_is_not_kept(first: Any, part: str) -> None:
    assert selecting(first, **{part: lambda *given: None}).deciding() is None


def test_neither_is_one_that_holds_on_to_something_or_selects_on_a_trained_model(first: Any) -> None:
    holding = selecting(first)
    holding._other.pending_terms = ["an anchor"]  # type: ignore[union-attr, list-item]
    assert holding.deciding() is None
    late = selecting(first)
    late._steps.reverse()
    assert late.deciding() is None


@pytest.mark.parametrize(
    ("settings", "read", "updates"),
    [  # each row has 10 tokens, a batch 8 rows: 80 tokens an update
        ({"max_steps": 100}, 8_000, 100),
        ({"max_steps": 100}, 8_200, 100),  # 102 would read as many; the rows that were drawn are somewhat longer
        ({"max_steps": 100}, 8_400, 105),
        ({"max_steps": 100}, 16_000, 200),  # a counterfactual beside each row
        ({"max_tokens": 8_000}, 8_150, 100),
        ({"max_tokens": 8_000}, 6_000, 75),
        ({"max_steps": 100}, 0, 100),
    ],
)
def test_the_dose_is_that_of_the_protocol_where_the_run_read_as_much(
    settings: dict[str, Any], read: int, updates: int
) -> None:
    whole = SimpleNamespace(
        rows=[{"text": "x"}] * 50,
        loaded=SimpleNamespace(
            tokenizer=lambda text, **k: {"input_ids": list(range(10))}, info=SimpleNamespace(kind="causal")
        ),
    )
    step = ResolvedStep(
        id="train", use="train", section="steps", plugin=None, row=None, raw_options={}, active=True,
        options=TrainingSection(**settings), allow_no_effect=False, references={},
    )  # fmt: skip
    found = with_equal_tokens(whole, step, [{"id": "train", "tokens": read}]).options  # type: ignore[arg-type]
    assert found.max_steps == updates  # type: ignore[union-attr]
    assert read == 0 or found.max_tokens is None  # type: ignore[union-attr]
