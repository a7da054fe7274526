"""The diet: both scores against plain formulas, who stays, who joins, and the random baseline of equal size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from data_steps import applied
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from evenhand.errors import UsageError
from evenhand_sdk import load_axis
from evenhand_standard.data.early_scores import effect, group_effects, mean_token_losses
from evenhand_standard.data.healthy_data_diet import (
    EARLY,
    HealthyDataDiet,
    HealthyDataDietOptions,
    highest,
    kept_numbers,
    middle,
    updates,
)

PLUGIN = HealthyDataDiet
TEXTS = [f"She is a nurse in the town and has {k} books at home." for k in range(12)]
TEXTS += [f"Rain fell on the town for {k} days." for k in range(8)]


@pytest.fixture
def run(tiny: Any, run_of: Any, own_cache: Any) -> Any:
    return run_of(*tiny(), max_steps=40)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores without the rounding of bf16, to be compared with plain formulas."""
    monkeypatch.setattr("evenhand.scoring_precision.fast_bf16", lambda device="cpu": False)


@pytest.fixture
def rows() -> Dataset:
    return Dataset.from_dict({"text": TEXTS})


# ------------------------------------------------------------------------------------------------------------- scores
def test_perf_is_the_mean_loss_of_a_token(run: Any, in_float32: None) -> None:
    texts = [TEXTS[0], "Rain"]
    found = mean_token_losses(run, run.services.model, [*texts, ""])
    for text, loss in zip(texts[:1], found, strict=False):
        ids = run.tokenizer(text, truncation=True, max_length=32, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = run.services.model(input_ids=ids, labels=ids).loss
        assert loss == pytest.approx(float(expected), abs=1e-4)
    assert math.isnan(found[2])


def test_the_effect_is_the_mean_distance_of_distributions() -> None:
    left = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]).log()
    right = torch.tensor([[0.3, 0.6, 0.1], [0.2, 0.2, 0.6]]).log()
    # sqrt(0.09 + 0.09) at the first of two positions.
    assert effect(left, right) == pytest.approx(math.sqrt(0.18) / 2)
    one, other = torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.0, 1.0]]).log()
    assert effect(one, other) == pytest.approx(math.sqrt(2))


def test_ge_folds_group_words_and_leaves_their_positions_out(run: Any, in_float32: None) -> None:
    """Against logits of the model, bins and positions that are found here in another way."""
    axis, model, tokenizer = load_axis("gender"), run.services.model, run.tokenizer
    pair = ("She said that her work is good.", "He said that his work is good.")
    [found] = group_effects(run, model, [pair], axis.bins())
    ids = [tokenizer(text)["input_ids"] for text in pair]
    assert len(ids[0]) == len(ids[1])  # both begin with one token a word
    probabilities = []
    for row in ids:
        with torch.no_grad():
            probabilities.append(model(input_ids=torch.tensor([row])).logits[0].softmax(-1).double())
    one_token = {
        word: tokenizer(word, add_special_tokens=False)["input_ids"]
        for words in axis.bins()
        for base in words
        for word in {base, base.lower(), base.capitalize(), base.upper()}
        for word in (word, f" {word}")
    }
    distances = []
    group = {i for word, found_ids in one_token.items() if len(found_ids) == 1 for i in found_ids}
    first = next(t for t in range(len(ids[0])) if ids[0][t] != ids[1][t])
    for t in range(first + 1, len(ids[0])):
        if ids[0][t] != ids[1][t] or ids[0][t] in group:
            continue
        sides = [p[t - 1].clone() for p in probabilities]
        for words in axis.bins():
            for shape in (str, str.lower, str.capitalize, str.upper):
                for lead in ("", " "):
                    members = {lead + shape(word) for word in words}
                    tokens = sorted({one_token[m][0] for m in members if len(one_token[m]) == 1})
                    for side in sides:
                        mass = side[tokens].sum()
                        side[tokens] = 0
                        if tokens:
                            side[tokens[0]] = mass
        distances.append(float((sides[0] - sides[1]).norm()))
    assert len(distances) >= 4
    assert found == pytest.approx(sum(distances) / len(distances), abs=1e-5)


def test_equal_texts_have_nothing_to_compare(run: Any) -> None:
    assert math.isnan(group_effects(run, run.services.model, [("She", "She")], [])[0])


# ------------------------------------------------------------------------------------------------------------- choice
def test_the_highest_are_taken_below_the_trimmed_ones() -> None:
    scores = [float(k) for k in range(100)]
    assert highest(scores, 3, 0.02) == [97, 96, 95]
    assert highest(scores, 3, 0.0) == [99, 98, 97]
    assert highest(scores, 100, 0.02) == list(range(99, -1, -1))  # nothing else is left
    assert highest([1.0, math.nan, 2.0], 3, 0.0) == [2, 0]
    assert highest([5.0, 5.0, 5.0], 2, 0.0) == [0, 1]


def test_the_middle_lies_around_the_median() -> None:
    scores = [float(k) for k in range(11)]
    assert middle(scores, 3, 0.0) == [6, 5, 4]
    assert middle(scores, 3, 0.2) == [5, 4, 3]  # without 10 and 9, the median is 4
    assert sorted(middle(scores, 11, 0.2)) == list(range(11))


shares = st.floats(0, 1)


