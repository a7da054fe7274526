"""Augmentation: what is added, what is kept, how much, and that the input stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset

from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation

TEXTS = [
    "She said that her brother is a nurse.",
    "The town is on a river.",
    "The king was with his wife.",
    "John is a good judge.",
]
SWAPPED = {
    0: "He said that his sister is a nurse.",
    2: "The queen was with her husband.",
}


def applied(run: Any, rows: Dataset, **options: Any) -> tuple[Dataset, dict[str, Any]]:
    transform = CounterfactualAugmentation(**options).data(run, "train", None)
    out = transform.fn(rows)
    return out, dict(transform.facts)


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def rows_of(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts, "source": [f"s{k}" for k in range(len(texts))]})


def test_originals_stay_and_counterfactuals_follow_with_their_provenance(run: Any) -> None:
    rows = rows_of(TEXTS)
    out, facts = applied(run, rows, names=False)
    assert out.column_names == ["text", "source", "evenhand_origin", "evenhand_axis", "evenhand_group"]
    assert list(out["text"]) == [*TEXTS, SWAPPED[0], SWAPPED[2]]
    assert list(out["source"]) == ["s0", "s1", "s2", "s3", "s0", "s2"]
    assert list(out["evenhand_origin"]) == [0, 1, 2, 3, 0, 2]
    assert list(out["evenhand_axis"]) == [""] * 4 + ["gender"] * 2
    assert list(out["evenhand_group"]) == [""] * 4 + ["male", "female"]
    counted = ("rows in", "rows that name a group", "rows augmented", "rows out")
    assert [facts[name] for name in counted] == [4, 2, 2, 6]
    assert facts["rows not augmented because of max_share"] == 0


def test_the_input_is_not_changed(run: Any) -> None:
    rows = rows_of(TEXTS)
    fingerprint = rows._fingerprint
    applied(run, rows)
    assert rows.column_names == ["text", "source"]
    assert (list(rows["text"]), rows._fingerprint) == (TEXTS, fingerprint)


def test_groups_are_mentioned_equally_often_afterwards(run: Any) -> None:
    _, facts = applied(run, rows_of([*TEXTS, "The town is on a river. " * 5]))
    # She, her / brother; king, his / wife; John.
    assert facts["group words before"] == {"gender": {"female": 3, "male": 4}}
    assert facts["group words after"] == {"gender": {"female": 7, "male": 7}}
    assert facts["rows augmented"] == 3


def test_names_are_swapped_unless_told_otherwise(run: Any) -> None:
    rows = rows_of(["John is a good judge.", "The town is on a river.", "The town is on a river."])
    assert len(applied(run, rows)[0]) == 4
    assert len(applied(run, rows, names=False)[0]) == 3


def test_strength_takes_nested_shares_without_randomness(run: Any) -> None:
    # Long rows without a group keep the share of added tokens far from its limit.
    rows = rows_of([f"She has {k} books." for k in range(40)] + ["The town is on a river. " * 20] * 10)
    chosen = []
    for strength in (0.25, 0.5, 1.0):
        first, facts = applied(run, rows, strength=strength)
        second, _ = applied(run, rows, strength=strength)
        assert list(first["text"]) == list(second["text"])
        assert facts["rows augmented"] == 40 * strength
        chosen.append(set(first["evenhand_origin"][50:]))
    assert chosen[0] < chosen[1] < chosen[2] == set(range(40))
    assert chosen[0] != set(range(10))  # not simply the first rows


def test_strength_0_is_the_data_itself(run: Any) -> None:
    rows = rows_of(TEXTS)
    out, facts = applied(run, rows, strength=0.0)
    assert out is rows
    assert facts == {}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5])
def test_fewer_rows_are_augmented_and_none_dropped_to_respect_max_share(run: Any, share: float) -> None:
    rows = rows_of([f"She has {k} books." for k in range(10, 50)])
    out, facts = applied(run, rows, max_share=share)
    tokens = [len(run.tokenizer(t)["input_ids"]) for t in out["text"]]
    measured = sum(tokens[40:]) / sum(tokens)
    assert list(out["text"][:40]) == list(rows["text"])
    assert measured <= share
    assert measured == pytest.approx(facts["share of added tokens"])
    assert facts["rows augmented"] + facts["rows not augmented because of max_share"] == 40
    # As many as fit: one row is 1/40 of the original tokens.
    assert facts["rows augmented"] >= int(40 * share / (1 - share)) - 1


def test_k_groups_give_k_minus_1_counterfactuals(run: Any, belief: str) -> None:
    rows = rows_of(["My church is in the town.", "The town is on a river. " * 5])
    out, facts = applied(run, rows, axes=[belief])
    assert list(out["text"])[2:] == ["My synagogue is in the town.", "My mosque is in the town."]
    assert list(out["evenhand_group"])[2:] == ["jewish", "muslim"]
    assert facts["group words after"] == {"belief": {"christian": 1, "jewish": 1, "muslim": 1}}


def test_a_second_augmentation_sees_the_first_and_keeps_its_origins(run: Any, belief: str) -> None:
    rows = rows_of(["She is in the church.", "The town is on a river. " * 20])
    once, _ = applied(run, rows)
    twice, _ = applied(run, once, axes=[belief])
    assert list(twice["text"])[2:] == [
        "He is in the church.",
        "She is in the synagogue.",
        "She is in the mosque.",
        "He is in the synagogue.",
        "He is in the mosque.",
    ]
    assert list(twice["evenhand_origin"])[2:] == [0] * 5


def test_rows_without_a_group_can_be_left_out(run: Any) -> None:
    out, facts = applied(run, rows_of(TEXTS), keep_untouched=False, names=False)
    assert list(out["evenhand_origin"])[:2] == [0, 2]
    assert facts["rows without a group dropped"] == 2


def test_data_without_any_group_keeps_its_rows(run: Any) -> None:
    out, facts = applied(run, rows_of(["The town is on a river."]))
    assert (list(out["text"]), facts["rows augmented"]) == (["The town is on a river."], 0)


def test_only_the_training_data_is_augmented(run: Any) -> None:
    assert CounterfactualAugmentation().data(run, "validation", None) is None
