"""The gap and the loss that a change is chosen by, against values from single forward passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError, fold, group_tokens, jensen_shannon, load_axis, token_bins
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.text_probe import TextProbe, written_rows


def logp(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_gap_and_loss_are_those_of_one_text_at_a_time(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    axis, mask = load_axis("gender"), tokenizer.mask_token_id
    run = run_of(model, tokenizer, kind)
    probe, texts = PairProbe.of(run, model, axis, 5), TextProbe.of(run, model, 3)
    bins = token_bins(tokenizer, axis.bins(), model.get_input_embeddings().num_embeddings)
    skipped = group_tokens(bins) | set(tokenizer.all_special_ids)
    found = []
    for pair in fitting_pairs(axis, 5):
        a, b = (list(tokenizer(text)["input_ids"]) for text in pair.texts)
        assert len(a) == len(b), "in these sentences every group word is one token on both sides"
        changed = [t for t in range(len(a)) if a[t] != b[t]]
        for t in range(len(a)):
            if a[t] != b[t] or a[t] in skipped or (kind == "causal" and t < changed[0]):
                continue
            if kind == "causal":
                p, q = logp(model, a)[t - 1], logp(model, b)[t - 1]
            else:
                p, q = (logp(model, [*ids[:t], mask, *ids[t + 1 :]])[t] for ids in (a, b))
            found.append(float(jensen_shannon(fold(p, bins), fold(q, bins))))
    assert probe.gap(model) == pytest.approx(sum(found) / len(found), rel=1e-4) and len(found) > 10
    lines = builtin_lines("everyday")
    losses = []
    for k in range(3):
        ids = list(tokenizer(lines[k * len(lines) // 3])["input_ids"])
        if kind == "causal":
            losses += [-float(logp(model, ids)[t - 1, ids[t]]) for t in range(1, len(ids))]
        else:
            inner = range(1, len(ids) - 1)
            step = -(-len(inner) // 4)
            losses += [-float(logp(model, [*ids[:t], mask, *ids[t + 1 :]])[t, ids[t]]) for t in list(inner)[::step]]
    assert texts.loss(model) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_both_have_gradients(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    probe, texts = PairProbe.of(run, model, load_axis("gender"), 3), TextProbe.of(run, model, 3)
    weight = model.model.layers[0].self_attn.o_proj.weight
    for value in (next(probe.gaps(model))[0], next(texts.losses(model)).mean()):
        assert float(torch.autograd.grad(value, weight)[0].abs().max()) > 0


def test_other_axes_take_the_sentences_of_their_pack(belief: str) -> None:
    pairs = fitting_pairs(load_axis("religion"), 12)
    assert len(pairs) == 12
    assert all(p.texts[0] != p.texts[1] and p.groups[0] != p.groups[1] and p.association == "none" for p in pairs)
    assert len({g for p in pairs for g in p.groups}) > 2
    with pytest.raises(UsageError) as caught:
        fitting_pairs(load_axis(belief))
    assert str(caught.value) == (
        "there are no sentences to fit on for the axis 'belief' in 'en'\n"
        "  its pack has no templates, and the pair bank is English and needs the groups female and male\n"
        "  add [[templates]] to the axis pack, or take another axis"
    )


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_texts_can_be_read_in_passages_as_far_as_the_model_reads(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    alone = TextProbe.of(run, model, 7)
    long = TextProbe.of(run, model, 7, together=3)
    assert (len(alone.texts), len(long.texts)) == (7, 3)
    lengths = [len(rows[0].ids) for rows in long.texts]
    assert lengths[0] > 2 * len(alone.texts[0][0].ids)
    assert TextProbe.of(run, model, 7, together=1).texts == alone.texts
    [whole] = TextProbe.of(run, model, 600, together=600).texts
    assert len(whole[0].ids) <= model.config.max_position_embeddings


def test_texts_that_a_model_writes_are_drawn_from_its_whole_distribution(tiny: Any, run_of: Any) -> None:
    """A model that is certain of each next token writes it, and loses nothing on it; another one loses more."""
    model, tokenizer = tiny()
    model.double()
    run = run_of(model, tokenizer)
    first, again = written_rows(run, model, 20), written_rows(run, model, 20)
    assert first == again and len(set(first)) == 20
    assert {row[0] for row in first} == {tokenizer.bos_token_id} and {len(row) for row in first} == {
        min(193, model.config.max_position_embeddings)
    }
    with torch.no_grad():
        model.lm_head.weight.mul_(1e4)  # the likeliest token has all the probability
    sure = written_rows(run, model, 2)
    assert sure[0] == sure[1]
    for t in range(1, 40):
        assert sure[0][t] == int(logp(model, list(sure[0][:t]))[-1].argmax())
    probe = TextProbe.written(run, model, 2)
    assert probe.loss(model) == pytest.approx(0.0, abs=1e-6)
    assert probe.texts[0][0].ids == sure[0]


def test_the_rise_on_texts_of_its_own_is_the_divergence_from_the_model(tiny: Any, run_of: Any) -> None:
    """Mean of log p - log q over what p writes is KL(p || q), here against the exact one at every place."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    other = copy.deepcopy(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(4.0)
        other.lm_head.weight.mul_(4.0).add_(0.02 * torch.randn_like(other.lm_head.weight))
    probe = TextProbe.written(run, model, 60)
    exact = []
    for [row], places in zip(probe.texts, (rows[0].places for rows in probe.texts), strict=True):
        p, q = logp(model, list(row.ids)), logp(other, list(row.ids))
        exact += [float((p[t].exp() * (p[t] - q[t])).sum()) for t in places]
    rise = probe.loss(other) - probe.loss(model)
    assert rise == pytest.approx(sum(exact) / len(exact), rel=0.15) and rise > 0.001
