"""Preference pairs as a step: two rows a comparison, calibrated by the untouched model, and a file for trainers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand_sdk import UsageError
from evenhand_standard.data.bias_filter import BiasFilter
from evenhand_standard.data.continuations import log_likelihoods
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.data.counterfactual_substitution import CounterfactualSubstitution
from evenhand_standard.data.group_balancing import GroupBalancing
from evenhand_standard.data.healthy_data_diet import HealthyDataDiet
from evenhand_standard.data.learned_rewriting import LearnedRewriting
from evenhand_standard.data.preference_pairs import FILE, PreferencePairs

ROWS = Dataset.from_dict({"text": ["Rain fell.", "The sun came out."]})


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def test_each_comparison_gives_two_rows_that_mirror_each_other(run: Any) -> None:
    out, facts, account = applied(PreferencePairs, run, ROWS, limit=6)
    assert (account.kept, account.added, len(out)) == (2, 12, 14)
    assert facts["pairs"] == 12 and facts["comparisons of gender"] == 6
    made = [row for row in out if row["evenhand_step"] == "step"]
    for one, mirror in zip(made[::2], made[1::2], strict=True):
        assert one["evenhand_prompt"] == mirror["evenhand_prompt"]
        assert (one["evenhand_chosen"], one["evenhand_rejected"]) == (
            mirror["evenhand_rejected"], mirror["evenhand_chosen"]
        )  # fmt: skip
        assert one["text"] == one["evenhand_prompt"] + one["evenhand_chosen"]
        assert one["evenhand_weight"] + mirror["evenhand_weight"] == pytest.approx(1.0)
        assert {one["evenhand_group"], mirror["evenhand_group"]} == {"female", "male"}
        assert one["evenhand_origin"] == -1
    untouched = [row for row in out if not row["evenhand_step"]]
    assert [row["text"] for row in untouched] == list(ROWS["text"])
    assert {row["evenhand_prompt"] for row in untouched} == {""}


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (BiasFilter, {"classifier": "vader", "above": -1.0}),
        (CounterfactualSubstitution, {"probability": 1.0}),
        (CounterfactualAugmentation, {"max_share": 0.9}),
        (GroupBalancing, {"method": "temperature", "tau": 0.0}),
        (HealthyDataDiet, {"selection": "random", "keep_factual": 0.1}),
        (LearnedRewriting, {"rewriter": "engine"}),
    ],
)
def test_later_steps_pass_pairs_on_as_they_are(run: Any, plugin: type, options: dict[str, Any]) -> None:
    """A pair without its mirror has its optimum at the reverse stereotype, a swapped text is not that of the pair."""
    rows = Dataset.from_dict({"text": [f"{who} left {k}." for k in range(5) for who in ("She", "He", "He")]})
    pairs, _, _ = applied(PreferencePairs, run, rows, limit=6)
    out, _, account = applied(plugin, run, pairs, **options)
    assert account.changed + account.added + sum(account.dropped.values()) > 0
    assert [row for row in out.to_list() if row["evenhand_prompt"]] == pairs.to_list()[15:]


def test_weights_are_those_of_the_untouched_models_preference(run: Any) -> None:
    out, _, _ = applied(PreferencePairs, run, ROWS, limit=3, beta=0.5)
    row = out[2]
    prompt = row["evenhand_prompt"]
    chosen, rejected = log_likelihoods(
        run, run.services.model, [(prompt, row["evenhand_chosen"]), (prompt, row["evenhand_rejected"])]
    )
    assert abs(chosen - rejected) > 0.01
    assert row["evenhand_margin"] == pytest.approx(rejected - chosen, abs=1e-3)
    assert row["evenhand_weight"] == pytest.approx(1 / (1 + math.exp(0.5 * (chosen - rejected))), abs=1e-4)


def test_without_calibration_both_directions_weigh_the_same_and_no_model_is_asked(run: Any) -> None:
    out, _, _ = applied(PreferencePairs, run, ROWS, limit=3, calibrate=False)
    assert set(out["evenhand_weight"][2:]) == {0.5} and set(out["evenhand_margin"][2:]) == {0.0}


@pytest.mark.parametrize("form", ["ipo", "zero-margin"])
def test_other_formats_have_equal_weights_and_their_own_margin(run: Any, form: str) -> None:
    out, _, _ = applied(PreferencePairs, run, ROWS, limit=3, format=form)
    assert set(out["evenhand_weight"][2:]) == {0.5} and set(out["evenhand_format"][2:]) == {form}
    assert (set(out["evenhand_margin"][2:]) == {0.0}) == (form == "zero-margin")


def test_the_file_has_what_preference_trainers_read(run: Any) -> None:
    out, _, _ = applied(PreferencePairs, run, ROWS, limit=4)
    lines = [json.loads(line) for line in (run.folder / FILE).read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 8
    assert [line["prompt"] + line["chosen"] for line in lines] == list(out["text"][2:])
    assert [line["mirror"] for line in lines] == [False, True] * 4
    for line in lines:
        if line["stereotype"]:
            assert (line["group"] == line["stereotype"]) == line["mirror"]
    assert any(line["stereotype"] for line in lines)


def test_strength_takes_a_first_share_and_0_is_the_data_itself(run: Any) -> None:
    half, _, _ = applied(PreferencePairs, run, ROWS, limit=6, strength=0.5, calibrate=False)
    whole, _, _ = applied(PreferencePairs, run, ROWS, limit=6, calibrate=False)
    assert list(half["text"]) == list(whole["text"][:8])
    assert applied(PreferencePairs, run, ROWS, strength=0.0)[0] is ROWS


def test_an_axis_without_templates_is_refused(run: Any, belief: str) -> None:
    with pytest.raises(UsageError, match="there are no pairs for the axis 'belief'"):
        applied(PreferencePairs, run, ROWS, axes=[belief])
