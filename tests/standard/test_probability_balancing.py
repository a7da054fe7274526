"""Probability balancing: the split, the places where it acts, and generation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.scoring import distributions
from evenhand_sdk import Request, UsageError, load_axis
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.decoding.probability_balancing import (
    ProbabilityBalancing,
    balance,
    balancing,
    grounded_by,
    splits_of,
    table_of,
)
from evenhand_standard.decoding.token_edits import TokenEditor

TOKENIZER = tiny_tokenizer()
GENDER = load_axis("gender")
EVEN = {"female": 1.0, "male": 1.0}
HALVES = (((0,), 0.5), ((1, 2), 0.5))
"""Token 0 against tokens 1 and 2, as her against him and his."""


def balanced(p: list[float], split: Any, strength: float) -> list[float]:
    logits = torch.tensor(p, dtype=torch.float64).log() + 3.0  # logits need not be normalised
    balance(logits[None], [0], table_of([split], logits.device), strength)
    return logits.softmax(-1).tolist()  # type: ignore[no-any-return]


def test_the_split_against_values_worked_by_hand() -> None:
    # 0.6 in the bin; within a group the proportions 3 : 1 stay.
    assert balanced([0.2, 0.3, 0.1, 0.4], HALVES, 1.0) == pytest.approx([0.3, 0.225, 0.075, 0.4], rel=1e-12)
    assert balanced([0.2, 0.3, 0.1, 0.4], HALVES, 0.5) == pytest.approx([0.25, 0.2625, 0.0875, 0.4], rel=1e-12)
    uneven = (((0,), 0.9), ((1, 2), 0.1))
    assert balanced([0.2, 0.3, 0.1, 0.4], uneven, 1.0) == pytest.approx([0.54, 0.045, 0.015, 0.4], rel=1e-12)


def test_a_group_of_impossible_words_leaves_the_bin_as_it_is() -> None:
    assert balanced([0.0, 0.5, 0.1, 0.4], HALVES, 1.0) == pytest.approx([0.0, 0.5, 0.1, 0.4], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-15, 15), min_size=5, max_size=5), st.floats(0.01, 1.0))
def test_mass_stays_in_the_bin_and_other_logits_keep_their_bits(values: list[float], strength: float) -> None:
    before = torch.tensor(values, dtype=torch.float64)
    after = before.clone()
    balance(after[None], [0], table_of([HALVES], after.device), strength)
    assert torch.equal(before[3:], after[3:])
    assert after[:3].logsumexp(-1).item() == pytest.approx(before[:3].logsumexp(-1).item(), rel=1e-9, abs=1e-9)


def one_at_a_time(logits: torch.Tensor, splits: Any, strength: float) -> list[float]:
    """The formula, word by word and split by split."""
    p = logits.softmax(-1).tolist()
    for split in splits:
        masses = [sum(p[i] for i in ids) for ids, _ in split]
        for (ids, share), mass in zip(split, masses, strict=True):
            for i in ids:
                p[i] = (1 - strength) * p[i] + strength * sum(masses) * share * p[i] / mass
    return p


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=9, max_size=9), st.floats(0.01, 1.0))
def test_many_splits_at_once_are_the_same_as_one_after_the_other(values: list[float], strength: float) -> None:
    """Of unequal sizes, and two of them with a word in common."""
    splits = [HALVES, (((3,), 0.2), ((4,), 0.3), ((5, 6, 7), 0.5)), (((0,), 0.4), ((8,), 0.6))]
    logits = torch.tensor([values, values[::-1], values], dtype=torch.float64)
    out = balancing(splits, lambda ids: ids[0] == 1, strength)(torch.tensor([[0], [1], [0]]), logits, [])
    assert torch.equal(out[1], logits[1])
    expected = one_at_a_time(logits[0], splits, strength)
    assert out[0].softmax(-1).tolist() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(out[2], out[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3), st.integers(1, 8))
def test_words_with_equal_shares_are_equal_to_the_last_bit_in_every_batch(values: list[float], rows: int) -> None:
    """Otherwise a greedy answer would be one of rounding."""
    splits = [(((0,), 0.5), ((1,), 0.5))]
    out = balancing(splits, lambda ids: False, 1.0)(torch.zeros(rows, 1), torch.tensor([values] * rows), [])
    assert out[:, 0].tolist() == out[:, 1].tolist()
    assert out[0, 0].item() == pytest.approx(math.log((math.exp(values[0]) + math.exp(values[1])) / 2), abs=1e-5)


def test_bins_are_words_of_one_token_in_each_way_to_write_them() -> None:
    found = [
        tuple(sorted(TOKENIZER.decode([i]) for i in ids) for ids, _ in split)
        for split in splits_of(TOKENIZER, GENDER, EVEN, 969)
    ]
    assert ([" she"], [" he"]) in found and (["She"], ["He"]) in found
    assert any(" her" in female and {" him", " his"} <= set(male) for female, male in found)
    assert all(female and male for female, male in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The nurse said that", False), ("The nurse said that she", True), ("Mary said that", True), ("", False)],
)
def test_a_text_is_grounded_once_it_names_somebody(text: str, expected: bool) -> None:
    ids = TOKENIZER(text)["input_ids"] if text else []
    assert grounded_by(TokenEditor(TOKENIZER), GENDER)([-1, -1, *ids]) is expected


def rule_of(run: Any, **options: Any) -> Any:
    [rule] = ProbabilityBalancing(**options).decoding(run, run.services.model)
    return rule


def test_the_model_finds_he_and_she_alike_where_nobody_is_named_and_only_there(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = rule_of(run)
    she, he = (TOKENIZER(f" {w}")["input_ids"][0] for w in ("she", "he"))
    free, named = (list(TOKENIZER(t)["input_ids"]) for t in ("The nurse said that", "The nurse said that she"))
    plain, ruled = ([torch.as_tensor(d[-1]) for d in run.services.distributions([free, named], rules=rules)]
                    for rules in ([], [rule]))  # fmt: skip
    assert abs(plain[0][she] - plain[0][he]) > 0.05
    # Alone in their bin and style, the two words are equally likely, and as likely together as before.
    assert abs(ruled[0][she] - ruled[0][he]) < 1e-4
    both = [math.log(math.exp(row[she]) + math.exp(row[he])) for row in (plain[0], ruled[0])]
    assert both[0] == pytest.approx(both[1], abs=1e-4)
    assert torch.equal(plain[1], ruled[1])


def test_stepwise_equals_teacher_forced_and_the_record_tells(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = rule_of(run)
    ids = TOKENIZER("The nurse said that she was")["input_ids"]
    [whole] = distributions(run.services.model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(run.services.model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]), torch.as_tensor(alone[0]), atol=1e-4, rtol=0)
    [answer] = run.services.generate([Request(prompt="The nurse said that", max_new_tokens=2)], rules=[rule])
    assert answer.changes[0].rule == "step" and 0 < answer.changes[0].total_variation < 1


def test_strength_0_is_no_rule_and_a_wrong_target_is_refused(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert ProbabilityBalancing(strength=0.0).decoding(run, run.services.model) == []
    with pytest.raises(UsageError) as caught:
        ProbabilityBalancing(target={"femal": 0.5, "male": 0.5}).decoding(run, run.services.model)
    assert str(caught.value).splitlines()[0] == "option target: the target names femal, male"
    with pytest.raises(UsageError, match="axes"):
        ProbabilityBalancing(axes=())
