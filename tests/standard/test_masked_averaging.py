"""Averaging of masked models: the mask stays aligned, both groups get one distribution, and a run's result fills."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import pipeline

import evenhand
from evenhand.filling import fill
from evenhand.progress import configure
from evenhand.scoring import distributions, pll
from evenhand_sdk import fold, load_axis, token_bins
from evenhand_sdk.testing import contributions, next_token_logprobs, run_context
from evenhand_sdk.tiny import save_tiny, tiny_masked, tiny_tokenizer
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging
from evenhand_standard.decoding.swapped_masks import GAP, swapped_masks
from evenhand_standard.decoding.token_edits import TokenEditor

FAMILIES = ("bert", "roberta")
GENDER = load_axis("gender")


def contexts_of(family: str, axis: Any = GENDER, **options: Any) -> tuple[Any, Any]:
    tokenizer = tiny_tokenizer(family)
    return tokenizer, swapped_masks(TokenEditor(tokenizer, gap=GAP), [axis], names=True, **options)


def masks_in(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    ids = tokenizer(text.replace("#", tokenizer.mask_token))["input_ids"]
    return ids, [p for p, token in enumerate(ids) if token == tokenizer.mask_token_id]


# -------------------------------------------------------------------------------------------------------- contexts
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("She said that her # was late.", "He said that his # was late."),
        ("# saw her.", "# saw him."),  # behind the mask is read, too
        ("The # told him that her brother left.", "The # told her that his sister left."),
        ("Mary is # and a grandmother #.", "John is # and a grandfather #."),
        ("He is an # and a waiter", "She is an # and a waitress"),
        ("The # is on a river.", None),
        ("The nurse said that # was late.", None),  # the group word is what is asked for
    ],
)
def test_a_context_is_the_swapped_text_with_its_masks(family: str, text: str, swapped: str | None) -> None:
    tokenizer, contexts = contexts_of(family)
    ids, places = masks_in(tokenizer, text)
    for number, place in enumerate(places):
        found = contexts(ids, place)
        if swapped is None:
            assert found == []
            continue
        [(other, where)] = found
        wanted, there = masks_in(tokenizer, swapped)
        assert list(other) == wanted and where == there[number]


def test_a_swap_may_move_the_mask() -> None:
    tokenizer, contexts = contexts_of("bert")
    ids, [place] = masks_in(tokenizer, "The congresswoman was #.")
    [(other, where)] = contexts(ids, place)
    assert len(other) != len(ids) and where == place + len(other) - len(ids)
    assert other[where] == ids[place] == tokenizer.mask_token_id


def test_k_groups_give_k_minus_1_contexts(belief: str) -> None:
    tokenizer, contexts = contexts_of("bert", load_axis(belief))
    ids, [place] = masks_in(tokenizer, "My church is #.")
    assert [tokenizer.decode(other) for other, _ in contexts(ids, place)] == [
        tokenizer.decode(masks_in(tokenizer, f"My {word} is #.")[0]) for word in ("synagogue", "mosque")
    ]


def test_exempt_phrases_leave_the_text_alone_however_a_tokenizer_spaces_them() -> None:
    tokenizer, contexts = contexts_of("bert", exempt=["Ruth Bader Ginsburg", "mother-in-law"])
    for text in ("She was with ruth bader ginsburg #.", "Her mother - in - law was #.", "Her mother-in-law #."):
        ids, [place] = masks_in(tokenizer, text)
        assert contexts(ids, place) == []
    ids, [place] = masks_in(tokenizer, "She was with Ruth Baderginsburg #.")
    assert len(contexts(ids, place)) == 1


WORDS = st.sampled_from(
    [
        "She",
        "he",
        "her",
        "his",
        "said",
        "that",
        "the",
        "#",
        "king",
        "queen",
        "an",
        "actress",
        "café",
        "Mary",
        ".",
        "東京",
    ]
)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(WORDS, max_size=10), family=st.sampled_from(FAMILIES))
def test_masks_are_neither_lost_nor_changed_in_order(words: list[str], family: str) -> None:
    tokenizer, contexts = contexts_of(family)
    ids, places = masks_in(tokenizer, " ".join(words))
    for number, place in enumerate(places):
        for other, where in contexts(ids, place):
            there = [p for p, token in enumerate(other) if token == tokenizer.mask_token_id]
            assert len(there) == len(places) and there[number] == where
            special = set(tokenizer.all_special_ids)
            assert [t for t in other if t in special] == [t for t in ids if t in special]


# ----------------------------------------------------------------------------------------------------------- model
def rule_of(tmp_path: Path, family: str, **options: Any) -> tuple[Any, Any]:
    plugin = CounterfactualAveraging(**options)
    model, tokenizer = tiny_masked(family)
    run = run_context(tmp_path, plugin, "masked", model=model, tokenizer=tokenizer)
    return run, contributions(plugin, "decoding", run)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_distribution_at_a_mask_against_the_formula(family: str, strength: float, tmp_path: Path) -> None:
    """l' = (1 - a) l + a F^-1 F l~ with a = s / 2, worked out from single forward passes."""
    run, [rule] = rule_of(tmp_path, family, strength=strength)
    model, tokenizer = run.services.model, run.tokenizer
    rows = []
    for text in ("She said that # was a king.", "He said that # was a queen."):
        ids, [place] = masks_in(tokenizer, text)
        with torch.no_grad():
            rows.append((ids, place, model(input_ids=torch.tensor([ids])).logits[0, place].double().log_softmax(-1)))
    (ids, place, own), (_, _, other) = rows
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    share = strength / 2
    expected = own.clone()
    for b in bins.unique().tolist():
        members = (bins == b).nonzero().flatten()
        mine, theirs = own[members].exp().sum(), other[members].exp().sum()
        for m in members.tolist():
            split = math.log(own[m].exp() / mine)
            expected[m] = (1 - share) * own[m] + share * (theirs.log() + split)
    found = distributions(model, [ids], [[place]], rules=[rule], mask_id=tokenizer.mask_token_id, dtype="float32")
    torch.testing.assert_close(found[0][0].double(), expected.log_softmax(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_at_strength_1_both_groups_get_the_same_folded_distribution(family: str, tmp_path: Path) -> None:
    run, [rule] = rule_of(tmp_path, family)
    model, tokenizer = run.services.model, run.tokenizer
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    gaps = []
    for rules in ([], [rule]):
        sides = []
        for text in ("She said that her brother was #.", "He said that his sister was #."):
            ids, [place] = masks_in(tokenizer, text)
            sides.append(distributions(model, [ids], [[place]], rules=rules, mask_id=tokenizer.mask_token_id,
                                       dtype="float32")[0][0])  # fmt: skip
        gaps.append(float((fold(sides[0], bins).exp() - fold(sides[1], bins).exp()).abs().sum()) / 2)
    assert gaps[0] > 0.05 and gaps[1] < 1e-5


def test_two_axes_of_one_text_are_averaged_over_all_pairs_at_a_mask(tmp_path: Path) -> None:
    axes = ("gender", "religion")
    run, rules = rule_of(tmp_path, "bert", axes=axes)
    model, tokenizer = run.services.model, run.tokenizer
    words = [bin for axis in axes for bin in load_axis(axis).bins(names=True)]
    bins = token_bins(tokenizer, words, model.get_input_embeddings().num_embeddings)

    def spread(rules: list[Any]) -> float:
        sides = []
        for faith in ("Muslim", "Christian", "Jewish"):
            for person in ("woman", "man"):
                ids, [place] = masks_in(tokenizer, f"The {faith} {person} was # today.")
                [[found]] = distributions(
                    model, [ids], [[place]], rules=rules, mask_id=tokenizer.mask_token_id, dtype="float32"
                )
                sides.append(fold(found, bins).exp())
        return max(float((a - b).abs().sum()) / 2 for a in sides for b in sides)

    assert len(rules) == 2
    assert spread([]) > 0.05 and spread(rules[:1]) > 0.05
    assert spread(rules) < 1e-5


def test_strength_0_is_no_rule_and_texts_without_groups_are_bit_identical(tmp_path: Path) -> None:
    run, none = rule_of(tmp_path, "bert", strength=0.0)
    assert none == [] and torch.equal(next_token_logprobs(run, none), next_token_logprobs(run))
    run, [rule] = rule_of(tmp_path, "bert")
    texts = ["The town is on a river.", "She said that the town is on a river."]
    free, ruled = (pll(run.services.model, run.tokenizer, texts, rules=r, dtype="float32") for r in ([], [rule]))
    assert free[0].logp[1:-1].tolist() == ruled[0].logp[1:-1].tolist()
    moved = [a != b for a, b in zip(free[1].logp[1:-1], ruled[1].logp[1:-1], strict=True)]
    assert moved == [False] + [True] * (len(moved) - 1), "with the one group word masked there is no other left"


@pytest.mark.realdata
@pytest.mark.skipif(not os.environ.get("EVENHAND_DATA"), reason="EVENHAND_DATA names no folder of benchmark files")
def test_a_benchmark_of_masked_models_sees_it() -> None:
    model, tokenizer = tiny_masked()
    ask = [("crows-pairs", {"limit": 40})]
    before = evenhand.measure(model, tokenizer, ask, dtype="float32")["crows-pairs"]
    with evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()]):
        after = evenhand.measure(model, tokenizer, ask, dtype="float32")["crows-pairs"]
    assert "with decoding rules counterfactual-averaging" in after.mode and before.mode != after.mode
    moved = [a.values != b.values for a, b in zip(before.records, after.records, strict=True)]
    assert len(moved) == 40 and 0 < sum(moved) < 40


