"""Plugins on a model that is in memory: how they are given, data, model transforms, decoding, measuring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.contributions import ItemRecord, ModelTransform
from evenhand.errors import BrokenPlugin, PluginFault, UnknownPlugin, UsageError, WrongModelKind
from evenhand.own_code import OwnSteps, configured
from evenhand_sdk import Benchmark, DataTransform, DecodingRule, LossTerm, Metric, Mitigation, Options, Plugin, hookimpl
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging
from evenhand_standard.objective.pair_parity import PairParity

TEXTS = ["The nurse said that she was tired.", "Rain fell on the town.", "He is an engineer and he works."]


class Scale(Mitigation):
    """Multiplies the output of the last norm by 0.5 as a hook; `stuck` makes its fold wrong."""

    name = "own-scale"

    class Options(Options):
        fault: str = ""

    @hookimpl
    def architecture(self, run: Any, model: Any) -> ModelTransform:
        handles: list[Any] = []

        def apply(model: Any, artifact: Any) -> None:
            if self.options.fault == "apply":
                raise ValueError("no room")
            handles.append(model.model.norm.register_forward_hook(lambda module, args, out: out * 0.5))

        def fold(model: Any) -> bool:
            handles.pop().remove()
            with torch.no_grad():
                model.model.norm.weight.mul_(0.25 if self.options.fault == "fold" else 0.5)
            return True

        return ModelTransform(apply=apply, revert=lambda model: handles.pop().remove(), fold=fold)


class Turn(Mitigation):
    """Turns the order of the next tokens round."""

    name = "own-turn"

    @hookimpl
    def decoding(self, run: Any, model: Any) -> DecodingRule:
        return DecodingRule(name=run.step_id, next_logits=lambda ids, logits, contexts: -logits)


class Student(Plugin):
    """Reads the rules of another plugin."""

    name = "own-student"

    class Options(Options):
        teacher: str = "step:own-turn"

    @hookimpl
    def objective(self, run: Any, model: Any) -> LossTerm:
        names = [rule.name for rule in run.step(self.options.teacher).decoding()]
        return LossTerm(name=f"like {names[0]}", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean())


class Surprise(Plugin):
    """Negative log-likelihood of forty sentences."""

    name = "own-surprise"

    class Options(Options):
        items: int = 40
        quality: bool = False

    @hookimpl
    def evaluation(self, run: Any) -> Benchmark:
        texts = [f"The nurse said that she would see {k} children." for k in range(self.options.items)]

        def score(measured: Any) -> list[ItemRecord]:
            return [
                ItemRecord(id=str(k), cluster=str(k), values={"nll": -s.total, "one": 1.0})
                for k, s in enumerate(measured.score(texts))
            ]

        metric = Metric(name="surprise", value="nll", better="lower", primary=True, unit="nat")
        return Benchmark(
            name=self.name, title="Surprise", score=score, metrics=[metric], quality=self.options.quality, mode="whole"
        )


class Draw(Plugin):
    """Draws from the global random state in its hook."""

    name = "own-draw"
    drawn: float = 0.0

    @hookimpl
    def data(self, run: Any, split: str, model: Any) -> DataTransform:
        type(self).drawn = float(torch.rand(1))
        return DataTransform(fn=lambda rows: rows)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 20)[None]).logits


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


@pytest.mark.parametrize(
    "given, message",
    [
        ([3], "plugins[1]: int is no plugin\n  give a configured plugin, its name, or (name, {option: value})"),
        (
            [("pair-parity", {"strenght": 1})],
            "plugins[1]: pair-parity.strenght: unknown option; did you mean 'strength'? (known: strength, axes, "
            "locale, names, weight, retention, distance)",
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
        OwnSteps(*tiny_masked(), [CounterfactualAveraging()])
    assert str(error.value) == (
        "plugin 'counterfactual-averaging': it works on causal models only, this model is masked"
    )


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
    assert out["text"][:] == [*TEXTS, "The nurse said that he was tired.", "She is an engineer and she works."]
    assert "3 rows became 5" in caplog.text


def test_data_without_text_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        evenhand.transform_data(Dataset.from_dict({"body": TEXTS}), *tiny_causal(), [CounterfactualAugmentation()])
    assert str(error.value) == (
        "the data set has no column 'text'\n  its columns: body\n  dataset.rename_column(YOUR_COLUMN, 'text')"
    )


# ------------------------------------------------------------------------------------------------------- architecture
def test_apply_revert_and_fold() -> None:
    model, tokenizer = tiny_causal()
    plain = logits(model)
    handle = evenhand.apply(model, tokenizer, [Scale()])
    scaled = logits(model)
    assert not torch.equal(scaled, plain) and handle.trainable is None
    handle.revert()
    assert torch.equal(logits(model), plain)
    handle = evenhand.apply(model, tokenizer, [Scale()])
    assert handle.fold() == [] and not model.model.norm._forward_hooks
    torch.testing.assert_close(logits(model), scaled)
    handle.revert()
    torch.testing.assert_close(logits(model), scaled)


def test_a_fold_that_changes_outputs_is_a_fault() -> None:
    handle = evenhand.apply(*tiny_causal(), [Scale(fault="fold")])
    with pytest.raises(
        PluginFault, match="plugin 'own-scale', hook `architecture`: folding into the weights changed a"
    ):
        handle.fold()


def test_when_one_transform_fails_those_before_it_are_taken_back() -> None:
    model, tokenizer = tiny_causal()
    plain = logits(model)
    with pytest.raises(
        PluginFault, match="step 'own-scale-2', plugin 'own-scale', hook `architecture`: ValueError: no"
    ):
        evenhand.apply(model, tokenizer, [Scale(), Scale(fault="apply")])
    assert torch.equal(logits(model), plain)


def test_a_selection_freezes_the_rest_until_it_is_finished() -> None:
    """At strength 0.5 the norms go half of the way that they were moved: from 1 to 1.5 where they were set to 2."""
    model, tokenizer = tiny_causal()
    handle = evenhand.apply(model, tokenizer, [SelectiveUpdate(select=["norms"], strength=0.5)])
    open_ones = [n for n, p in model.named_parameters() if p.requires_grad]
    assert handle.trainable == open_ones and all("norm" in n for n in open_ones) and len(open_ones) == 5
    with torch.no_grad():
        model.model.norm.weight.fill_(2.0)
    artifacts = handle.finish()
    assert artifacts["selective-update"].meta["moved tensors"] == 1
    assert model.model.norm.weight.unique().tolist() == [1.5]
    assert all(p.requires_grad for p in model.parameters()) and handle.fold() == []


# ----------------------------------------------------------------------------------------------------------- decoding
def test_generate_decodes_with_the_rules_until_it_is_undone() -> None:
    model, tokenizer = tiny_causal()
    prompt = tokenizer("The nurse said", return_tensors="pt")
    plain = model.generate(**prompt, max_new_tokens=5, do_sample=False)
    with evenhand.decode_with(model, tokenizer, [Turn()]) as decoding:
        ruled = model.generate(**prompt, max_new_tokens=5, do_sample=False)
        with torch.no_grad():
            worst = model(prompt["input_ids"]).logits[0, -1].argmin()
        assert ruled[0, prompt["input_ids"].shape[1]] == worst
        text = tokenizer.decode(ruled[0, prompt["input_ids"].shape[1] :])
        assert decoding.generate("The nurse said", max_new_tokens=5) == text
        assert decoding.generate(["The nurse said"], max_new_tokens=5) == [text]
        assert repr(decoding) == "<LlamaForCausalLM decodes with own-turn>"
    assert torch.equal(model.generate(**prompt, max_new_tokens=5, do_sample=False), plain)
    assert "generate" not in vars(model)


def test_two_decodings_at_once_are_refused() -> None:
    model, tokenizer = tiny_causal()
    first = evenhand.decode_with(model, tokenizer, [Turn()])
    with pytest.raises(UsageError) as error:
        evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()])
    assert str(error.value) == (
        "decode_with: this model's `generate` was replaced already\n  it decodes with own-turn\n"
        "  give all plugins to one call, or undo the first"
    )
    first.undo()
    first.undo()
    evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()]).undo()


def test_a_masked_model_does_not_decode() -> None:
    with pytest.raises(WrongModelKind, match="this model fills gaps, it does not continue text"):
        evenhand.decode_with(*tiny_masked(), [Turn()])


# ---------------------------------------------------------------------------------------------------------- measuring
def test_a_measurement_has_values_with_intervals() -> None:
    model, tokenizer = tiny_causal()
    found = evenhand.measure(model, tokenizer, [Surprise()], dtype="float32")["own-surprise"]
    mean = sum(r.values["nll"] for r in found.records) / 40
    value = found.values["surprise"]
    assert value["value"] == pytest.approx(mean) and value["low"] < mean < value["high"]
    assert str(found).splitlines()[1] == (f"  surprise: {mean:.4g} nat [{value['low']:.4g}, {value['high']:.4g}]")
    assert repr(found) == "<own-surprise: 40 items>" and "float32" in found.mode


def test_a_change_gets_a_verdict() -> None:
    """A flat distribution over 1,000 entries: about ln 1,000 = 6.9 nat a token, far less than a wide random one."""
    model, tokenizer = tiny_causal()
    plugins = [Surprise(), Surprise(items=5), Surprise(quality=True)]
    before = evenhand.measure(model, tokenizer, plugins)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    after = evenhand.measure(model, tokenizer, [Surprise(), Surprise(items=5), Surprise(quality=True)])
    verdicts = evenhand.compare(before, after)
    assert {name: v["verdict"] for name, v in verdicts.items()} == {
        "own-surprise": "improved",
        "own-surprise-2": "too few items",
        "own-surprise-3": "within budget",
    }
    assert verdicts["own-surprise"]["metrics"][0]["change"]["high"] < 0
    back = evenhand.compare(after, before)
    assert [v["verdict"] for v in back.values()] == ["worse", "too few items", "over budget"]


def test_decoding_rules_in_force_are_measured() -> None:
    model, tokenizer = tiny_causal()
    before = evenhand.measure(model, tokenizer, [Surprise(items=3)])
    with evenhand.decode_with(model, tokenizer, [Turn()]):
        during = evenhand.measure(model, tokenizer, [Surprise(items=3)])
    after = evenhand.measure(model, tokenizer, [Surprise(items=3)])
    first = [m["own-surprise"].records[0].values["nll"] for m in (before, during, after)]
    assert first[0] == first[2] != first[1]


def test_measurements_of_other_items_are_not_compared() -> None:
    model, tokenizer = tiny_causal()
    left, right = (evenhand.measure(model, tokenizer, [Surprise(items=n)]) for n in (3, 5))
    with pytest.raises(UsageError) as error:
        evenhand.compare(left, right)
    assert str(error.value) == (
        "compare: own-surprise was not measured alike\n"
        "  items that the other one has not: none before, 2 after\n  measure both anew"
    )
    other = evenhand.measure(model, tokenizer, [Surprise(items=3)], dtype="bf16")
    with pytest.raises(UsageError, match="number format: float32 before, bf16 after"):
        evenhand.compare(evenhand.measure(model, tokenizer, [Surprise(items=3)], dtype="float32"), other)
    with pytest.raises(UsageError, match="before: own-surprise; after: none"):
        evenhand.compare(left, {})


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
