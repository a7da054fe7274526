"""Published procedures, written here as plain loops over plain transformers, give what the engine gives.

One call of the model for each masked piece, no batches, no padding, no shared work: slow, and hard to get wrong.
"""

from __future__ import annotations

import difflib
import math
from typing import Any

import pytest
import torch

from evenhand.measured import Measured
from evenhand.scoring import score_texts
from evenhand_standard.benchmarks import crows_pairs, pair_gap, perplexity

pytestmark = [pytest.mark.slow, pytest.mark.realmodel]

PAIRS = 8


def log_probabilities(model: Any, ids: list[int]) -> torch.Tensor:
    """[T, V] of one sequence."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)


def shared(a: list[int], b: list[int]) -> list[tuple[int, int]]:
    """Places of equal blocks, as Python's matcher of sequences finds them."""
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return [(m.a + k, m.b + k) for m in blocks for k in range(m.size)]


def test_masked_crows_pairs_mask_by_mask(real: Any, published: None) -> None:
    """Nangia et al. 2020: each shared piece is masked alone, special tokens are passed over, sums have 3 decimals."""
    loaded = real("minilm-l6-body")
    model, tokenizer = loaded.model, loaded.tokenizer
    pairs = crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(), None)[:PAIRS]
    measured = Measured(model, tokenizer, "masked", dtype="float32")
    found = crows_pairs.score(measured, pairs, "official")
    special = set(tokenizer.all_special_ids)
    for pair, record in zip(pairs, found, strict=True):
        ids = [tokenizer(text)["input_ids"] for text in (pair.more, pair.less)]
        places = [(i, j) for i, j in shared(*ids) if ids[0][i] not in special]
        for side, name in enumerate(("more", "less")):
            total = 0.0
            for place in (p[side] for p in places):
                masked = list(ids[side])
                masked[place] = tokenizer.mask_token_id
                total += float(log_probabilities(model, masked)[place, ids[side][place]])
            assert record.values[name] == pytest.approx(round(total, 3), abs=1.5e-3), (pair.id, name)


def test_causal_crows_pairs_sentence_by_sentence(real: Any, published: None) -> None:
    """The harness form: each sentence after a start token, its log-probabilities summed."""
    loaded = real("smollm2-135m-instruct")
    model, tokenizer = loaded.model, loaded.tokenizer
    pairs = crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(), None)[:PAIRS]
    found = crows_pairs.score(Measured(model, tokenizer, "causal", dtype="float32"), pairs, "harness")
    for pair, record in zip(pairs, found, strict=True):
        for text, name in ((pair.more, "more"), (pair.less, "less")):
            ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]
            logp = log_probabilities(model, ids)
            total = sum(float(logp[k, token]) for k, token in enumerate(ids[1:]))
            assert record.values[name] == pytest.approx(total, abs=1e-3), (pair.id, name)


def test_word_perplexity_passage_by_passage(real: Any) -> None:
    loaded = real("smollm2-135m-instruct")
    texts = perplexity.passages("builtin:heldout")[:4]
    found = perplexity.score(Measured(loaded.model, loaded.tokenizer, "causal", dtype="float32"), texts, 512, 256)
    for text, record in zip(texts, found, strict=True):
        ids = loaded.tokenizer(text)["input_ids"]
        logp = log_probabilities(loaded.model, ids)
        total = sum(float(logp[k, token]) for k, token in enumerate(ids[1:]))
        assert record.values["logp"] == pytest.approx(total, abs=1e-3)
        assert math.exp(-total / len(text.split())) == pytest.approx(
            math.exp(-record.values["logp"] / record.values["words"]), rel=1e-4
        )


def test_the_gap_of_a_pair_by_hand(real: Any) -> None:
    """Jensen-Shannon divergence at each place behind the difference, from two whole distributions."""
    from evenhand_sdk import group_tokens, load_axis, token_bins
    from evenhand_standard.pair_bank import pairs

    loaded = real("smollm2-135m-instruct")
    axis = load_axis("gender", "en")
    measured = Measured(loaded.model, loaded.tokenizer, "causal", dtype="float32")
    items = pairs(axis, "heldout", 6, 0)
    found = pair_gap.score(measured, axis, items)
    groups = group_tokens(token_bins(loaded.tokenizer, axis.bins(), measured.vocabulary))
    checked = 0
    for item, record in zip(items, found, strict=True):
        left, right = (loaded.tokenizer(t)["input_ids"] for t in (item.female_text, item.male_text))
        first = next(k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
        places = [(i, j) for i, j in shared(left, right) if i > first and left[i] not in groups]
        if not places or "js_unfolded" not in record.values or record.values["positions"] != len(places):
            continue  # which places count is tested elsewhere; here the divergence is
        p, q = log_probabilities(loaded.model, left).exp(), log_probabilities(loaded.model, right).exp()
        gaps = []
        for i, j in places:
            a, b = p[i - 1].double(), q[j - 1].double()
            middle = (a + b) / 2
            gaps.append(sum(float((x * (x / middle).log()).nansum()) for x in (a, b)) / 2)
        assert record.values["js_unfolded"] == pytest.approx(sum(gaps) / len(gaps), abs=1e-5)
        checked += 1
    assert checked >= 3


def test_neither_the_batch_nor_the_texts_beside_it_change_a_score(real: Any) -> None:
    """Texts of 380 to 530 nat, packed into rows with others or alone: the same within 1e-4 nat in float32."""
    loaded = real("smollm2-135m-instruct")
    texts = perplexity.passages("builtin:heldout")[:4]

    def totals(some: list[str], batch_tokens: int) -> list[float]:
        found = score_texts(loaded.model, loaded.tokenizer, some, dtype="float32", batch_tokens=batch_tokens)
        return [score.total for score in found]

    alone = [total for text in texts for total in totals([text], 4096)]
    for batch_tokens in (300, 4096):
        assert totals(texts, batch_tokens) == pytest.approx(alone, abs=1e-4, rel=0)