def test_a_run_proves_it_and_its_result_fills_masks(tmp_path: Path, own_cache: Any) -> None:
    configure("quiet")
    recipe = {
        "model": {"name": str(save_tiny(tmp_path / "tiny", family="bert")), "dtype": "float32"},
        "steps": [{"use": "counterfactual-averaging"}],
        "benchmarks": [{"use": "perplexity", "limit": 2}],
        "evaluation": {"resamples": 100, "controls": "none"},
    }
    result = evenhand.run(recipe, output=tmp_path / "runs")
    [step] = result.record["steps"]
    assert step["proofs"][0]["stage"] == "decoding" and step["proofs"][0]["took"]
    assert result.record["portability"]["answers"] == 5 and not result.record["portability"]["plain_transformers"]
    usable = evenhand.load(result.folder)
    text = f"She said that her {usable.tokenizer.mask_token} was late."
    words = usable.fill(text, k=2)
    plain, _ = tiny_masked()
    rule = usable.rules[0]
    assert words == fill(plain, usable.tokenizer, text, rules=[rule], k=2) != fill(plain, usable.tokenizer, text, k=2)
    model, tokenizer = usable
    found = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=2)(text)
    assert [f["token"] for f in found] == [w.token for w in words]
    card = (Path(result.folder) / "README.md").read_text()
    assert "counterfactual-averaging" in card and 'evenhand.load(".")' in card
