"""What a loss term may read besides the logits: whole texts, the untouched model on them, and the model itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand.contributions import LossTerm, Needs, Pairing
from evenhand.errors import NoEffect
from evenhand.recipe_model import TrainingSection
from evenhand.reference import ReferenceModel
from evenhand.training import train
from evenhand.training_data import Collator, encode
from evenhand_sdk.tiny import tiny_causal, tiny_masked

TEXTS = ["She left.", "Rain fell on the town.", "He said that the nurse was good."]
IDS = (7, 8, 9)


def others(text: str) -> list[Any]:
    """A text without anything in common, and token ids; nothing for the rain."""
    return [] if text.startswith("Rain") else ["Trees grow slowly.", list(IDS)]


WHOLE = Pairing(key="others", pair=others, aligned=False)


def batch_of(tokenizer: Any, kind: Any, size: int) -> Any:
    rows, bins = encode(
        Dataset.from_dict({"text": TEXTS}), tokenizer, kind=kind, max_length=32, pairings=[WHOLE], vocabulary=size
    )
    return Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=1)(rows)["batch"]


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_texts_of_a_pairing_without_alignment_are_in_the_batch_as_they_are(make: Any, kind: str) -> None:
    model, tokenizer = make()
    pairs = batch_of(tokenizer, kind, model.config.vocab_size).pairs["others"]
    assert pairs.rows.tolist() == [0, 0, 2, 2]
    assert pairs.positions.shape == (0, 3)
    read = [row[: int(kept.sum())].tolist() for row, kept in zip(pairs.input_ids, pairs.attention_mask, strict=True)]
    assert read[1] == read[3] == list(IDS)
    text = tokenizer.decode(read[0], skip_special_tokens=True)
    assert text.replace(" ", "") == "Treesgrowslowly." and tokenizer.mask_token_id not in read[0]


@pytest.mark.parametrize("make, kind", [(tiny_causal, "causal"), (tiny_masked, "masked")])
def test_a_term_reads_the_untouched_model_on_counterfactuals_and_the_model_itself(
    make: Any, kind: Any, tmp_path: Path
) -> None:
    model, tokenizer = make()
    base = copy.deepcopy(model).eval()
    gaps, models = [], []

    def check(batch: Any, outputs: Any) -> torch.Tensor:
        if pairs := outputs.pairs.get("others"):
            given = batch.pairs["others"]
            whole = base(input_ids=given.input_ids, attention_mask=given.attention_mask).logits
            kept = given.attention_mask.bool()
            for _ in range(2):  # computed, and read from what was kept
                gaps.append(float((pairs.reference.logits()[kept] - whole[kept]).abs().max().detach()))
        models.append((outputs.model, outputs.reference.model))
        return outputs.logits.sum() * 0

    term = LossTerm(name="check", fn=check, needs=Needs(reference=True, counterfactual=WHOLE), anchor=True)
    settings = TrainingSection(max_steps=4, batch_size=4, learning_rate=1e-2, precision="float32")
    rows = Dataset.from_dict({"text": TEXTS * 4})
    reference = ReferenceModel(base.requires_grad_(False), kind=kind)
    train(
        model, tokenizer, rows, [term], kind=kind, settings=settings, folder=tmp_path, seed=3,
        reference=lambda: reference,
    )  # fmt: skip
    assert len(gaps) >= 6 and max(gaps) < 1e-4
    assert len(models) == 4 and all(one is model and other is base for one, other in models)


# ---------------------------------------------------------------------------------------- pairs that fold to nothing
def paired(texts: list[str], others: dict[str, str], tmp_path: Path, **given: Any) -> Any:
    """A training with one term that compares each text with its other one, where it has one."""
    model, tokenizer = tiny_causal()
    pairing = Pairing(key="swap", pair=lambda text: [others[text]] if text in others else [], bins=(("he", "she"),))
    term = LossTerm(
        name="swap", fn=lambda batch, outputs: outputs.logits.pow(2).mean(), needs=Needs(counterfactual=pairing),
        weight=given.pop("weight", 1.0), anchor=given.pop("anchor", False),
    )  # fmt: skip
    settings = TrainingSection(max_steps=1, batch_size=2, precision="float32")
    rows = Dataset.from_dict({"text": texts})
    return train(model, tokenizer, rows, [term], kind="causal", settings=settings, folder=tmp_path, seed=0, **given)


def test_a_term_on_pairs_without_a_pair_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(NoEffect) as raised:
        paired(["Rain fell all day.", "Trees grow slowly."], {}, tmp_path)
    assert str(raised.value) == (
        "Training: the loss term 'swap' has no pair to learn from\n"
        "  of 2 rows no row has a text to compare with\n"
        "  train on text that names the groups, or set allow_no_effect = true for its step"
    )
    assert not list(tmp_path.glob("checkpoint*"))
    for name, given in (("idle", {"swap"}), ("weight", 0.0), ("anchor", True)):
        paired(["Rain fell all day.", "Trees grow slowly."], {}, tmp_path / name, **{name: given})


def test_pairs_that_fold_to_nothing_are_counted(tmp_path: Path) -> None:
    """Of "he" and "she" alone nothing is left outside of the bin."""
    with pytest.raises(NoEffect, match="of 2 rows all 1 counterfactuals are left out: no word outside of the groups"):
        paired(["he he", "Trees grow slowly."], {"he he": "she she"}, tmp_path)
    both = {"he he": "she she", "he was tired of it": "she was tired of it"}
    result = paired(list(both), both, tmp_path)
    assert result.events == ["swap: 1 of 2 counterfactuals are left out, nothing in them can be compared"]
