"""Preference optimisation: likelihoods token by token, losses by hand, where each optimum lies, and a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from scipy.optimize import minimize_scalar

from evenhand.errors import UsageError
from evenhand.training_batch import Reference
from evenhand.training_data import Collator, encode
from evenhand.training_forward import forward
from evenhand_sdk import Batch, Outputs
from evenhand_standard.data.preference_pairs import PreferencePairs
from evenhand_standard.data.preference_sets import sigmoid
from evenhand_standard.objective.continuation_likelihoods import Likelihoods, row_and_other
from evenhand_standard.objective.preference_losses import dpo, ipo, simpo
from evenhand_standard.objective.preference_optimisation import PreferenceOptimisation

PAIRS = [
    ("The nurse said that", " she was tired.", " he was tired."),
    ("The nurse said that", " he was tired.", " she was tired."),
    ("We met", " the king.", " the queen and her daughter."),
]


def rows_of(form: str = "dpo", weight: float = 0.5, margin: float = 0.0) -> Dataset:
    """The pairs, and a row that is none."""
    chosen = [c for _, c, _ in PAIRS]
    return Dataset.from_dict(
        {
            "text": [x + c for x, c, _ in PAIRS] + ["Rain fell on the town."],
            "evenhand_prompt": [x for x, _, _ in PAIRS] + [""],
            "evenhand_chosen": [*chosen, ""],
            "evenhand_rejected": [r for _, _, r in PAIRS] + [""],
            "evenhand_weight": [weight] * len(PAIRS) + [0.0],
            "evenhand_margin": [margin] * len(PAIRS) + [0.0],
            "evenhand_format": [form] * len(PAIRS) + [""],
        }
    )


def pair_likelihoods(batch: Batch, outputs: Outputs) -> Likelihoods:
    texts = row_and_other(batch, outputs, "preference")
    assert texts is not None
    return texts.likelihoods()


def batch_of(model: Any, tokenizer: Any, terms: Any, rows: Dataset) -> tuple[Batch, Outputs]:
    needs = [term.needs for term in terms]
    encoded, bins = encode(
        rows, tokenizer, kind="causal", max_length=48, vocabulary=model.config.vocab_size,
        pairings=[n.counterfactual for n in needs if n.counterfactual],
        columns=tuple(dict.fromkeys(c for n in needs for c in n.columns)),
    )  # fmt: skip
    batch = Collator(tokenizer=tokenizer, kind="causal", bins=bins, seed=1)(encoded)["batch"]
    return batch, forward(model, batch, needs, kind="causal")


def slow(model: Any, tokenizer: Any, prompt: str, continuation: str) -> tuple[float, int]:
    """log p(continuation | prompt) in float64, one token at a time, and the number of its tokens."""
    ids = tokenizer(prompt + continuation, add_special_tokens=False)["input_ids"]
    start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[t - 1, ids[t]]) for t in range(start, len(ids))), len(ids) - start


def drifted(model: Any) -> Any:
    """Another model of the same shape, as the untouched one."""
    import copy

    other = copy.deepcopy(model)
    torch.manual_seed(5)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return other


def with_reference(outputs: Outputs, reference: Any) -> list[int]:
    """Gives the outputs a reference that counts the texts that it is asked for."""
    asked: list[int] = []

    def ask(*, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        asked.append(len(input_ids))
        assert not torch.is_grad_enabled()
        return reference(input_ids=input_ids, attention_mask=attention_mask)

    outputs.reference = Reference(logits=lambda: outputs.logits.detach(), model=ask)
    return asked


def test_likelihoods_are_those_of_the_continuations(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    terms = PreferenceOptimisation(retention=0.0).objective(run_of(model, tokenizer), model)
    batch, outputs = batch_of(model, tokenizer, terms, rows_of())
    found = pair_likelihoods(batch, outputs)
    for k, (prompt, chosen, rejected) in enumerate(PAIRS):
        own, other = slow(model, tokenizer, prompt, chosen), slow(model, tokenizer, prompt, rejected)
        # What both texts share before they differ is as likely in both: the difference tells.
        assert float((found.own - found.other).detach()[k]) == pytest.approx(own[0] - other[0], abs=1e-4)
    assert torch.equal(found.normalised().own, found.own / found.own_tokens)


@pytest.mark.parametrize(("loss", "smoothing"), [("dpo", 0.0), ("dpo", 0.1), ("ipo", 0.0), ("simpo", 0.0)])
@pytest.mark.parametrize("by_token", [False, True])
def test_the_term_is_the_mean_loss_over_pairs(
    loss: Any, smoothing: float, by_token: bool, tiny: Any, run_of: Any
) -> None:
    """Of calibrated pairs, but for SimPO and for smoothing, which is for plain ones."""
    model, tokenizer = tiny()
    untouched = drifted(model)
    form = {"dpo": "dpo", "ipo": "ipo", "simpo": "zero-margin"}[loss]
    plugin = PreferenceOptimisation(
        loss=loss, beta=0.3, label_smoothing=smoothing, margin=0.2, length_normalised=by_token, retention=0.0
    )
    terms = plugin.objective(run_of(model, tokenizer), model)
    margin = 0.0 if loss == "simpo" or smoothing else 0.7
    weight = sigmoid(0.3 * margin) if loss == "dpo" else 0.5
    batch, outputs = batch_of(model, tokenizer, terms, rows_of(form, weight, margin))
    asked = with_reference(outputs, untouched)
    expected = []
    normal = by_token or loss == "simpo"
    found = pair_likelihoods(batch, outputs)
    for k, (prompt, chosen, rejected) in enumerate(PAIRS):
        tokens = int(found.own_tokens[k]), int(found.other_tokens[k])
        now, before = [], []
        for model_, values in ((model, now), (untouched, before)):
            for text, count in ((chosen, tokens[0]), (rejected, tokens[1])):
                shared = common(tokenizer, prompt, chosen, rejected)
                total = tail(model_, tokenizer, prompt + text, shared)
                values.append(total / count if normal else total)
        d, d0 = now[0] - now[1], before[0] - before[1]
        w, m = (sigmoid(-0.3 * d0), -d0) if normal and margin else (weight, margin)
        if loss == "dpo":
            h = 0.3 * (d - d0)
            expected.append(-2 * w * ((1 - smoothing) * math.log(sigmoid(h)) + smoothing * math.log(sigmoid(-h))))
        elif loss == "ipo":
            expected.append((d - d0 - m) ** 2)
        else:
            expected.append(-math.log(sigmoid(0.3 * d - 0.2)))
    assert terms[0].fn(batch, outputs).item() == pytest.approx(sum(expected) / 3, rel=1e-4)
    assert asked == ([] if loss == "simpo" else [6])
    terms[0].fn(batch, outputs)
    assert asked == ([] if loss == "simpo" else [6]), "the untouched model is asked once for a row"


def common(tokenizer: Any, prompt: str, one: str, two: str) -> int:
    a, b = (tokenizer(prompt + x, add_special_tokens=False)["input_ids"] for x in (one, two))
    return next(k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)


def tail(model: Any, tokenizer: Any, text: str, start: int) -> float:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[t - 1, ids[t]]) for t in range(start, len(ids)))


def test_chosen_is_the_negative_log_likelihood_by_token(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    terms = PreferenceOptimisation(retention=0.0, strength=0.5).objective(run_of(model, tokenizer), model)
    assert [(t.name, t.weight) for t in terms] == [("preference", 0.5), ("chosen", 0.05)]
    batch, outputs = batch_of(model, tokenizer, terms, rows_of())
    expected = []
    for prompt, chosen, rejected in PAIRS:
        start = common(tokenizer, prompt, chosen, rejected)
        count = len(tokenizer(prompt + chosen, add_special_tokens=False)["input_ids"]) - start
        expected.append(-tail(model, tokenizer, prompt + chosen, start) / count)
    assert terms[1].fn(batch, outputs).item() == pytest.approx(sum(expected) / 3, rel=1e-4)


@pytest.mark.parametrize("d0", [-2.0, 0.0, 1.5])
def test_both_directions_together_are_least_at_parity(d0: float) -> None:
    """D = 0 for each loss with the weights and margins that preference-pairs gives, found by a minimiser."""
    beta = 0.4

    def at(d: float, loss: str) -> float:
        h, w, m = torch.tensor([d - d0, d0 - d]), sigmoid(-beta * d0), -d0
        if loss == "dpo":
            return float(dpo(h, torch.tensor([w, 1 - w]), beta=beta, smoothing=0.0).sum())
        if loss == "ipo":
            return float(ipo(h, torch.tensor([m, -m])).sum())
        return float(simpo(torch.tensor([d, -d]), beta=beta, margin=0.3).sum())

    for loss in ("dpo", "ipo", "simpo"):
        best = minimize_scalar(lambda d, loss=loss: at(d, loss), bounds=(-8, 8), method="bounded").x
        assert best == pytest.approx(0.0, abs=0.02), loss


def both_directions(w: float, h: float, *, beta: float, smoothing: float) -> float:
    weights = torch.tensor([w, 1 - w], dtype=torch.float64)
    return float(dpo(torch.tensor([h, -h], dtype=torch.float64), weights, beta=beta, smoothing=smoothing).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.1, 0.3])
@pytest.mark.parametrize(("weight", "d0"), [(0.8, -13.863), (0.5, 0.0), (0.35, 6.190)])
def test_smoothing_takes_the_optimum_of_calibrated_pairs_away_from_parity(
    weight: float, d0: float, smoothing: float
) -> None:
    """Both directions are least where beta h = logit q, q = w (1 - e) + (1 - w) e: at D = 0 for e = 0 or w = 1/2 alone,
    found by a minimiser; and the weights that would put it right are the loss without smoothing."""
    beta = 0.1

    def least(w: float) -> float:
        """D where the sum of both directions is least."""

        def at(d: float) -> float:
            return both_directions(w, d - d0, beta=beta, smoothing=smoothing)

        return float(minimize_scalar(at, bounds=(-30, 30), method="bounded").x)

    q = weight * (1 - smoothing) + (1 - weight) * smoothing
    moved = math.log(q / (1 - q)) / beta + d0
    assert least(weight) == pytest.approx(moved, abs=0.01)
    if (weight, smoothing) == (0.8, 0.1):
        assert moved == pytest.approx(-3.40, abs=0.01)
    assert (abs(moved) < 0.01) == (smoothing == 0 or weight == 0.5)
    corrected = (weight - smoothing) / (1 - 2 * smoothing)
    for h in (-20.0, -1.0, 0.0, 3.0):
        assert both_directions(corrected, h, beta=beta, smoothing=smoothing) == pytest.approx(
            both_directions(weight, h, beta=beta, smoothing=0.0), rel=1e-9
        )


def test_label_smoothing_of_calibrated_pairs_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    for by_token in (False, True):
        plugin = PreferenceOptimisation(beta=0.1, label_smoothing=0.1, length_normalised=by_token)
        (term, *_) = plugin.objective(run_of(model, tokenizer), model)
        with pytest.raises(UsageError) as caught:
            term.fn(*batch_of(model, tokenizer, [term], rows_of("dpo", sigmoid(1.3863), 13.863)))
        assert str(caught.value) == (
            "preference-optimisation: label_smoothing = 0.1 takes the optimum of calibrated pairs away from parity\n"
            "  it makes the weight 0.8000 of a pair 0.7400; the mirror of a pair, with the rest of the weight, is its "
            "smoothing already\n"
            "  leave label_smoothing at 0"
        )


def test_plain_dpo_is_the_published_loss() -> None:
    """-log s(b h) where both directions weigh the same, and label smoothing mixes in the other side."""
    h = torch.tensor([1.0, -2.0])
    plain = dpo(h, torch.tensor([0.5, 0.5]), beta=0.5, smoothing=0.0)
    assert plain.tolist() == pytest.approx([math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(1.0))], rel=1e-5)
    smoothed = dpo(h, torch.tensor([0.5, 0.5]), beta=0.5, smoothing=0.25)
    other = [math.log(1 + math.exp(0.5)), math.log(1 + math.exp(-1.0))]
    expected = [0.75 * float(a) + 0.25 * b for a, b in zip(plain, other, strict=True)]
    assert smoothed.tolist() == pytest.approx(expected, rel=1e-5)


def test_pairs_for_another_loss_or_beta_are_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term, *_) = PreferenceOptimisation(loss="ipo").objective(run_of(model, tokenizer), model)
    with pytest.raises(UsageError) as caught:
        term.fn(*batch_of(model, tokenizer, [term], rows_of("dpo")))
    assert str(caught.value) == (
        "preference-optimisation: the pairs were made for 'dpo', and the loss is 'ipo'\n"
        "  its optimum is parity on pairs of the format 'ipo' or 'zero-margin'\n"
        "  set `format` of preference-pairs, or `loss` of this step"
    )
    (term, *_) = PreferenceOptimisation(beta=0.5).objective(run_of(model, tokenizer), model)
    with pytest.raises(UsageError) as caught:
        term.fn(*batch_of(model, tokenizer, [term], rows_of("dpo", sigmoid(0.1 * 2), 2.0)))
    assert str(caught.value) == (
        "preference-optimisation: the pairs are weighted for another beta than 0.5\n"
        "  a pair has the weight 0.5498, where its margin and this beta give 0.7311\n"
        "  give preference-pairs and preference-optimisation the same beta"
    )


def test_a_pair_of_one_text_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term, *_) = PreferenceOptimisation().objective(run_of(model, tokenizer), model)
    rows = Dataset.from_list([{**row, "evenhand_rejected": row["evenhand_chosen"]} for row in rows_of()])
    with pytest.raises(UsageError, match="a pair prefers ' she was tired.' to itself"):
        batch_of(model, tokenizer, [term], rows)


def test_a_missing_column_is_told_with_what_to_do(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    terms = PreferenceOptimisation().objective(run, model)
    with pytest.raises(UsageError) as caught:
        run.services.train(Dataset.from_dict({"text": ["She was tired."]}), terms)
    assert str(caught.value) == (
        "Training a copy: the loss term 'preference' reads the column 'evenhand_chosen', which the training data does "
        "not have\n  its columns are text\n  put the step that makes it before this one"
    )


def test_a_row_that_was_changed_since_is_no_pair(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term, *_) = PreferenceOptimisation(retention=0.0, sft=0.0).objective(run_of(model, tokenizer), model)
    rows = Dataset.from_list([{**row, "text": "Rain fell on the town."} for row in rows_of()])
    value = term.fn(*batch_of(model, tokenizer, [term], rows))
    value.backward()
    assert value.item() == 0.0


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert PreferenceOptimisation(strength=0.0).objective(run_of(model, tokenizer), model) == []


def test_with_preference_pairs_it_draws_the_preferences_to_parity(tiny: Any, run_of: Any, tmp_path: Path) -> None:
    """On pairs of the bank the mean |D| falls, against the same training without the objective."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=40, batch_size=8, learning_rate=3e-3)
    pairs = PreferencePairs(limit=12, format="ipo").data(run, "train", model)
    data = pairs.fn(Dataset.from_dict({"text": ["Rain fell on the town."] * 6}))
    terms = PreferenceOptimisation(loss="ipo", weight=3.0).objective(run, model)
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    gaps = {}
    for name, one in (("before", model), ("with", trained), ("without", control)):
        with torch.no_grad():
            found = pair_likelihoods(*batch_of(one, tokenizer, terms, data))
        gaps[name] = float((found.own - found.other).abs().mean())
    assert gaps["with"] < 0.5 * gaps["without"]
    assert {name: facts["gradient_norm"] > 0 for name, facts in result.terms.items() if facts["gradient_norm"]} == {
        "preference": True, "chosen": True, "retention": True,
    }  # fmt: skip
