"""Attention temperature: the probabilities that come out, folding, strength, switching, and the search."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from family_models import TYPES, attentions, family_model, tokens

from evenhand_sdk import UsageError
from evenhand_standard.architecture import attention_temperature as module
from evenhand_standard.architecture.attention_temperature import AttentionTemperature, using
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.text_probe import TextProbe


def outputs(model: Any, ids: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens() if ids is None else ids).logits


def transform_of(model: Any, run_of: Any, **options: Any) -> Any:
    return AttentionTemperature(**options).architecture(run_of(model, None), model)


def sharpened(probabilities: torch.Tensor, beta: float) -> torch.Tensor:
    """softmax(beta s) from softmax(s): powers, since softmax(s) is proportional to exp(s)."""
    powers = probabilities.double() ** beta
    return powers / powers.sum(-1, keepdim=True)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("model_type", TYPES)
def test_the_scores_are_multiplied_before_the_softmax(model_type: str, folded: bool, run_of: Any) -> None:
    """Each layer alone, so that its inputs are those of the untouched model; all families, live and in the weights."""
    before = attentions(family_model(model_type), tokens())
    for number, beta in enumerate((0.5, 1.7, 0.8)):
        model = family_model(model_type)
        betas = tuple(beta if k == number else 1.0 for k in range(3))
        transform = transform_of(model, run_of, beta=betas)
        transform.apply(model, transform.fit(model))
        if folded:
            assert transform.fold(model) is True
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        found = attentions(model, tokens())
        expected = sharpened(before[number], beta)
        assert torch.allclose(found[number].double(), expected, atol=2e-5)
        assert not torch.allclose(found[number], before[number], atol=1e-2)
        assert all(torch.equal(found[k], before[k]) for k in range(number))


@pytest.mark.parametrize("model_type", TYPES)
def test_folded_and_live_agree_and_revert_is_exact(model_type: str, run_of: Any) -> None:
    model = family_model(model_type)
    before, names = outputs(model), list(model.state_dict())
    transform = transform_of(model, run_of, beta=0.7)
    artifact = transform.fit(model)
    transform.apply(model, artifact)
    live = outputs(model)
    transform.revert(model)
    assert torch.equal(outputs(model), before) and list(model.state_dict()) == names
    assert not hasattr(model, module.BETAS.kept)
    transform.apply(model, artifact)
    assert torch.equal(outputs(model), live)
    transform.fold(model)
    size = float((outputs(model) - live).abs().max())
    print(f"{model_type}: largest logit difference, folded against live: {size:.2g}")
    assert size < 1e-4 and not torch.allclose(live, before, atol=1e-2)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_goes_from_1_to_beta(strength: float, run_of: Any) -> None:
    model, other = family_model("llama"), family_model("llama")
    transform = transform_of(model, run_of, beta=0.6, strength=strength)
    transform.apply(model, transform.fit(model))
    same = transform_of(other, run_of, beta=1.0 + strength * (0.6 - 1.0))
    same.apply(other, same.fit(other))
    assert torch.equal(outputs(model), outputs(other))
    assert strength > 0 or torch.equal(outputs(model), outputs(family_model("llama")))
    assert strength > 0 or not any(m._forward_hooks for m in model.modules())


def test_a_soft_cap_of_the_scores_comes_after_beta(run_of: Any) -> None:
    """Gemma 2 caps scores: c tanh(beta s / c). Both are in the page's limits; here, that beta is inside the cap."""
    model, cap = family_model("gemma2", attn_logit_softcapping=2.0), 2.0
    before = attentions(model, tokens())[0].double().clamp_min(1e-30).log()
    transform = transform_of(model, run_of, beta=0.5)
    transform.apply(model, transform.fit(model))
    found = attentions(model, tokens())[0].double().clamp_min(1e-30).log()
    # log a = c tanh(s / c) - log Z: differences within a row do not know Z, so compare with the best fitting shift.
    row = (1, 2, 6)  # a row that sees all seven tokens
    shift = torch.linspace(-cap, cap, 4001, dtype=torch.float64)[:, None]
    capped = before[row] - before[row].max() + shift
    inside = capped.abs().max(-1).values < cap
    scores = cap * torch.atanh(capped[inside] / cap)
    expected = (cap * torch.tanh(0.5 * scores / cap)).log_softmax(-1)
    assert float((expected - found[row]).abs().max(-1).values.min()) < 2e-3


