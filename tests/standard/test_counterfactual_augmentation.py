"""Augmentation: what is added, what is kept, how much, and that the input stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from datasets import Dataset

from evenhand_sdk import counterfactuals
from evenhand_sdk.data_rows import FIXED, Row
from evenhand_standard.data import counterfactual_augmentation, group_words
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.data.names_intervention import NamesIntervention

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


def applied(run: Any, rows: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    transform = CounterfactualAugmentation(**options).data(run, "train", None)
    out = transform.fn(rows)
    if isinstance(rows, Dataset):
        account = transform.account()
        assert account.problem(len(rows), len(out)) is None
        assert account.changed == 0
    return out, dict(transform.facts)


def added(rows: Dataset) -> list[str]:
    """The texts that the step made, in order."""
    return [row["text"] for row in rows if row["evenhand_step"] == "step"]


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def rows_of(texts: list[str]) -> Dataset:
    return Dataset.from_dict({"text": texts, "source": [f"s{k}" for k in range(len(texts))]})


def test_originals_stay_and_each_is_followed_by_its_counterfactuals_with_their_provenance(run: Any) -> None:
    rows = rows_of([*TEXTS, *["The town is on a river."] * 3])
    out, facts = applied(run, rows, names=False)
    assert out.column_names == [
        "text", "source", "evenhand_origin", "evenhand_step", "evenhand_axis", "evenhand_group"
    ]  # fmt: skip
    assert list(out["text"])[:6] == [TEXTS[0], SWAPPED[0], TEXTS[1], TEXTS[2], SWAPPED[2], TEXTS[3]]
    assert list(out["source"])[:6] == ["s0", "s0", "s1", "s2", "s2", "s3"]
    assert list(out["evenhand_origin"])[:6] == [0, 0, 1, 2, 2, 3]
    assert list(out["evenhand_step"])[:6] == ["", "step", "", "", "step", ""]
    assert list(out["evenhand_axis"])[:6] == ["", "gender", "", "", "gender", ""]
    assert list(out["evenhand_group"])[:6] == ["", "male", "", "", "female", ""]
    assert facts["rows augmented"] == 2
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


def test_group_words_are_counted_in_rows_that_are_worked_on_alone(run: Any) -> None:
    # The second row is quarantined, the last one kept as an earlier step wants it; neither has a counterfactual.
    rows = rows_of(["She left.", "he " * 20_000, "The town is on a river. " * 3, "He sat."])
    rows = rows.add_column(FIXED, ["", "", "", "pairs"])
    out, facts = applied(run, rows, max_characters=1000)
    assert added(out) == ["He left."]
    assert facts["group words before"] == {"gender": {"female": 1, "male": 0}}
    assert facts["group words after"] == {"gender": {"female": 1, "male": 1}}


def test_of_very_many_rows_words_are_counted_in_evenly_spaced_ones(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_words, "COUNTED", 3)
    rows = rows_of(["She left."] * 2 + ["The town is on a river. " * 3] * 4 + ["He sat."])
    out, facts = applied(run, rows)
    assert len(added(out)) == 3
    # Rows 0, 3 and 6 of seven; row 0 and row 6 with what was made of them.
    assert facts["group words before"] == {"gender": {"female": 1, "male": 1}}
    assert facts["group words after"] == {"gender": {"female": 2, "male": 2}}


def test_rows_that_are_left_out_count_before_and_not_after(run: Any) -> None:
    # The swap of the second row is a guess, so it is left out with its words.
    rows = rows_of(["He left the house early.", "She brings his or her cup."])
    _, facts = applied(run, rows, keep_untouched=False, min_confidence=0.8)
    assert facts["group words before"] == {"gender": {"female": 2, "male": 2}}
    assert facts["group words after"] == {"gender": {"female": 1, "male": 1}}


def test_only_drawn_rows_are_swapped_where_the_others_stay_as_they_are(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped: list[str] = []

    def watched(text: str, axis: Any, **options: Any) -> Any:
        swapped.append(text)
        return counterfactuals(text, axis, **options)

    monkeypatch.setattr(counterfactual_augmentation, "counterfactuals", watched)
    rows = rows_of([f"She has {k} books." for k in range(40)] + ["The town is on a river. " * 20] * 10)
    for given in (rows, rows.to_iterable_dataset()):
        swapped.clear()
        out, _ = applied(run, given, strength=0.25)
        made = [row["evenhand_origin"] for row in out if row["evenhand_step"]]
        drawn = [k for k, text in enumerate(rows["text"]) if Row(k, text, k).draw(run.seed_for("rows")) < 0.25]
        assert 0 < len(made) < 21
        assert swapped == [rows["text"][k] for k in drawn] and set(made) <= set(drawn)
        # Whether a row has a counterfactual decides whether it stays: each is asked.
        swapped.clear()
        list(applied(run, given, strength=0.25, keep_untouched=False)[0])
        assert swapped == list(rows["text"])


def test_rows_and_facts_do_not_depend_on_workers(run: Any) -> None:
    rows = rows_of([*[f"She has {k} books." for k in range(30)], "The town is on a river. " * 5])
    one, facts = applied(run, rows, strength=0.5, max_share=0.3)
    two, others = applied(run, rows, strength=0.5, max_share=0.3, workers=2)
    assert two.to_list() == one.to_list() and others == facts


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
        chosen.append({row["evenhand_origin"] for row in first if row["evenhand_step"]})
        assert facts["rows augmented"] == len(chosen[-1])
    assert chosen[0] < chosen[1] < chosen[2] == set(range(40))
    # Each of 40 rows with probability 1/4 and 1/2: four standard deviations are 11 and 13 rows.
    assert 0 < len(chosen[0]) < 21 and 7 < len(chosen[1]) < 33
    assert chosen[0] != set(range(len(chosen[0])))  # not simply the first rows


def test_whether_a_row_is_augmented_depends_on_no_other_row(run: Any) -> None:
    quiet = ["The town is on a river. " * 20] * 10
    rows = rows_of([f"She has {k} books." for k in range(40)] + quiet)
    whole, _ = applied(run, rows, strength=0.5)
    fewer, _ = applied(
        run,
        rows.select([*range(0, 40, 2), *range(40, 50)]).add_column(
            "evenhand_origin", [*range(0, 40, 2), *range(40, 50)]
        ),
        strength=0.5,
    )
    assert added(fewer) == [t for t in added(whole) if int(t.split()[2]) % 2 == 0]


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
    measured = sum(n for n, step in zip(tokens, out["evenhand_step"], strict=True) if step) / sum(tokens)
    assert [row["text"] for row in out if not row["evenhand_step"]] == list(rows["text"])
    assert measured <= share
    assert measured == pytest.approx(facts["share of added tokens"])
    assert facts["rows augmented"] + facts["rows not augmented because of max_share"] == 40
    # As many as fit: one row is 1/40 of the original tokens.
    assert facts["rows augmented"] >= int(40 * share / (1 - share)) - 1


def test_k_groups_give_k_minus_1_counterfactuals(run: Any, belief: str) -> None:
    rows = rows_of(["My church is in the town.", "The town is on a river. " * 5])
    out, facts = applied(run, rows, axes=[belief])
    assert list(out["text"])[1:3] == ["My synagogue is in the town.", "My mosque is in the town."]
    assert list(out["evenhand_group"])[1:3] == ["jewish", "muslim"]
    assert facts["group words after"] == {"belief": {"christian": 1, "jewish": 1, "muslim": 1}}


def test_one_target_adds_one_counterfactual_a_row_and_all_groups_occur(run: Any, belief: str) -> None:
    quiet = ["The town is on a river. " * 20] * 10
    rows = rows_of([f"My church has {k} windows." for k in range(40)] + quiet)
    out, _ = applied(run, rows, axes=[belief], targets="one")
    groups = [group for group, step in zip(out["evenhand_group"], out["evenhand_step"], strict=True) if step]
    assert len(groups) == 40
    # Binomial(40, 1/2): four standard deviations are 13.
    assert set(groups) == {"jewish", "muslim"} and 7 < groups.count("jewish") < 33


def test_a_stream_gives_the_rows_of_the_data_set_where_all_fit(run: Any) -> None:
    rows = rows_of(["The town is on a river. " * 40, *TEXTS] * 30)
    for strength in (0.5, 1.0):
        whole, _ = applied(run, rows, strength=strength)
        stream, _ = applied(run, rows.to_iterable_dataset(), strength=strength)
        assert list(stream) == whole.to_list()
        assert list(stream) == whole.to_list()  # read once more


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5])
def test_a_stream_stays_under_max_share_at_each_place(run: Any, share: float) -> None:
    rows = rows_of([f"She has {k} books." for k in range(10, 50)])
    stream, _ = applied(run, rows.to_iterable_dataset(), max_share=share)
    seen = more = 0
    for row in stream:
        size = len(run.tokenizer(row["text"])["input_ids"])
        seen, more = (seen, more + size) if row["evenhand_step"] else (seen + size, more)
        assert more <= share * (seen + more)
    assert [row["text"] for row in stream if not row["evenhand_step"]] == list(rows["text"])
    assert more + 10 > share * (seen + more + 10)  # as many as fit: a row has ten tokens


def test_a_second_augmentation_sees_the_first_and_keeps_its_origins(run: Any, belief: str) -> None:
    rows = rows_of(["She is in the church.", "The town is on a river. " * 20])
    once, _ = applied(run, rows)
    twice, _ = applied(run, once, axes=[belief])
    assert list(twice["text"])[:6] == [
        "She is in the church.",
        "She is in the synagogue.",
        "She is in the mosque.",
        "He is in the church.",
        "He is in the synagogue.",
        "He is in the mosque.",
    ]
    assert list(twice["evenhand_origin"]) == [0] * 6 + [1]


def test_rows_without_a_group_can_be_left_out(run: Any) -> None:
    transform = CounterfactualAugmentation(keep_untouched=False, names=False).data(run, "train", None)
    out = transform.fn(rows_of(TEXTS))
    assert list(out["text"]) == [TEXTS[0], SWAPPED[0], TEXTS[2], SWAPPED[2]]
    assert dict(transform.account().dropped) == {"names no group": 2}


def test_a_row_without_text_is_quarantined_and_not_lost(run: Any) -> None:
    rows = Dataset.from_dict({"text": [TEXTS[0], None, "  ", "A" * 300], "source": list("abcd")})
    transform = CounterfactualAugmentation(max_characters=200).data(run, "train", None)
    out = transform.fn(rows)
    account = transform.account()
    assert account.problem(4, len(out)) is None
    assert dict(account.quarantined) == {"no text": 2, "longer than 200 characters": 1}
    lines = [json.loads(line) for line in account.quarantine.read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [
        (1, "no text"), (2, "no text"), (3, "longer than 200 characters")
    ]  # fmt: skip


@pytest.mark.parametrize("plugin", [CounterfactualAugmentation, NamesIntervention])
def test_a_row_in_the_quarantine_leaves_no_room_for_additions(run: Any, plugin: type) -> None:
    own = {"counts": "pack", "mode": "augment"} if plugin is NamesIntervention else {}
    rows = rows_of([*["She left her house on a day."] * 20, "rain " * 1000])
    transform = plugin(max_share=0.1, max_characters=200, **own).data(run, "train", None)
    out = transform.fn(rows)

    def tokens(texts: Any) -> int:
        return sum(len(ids) for ids in run.tokenizer(list(texts), add_special_tokens=False)["input_ids"])

    share = tokens(added(out)) / tokens(out["text"])
    assert 0 < share <= 0.1
    assert transform.facts["share of added tokens"] == pytest.approx(share)


def test_examples_show_text_before_and_after(run: Any) -> None:
    transform = CounterfactualAugmentation(names=False).data(run, "train", None)
    transform.fn(rows_of([*TEXTS, *["The town is on a river."] * 3]))
    shown = [(e.before, e.after, e.note) for e in transform.account().examples]
    assert shown == [
        (TEXTS[0], SWAPPED[0], "gender towards male"), (TEXTS[2], SWAPPED[2], "gender towards female")
    ]  # fmt: skip


def test_data_without_any_group_keeps_its_rows(run: Any) -> None:
    out, facts = applied(run, rows_of(["The town is on a river."]))
    assert (list(out["text"]), facts["rows augmented"]) == (["The town is on a river."], 0)


def test_only_the_training_data_is_augmented(run: Any) -> None:
    assert CounterfactualAugmentation().data(run, "validation", None) is None


def test_swaps_that_the_engine_is_not_sure_of_are_left_out_on_request(run: Any) -> None:
    texts = ["He left the house early.", "She brings his or her cup.", *["The town is on a river."] * 4]
    out, _ = applied(run, rows_of(texts), min_confidence=0.8)
    assert added(out) == ["She left the house early."]
    out, facts = applied(run, rows_of(texts), min_confidence=0.0)
    assert len(added(out)) == 2 and facts["rows augmented"] == 2
