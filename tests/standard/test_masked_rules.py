"""Balancing and self-debias at masks: the formulas from single forward passes, and where they act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand.filling import fill
from evenhand.progress import configure
from evenhand.scoring import distributions, pll
from evenhand_sdk.testing import contributions, run_context
from evenhand_sdk.tiny import save_tiny, tiny_masked
from evenhand_standard.decoding.probability_balancing import ProbabilityBalancing
from evenhand_standard.decoding.self_debias import SelfDebias

FAMILIES = ("bert", "roberta")


def rule_of(tmp_path: Path, plugin: Any, family: str) -> tuple[Any, Any, Any]:
    model, tokenizer = tiny_masked(family)
    run = run_context(tmp_path, plugin, "masked", model=model, tokenizer=tokenizer)
    [rule] = contributions(plugin, "decoding", run)
    return model, tokenizer, rule


def masked(tokenizer: Any, text: str) -> tuple[list[int], int]:
    ids = tokenizer(text.replace("#", tokenizer.mask_token))["input_ids"]
    return ids, ids.index(tokenizer.mask_token_id)


def plain(model: Any, ids: list[int], place: int) -> torch.Tensor:
    """Probabilities [V] at one place, from a forward pass over the text alone."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, place].double().softmax(-1)
    return found


def ruled(model: Any, tokenizer: Any, rule: Any, ids: list[int], place: int) -> torch.Tensor:
    [row] = distributions(model, [ids], [[place]], rules=[rule], mask_id=tokenizer.mask_token_id, dtype="float32")
    return torch.as_tensor(row[0]).double().exp()


@pytest.mark.parametrize("family", FAMILIES)
def test_two_words_share_what_both_have_at_a_mask(family: str, tmp_path: Path) -> None:
    model, tokenizer, rule = rule_of(tmp_path, ProbabilityBalancing(), family)
    words = (" she", " he", " the", " said", " was")
    rows = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    [[one], [other], *kept] = rows
    assert [len(row) for row in kept] == [1, 1, 1]
    ids, place = masked(tokenizer, "The nurse said that # was late.")
    before, after = plain(model, ids, place), ruled(model, tokenizer, rule, ids, place)
    both = float(before[one] + before[other])
    assert abs(before[one] - before[other]) > 0.01 * both
    assert after[one].item() == after[other].item() == pytest.approx(both / 2, rel=1e-4)
    same = [row[0] for row in kept]
    torch.testing.assert_close(after[same], before[same], atol=0, rtol=1e-4)


@pytest.mark.parametrize("text", ["The nurse told him that # was late.", "# told the nurse that her brother left."])
def test_a_text_that_names_somebody_on_either_side_of_the_mask_is_left_alone(text: str, tmp_path: Path) -> None:
    model, tokenizer, rule = rule_of(tmp_path, ProbabilityBalancing(), "bert")
    ids, place = masked(tokenizer, text)
    how: dict[str, Any] = {"mask_id": tokenizer.mask_token_id, "dtype": "float32"}
    rows = [distributions(model, [ids], [[place]], rules=rules, **how)[0][0] for rules in ([], [rule])]
    assert torch.equal(torch.as_tensor(rows[0]), torch.as_tensor(rows[1]))


def test_the_word_that_is_asked_for_names_nobody(tmp_path: Path) -> None:
    """In a pseudo-likelihood each word is masked in turn: only where the group word itself is, nobody is named."""
    model, tokenizer, rule = rule_of(tmp_path, ProbabilityBalancing(), "bert")
    text = ["She said that the town is on a river."]
    [free], [balanced] = (pll(model, tokenizer, text, rules=r, dtype="float32") for r in ([], [rule]))
    moved = [a != b for a, b in zip(free.logp[1:-1], balanced.logp[1:-1], strict=True)]
    assert moved == [True] + [False] * (len(moved) - 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_likelier_in_a_prejudiced_text_becomes_less_likely_at_a_mask(family: str, tmp_path: Path) -> None:
    """d = max(0, max_j p(w | b_j + x) - p(w | x)), p' ~ p max(0.01, exp(-50 d)); one text and mask at a time."""
    told = ["This is full of hate:", "The old man said:"]
    plugin = SelfDebias(descriptions=told, most=1.0)
    model, tokenizer, rule = rule_of(tmp_path, plugin, family)
    ids, place = masked(tokenizer, "The nurse said that # was late.")
    p = plain(model, ids, place)
    others = []
    for words in told:
        added = tokenizer(words + "\n", add_special_tokens=False)["input_ids"]
        others.append(plain(model, [ids[0], *added, *ids[1:]], place + len(added)))
        assert ids[0] == tokenizer.cls_token_id
    likelier = (torch.stack(others).amax(0) - p).clamp_min(0)
    expected = p * torch.exp(-50 * likelier).clamp_min(0.01)
    torch.testing.assert_close(
        ruled(model, tokenizer, rule, ids, place), expected / expected.sum(), atol=1e-6, rtol=1e-3
    )
    assert float((expected / expected.sum() - p).abs().sum()) > 1e-3


@pytest.mark.parametrize("use", ["probability-balancing", "self-debias"])
def test_a_run_proves_it_and_its_result_fills_masks(use: str, tmp_path: Path, own_cache: Any) -> None:
    configure("quiet")
    recipe = {
        "model": {"name": str(save_tiny(tmp_path / "tiny", family="bert")), "dtype": "float32"},
        "steps": [{"use": use}],
        "benchmarks": [{"use": "perplexity", "limit": 2}],
        "evaluation": {"resamples": 100, "controls": "none"},
    }
    result = evenhand.run(recipe, output=tmp_path / "runs")
    [step] = result.record["steps"]
    assert step["proofs"][0]["stage"] == "decoding" and step["proofs"][0]["took"]
    usable = evenhand.load(result.folder)
    text = f"The nurse said that {usable.tokenizer.mask_token} was late."
    bare, _ = tiny_masked()
    words = usable.fill(text, k=900)
    assert words == fill(bare, usable.tokenizer, text, rules=usable.rules, k=900)
    assert words != fill(bare, usable.tokenizer, text, k=900)
