"""Twenty steps of three rules against slow references in float64 that share no function with the plugins.

The axis is one of three rows of nouns, made here, so that a counterfactual is an exchange of single tokens; the text is
forced through a group word that was not in the prompt, so that what is generated is exchanged in step.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging
from evenhand_standard.decoding.gradient_decoding import GradientDecoding
from evenhand_standard.decoding.probability_balancing import ProbabilityBalancing

ROWS = (("queen", "king"), ("sister", "brother"), ("girl", "boy"))
PACK = """
axis = "court"
locale = "en"
groups = ["one", "other"]
licence = "Apache-2.0"
provenance = "Written for this test."
limits = ["Three rows."]

[[words]]
theme = "people"
pos = "noun"
number = "singular"
rows = [["queen", "king"], ["sister", "brother"], ["girl", "boy"]]
"""
STEPS = 20
FORCED = {6: " brother", 7: " and", 12: " girl", 13: " and"}
"""Step -> the token that is chosen there, whatever the rule says; a piece behind a word might make another of it."""


@pytest.fixture
def axis(tmp_path: Path) -> str:
    path = tmp_path / "court.toml"
    path.write_text(PACK, encoding="utf-8")
    return str(path)


class Words:
    """What the references know of the words: which single tokens they are, in each way to write them."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.bins: list[tuple[int, int]] = []
        anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
        for pair in ROWS:
            for write in (str, str.capitalize, str.upper):
                for lead in ("", " "):
                    tokens = [tokenizer(lead + write(word), add_special_tokens=False)["input_ids"] for word in pair]
                    if all(len(t) == 1 for t in tokens):
                        self.bins.append((tokens[0][0], tokens[1][0]))
        assert len(anchor) == 1
        self.bins = list(dict.fromkeys(self.bins))
        self.other = {a: b for pair in self.bins for a, b in (pair, pair[::-1])}

    def named(self, ids: Sequence[int]) -> list[int]:
        """Places of tokens that are a whole group word in the text."""
        pieces = [
            self.tokenizer.decode([self.tokenizer("a", add_special_tokens=False)["input_ids"][0], t])[1:] for t in ids
        ]
        starts = [sum(map(len, pieces[:k])) for k in range(len(pieces) + 1)]
        text = "".join(pieces)
        words = [w for pair in ROWS for w in pair]
        spans = [m.span() for m in re.finditer(rf"\b(?:{'|'.join(words)})\b", text, re.IGNORECASE)]
        places = []
        for a, b in spans:
            [k] = [k for k in range(len(ids)) if starts[k] <= a and b <= starts[k + 1]]
            places.append(k)
        return places

    def exchanged(self, ids: Sequence[int]) -> list[int] | None:
        """The counterfactual; None for a text that names nobody."""
        places = self.named(ids)
        return [self.other[t] if k in places else t for k, t in enumerate(ids)] if places else None


