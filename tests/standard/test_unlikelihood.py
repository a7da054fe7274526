"""Unlikelihood: the penalty by hand, which tokens and pairs count, what the data hold, and a training that ends near
parity."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand.training_data import Collator, encode
from evenhand.training_forward import forward
from evenhand_sdk import Batch, Outputs, load_axis
from evenhand_standard.objective.continuation_likelihoods import TextPairs, two_others
from evenhand_standard.objective.unlikelihood import (
    KEY,
    LISTED,
    OTHER,
    Unlikelihood,
    distinct_places,
    log_probability,
    penalty,
)
from evenhand_standard.pair_bank import pairs

ROWS = Dataset.from_dict(
    {
        "text": ["The nurse said that", "The plumber said that", "Rain fell on the town."],
        LISTED: [" she was tired.", " he lost his keys.", ""],
        OTHER: [" he was tired.", " she lost her keys.", ""],
    }
)


def batch_of(model: Any, tokenizer: Any, terms: Any, rows: Dataset = ROWS) -> tuple[Batch, Outputs]:
    encoded, bins = encode(
        rows, tokenizer, kind="causal", max_length=48, vocabulary=model.config.vocab_size,
        pairings=[t.needs.counterfactual for t in terms if t.needs.counterfactual], columns=(LISTED, OTHER),
    )  # fmt: skip
    batch = Collator(tokenizer=tokenizer, kind="causal", bins=bins, seed=1)(encoded)["batch"]
    return batch, forward(model, batch, [t.needs for t in terms], kind="causal")


def by_hand(model: Any, tokenizer: Any, prompt: str, listed: str, other: str) -> tuple[float, float]:
    """The penalty of one pair in float64, a token at a time, and how much likelier its own tokens are than the other's.

    One stretch of tokens differs.
    """
    ids = [tokenizer(prompt + x, add_special_tokens=False)["input_ids"] for x in (listed, other)]
    start = next(k for k, (x, y) in enumerate(zip(*ids, strict=False)) if x != y)
    end = next(k for k, (x, y) in enumerate(zip(*(i[::-1] for i in ids), strict=False)) if x != y)
    logp, kept = [], []
    for row in ids:
        with torch.no_grad():
            found = model(input_ids=torch.tensor([row])).logits[0].double().log_softmax(-1)
        logp.append([float(found[t - 1, row[t]]) if t else 0.0 for t in range(len(row))])
        kept.append(range(start, len(row) - end))
    margin = sum(logp[0][t] for t in kept[0]) - sum(logp[1][t] for t in kept[1])
    return sum(-math.log(1 - math.exp(logp[0][t])) for t in kept[0]) / len(kept[0]), margin


def test_the_penalty_is_that_of_the_tokens_that_differ(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rows = ROWS.select([0, 2])  # one stretch of tokens differs
    term = Unlikelihood(until_parity=False, weight=0.3, unrelated=0).objective(run_of(model, tokenizer), model)[0]
    assert (term.name, term.weight, term.anchor) == ("unlikelihood", 0.3, False)
    batch, outputs = batch_of(model, tokenizer, [term], rows)
    row = rows[0]
    expected, _ = by_hand(model, tokenizer, row["text"], row[LISTED], row[OTHER])
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


def test_until_parity_the_likelier_stereotypes_count_and_the_mean_is_over_all_pairs(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    row = ROWS[0]
    swapped = {"text": row["text"], LISTED: row[OTHER], OTHER: row[LISTED]}
    both = Dataset.from_list([row, swapped])  # one of the two is the likelier side
    term = Unlikelihood().objective(run_of(model, tokenizer), model)[0]
    batch, outputs = batch_of(model, tokenizer, [term], both)
    found = [by_hand(model, tokenizer, r["text"], r[LISTED], r[OTHER]) for r in both]
    assert found[0][1] == pytest.approx(-found[1][1], abs=1e-6) and found[0][1] != 0
    expected = sum(value for value, margin in found if margin > 0) / 2
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


def one_pair(logits: list[list[float]], own: list[int], other: list[int]) -> TextPairs:
    """A pair of the same length, with these logits of the first text."""
    made = torch.tensor([logits], requires_grad=True)
    own_ids, other_ids = torch.tensor([own]), torch.tensor([other])
    mask = torch.ones_like(own_ids)
    return TextPairs(
        rows=[0], own=own_ids, own_mask=mask, other=other_ids, other_mask=mask, own_logits=made, other_logits=made
    )


def test_near_certainty_the_value_is_exact_and_the_slope_is_not_lost() -> None:
    """With logits (x, 0, 0), 1 - p = 2 / (e^x + 2), also where 1 - p in float32 would be 0; the slope is p."""
    texts = one_pair([[40.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [1, 0], [1, 2])
    value = penalty(texts, 0, distinct_places(texts, 0)[0])
    assert value.item() == pytest.approx(40 - math.log(2), rel=1e-6)
    value.backward()
    assert texts.own_logits.grad is not None
    assert texts.own_logits.grad[0, 0].tolist() == pytest.approx([1.0, -0.5, -0.5], abs=1e-6)


def test_only_tokens_outside_of_shared_blocks_are_penalised() -> None:
    logits = [[0.1 * (t + 1) * v for v in range(6)] for t in range(4)]
    texts = one_pair(logits, [5, 1, 3, 4], [5, 2, 3, 4])
    p = torch.tensor(logits[0]).softmax(-1)[1]
    assert penalty(texts, 0, distinct_places(texts, 0)[0]).item() == pytest.approx(-math.log(1 - float(p)), rel=1e-5)


def test_data_and_refusals(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    transform = Unlikelihood(limit=40).data(run_of(model, tokenizer), "train", model)
    rows = transform.fn(Dataset.from_dict({"text": ["Rain fell on the town."] * 3}))
    assert (len(rows), transform.account().added, transform.facts["pairs"]) == (43, 40, 40)
    axis = load_axis("gender")
    stereotype = {item.female_text: item.stereotype == "female" for item in pairs(axis, "train")}
    stereotype |= {item.male_text: item.stereotype == "male" for item in pairs(axis, "train")}
    for row in rows.select(range(3, 43)):
        assert stereotype[row["text"] + row[LISTED]] and not stereotype[row["text"] + row[OTHER]]
    held = {item.female_text for item in pairs(axis, "heldout")} | {i.male_text for i in pairs(axis, "heldout")}
    assert not {row["text"] + row[LISTED] for row in rows} & held
    with pytest.raises(UsageError, match="the pair bank says of no pair of the axis"):
        Unlikelihood(axis=belief)


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = Unlikelihood(strength=0.0)
    assert plugin.objective(run_of(model, tokenizer), model) == []
    rows = Dataset.from_dict({"text": ["Rain fell."]})
    assert plugin.data(run_of(model, tokenizer), "train", model).fn(rows) is rows


def test_a_training_brings_a_planted_stereotype_near_parity_and_not_beyond(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    taught = [row["text"] + row[LISTED] for row in ROWS.select([0, 1])] * 8
    model, _ = run_of(model, tokenizer, max_steps=40, learning_rate=3e-3).services.train(
        Dataset.from_dict({"text": taught})
    )
    run = run_of(model, tokenizer, max_steps=70, learning_rate=1e-3)
    data = Dataset.from_dict({name: values * 6 for name, values in ROWS.to_dict().items()})
    margins = {}
    for name, options in (("until parity", {}), ("always", {"until_parity": False}), ("without", None)):
        terms = [] if options is None else Unlikelihood(weight=1.0, **options).objective(run, model)
        trained, result = run.services.train(data, terms, name=name.replace(" ", "-"))
        asked = Unlikelihood().objective(run, model)[:1]
        with torch.no_grad():
            texts = two_others(*batch_of(trained, tokenizer, asked), KEY)
            assert texts is not None
            found = []
            for k in range(2):
                own, other = distinct_places(texts, k)
                found.append(float(log_probability(texts.own[k], texts.own_logits[k], own)))
                found[-1] -= float(log_probability(texts.other[k], texts.other_logits[k], other))
        margins[name] = sum(found) / 2
        if terms:
            assert result.terms["unlikelihood"]["gradient_norm"] > 0
    assert margins["without"] > 0.5
    assert abs(margins["until parity"]) < 0.2 * margins["without"]
    assert margins["always"] < margins["until parity"], "what has no end goes on to the reverse"