def test_it_is_switched_for_a_request(run_of: Any) -> None:
    model = family_model("gpt2")
    before = outputs(model)
    transform = transform_of(model, run_of, beta=0.5, folded=False)
    transform.apply(model, transform.fit(model))
    live = outputs(model)
    assert transform.fold(model) is False and torch.equal(outputs(model), live)
    with using(model, 0.0):
        assert torch.equal(outputs(model), before)
    half = family_model("gpt2")
    other = transform_of(half, run_of, beta=0.75)
    other.apply(half, other.fit(half))
    with using(model, 0.5):
        assert torch.equal(outputs(model), outputs(half))
    assert torch.equal(outputs(model), live)
    with pytest.raises(UsageError) as caught:
        using(family_model("gpt2"), 1.0).__enter__()
    assert str(caught.value) == (
        "no attention-temperature acts on this model that could be switched\n"
        "  run the step with folded = false, and load the finished run with evenhand.load"
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_copy_of_the_model_is_switched_by_itself(family: str, run_of: Any) -> None:
    model = family_model(family)
    base = outputs(model)
    transform = transform_of(model, run_of, beta=0.5, folded=False)
    transform.apply(model, transform.fit(model))
    live, other = outputs(model), copy.deepcopy(model)
    with using(other, 0.0):
        assert torch.equal(outputs(other), base)
        assert torch.equal(outputs(model), live)
    with using(model, 0.0):
        assert torch.equal(outputs(model), base)
        assert torch.equal(outputs(other), live)
    transform.revert(model)
    assert torch.equal(outputs(model), base)
    assert torch.equal(outputs(other), live)
    assert not any(module.BETAS.kept in vars(part) for part in model.modules())


def test_another_thread_is_not_disturbed_by_a_switch(run_of: Any) -> None:
    import threading

    model = family_model("gpt2")
    transform = transform_of(model, run_of, beta=0.5, folded=False)
    transform.apply(model, transform.fit(model))
    live, found = outputs(model), []
    with using(model, 0.0):
        thread = threading.Thread(target=lambda: found.append(outputs(model)))
        thread.start()
        thread.join()
        assert not torch.equal(outputs(model), live)
    assert torch.equal(found[0], live)


def test_two_steps_multiply_and_can_be_taken_away_in_any_order(run_of: Any) -> None:
    model = family_model("llama")
    before = outputs(model)
    run = run_of(model, None)
    first, second = (
        AttentionTemperature(beta=b).architecture(replace(run, step_id=name), model)
        for b, name in ((0.5, "a"), (0.8, "b"))
    )
    for one in (first, second):
        one.apply(model, one.fit(model))
    both = family_model("llama")
    product = transform_of(both, run_of, beta=0.4)
    product.apply(both, product.fit(both))
    assert torch.allclose(outputs(model), outputs(both), atol=1e-5)
    first.revert(model)
    second.revert(model)
    assert torch.equal(outputs(model), before)


def test_betas_for_another_number_of_layers_are_refused_before_anything_changes(run_of: Any) -> None:
    model = family_model("llama")
    with pytest.raises(UsageError) as caught:
        transform_of(model, run_of, beta=(0.5, 0.5)).fit(model)
    assert str(caught.value) == (
        "step 'step': beta has 2 values, the model has 3 layers\n  give one number, or one for each layer"
    )
    for wrong in (0.0, -1.0, 5.0, "a"):
        with pytest.raises(UsageError):
            AttentionTemperature(beta=wrong)


# ------------------------------------------------------------------------------------------------------ the search
class Tabled:
    """A probe that knows gap and loss of each beta, read off the model's own betas."""

    def __init__(self, gaps: dict[float, float], losses: dict[float, float]) -> None:
        self.gaps, self.losses = gaps, losses

    def _read(self, model: Any, table: dict[float, float]) -> float:
        [(_, betas)] = (module.BETAS.on(model) or {"": ([], [1.0])}).values()
        return sum(table[b] for b in betas) / len(betas)

    def gap(self, model: Any) -> float:
        return self._read(model, self.gaps)

    wanted = ((1,),)

    def text_losses(self, model: Any) -> torch.Tensor:
        return torch.tensor([self._read(model, self.losses)], dtype=torch.float64)


def search(
    monkeypatch: pytest.MonkeyPatch,
    tiny: Any,
    run_of: Any,
    gaps: Any,
    losses: Any,
    *,
    passages: Any = None,
    budget: float = 1.02,
    **options: Any,
) -> Any:
    model, tokenizer = tiny()
    alone, long = ({1.0: 2.0, **(found or {})} for found in (losses, losses if passages is None else passages))

    def of(cls: Any, *args: Any) -> Tabled:
        return Tabled({1.0: 0.5, **gaps}, alone)

    def written(cls: Any, *args: Any) -> Tabled:
        return Tabled({1.0: 0.5, **gaps}, long)

    monkeypatch.setattr(PairProbe, "of", classmethod(of))
    monkeypatch.setattr(TextProbe, "of", classmethod(of))
    monkeypatch.setattr(TextProbe, "written", classmethod(written))
    run = replace(run_of(model, tokenizer), budget=budget)
    transform = AttentionTemperature(grid=tuple(gaps), **options).architecture(run, model)
    artifact = transform.fit(model)
    assert not any(m._forward_hooks for m in model.modules()) and not hasattr(model, module.BETAS.kept)
    json.dumps(dict(artifact.meta))
    return artifact.meta


def test_the_search_takes_the_least_gap_that_keeps_the_quality(monkeypatch: Any, tiny: Any, run_of: Any) -> None:
    gaps = {0.5: 0.1, 0.8: 0.3, 0.9: 0.4, 1.2: 0.6}
    allowed = 2.0 + math.log(1.02)  # the budget of a recipe without one
    losses = {0.5: allowed + 1e-6, 0.8: allowed - 1e-6, 0.9: 2.0, 1.2: 1.0}
    meta = search(monkeypatch, tiny, run_of, gaps, losses)
    assert meta["betas"] == [0.8, 0.8]
    assert [t.get("beta", 1.0) for t in meta["tried"]] == [1.0, 0.5, 0.8, 0.9, 1.2]
    assert meta["quality"] == 1 / 1.02
    assert search(monkeypatch, tiny, run_of, gaps, losses, quality=0.5)["betas"] == [0.5, 0.5]
    wide = search(monkeypatch, tiny, run_of, gaps, losses, budget=1.03)
    assert wide["betas"] == [0.5, 0.5] and wide["quality"] == 1 / 1.03
    assert search(monkeypatch, tiny, run_of, gaps, losses, budget=1.03, quality=0.99)["betas"] == [0.9, 0.9]
    assert "idle" not in wide


def test_a_search_that_takes_nothing_says_why(monkeypatch: Any, tiny: Any, run_of: Any) -> None:
    """exp(-0.05) = 0.951 is the most that is left, of 1 / 1.02 = 0.980 that is wanted."""
    gaps = {0.5: 0.1, 0.8: 0.3, 0.9: 0.4, 1.2: 0.6}
    meta = search(monkeypatch, tiny, run_of, gaps, {0.5: 9.0, 0.8: 2.05, 0.9: 2.2, 1.2: 1.0})
    assert meta["betas"] == [1.0, 1.0]
    assert meta["idle"] == (
        "3 of 4 tried made the groups more alike, and none of these leaves 0.980 of the quality: the best leaves 0.951"
    )
    meta = search(monkeypatch, tiny, run_of, {0.5: 0.6, 1.2: 0.7}, {})
    assert meta["idle"] == "none of 2 tried makes the groups more alike"


def test_quality_is_the_worse_of_single_texts_and_passages(monkeypatch: Any, tiny: Any, run_of: Any) -> None:
    """Flatter attention costs little behind a few words; on passages it would cost more than is allowed, 0.0198."""
    gaps, alone, long = (
        {0.5: 0.1, 0.8: 0.3, 0.9: 0.4},
        {0.5: 2.01, 0.8: 2.04, 0.9: 2.0},
        {0.5: 2.2, 0.8: 2.0, 0.9: 2.015},
    )
    meta = search(monkeypatch, tiny, run_of, gaps, alone, passages=long)
    assert meta["betas"] == [0.9, 0.9]
    assert [t["quality"] for t in meta["tried"]] == pytest.approx([1.0, *(math.exp(-x) for x in (0.2, 0.04, 0.015))])


def test_the_search_by_layers_goes_from_the_last_one_and_keeps_what_it_found(
    monkeypatch: Any, tiny: Any, run_of: Any
) -> None:
    """Half of each table's value a layer: the second layer takes 0.5; with it, the first may only take 0.8."""
    gaps, losses = {0.5: 0.1, 0.8: 0.3}, {0.5: 2.03, 0.8: 2.005}
    meta = search(monkeypatch, tiny, run_of, gaps, losses, search="layers")  # the mean may rise by 0.0198
    assert [t["layers"] for t in meta["tried"][1:]] == [[1], [1], [0], [0]]
    assert meta["betas"] == [0.8, 0.5]


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_search_on_a_real_probe_lowers_the_gap_that_it_measures(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    options = {"pairs": 4, "texts": 4, "samples": 2, "grid": (0.5, 0.8), "quality": 0.01}
    transform = AttentionTemperature(**options).architecture(run, model)
    untouched = copy.deepcopy(model)
    meta = transform.fit(model).meta
    least = min(t["gap"] for t in meta["tried"])
    transform.apply(model, transform.fit(model))
    from evenhand_sdk import load_axis

    probe = PairProbe.of(run, model, load_axis("gender"), 4)
    assert probe.gap(untouched) == pytest.approx(meta["tried"][0]["gap"], rel=1e-6)
    assert probe.gap(model) == pytest.approx(least, rel=1e-6)


def test_what_a_search_was_fitted_on_is_told() -> None:
    assert AttentionTemperature(beta=0.9).material() is None
    texts = AttentionTemperature(pairs=10).material().texts["fitting sentences"]
    assert len(list(texts)) == 20


def test_each_request_of_a_batch_has_the_strength_it_asks_for(tiny: Any, run_of: Any) -> None:
    from evenhand_sdk import Request

    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    plain = run.services.generate([Request(prompt="The nurse said that she", max_new_tokens=12)])[0]
    transform = AttentionTemperature(beta=0.05, folded=False).architecture(run, model)
    transform.apply(model, transform.fit(model))

    def asked(**meta: Any) -> Request:
        return Request(prompt="The nurse said that she", max_new_tokens=12, meta=meta)

    def alone(strength: float) -> Any:
        with using(model, strength):
            return run.services.generate([asked()])[0].token_ids

    name = "attention-temperature"
    batch = [asked(), asked(**{name: 0.0}), asked(**{name: 0.5}), asked(**{name: 0.0})]
    found = [r.token_ids for r in run.services.generate(batch)]
    assert found == [alone(1.0), plain.token_ids, alone(0.5), plain.token_ids]
    assert found[0] != found[1]
    with pytest.raises(UsageError, match="'full' is no strength of the attention temperature") as caught:
        run.services.generate([*batch, asked(**{name: "full"})])
    assert [a is None for a in caught.value.answers] == [False] * 4 + [True]
    transform.revert(model)
    assert not [key for key in vars(model) if key.startswith("evenhand")]
    assert run.services.generate([asked(**{name: 0.5})])[0].token_ids == plain.token_ids