def logp_of(model: Any, ids: Sequence[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([list(ids)])).logits[0, -1].log_softmax(-1)  # type: ignore[no-any-return]


def folded(p: torch.Tensor, bins: Sequence[tuple[int, int]]) -> torch.Tensor:
    """The probability of a bin stands at its first word, and none at the second."""
    out = p.clone()
    for a, b in bins:
        out[a] = p[a] + p[b]
        out[b] = 0.0
    return out


def averaged(model: Any, words: Words, ids: Sequence[int]) -> torch.Tensor:
    """Half of log p after the text, half of that after its counterfactual; the shares of a bin as they were."""
    own = logp_of(model, ids).exp()
    other = words.exchanged(ids)
    if other is None:
        return own
    far = folded(logp_of(model, other).exp(), words.bins)
    for a, b in words.bins:
        whole = own[a] + own[b]
        far[a], far[b] = far[a] * own[a] / whole, far[a] * own[b] / whole
    mixed = (own * far).sqrt()
    return mixed / mixed.sum()


def balanced(model: Any, words: Words, ids: Sequence[int]) -> torch.Tensor:
    """A quarter of a bin for the first group and three for the second, where nobody is named."""
    p = logp_of(model, ids).exp()
    if words.named(ids):
        return p
    out = p.clone()
    for a, b in words.bins:
        out[a], out[b] = 0.25 * (p[a] + p[b]), 0.75 * (p[a] + p[b])
    return out


RATE, KL, FUSION, UPDATES = 0.05, 0.05, 0.9, 2


def moved(model: Any, words: Words, ids: Sequence[int]) -> torch.Tensor:
    """Two gradient steps on the scales of the layers' norms, one sequence at a time, put back afterwards."""
    untouched = logp_of(model, ids).detach()
    other = words.exchanged(ids)
    if other is None:
        return untouched.exp()
    norms = [n for layer in model.model.layers for n in (layer.input_layernorm, layer.post_attention_layernorm)]
    scales = [norm.weight for norm in norms]
    before = [scale.detach().clone() for scale in scales]
    shift = [torch.zeros_like(scale) for scale in before]
    tiny = 1e-300
    for _ in range(UPDATES):
        own, far = logp_of(model, ids), logp_of(model, other)
        p, q = folded(own.exp(), words.bins), folded(far.exp(), words.bins)
        m = (p + q) / 2
        gap = 0.5 * sum((x * ((x + tiny).log() - (m + tiny).log())).sum() for x in (p, q))
        loss = gap + KL * (untouched.exp() * (untouched - own)).sum()
        found = [g * w for g, w in zip(torch.autograd.grad(loss, scales), before, strict=True)]
        length = torch.cat(found).square().mean().sqrt()
        for k, g in enumerate(found):
            shift[k] = shift[k] - RATE * g / length
            scales[k].data = before[k] * (1 + shift[k])
    after = logp_of(model, ids).detach()
    for scale, value in zip(scales, before, strict=True):
        scale.data = value
    return (untouched + FUSION * (after - untouched)).softmax(-1)


def twenty_steps(
    model: Any, tokenizer: Any, rule: Any, prompts: Sequence[str]
) -> tuple[list[torch.Tensor], list[list[int]]]:
    """What the rule gave at each step [B, V], in a left-padded batch, and the ids that came out."""
    seen: list[torch.Tensor] = []

    def force(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        seen.append(logits.clone())
        word = FORCED.get(len(seen) - 1)
        if word is None:
            return logits
        [token] = tokenizer(word, add_special_tokens=False)["input_ids"]
        out = torch.full_like(logits, -1e4)
        out[:, token] = 0.0
        return out

    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule, DecodingRule(name="force", next_logits=force)])
    out = model.generate(**batch, max_new_tokens=STEPS, do_sample=False)
    del model.generate
    assert len(seen) == STEPS
    padding = (batch["attention_mask"] == 0).sum(-1).tolist()
    return seen, [row[k:] for row, k in zip(out.tolist(), padding, strict=True)]


@pytest.mark.parametrize(
    ("plugin", "options", "reference", "close"),
    [
        (CounterfactualAveraging, {}, averaged, {"atol": 2e-6, "rtol": 1e-4}),
        (ProbabilityBalancing, {"target": {"one": 0.25, "other": 0.75}}, balanced, {"atol": 2e-6, "rtol": 1e-4}),
        (
            GradientDecoding,
            {"gate": 0.0, "steps": UPDATES, "learning_rate": RATE, "kl": KL, "fusion": FUSION},
            moved,
            {"atol": 2e-5, "rtol": 5e-3},
        ),
    ],
)
def test_twenty_steps_in_a_batch_equal_a_slow_reference_in_float64(
    plugin: Any, options: dict[str, Any], reference: Any, close: dict[str, float], axis: str, run_of: Any
) -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    rule = plugin(axes=[axis], **options).decoding(run_of(model, tokenizer), model)
    [rule] = rule if isinstance(rule, list) else [rule]
    prompts = ["The king said that the", "Rain fell on the old town and"]
    words, exact = Words(tokenizer), copy.deepcopy(model).double()
    assert len(words.bins) >= 3
    seen, texts = twenty_steps(model, tokenizer, rule, prompts)
    acted = []
    for b, prompt in enumerate(prompts):
        start = len(tokenizer(prompt)["input_ids"])
        assert texts[b][:start] == tokenizer(prompt)["input_ids"]
        for step in range(STEPS):
            ids = texts[b][: start + step]
            expected = reference(exact, words, ids).detach()
            found = seen[step][b].double().softmax(-1)
            torch.testing.assert_close(found, expected, **close)
            plain = logp_of(exact, ids).exp().detach()
            acted.append((b, step, 0.5 * float((expected - plain).abs().sum()) > 1e-9))
    where = {(b, step) for b, step, did in acted if did}
    if plugin is ProbabilityBalancing:
        assert where == {(1, step) for step in range(7)}  # nobody is named in the second text until the seventh token
    else:
        assert where == {(0, step) for step in range(STEPS)} | {(1, step) for step in range(7, STEPS)}
