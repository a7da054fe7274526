"""Synthesis: the grid, the suppression of used tokens, the tests of acceptance, the cap, and the step as a whole."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand_sdk import DataNotFound, UsageError, fold, jensen_shannon, load_axis, token_bins
from evenhand_sdk.template_filling import filled
from evenhand_standard.data.diversified_synthesis import DiversifiedSynthesis, clean, prompt, versions_of
from evenhand_standard.data.gap_influence import pairs_of
from evenhand_standard.data.preference_pairs import PreferencePairs, comparisons
from evenhand_standard.data.preference_sets import banked
from evenhand_standard.data.suppressed_generation import exempt_tokens, generated, penalties, suppression
from evenhand_standard.data.synthesis_acceptance import Outcome, js_gaps, positions, sentiment_gap, variety
from evenhand_standard.data.synthesis_grid import Version, banked_versions, grid, group_pairs
from evenhand_standard.data.synthesis_review import FILE, TextSet, read, write

GENDER = load_axis("gender")
PACK = """
axis = "craft"
locale = "en"
groups = ["north", "south", "east"]
licence = "Apache-2.0"
provenance = "Written for this test."
limits = ["Three groups."]

[[words]]
theme = "person"
pos = "noun"
number = "singular"
by_group = [
    { north = "northerner", south = "southerner", east = "easterner" },
    { north = "alp farmer", south = "olive grower" },
]

[[templates]]
text = "My neighbour is a {person} who lives near the old station."
number = "singular"