@given(st.integers(0, 500), st.integers(0, 500), shares, shares, shares)
def test_numbers_go_from_everything_to_the_chosen_shares(
    n: int, m: int, s: float, factual: float, other: float
) -> None:
    given_options = HealthyDataDietOptions(strength=s, keep_factual=factual, keep_counterfactual=other)
    texts, added = kept_numbers(n, m, given_options)
    assert factual * n - 1 <= texts <= n and 0 <= added <= other * m + 1
    assert kept_numbers(n, m, given_options.model_copy(update={"strength": 0.0})) == (n, 0)
    ends = kept_numbers(n, m, given_options.model_copy(update={"strength": 1.0}))
    for found, exact in zip(ends, (factual * n, other * m), strict=True):
        assert found == max(1, round(exact)) if exact > 1e-9 else found <= 1


def test_of_one_text_and_one_counterfactual_both_stay() -> None:
    assert kept_numbers(1, 1, HealthyDataDietOptions()) == (1, 1)  # round(0.5) is 0


# --------------------------------------------------------------------------------------------------------------- rows
def test_half_of_the_texts_stay_and_half_of_the_counterfactuals_join(run: Any, rows: Dataset) -> None:
    out, facts, account = applied(PLUGIN, run, rows, trim=0.0)
    assert (account.kept, account.added) == (10, 6)
    assert account.dropped == {"little left to learn from it": 10}
    assert facts["texts kept"] == "10 of 20" and facts["counterfactuals added"] == "6 of 12"
    assert facts["counterfactuals added, by group"] == {"gender: male": 6}
    assert facts["updates before the scores"] == 2  # 5 % of 40
    assert facts["mean loss of a token: kept texts"] > facts["mean loss of a token: all texts"]
    assert facts["mean group effect: added counterfactuals"] > facts["mean group effect: all counterfactuals"]
    added = [row for row in out if row["evenhand_step"]]
    assert all(row["text"].startswith("He is a nurse") for row in added)


def test_the_early_point_is_a_share_of_the_updates_that_a_dose_in_tokens_makes(tiny: Any, run_of: Any) -> None:
    """8,000 tokens in rows of at most 10 tokens, 4 rows an update: 200 updates, of which 5 % are 10; max_steps is 3."""
    run = run_of(*tiny(), max_tokens=8000, max_length=10)
    texts = ["She is a nurse at the hospital by the river, where the mill and the old bridge are."] * 6
    assert min(len(ids) for ids in run.tokenizer(texts, add_special_tokens=False)["input_ids"]) > 10
    assert updates(run, texts) == 200
    assert round(EARLY * updates(run, texts)) == 10
    assert updates(run_of(*tiny()), texts) == 3


def test_the_untouched_model_scores_when_no_update_is_asked_for(run: Any, rows: Dataset) -> None:
    out, facts, _ = applied(PLUGIN, run, rows, early_steps=0, trim=0.0)
    losses = mean_token_losses(run, run.services.model, TEXTS)
    expected = sorted(range(20), key=lambda k: -losses[k])[:10]
    assert {row["evenhand_origin"] for row in out if not row["evenhand_step"]} == set(expected)
    assert facts["updates before the scores"] == 0


def test_what_scores_highest_of_all_is_left_out(run: Any, rows: Dataset) -> None:
    out, _, account = applied(PLUGIN, run, rows, early_steps=0, trim=0.1)
    losses = mean_token_losses(run, run.services.model, TEXTS)
    order = sorted(range(20), key=lambda k: -losses[k])
    assert {row["evenhand_origin"] for row in out if not row["evenhand_step"]} == set(order[2:12])
    assert account.dropped == {
        "little left to learn from it": 8, "among the highest losses, where broken texts are": 2
    }  # fmt: skip


def test_the_model_itself_stays_as_it_was(run: Any, rows: Dataset) -> None:
    before = {name: tensor.clone() for name, tensor in run.services.model.state_dict().items()}
    applied(PLUGIN, run, rows)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.services.model.state_dict().items())


def test_scores_are_kept_for_the_same_model_and_texts(run: Any, rows: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand_standard.data import healthy_data_diet

    first, _, _ = applied(PLUGIN, run, rows, early_steps=0)
    calls: list[str] = []
    for name in ("mean_token_losses", "group_effects"):
        plain = getattr(healthy_data_diet, name)
        monkeypatch.setattr(
            healthy_data_diet, name, lambda *given, plain=plain, name=name: (calls.append(name), plain(*given))[1]
        )
    second, _, _ = applied(PLUGIN, run, rows, early_steps=0)
    assert calls == [] and first.to_list() == second.to_list()
    with torch.no_grad():
        next(run.services.model.parameters()).add_(0.01)
    applied(PLUGIN, run, rows, early_steps=0)
    assert calls == ["mean_token_losses", "group_effects"]


def test_the_random_baseline_keeps_as_many_and_trains_nothing(
    run: Any, rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(run.services), "train", None)
    out, facts, account = applied(PLUGIN, run, rows, selection="random")
    assert (account.kept, account.added, account.dropped) == (10, 6, {"not drawn": 10})
    assert facts["texts kept"] == "10 of 20" and facts["counterfactuals added"] == "6 of 12"
    assert {row["evenhand_origin"] for row in out if not row["evenhand_step"]} != set(range(10))


def test_strength_0_is_the_data_itself(run: Any, rows: Dataset) -> None:
    out, facts, account = applied(PLUGIN, run, rows, strength=0.0)
    assert out is rows and facts == {} and account.kept == 20


def test_rows_without_text_are_quarantined(run: Any) -> None:
    rows = Dataset.from_dict({"text": [*TEXTS, None, " "]})
    _, _, account = applied(PLUGIN, run, rows)
    assert account.quarantined == {"no text": 2}


def test_a_stream_is_refused(run: Any, rows: Dataset) -> None:
    with pytest.raises(UsageError, match="looks at all rows before it decides about one"):
        PLUGIN().data(run, "train", None).fn(rows.to_iterable_dataset())
