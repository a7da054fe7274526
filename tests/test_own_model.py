"""Model transforms, decoding rules, benchmarks and the toolkit's training on a model that is in memory."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from adapters_library import needs_adapters
from evenhand.contributions import Aggregator, LossTerm, Request
from evenhand.errors import NoEffect, PluginFault, UsageError, WrongModelKind
from evenhand.usable import Usable
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from evenhand_standard.architecture.weight_interpolation import WeightInterpolation
from evenhand_standard.benchmarks.pair_gap import PairGap
from evenhand_standard.decoding.answer_rewriting import AnswerRewriting
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging
from evenhand_standard.objective.pair_parity import PairParity
from own_plugins import TEXTS, Scale, Surprise, Turn

ROWS = Dataset.from_dict({"text": TEXTS * 4})


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 20)[None]).logits


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


def test_when_one_transform_fails_those_before_it_are_taken_back() -> None:
    model, tokenizer = tiny_causal()
    plain = logits(model)
    with pytest.raises(
        PluginFault, match="step 'own-scale-2', plugin 'own-scale', hook `architecture`: ValueError: no"
    ):
        evenhand.apply(model, tokenizer, [Scale(), Scale(fault="apply")])
    assert torch.equal(logits(model), plain)


def test_two_that_one_training_cannot_serve_are_refused_before_either_is_applied() -> None:
    model, tokenizer = tiny_causal()
    before = logits(model)
    with pytest.raises(UsageError) as caught:
        evenhand.apply(model, tokenizer, [SelectiveUpdate(select=["norms"]), WeightInterpolation()])
    assert caught.value.where == "apply"
    assert "(selective-update) waits for a training of its own, and one training cannot serve both" in str(caught.value)
    assert caught.value.do == "apply one of them, train and finish it, then the other"
    assert torch.equal(logits(model), before)


def test_a_model_of_peft_is_refused_before_anything_is_placed_on_it() -> None:
    import peft

    model, tokenizer = tiny_causal()
    settings = peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(copy.deepcopy(model), settings)
    for plugin in (Scale(), SelectiveUpdate(), WeightInterpolation()):
        with pytest.raises(UsageError) as caught:
            evenhand.apply(wrapped, tokenizer, [plugin])
        assert str(caught.value) == (
            "evenhand.apply: PeftModelForCausalLM is a model that peft has wrapped\n"
            "  steps change the model's own weights and layers, which peft has put others in the place of\n"
            "  give what model.merge_and_unload() returns; to train LoRA here, take the step `lora`"
        )
    merged = wrapped.merge_and_unload()
    with pytest.raises(UsageError, match="^weights: every parameter of the model is frozen, so that no training"):
        evenhand.apply(merged, tokenizer, [SelectiveUpdate()])
    assert evenhand.apply(merged.requires_grad_(True), tokenizer, [SelectiveUpdate()]).trainable
    peft.inject_adapter_in_model(settings, model)
    with pytest.raises(UsageError, match=r"^evenhand.apply: peft has put adapters into this LlamaForCausalLM\n"):
        evenhand.apply(model, tokenizer, [Scale()])


def test_a_model_of_peft_may_be_measured() -> None:
    import peft

    model, tokenizer = tiny_causal()
    before = evenhand.measure(model, tokenizer, [PairGap(limit=4)])["pair-gap"].values
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert evenhand.measure(wrapped, tokenizer, [PairGap(limit=4)])["pair-gap"].values == before


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


def two_lora() -> tuple[Any, list[Any]]:
    model, tokenizer = map(copy.deepcopy, tiny_causal())
    handles = []
    for rank in (1, 2):
        handles.append(evenhand.apply(model, tokenizer, [Lora(rank=rank)]))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.1)
        handles[-1].finish()
    return model, handles


def test_what_was_applied_last_is_taken_back_first() -> None:
    before = {name: tensor.clone() for name, tensor in tiny_causal()[0].state_dict().items()}
    model, (first, second) = two_lora()
    both = logits(model)
    with pytest.raises(UsageError) as caught:
        first.revert()
    assert str(caught.value) == (
        "revert: <lora applied to LlamaForCausalLM> was applied after <lora applied to LlamaForCausalLM>\n"
        "  what was applied last is taken back first\n  revert that one first, or fold it into the weights to keep it"
    )
    assert torch.equal(logits(model), both)
    for handle in (second, first, second, first):
        handle.revert()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_nobody_can_take_back_any_more_is_not_waited_for() -> None:
    model, (first, second) = two_lora()
    assert second.fold() == []
    first.revert()
    model, handles = two_lora()
    del handles[1]
    handles[0].revert()


@needs_adapters
def test_two_selections_are_finished_in_either_order_and_all_is_free_again() -> None:
    for order in ((0, 1), (1, 0)):
        model, tokenizer = map(copy.deepcopy, tiny_causal())
        model.lm_head.weight.requires_grad_(False)
        handles = [evenhand.apply(model, tokenizer, [DebiasingAdapter(name=name)]) for name in ("a", "b")]
        handles[order[0]].finish()
        if order == (0, 1):  # the training of the second is to come
            assert [n for n, p in model.named_parameters() if p.requires_grad] == handles[1].trainable
        handles[order[1]].finish()
        assert [n for n, p in model.named_parameters() if not p.requires_grad] == [
            n for n, p in model.named_parameters() if p is model.lm_head.weight
        ]


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


def test_rules_that_the_models_own_generate_cannot_have_are_not_left_out_without_a_word() -> None:
    model, tokenizer = tiny_causal()
    with pytest.warns(UserWarning) as told:
        evenhand.decode_with(model, tokenizer, [AnswerRewriting(strength=1.0)]).undo()
    assert [str(w.message) for w in told] == [
        "answer-rewriting: rules around whole requests do not act in `model.generate`, which stays plain; use the "
        "`generate` of what `decode_with` gives"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evenhand.decode_with(model, tokenizer, [Turn(), AnswerRewriting(strength=1.0)]).undo()


def test_what_decode_with_gives_is_asked_as_a_finished_model_is() -> None:
    model, tokenizer = tiny_causal()
    request = Request(prompt="The nurse said", max_new_tokens=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoding = evenhand.decode_with(model, tokenizer, [Turn(), ("prompt-intervention", {})])
    with decoding:
        [answer] = decoding.answer([request], seed=3)
        text = decoding.generate(request, seed=3)
        with decoding.stream("The nurse said", max_new_tokens=6, seed=3) as stream:
            pieces = list(stream)
    assert {change.rule for change in answer.changes} == {"own-turn"}
    assert [change.what for change in answer.request_changes] == ["prompt"]
    assert text == answer.text and pieces == [text]
    assert stream.response is not None and stream.response.changes == answer.changes
    for name in ("generate", "answer", "stream"):
        assert getattr(Usable, name) is getattr(type(decoding), name)


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
        "own-surprise": "improved, controls not run",
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


def test_a_result_on_words_that_a_change_worked_with_is_no_evidence() -> None:
    model, tokenizer = tiny_causal()
    before = evenhand.measure(model, tokenizer, [PairGap(limit=40)])["pair-gap"]
    assert not any("in_lexicon" in record.flags for record in before.records)
    with evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()]):
        during = evenhand.measure(model, tokenizer, [PairGap(limit=40)])["pair-gap"]
    assert all(record.flags["in_lexicon"] for record in during.records)
    verdict = evenhand.compare({"pair-gap": before}, {"pair-gap": during})["pair-gap"]
    assert verdict["verdict"] == "by construction, not evidence"
    assert verdict["reason"] == "all items use words that the steps worked with"


def test_what_worked_on_a_model_elsewhere_is_named() -> None:
    model, tokenizer = tiny_causal()
    idle = evenhand.measure(model, tokenizer, [PairGap(limit=40)], worked_with=[PairParity(strength=0.0)])
    assert not any("in_lexicon" in record.flags for record in idle["pair-gap"].records)
    named = evenhand.measure(model, tokenizer, [PairGap(limit=40)], worked_with=["pair-parity"])
    assert all(record.flags["in_lexicon"] for record in named["pair-gap"].records)


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


# ------------------------------------------------------------------------------------- the toolkit's own training
def test_the_toolkits_own_training_takes_an_aggregator_of_gradients_and_a_selection(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    names: list[set[str]] = []

    def combine(losses: Any, gradients: Any) -> torch.Tensor:
        names.append(set(gradients))
        return sum(gradients.values())

    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    handle = evenhand.apply(model, tokenizer, [SelectiveUpdate(select=["norms"])])
    plugins = [PairParity(), Aggregator(name="sum", combine=combine, uses="gradients")]
    options = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3}
    result = evenhand.train(model, tokenizer, ROWS, plugins, applied=handle, folder=tmp_path, **options)
    handle.finish()
    assert result.steps == 2 and names[-1] == {"language modelling", "pair parity", "retention"}
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} <= set(handle.trainable)


def test_options_of_the_toolkits_own_training_are_checked() -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError, match="evenhand.train: train.max_step: unknown option; did you mean 'max_steps'"):
        evenhand.train(model, tokenizer, ROWS, max_step=3)
    with pytest.raises(UsageError) as error:
        evenhand.train(model, tokenizer, ROWS, resume=True)
    assert str(error.value) == "evenhand.train: there is nothing to resume from\n  give the folder"


def test_a_row_without_a_text_is_named() -> None:
    model, tokenizer = tiny_causal()
    for value, said in ((None, "no text"), (3, "not text but int")):
        rows = {"text": ["The rain fell.", value]} if value is None else {"text": [value, value]}
        with pytest.raises(UsageError) as error:
            evenhand.train(model, tokenizer, Dataset.from_dict(rows), max_steps=1)
        assert str(error.value) == (
            f"row {2 if value is None else 1} of the data set: {said}\n"
            "  dataset.filter(lambda row: isinstance(row['text'], str))"
        )


def test_a_term_that_is_always_zero_is_an_error_unless_it_is_an_anchor(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    nothing = lambda batch, outputs: outputs.logits.sum() * 0  # noqa: E731
    for how in ({"anchor": True}, {"weight": 0.0}):
        term = LossTerm(name="nothing", fn=nothing, **how)
        assert evenhand.train(model, tokenizer, ROWS, [term], max_steps=1, batch_size=4).steps == 1
    with pytest.raises(NoEffect) as error:
        evenhand.train(model, tokenizer, ROWS, [LossTerm(name="nothing", fn=nothing)], max_steps=1, batch_size=4)
    assert str(error.value) == (
        "evenhand.train: the loss term 'nothing' changed nothing: its gradient was zero in each step that was looked "
        "at\n  the model has learned from the other terms\n  mend the term, or leave it out"
    )


def test_rules_around_requests_alone_leave_every_way_of_decoding_to_the_model() -> None:
    from evenhand.own_model import active_rules
    from evenhand.usable import Usable

    model, tokenizer = tiny_causal()
    ids = tokenizer("The nurse said that she", return_tensors="pt")
    ways: list[dict[str, Any]] = [
        {"prompt_lookup_num_tokens": 2},
        {"return_dict_in_generate": True, "output_hidden_states": True},
    ]
    expected = [model.generate(**ids, max_new_tokens=4, do_sample=False, **way) for way in ways]

    def as_before() -> None:
        lookup, whole = (model.generate(**ids, max_new_tokens=4, do_sample=False, **way) for way in ways)
        assert torch.equal(lookup, expected[0]) and torch.equal(whole.sequences, expected[1].sequences)
        assert len(whole.hidden_states) == len(expected[1].hidden_states) == 4

    with pytest.warns(UserWarning, match="`model.generate`, which stays plain"):
        decoding = evenhand.decode_with(model, tokenizer, [("answer-rewriting", {"strength": 1.0})])
    with decoding:
        assert active_rules(model) == decoding.rules and len(decoding.rules) == 1
        as_before()
    assert active_rules(model) == () and "generate" not in vars(model)
    Usable(model, tokenizer, list(decoding.rules), "causal")
    as_before()