[[templates]]
text = "{person} of the year: nobody knows."
"""


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


@pytest.fixture
def craft(tmp_path: Path) -> str:
    path = tmp_path / "craft.toml"
    path.write_text(PACK)
    return str(path)


ROWS = Dataset.from_dict({"text": [f"The town number {k} lies on a long river, and it has a mill." for k in range(40)]})


# -------------------------------------------------------------------------------------------------------- the grid
def test_each_template_is_filled_with_each_row_for_the_groups_that_have_words(craft: str) -> None:
    found = grid(load_axis(craft))
    assert len(found) == 4
    texts = {tuple(sorted(version.texts)) for version in found}
    assert texts == {("east", "north", "south"), ("north", "south")}
    every = [text for version in found for text in version.texts.values()]
    assert "My neighbour is an easterner who lives near the old station." in every
    assert "My neighbour is an olive grower who lives near the old station." in every
    assert "Easterner of the year: nobody knows." in every
    assert [v.template for v in found[:2]] != [found[0].template] * 2  # alternates
    assert grid(load_axis(craft), 1) == grid(load_axis(craft), 1)


def test_filling_keeps_articles_and_capitals() -> None:
    assert filled("An {a} and a {b}.", {"a": "boy", "b": "aunt"}) == "A boy and an aunt."
    assert filled('"{a} left."', {"a": "aunt"}) == '"aunt left."'
    assert filled("{a} left.", {"a": "aunt"}) == "Aunt left."
    assert filled("Escuchó a {a}.", {"a": "Ana"}, "es") == "Escuchó a Ana."  # this a is no article


@pytest.mark.parametrize("locale", ["fr", "es", "de"])
def test_in_another_language_the_pack_alone_fills_and_the_bank_is_not_asked(locale: str) -> None:
    axis = load_axis("gender", locale)
    assert banked_versions(axis) == [] and banked(axis, 0) == []
    assert len(versions_of(axis, 0)) == len(grid(axis)) > 300
    assert len(comparisons(axis, PreferencePairs(locale=locale).options, 0)) > 100
    assert len(pairs_of(axis, 40, 0)) == 40


def test_the_bank_gives_versions_for_its_own_groups_only(craft: str) -> None:
    assert len(banked_versions(GENDER)) == 22 * 64
    assert banked_versions(load_axis(craft)) == []


def test_each_two_of_few_groups_are_compared_and_of_many_each_with_the_next() -> None:
    assert group_pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(group_pairs(list("abcdef"))) == 15
    assert group_pairs(list("abcdefg"))[-2:] == [("f", "g"), ("g", "a")] and len(group_pairs(list("abcdefg"))) == 7
    assert group_pairs(["a"]) == []


def test_a_prompt_is_the_beginning_up_to_two_words_behind_the_group_word() -> None:
    version = Version("t", {"a": "My aunt keeps three bees here.", "b": "My tall uncle keeps three bees here."})
    assert prompt(version) == {"a": "My aunt keeps three", "b": "My tall uncle keeps three"}
    assert prompt(Version("t", {"a": "My aunt is old.", "b": "My uncle is old."})) is None


# ----------------------------------------------------------------------------------------------------- suppression
def test_penalties_are_beta_times_the_count_by_the_largest() -> None:
    found = penalties(Counter({1: 10, 2: 5, 3: 20, 4: 1}), {3}, 6, 7.5)
    assert found.tolist() == pytest.approx([0, 7.5, 3.75, 0, 0.75, 0])
    assert penalties(Counter(), (), 3, 7.5).tolist() == [0, 0, 0]


def test_the_rule_takes_the_penalties_from_the_logits() -> None:
    import torch

    rule = suppression(torch.tensor([0.0, 2.0, 1.0, 9.0]))
    logits = torch.tensor([[1.0, 1.0, 1.0]])
    assert rule.next_logits is not None
    assert rule.next_logits(None, logits, []).tolist() == [[1.0, -1.0, 0.0]]


def test_special_tokens_function_words_and_group_words_are_exempt(run: Any) -> None:
    tokenizer = run.tokenizer
    exempt = exempt_tokens(tokenizer, [GENDER])
    for word in (" she", " king", " the", " and", "."):
        assert set(tokenizer(word, add_special_tokens=False)["input_ids"]) <= exempt
    assert tokenizer.eos_token_id in exempt
    assert tokenizer(" nurse", add_special_tokens=False)["input_ids"][0] not in exempt


def test_suppression_makes_repeated_samples_differ(run: Any) -> None:
    def texts(beta: float) -> list[list[str]]:
        return generated(
            run, run.services.model, [["The nurse said"]] * 4, [GENDER], beta=beta, temperature=1e-4,
            max_new_tokens=12, seed=0,
        )  # fmt: skip

    plain, spread = texts(0.0), texts(30.0)
    assert all(text.startswith("The nurse said") for [text] in plain + spread)
    assert plain[0] == plain[1] == plain[2] == plain[3]  # nearly greedy, and nothing is suppressed
    assert spread[0] == plain[0]  # nothing was counted yet
    assert len({r[0] for r in spread}) == 4


# ------------------------------------------------------------------------------------------------------ acceptance
def test_the_js_gap_is_the_largest_over_pairs_of_groups_of_the_mean_behind_the_first_difference(run: Any) -> None:
    import torch

    versions = [{"female": "My sister bakes good bread.", "male": "My brother bakes good bread."}]
    model, tokenizer = run.services.model, run.tokenizer
    bins = token_bins(tokenizer, GENDER.bins(), len(tokenizer))
    left, right = (tokenizer(t)["input_ids"] for t in versions[0].values())
    assert len(left) == len(right)
    first = next(k for k, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)
    with torch.no_grad():
        one, other = (model(torch.tensor([ids])).logits[0].float().log_softmax(-1) for ids in (left, right))
    same = range(first, len(left))  # each position behind the first difference, the last one, too
    expected = jensen_shannon(fold(one, bins), fold(other, bins))[list(same)].mean()
    found = js_gaps(run, model, GENDER, versions)
    assert found == [pytest.approx(float(expected), rel=0.02)]
    assert 0 < found[0] < math.log(2)
    assert js_gaps(run, model, GENDER, [{"female": "My sister bakes good bread."}]) == [0.0]


def test_positions_end_with_the_last_one() -> None:
    assert positions([5, 1, 7, 8], [5, 2, 7, 8], frozenset()) == [(1, 1), (2, 2), (3, 3)]
    assert positions([5, 1], [5, 2, 3], frozenset()) == [(1, 2)]


def test_the_sentiment_gap_is_w1_less_chance() -> None:
    # |0.8 - 0.2| in both pairs; with one pair swapped W1 is 0: the mean over swaps is 0.3.
    assert sentiment_gap({"a": [0.8, 0.8], "b": [0.2, 0.2]}) == pytest.approx(0.3)
    assert sentiment_gap({"a": [0.8, 0.2], "b": [0.2, 0.8]}) == 0.0
    assert sentiment_gap({"a": [0.5]}) == 0.0


def test_reasons_to_refuse() -> None:
    bounds = {"js_gap": 0.1, "sentiment_gap": 0.1}
    assert Outcome(0.1, 0.1).refusal(**bounds) == ""
    assert Outcome(0.11, 0.0).refusal(**bounds) == "the model continues its versions too differently"
    assert Outcome(0.0, 0.11).refusal(**bounds) == "the sentiment differs between groups"


def test_variety_by_hand() -> None:
    found = variety(["a b a", "a b c"])
    assert found["distinct-1"] == 3 / 6 and found["distinct-2"] == 3 / 4 and found["distinct-3"] == 1.0
    assert variety(["one two three four"] * 3)["self-BLEU"] == pytest.approx(1.0)
    assert variety([]) == {}


def test_a_text_ends_with_its_last_whole_sentence() -> None:
    assert clean(" He left.  She\nstayed! And the") == "He left. She stayed!"
    assert clean("no end") == "no end"


# -------------------------------------------------------------------------------------------------------- the step
SMALL: dict[str, Any] = {"sets": 6, "samples": 2, "max_new_tokens": 16, "max_js_gap": 0.7, "max_sentiment_gap": 2.0}


def test_every_group_is_told_of_equally_often_and_the_cap_holds(run: Any) -> None:
    out, facts, account = applied(DiversifiedSynthesis, run, ROWS, **SMALL)
    made = [row for row in out if row["evenhand_step"]]
    assert len(made) == account.added == facts["texts added"] > 0
    groups = Counter(row["evenhand_group"] for row in made)
    assert groups["female"] == groups["male"]
    tokens = [len(run.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in out["text"]]
    assert sum(tokens[len(ROWS) :]) / sum(tokens) <= 0.3
    assert sum(tokens[len(ROWS) :]) == facts["tokens added"] <= facts["most tokens"]
    assert {"distinct-2", "self-BLEU"} <= set(facts)
    assert facts["gender"]["templates accepted"] == 6
    assert list(out["text"][: len(ROWS)]) == list(ROWS["text"])
    assert {row["evenhand_origin"] for row in made} == {-1}


def test_a_smaller_strength_adds_a_beginning_of_the_same_texts_and_0_nothing(run: Any) -> None:
    whole, _, _ = applied(DiversifiedSynthesis, run, ROWS, sources=("templates",), **SMALL)
    half, _, _ = applied(DiversifiedSynthesis, run, ROWS, sources=("templates",), strength=0.3, **SMALL)
    n = len(ROWS)
    assert 0 < len(half) - n < len(whole) - n
    assert list(half["text"]) == list(whole["text"][: len(half)])
    assert applied(DiversifiedSynthesis, run, ROWS, strength=0.0, **SMALL)[0] is ROWS


def test_bounds_refuse_and_are_counted(run: Any) -> None:
    _, facts, account = applied(DiversifiedSynthesis, run, ROWS, **{**SMALL, "max_js_gap": 0.0})
    assert account.added == 0
    assert facts["gender"]["templates refused: the model continues its versions too differently"] == 6
    assert facts["gender"]["prompts refused: the model continues its versions too differently"] == 3


def test_templates_of_a_pack_with_other_groups(run: Any, craft: str) -> None:
    out, facts, _ = applied(DiversifiedSynthesis, run, ROWS, axes=(craft,), sources=("templates",), **SMALL)
    assert facts["craft"] == {"templates accepted": 4}
    assert Counter(out["evenhand_group"])["north"] == Counter(out["evenhand_group"])["south"]


def test_an_axis_without_templates_is_refused(run: Any, belief: str) -> None:
    with pytest.raises(UsageError, match="the axis 'belief' has no templates to fill"):
        applied(DiversifiedSynthesis, run, ROWS, axes=(belief,), **SMALL)


def test_more_than_30_percent_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="0.4 is not at most 0.3"):
        DiversifiedSynthesis(max_share=0.4)


# ------------------------------------------------------------------------------------------------------------- review
def reviewed_file(run: Any, rows: Dataset, **options: Any) -> list[dict[str, Any]]:
    """The texts that a first run writes for a review."""
    applied(DiversifiedSynthesis, run, rows, **options)
    return [json.loads(line) for line in (run.folder / FILE).read_text(encoding="utf-8").splitlines()]


def test_texts_are_written_for_a_review_and_read_again_when_they_were_looked_at(run: Any, tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["The garden has many lovely trees and birds in it."] * 200})
    options: dict[str, Any] = {"sources": ("templates",), "sets": 4, "max_js_gap": 0.7}
    lines = reviewed_file(run, rows, **options)
    assert len(lines) == 8 and all(line["keep"] and line["of"] == 2 for line in lines)
    assert [line["set"] for line in lines] == [0, 0, 1, 1, 2, 2, 3, 3]
    lines[0]["text"] = "  A text that\n somebody mended. "
    lines[2]["keep"] = False  # out of scope: its set goes
    lines[4]["group"], lines[5]["group"] = lines[5]["group"], lines[4]["group"]  # relabelled
    lines[7]["group"] = lines[6]["group"]  # one group is missing now
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    out, facts, account = applied(DiversifiedSynthesis, run, rows, reviewed=str(path), **options)
    made = [(row["text"], row["evenhand_group"]) for row in out if row["evenhand_step"]]
    assert made == [
        ("A text that somebody mended.", lines[0]["group"]),
        (lines[1]["text"], lines[1]["group"]),
        (lines[4]["text"], lines[4]["group"]),
        (lines[5]["text"], lines[5]["group"]),
    ]
    assert facts["sets that were reviewed"] == 2 and facts["sets left out by the review"] == 1
    assert facts["sets left out: a group is missing or there twice"] == 1
    assert account.examples[0].note == "from templates, reviewed"


def test_a_set_of_which_a_line_was_deleted_is_left_out(tmp_path: Path) -> None:
    gender = load_axis("gender")
    write([TextSet("gender", "model", {"female": "She ran.", "male": "He ran."})] * 2, tmp_path / FILE)
    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    (tmp_path / FILE).write_text("\n".join(lines[:3]), encoding="utf-8")
    found, left_out = read(tmp_path / FILE, [gender])
    assert [one.texts for one in found] == [{"female": "She ran.", "male": "He ran."}]
    assert left_out == {"sets left out by the review": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "women"}, "'gender' has no group 'women'\n  its groups are female, male"),
        ({"axis": "age"}, "it is about the axis 'age'\n  axes of the step: gender"),
        ({"set": "0"}, "'set' is missing, or of a wrong type\n  a line has set, of, axis, source, group, text"),
    ],
)
def test_a_line_that_is_none_of_ours_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    row = {"set": 0, "of": 2, "axis": "gender", "source": "model", "group": "female", "text": "She ran."} | change
    (tmp_path / "a.jsonl").write_text(f"\n{json.dumps(row)}\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "a.jsonl", [load_axis("gender")])
    assert str(caught.value) == f"a.jsonl, line 2: {message}"
    (tmp_path / "a.jsonl").write_text("no JSON", encoding="utf-8")
    with pytest.raises(UsageError, match=r"^a.jsonl, line 1: not JSON: Expecting value"):
        read(tmp_path / "a.jsonl", [load_axis("gender")])
    with pytest.raises(DataNotFound, match="no file of reviewed texts at '.*b.jsonl'"):
        read(tmp_path / "b.jsonl", [load_axis("gender")])
