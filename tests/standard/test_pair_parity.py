"""Pair parity: the formula against a slow implementation, finite gradients, and that it trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand.training_batch import Reference
from evenhand.training_data import Collator, encode
from evenhand.training_terms import Terms
from evenhand_sdk import Batch, LossTerm, Outputs, PairBatch, PairOutputs, fold, jensen_shannon
from evenhand_standard.objective import folded_divergence, pair_parity
from evenhand_standard.objective.folded_divergence import mean_folded_js
from evenhand_standard.objective.pair_parity import (
    PairParity,
    folded_l1_logits,
    folded_symmetric_kl,
)

TEXTS = [
    "She said that the engineer was good.",
    "He is a nurse and the people are with him.",
    "The king and his daughter said that the judge was bad.",
    "Rain fell on the town.",
]


def batch_of(model: Any, tokenizer: Any, terms: list[LossTerm], kind: Any = "causal") -> tuple[Batch, Outputs]:
    """One batch of all texts and the outputs; text rows and counterfactuals in separate passes."""
    pairings = [t.needs.counterfactual for t in terms if t.needs.counterfactual]
    rows, bins = encode(
        Dataset.from_dict({"text": TEXTS}),
        tokenizer,
        kind=kind,
        max_length=32,
        pairings=pairings,
        vocabulary=model.config.vocab_size,
    )
    batch = Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=1)(rows)["batch"]
    outputs = Outputs(
        logits=model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits,
        loss=torch.tensor(0.0),
        pairs={
            key: PairOutputs(logits=model(input_ids=p.input_ids, attention_mask=p.attention_mask).logits)
            for key, p in batch.pairs.items()
            if len(p.rows)
        },
    )
    return batch, outputs


def slow_folded(logits: list[float], bins: list[int]) -> dict[int, float]:
    """Probabilities by bin, one addition at a time."""
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    folded: dict[int, float] = {}
    for weight, bin in zip(weights, bins, strict=True):
        folded[bin] = folded.get(bin, 0.0) + weight / sum(weights)
    return folded


def slow_js(left: list[float], right: list[float], bins: list[int]) -> float:
    p, q = slow_folded(left, bins), slow_folded(right, bins)
    total = 0.0
    for bin in p:
        middle = (p[bin] + q[bin]) / 2
        total += 0.5 * p[bin] * math.log(p[bin] / middle) if p[bin] else 0.0
        total += 0.5 * q[bin] * math.log(q[bin] / middle) if q[bin] else 0.0
    return total


# Three tokens of which the first two are one bin: p = (.2, .3, .5) and q = (.3, .2, .5) are folded the same.
BINS = torch.tensor([0, 0, 2])
P, Q, R = (torch.tensor([x]).log() for x in ([0.2, 0.3, 0.5], [0.3, 0.2, 0.5], [0.1, 0.1, 0.8]))


def test_distances_against_values_worked_by_hand() -> None:
    assert mean_folded_js(P, Q, BINS).item() == pytest.approx(0.0, abs=1e-7)
    # Folded: (.5, .5) and (.2, .8); their mean is (.35, .65).
    js = 0.5 * (0.5 * math.log(0.5 / 0.35) + 0.5 * math.log(0.5 / 0.65))
    js += 0.5 * (0.2 * math.log(0.2 / 0.35) + 0.8 * math.log(0.8 / 0.65))
    assert mean_folded_js(P, R, BINS).item() == pytest.approx(js, abs=1e-6)
    kl = 0.5 * (0.3 * math.log(0.5 / 0.2) + -0.3 * math.log(0.5 / 0.8))
    assert folded_symmetric_kl(P, R, BINS).item() == pytest.approx(kl, abs=1e-6)
    l1 = (abs(math.log(0.5 / 0.2)) + abs(math.log(0.5 / 0.8))) / 2
    assert folded_l1_logits(P, R, BINS).item() == pytest.approx(l1, abs=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_pair_term_is_the_mean_folded_js_over_aligned_positions(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    terms = PairParity(retention=0.0).objective(run_of(model, tokenizer, kind), model)
    assert [t.name for t in terms] == ["pair parity"]
    batch, outputs = batch_of(model, tokenizer, terms, kind)
    (key,) = batch.pairs
    pairs = batch.pairs[key]
    places = pairs.positions.tolist()
    assert len(places) >= 3
    slow = [
        slow_js(
            outputs.logits[pairs.rows[p], i].tolist(),
            outputs.pairs[key].logits[p, j].tolist(),
            pairs.bins.tolist(),
        )
        for p, i, j in places
    ]
    assert terms[0].fn(batch, outputs).item() == pytest.approx(sum(slow) / len(slow), rel=1e-5)
    if kind == "masked":  # both texts read the same at a compared place: the mask, or the same piece
        read = [(batch.input_ids[pairs.rows[p], i].item(), pairs.input_ids[p, j].item()) for p, i, j in places]
        assert all(here == there for here, there in read)
        assert tokenizer.mask_token_id in {here for here, _ in read}


@pytest.mark.parametrize("distance", ["js", "symmetric-kl", "l1-logits"])
def test_chunks_do_not_change_the_value(distance: str, tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    terms = PairParity(retention=0.0, distance=distance).objective(run_of(model, tokenizer), model)
    batch, outputs = batch_of(model, tokenizer, terms)
    whole = terms[0].fn(batch, outputs)
    (expected,) = torch.autograd.grad(whole, [model.lm_head.weight], retain_graph=True)
    monkeypatch.setattr(pair_parity, "POSITIONS_AT_ONCE", 3)
    monkeypatch.setattr(folded_divergence, "ROWS_AT_ONCE", 3)
    parts = terms[0].fn(batch, outputs)
    (got,) = torch.autograd.grad(parts, [model.lm_head.weight], retain_graph=True)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-6)
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-7)
    (again,) = torch.autograd.grad(parts, [model.lm_head.weight])  # the proof and the update both ask
    assert torch.equal(got, again)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_retention_is_forward_kl_on_predicted_words_that_are_no_group_words(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    pair, term = PairParity(retention=0.3, strength=0.5).objective(run_of(model, tokenizer, kind), model)
    assert (term.name, term.weight, term.anchor, pair.weight) == ("retention", 0.15, True, 0.5)
    batch, outputs = batch_of(model, tokenizer, [pair], kind)
    torch.manual_seed(0)
    reference = torch.randn_like(outputs.logits)
    outputs.reference = Reference(logits=lambda: reference)
    words = {"She", " she", "He", " he", " him", " his", " king", " daughter"}
    slow = []
    for b, row in enumerate(batch.labels.tolist()):
        for t, label in enumerate(row):
            if label == -100 or tokenizer.decode([label]) in words or (kind == "causal" and t == 0):
                continue
            at = t - 1 if kind == "causal" else t
            p0, p = reference[b, at].double().softmax(-1), outputs.logits[b, at].double().softmax(-1)
            slow.append((p0 * (p0.log() - p.log())).sum().item())
    assert len(slow) >= 3
    assert term.fn(batch, outputs).item() == pytest.approx(sum(slow) / len(slow), rel=1e-4)
    outputs.reference = Reference(logits=outputs.logits.detach)
    assert term.fn(batch, outputs).item() == pytest.approx(0.0, abs=1e-6)


def test_the_closed_gradient_is_that_of_automatic_differentiation_through_the_fold() -> None:
    torch.manual_seed(0)
    left, right = (torch.randn(40, 30).mul(3).requires_grad_() for _ in range(2))
    bins = torch.arange(30)
    bins[[4, 9, 20]], bins[7] = 4, 6
    whole = [fold(x.log_softmax(-1), bins) for x in (left, right)]
    slow = jensen_shannon(*whole).mean()
    fast = mean_folded_js(left, right, bins)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-5)
    for upstream in (1.0, -2.5):
        expected = torch.autograd.grad(upstream * slow, [left, right], retain_graph=True)
        found = torch.autograd.grad(upstream * fast, [left, right], retain_graph=True)
        for a, b in zip(expected, found, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("distance", [mean_folded_js, folded_symmetric_kl, folded_l1_logits])
@pytest.mark.parametrize("impossible", [-float("inf"), -1e30])
def test_gradients_are_numbers_where_probabilities_are_zero(
    distance: Callable[..., torch.Tensor], impossible: float
) -> None:
    torch.manual_seed(0)
    left = torch.randn(4, 6)
    left[:, :2] = impossible  # a whole bin without mass
    left[:, 4] = impossible
    left.requires_grad_()
    right = torch.randn(4, 6, requires_grad=True)
    value = distance(left, right, torch.tensor([0, 0, 2, 2, 4, 5])).sum()
    value.backward()
    assert torch.isfinite(value)
    assert left.grad is not None and right.grad is not None
    assert torch.isfinite(left.grad).all() and torch.isfinite(right.grad).all()
    assert right.grad.abs().sum() > 0


def test_a_batch_without_pairs_adds_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = PairParity(retention=0.0).objective(run_of(model, tokenizer), model)
    key = term.needs.counterfactual.key
    none = torch.empty((0, 8), dtype=torch.long)
    empty = PairBatch(
        rows=none[:, 0],
        input_ids=none,
        attention_mask=none,
        positions=none[:, :3],
        bins=torch.arange(model.config.vocab_size),
    )
    ids = torch.arange(8)[None]
    batch = Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=ids,
        rows=torch.zeros(1),
        pairs={key: empty},
    )
    value = term.fn(batch, Outputs(logits=model(ids).logits, loss=torch.tensor(0.0)))
    value.backward()
    assert value.item() == 0.0


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert PairParity(strength=0.0).objective(run_of(model, tokenizer), model) == []


def test_several_axes_have_a_term_each(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    terms = PairParity(axes=("gender", belief)).objective(run_of(model, tokenizer), model)
    assert [t.name for t in terms] == ["pair parity (gender)", "pair parity (belief)", "retention"]


def test_an_axis_that_is_unknown_or_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no axis pack 'gendre'; did you mean 'gender'"):
        PairParity(axes=("gendre",))
    with pytest.raises(UsageError, match="names 'gender' twice"):
        PairParity(axes=("gender", "gender"))


def test_two_packs_that_call_their_axis_the_same_are_refused(tmp_path: Path, belief: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(Path(belief).read_text(encoding="utf-8").replace('"belief"', '"gender"'), encoding="utf-8")
    with pytest.raises(UsageError, match="names the axis 'gender' twice: 'gender' and '.*own.toml' .call one of them"):
        PairParity(axes=("gender", str(own)))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_draws_pairs_together_and_every_term_has_a_gradient(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=10, learning_rate=3e-3)
    terms = PairParity(weight=20.0).objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    with torch.no_grad():
        after, without = (terms[0].fn(*batch_of(m, tokenizer, terms, kind)).item() for m in (trained, control))
    assert after < 0.5 * without
    assert set(result.terms) == {"language modelling", "pair parity", "retention"}
    assert result.terms["pair parity"]["gradient_norm"] > 0
    assert result.terms["retention"]["gradient_norm"] > 0


def test_the_host_accepts_the_terms(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    terms = Terms(PairParity().objective(run_of(model, tokenizer), model), None, 1.0)
    assert [s.term.name for s in terms.states] == ["language modelling", "pair parity", "retention"]
