"""Of an axis with many groups a drawn few are read: which, that text and seed decide, and what is equal among them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand_sdk import counterfactuals, fold, load_axis, token_bins
from evenhand_sdk.testing import contributions
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging, swapped_contexts
from evenhand_standard.decoding.drawn_groups import DrawnGroups
from evenhand_standard.decoding.gradient_decoding import GradientDecoding
from evenhand_standard.decoding.swapped_masks import GAP, swapped_masks
from evenhand_standard.decoding.token_edits import TokenEditor

NATIONALITY = load_axis("nationality")
TEXT = "The German man"


def groups_in(drawn: DrawnGroups, text: str) -> list[str]:
    return [c.group for c in drawn.of(NATIONALITY, counterfactuals(text, NATIONALITY))]


@pytest.mark.parametrize("plugin", [CounterfactualAveraging, GradientDecoding])
def test_without_being_told_it_reads_six_nationalities_and_all_groups_of_every_other_axis(
    plugin: Any, tiny: Any, run_of: Any
) -> None:
    run = run_of(*tiny())
    for axis, text, others in [
        ("nationality", TEXT, 6),
        ("religion", "Muslims are", 6),
        ("race", "Black people are", 5),
        ("gender", "She said", 1),
    ]:
        [rule] = contributions(plugin(axes=[axis]), "decoding", run)
        ids = tuple(run.tokenizer(text)["input_ids"])
        assert len(rule.contexts(ids)) == others
    [wide] = contributions(plugin(axes=["nationality"], max_contexts=86), "decoding", run)
    assert len(wide.contexts(tuple(run.tokenizer(TEXT)["input_ids"]))) == 86


def test_the_seed_decides_and_a_longer_text_has_the_same_groups() -> None:
    drawn = DrawnGroups(4, 0)
    assert groups_in(drawn, TEXT) == groups_in(DrawnGroups(4, 0), f"{TEXT} said that he was late")
    assert groups_in(drawn, TEXT) != groups_in(DrawnGroups(4, 1), TEXT)
    assert sorted(drawn.order(NATIONALITY)) == sorted(NATIONALITY.groups)


def test_with_its_own_group_a_text_of_the_first_groups_has_all_of_them() -> None:
    drawn = DrawnGroups(4, 0)
    order = drawn.order(NATIONALITY)
    words = {c.group: c.text for c in counterfactuals(TEXT, NATIONALITY)} | {"german": TEXT}
    for group in order[:5]:
        assert {group, *groups_in(drawn, words[group])} == set(order[:5])
    assert set(groups_in(drawn, words[order[50]])) == set(order[:4])


def test_averages_are_the_same_for_texts_about_the_groups_that_are_read(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    [rule] = CounterfactualAveraging(axes=["nationality"], max_contexts=3).decoding(run, run.services.model)
    first = DrawnGroups(3, run.seed).order(NATIONALITY)[0]
    [text] = [c.text for c in counterfactuals(TEXT, NATIONALITY, first)]
    start = tuple(run.tokenizer(text)["input_ids"])
    ids = [list(i) for i in (start, *rule.contexts(start))]
    assert len(ids) == 4
    bins = token_bins(run.tokenizer, NATIONALITY.bins(names=True), run.services.model.config.vocab_size)

    def spread(rules: list[Any]) -> float:
        found = [fold(torch.as_tensor(d[-1]), bins).exp() for d in run.services.distributions(ids, rules=rules)]
        return max((p - found[0]).abs().sum().item() / 2 for p in found)

    assert spread([]) > 0.01
    assert spread([rule]) < 1e-5


def test_masks_are_bounded_alike() -> None:
    tokenizer = tiny_tokenizer("bert")
    masks = swapped_masks(TokenEditor(tokenizer, gap=GAP), [NATIONALITY], names=True, drawn=DrawnGroups(2, 0))
    ids = tokenizer("The German man is [MASK].")["input_ids"]
    assert len(masks(ids, ids.index(tokenizer.mask_token_id))) == 2


def test_what_was_drawn_is_told(tiny: Any, run_of: Any, caplog: pytest.LogCaptureFixture) -> None:
    run = run_of(*tiny())
    options = {"axes": ["nationality", "religion"], "max_contexts": 6}
    with caplog.at_level(logging.INFO):
        CounterfactualAveraging(**options).decoding(replace(run, seed=5), run.services.model)
    [told] = [r.getMessage() for r in caplog.records if "groups of" in r.getMessage()]
    first = ", ".join(DrawnGroups(6, 5).order(NATIONALITY)[:7])
    assert told == f"of the 87 groups of nationality, 7 are read: {first}"


def test_another_axis_is_left_whole_beside_it() -> None:
    tokenizer = tiny_tokenizer("llama")
    axes = [NATIONALITY, load_axis("gender")]
    contexts = swapped_contexts(TokenEditor(tokenizer), axes, names=True, drawn=DrawnGroups(2, 0))
    assert len(contexts(tuple(tokenizer("The German man said that she")["input_ids"]))) == 2 + 1
