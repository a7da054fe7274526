"""Plugins on a model that is in memory: how they are given, what they do to data, and the manual's examples."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

import evenhand
from evenhand.errors import BrokenPlugin, UnknownPlugin, UsageError, WrongModelKind
from evenhand.own_code import OwnSteps, configured
from evenhand_sdk import DataTransform, Plugin, hookimpl
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.decoding.expert_guidance import ExpertGuidance
from evenhand_standard.objective.pair_parity import PairParity
from own_plugins import TEXTS, Draw, Student, Turn


# ------------------------------------------------------------------------------------------------- how they are given
def test_a_plugin_is_an_object_a_class_a_name_or_a_name_with_options() -> None:
    given = [PairParity(strength=0.5), PairParity, "pair-parity", ("pair-parity", {"strength": 0.25})]
    steps = [step for step, _ in configured(given)]
    assert [s.id for s in steps] == ["pair-parity", "pair-parity-2", "pair-parity-3", "pair-parity-4"]
    assert [s.options.strength for s in steps] == [0.5, 1.0, 1.0, 0.25]
    assert [s.row.distribution if s.row else None for s in steps] == [
        None,
        None,
        "evenhand-standard",
        "evenhand-standard",
    ]


def test_the_training_of_recipes_is_no_plugin() -> None:
    with pytest.raises(UnknownPlugin) as error:
        configured(["train"])
    assert str(error.value).splitlines() == [
        "'train' is no plugin but the toolkit's own training, a step of recipes",
        "  leave it out, or train with evenhand.train(model, tokenizer, dataset, plugins)",
    ]


LOAD = "  load it first: transformers.AutoModelForCausalLM.from_pretrained(NAME), or evenhand.load(RUN).model"
TOKENIZER = "  give the model's own one: transformers.AutoTokenizer.from_pretrained(NAME)"


def test_what_is_no_model_and_what_is_no_tokenizer() -> None:
    model, tokenizer = tiny_causal()
    for call, message in (
        (lambda: evenhand.measure(model, None, ["pair-gap"]), f"None is no tokenizer\n{TOKENIZER}"),
        (lambda: evenhand.Objective("folder", tokenizer, ["pair-parity"]), f"'folder' is no model in memory\n{LOAD}"),
        (lambda: evenhand.Objective(tokenizer, model, ["pair-parity"]),
         f"{type(tokenizer).__name__} is no model in memory\n{LOAD}"),
    ):  # fmt: skip
        with pytest.raises(UsageError) as error:
            call()
        assert str(error.value) == message


def test_a_wrong_option_is_the_same_error_for_an_object_and_for_a_name() -> None:
    with pytest.raises(UsageError) as error:
        PairParity(strength=3)
    assert str(error.value) == "pair-parity.strength: 3 is not at most 1"
    with pytest.raises(UsageError) as named:
        configured([("pair-parity", {"strength": 3})])
    assert str(named.value) == f"plugins[1]: {error.value}"
    with pytest.raises(UsageError) as several:
        PairParity(strenght=3, weight="x")
    assert str(several.value) == (
        "pair-parity.weight: 'x' is not a number; pair-parity.strenght: unknown option; did you mean 'strength'? "
        "(known: strength, axes, locale, names, retention, weight, distance)"
    )


def test_transforming_data_shows_no_bars_of_the_library(capfd: pytest.CaptureFixture[str]) -> None:
    import datasets

    rows = Dataset.from_dict({"text": [*TEXTS, "Rain fell."] * 3}).select([5, 3, 1, 0, 2])
    seen = []

    class Flatten(Plugin):
        name = "own-flatten"

        @hookimpl
        def data(self, run: Any, split: str, model: Any) -> DataTransform:
            def fn(rows: Any) -> Any:
                seen.append(datasets.are_progress_bars_disabled())
                return rows.flatten_indices()

            return DataTransform(fn=fn)

    datasets.enable_progress_bars()  # a run of another test may have switched them off
    out = evenhand.transform_data(rows, *tiny_causal(), [Flatten()])
    assert out["text"] == rows["text"]
    assert seen == [True]
    assert not datasets.are_progress_bars_disabled(), "the caller's own setting is back"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "given, message",
    [
        ([3], "plugins[1]: int is no plugin\n  give a configured plugin, its name, or (name, {option: value})"),
        (
            [("pair-parity", {"strenght": 1})],
            "plugins[1]: pair-parity.strenght: unknown option; did you mean 'strength'? (known: strength, axes, "
            "locale, names, retention, weight, distance)",
        ),
        ("pair-parity", "plugins come in a list\n  write [...] around it"),
        (
            ["counterfactual-averaging"],
            "plugin 'counterfactual-averaging': it takes part in decoding, not in objective\n"
            "  give it to evenhand.decode_with",
        ),
    ],
)  # fmt: skip
def test_what_is_no_plugin_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        evenhand.Objective(*tiny_causal(), given)
    assert str(error.value) == message


def test_an_unknown_name_has_a_near_match() -> None:
    with pytest.raises(UnknownPlugin, match="no plugin is called 'pair-partiy'; did you mean 'pair-parity'?"):
        evenhand.Objective(*tiny_causal(), ["pair-partiy"])


def test_the_same_object_twice_is_refused() -> None:
    plugin = PairParity()
    with pytest.raises(UsageError, match=r"plugins\[2\]: PairParity is given twice"):
        configured([plugin, plugin])


def test_a_plugin_of_a_notebook_is_held_against_the_contract() -> None:
    class Unmarked(Plugin):
        def objective(self, run: Any, model: Any) -> None: ...

    with pytest.raises(BrokenPlugin) as error:
        evenhand.Objective(*tiny_causal(), [Unmarked()])
    assert "Unmarked.objective overrides a hook but lacks @hookimpl" in str(error.value)


def test_a_plugin_for_causal_models_is_refused_on_a_masked_one() -> None:
    with pytest.raises(WrongModelKind) as error:
        OwnSteps(*tiny_masked(), [ExpertGuidance()])
    assert str(error.value) == "plugin 'expert-guidance': it works on causal models only, this model is masked"


def test_hooks_are_seeded_and_leave_the_random_state_of_the_caller_alone() -> None:
    model, tokenizer = tiny_causal()
    rows, seen = Dataset.from_dict({"text": TEXTS}), []
    torch.manual_seed(5)
    expected = float(torch.rand(1))
    for seed in (1, 1, 2):
        torch.manual_seed(5)
        evenhand.transform_data(rows, model, tokenizer, [Draw()], seed=seed)
        assert float(torch.rand(1)) == expected
        seen.append(Draw.drawn)
    assert seen[0] == seen[1] != seen[2]


def test_an_option_may_refer_to_a_plugin_before_it() -> None:
    """The teacher serves the student and is not itself asked for an objective."""
    fair = evenhand.Objective(*tiny_causal(), [Turn(), Student()])
    assert list(fair.facts()) == ["language modelling", "like own-turn"]
    with pytest.raises(UsageError, match="no earlier step is called 'own-turn'"):
        evenhand.Objective(*tiny_causal(), [Student(), Turn()])


# --------------------------------------------------------------------------------------------------------------- data
def test_data_is_transformed_and_the_original_stays(caplog: pytest.LogCaptureFixture) -> None:
    model, tokenizer = tiny_causal()
    rows = Dataset.from_dict({"text": TEXTS})
    with caplog.at_level("INFO", "evenhand"):
        out = evenhand.transform_data(rows, model, tokenizer, [CounterfactualAugmentation(max_share=0.9)])
    assert rows["text"][:] == TEXTS
    swapped = ["The nurse said that he was tired.", "She is an engineer and she works."]
    assert [row["text"] for row in out if row["evenhand_step"]] == swapped
    assert [row["text"] for row in out if not row["evenhand_step"]] == TEXTS
    assert "3 rows read: 3 kept, 0 changed, 0 dropped; 2 added; 5 out" in caplog.text


def test_a_stream_stays_one_and_is_read_only_when_it_is_asked_for() -> None:
    model, tokenizer = tiny_causal()
    rows = Dataset.from_dict({"text": [*TEXTS, None]}).to_iterable_dataset()
    out = evenhand.transform_data(rows, model, tokenizer, [CounterfactualAugmentation(max_share=0.9)])
    assert isinstance(out, IterableDataset)
    assert [row["text"] for row in out if not row["evenhand_step"]] == TEXTS


AUGMENTATION = ("counterfactual-augmentation", {"max_characters": 40})


def test_rows_that_are_left_out_are_warned_of_and_kept_in_a_folder(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["She sang.", None, "x" * 41, ""]})
    with pytest.warns(UserWarning) as told:
        out = evenhand.transform_data(rows, *tiny_causal(), [AUGMENTATION])
    assert len(out) == 2
    assert [str(w.message) for w in told] == [
        "counterfactual-augmentation: 3 of 4 rows cannot be worked on and are left out, the first one because: "
        "no text. To see which, give a folder to keep them in: transform_data(..., folder=FOLDER)"
    ]
    assert told[0].filename == __file__
    with pytest.warns(UserWarning) as told:
        evenhand.transform_data(rows, *tiny_causal(), [AUGMENTATION], folder=tmp_path / "own")
    kept = tmp_path / "own/counterfactual-augmentation/quarantine.jsonl"
    assert str(told[0].message).endswith(f"because: no text. They are in {kept}")
    assert [json.loads(line)["row"] for line in kept.read_text().splitlines()] == [1, 2, 3]


def test_one_row_that_is_left_out_is_one(recwarn: pytest.WarningsRecorder) -> None:
    evenhand.transform_data(Dataset.from_dict({"text": [["She", "sang"], 1][:1]}), *tiny_causal(), [AUGMENTATION])
    assert str(recwarn[0].message).startswith(
        "counterfactual-augmentation: 1 of 1 row cannot be worked on and is left out, because: not text but list."
    )
    evenhand.transform_data(Dataset.from_dict({"text": ["She sang."]}), *tiny_causal(), [AUGMENTATION])
    assert len(recwarn) == 1


def test_what_a_stream_leaves_out_is_in_the_folder_once_it_was_read(tmp_path: Path) -> None:
    stream = Dataset.from_dict({"text": ["She sang.", None]}).to_iterable_dataset()
    out = evenhand.transform_data(stream, *tiny_causal(), [AUGMENTATION], folder=tmp_path)
    kept = tmp_path / "counterfactual-augmentation/quarantine.jsonl"
    assert not kept.exists()
    assert len(list(out)) == 2
    del out, stream
    assert json.loads(kept.read_text())["row"] == 1


def test_what_steps_write_stays_in_the_folder(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": TEXTS})
    pairs = ("preference-pairs", {"limit": 2})
    evenhand.transform_data(rows, *tiny_causal(), [pairs], folder=tmp_path)
    assert len((tmp_path / "preference-pairs/preference-pairs.jsonl").read_text().splitlines()) > 1
    with pytest.raises(UsageError) as caught:
        evenhand.transform_data(rows, *tiny_causal(), [pairs], folder=tmp_path)
    assert str(caught.value) == (
        f"evenhand.transform_data: the folder {str(tmp_path)!r} has files of an earlier call\n"
        "  in preference-pairs\n  give another folder, or remove what is in it"
    )


@pytest.mark.parametrize("kind", [DatasetDict, IterableDatasetDict])
def test_of_several_splits_one_must_be_chosen(kind: type) -> None:
    split = Dataset.from_dict({"text": TEXTS})
    given = kind({"train": split, "test": split})
    model, tokenizer = tiny_causal()
    for call in (
        lambda: evenhand.transform_data(given, model, tokenizer, [AUGMENTATION]),
        lambda: evenhand.train(model, tokenizer, given, [PairParity()], max_steps=1),
        lambda: evenhand.Objective(model, tokenizer, [PairParity()]).encode(given),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value).partition("these are several")[2] == (
            f" data sets, the splits of a {kind.__name__}\n  its splits: train, test\n  choose one: dataset['train']"
        )


def test_data_without_text_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        evenhand.transform_data(Dataset.from_dict({"body": TEXTS}), *tiny_causal(), [CounterfactualAugmentation()])
    assert str(error.value) == (
        "the data set has no column 'text'\n  its columns: body\n  dataset.rename_column(YOUR_COLUMN, 'text')"
    )


# -------------------------------------------------------------------------------------------------------- the package
def test_names_are_lazy_and_are_never_hidden_by_modules() -> None:
    code = (
        "import sys, evenhand\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "import evenhand.compare\n"
        "assert all(callable(getattr(evenhand, name)) for name in evenhand.__all__ if name[0] not in 'A_')\n"
        "assert type(evenhand.compare).__name__ == 'function'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_run_folders_are_compared_as_before(tmp_path: Path) -> None:
    from data_runs import write_run
    from evenhand.compare import Comparison

    a, b = (write_run(tmp_path / name, lambda raw: raw.update(benchmarks=[])) for name in "ab")
    with pytest.raises(UsageError, match="these runs have no benchmark in common"):
        evenhand.compare(a, b)
    assert Comparison.__module__ == "evenhand.compare"


def test_every_example_of_the_manual_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/python.md from top to bottom, on a tiny model."""
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 12 == page.count("```python")
    monkeypatch.chdir(tmp_path)
    model, tokenizer = tiny_causal()
    names: dict[str, Any] = {"model": model, "tokenizer": tokenizer, "texts": TEXTS * 2}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert "pair parity" in names["result"].terms and (tmp_path / "my-model" / "model.safetensors").is_file()
    assert "generate" not in vars(model)
    shown = capsys.readouterr().out
    assert "  JS gap: " in shown and f"{names['verdict']['verdict']} - " in shown
