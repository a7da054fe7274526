"""A mixture of every next-token distribution (masked models: every one at a mask) with one that knows no context.

    p  ->  (1 - strength) * p + strength * u

u counts the tokens of the plain sentences that come with the toolkit, each token of the vocabulary once more.

Source: the degradation controls of this project's reporting protocol.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import DecodingRule, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.controls.changed_logits import rule_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class UnigramMix(Mitigation):
    """Mixes in a unigram model, as a control that fairer-looking numbers must beat."""

    name = "unigram-mix"
    summary = "A control: mixes distributions of tokens with a unigram model, which knows no groups and no context."
    source = "Degradation-matched controls (this project)"
    Options = StrengthOptions

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        strength = self.options.strength
        if strength == 0:
            return None
        from evenhand_sdk.benchmark_data import builtin_lines

        size = model.get_input_embeddings().num_embeddings
        unigrams = log_unigrams(run.tokenizer, builtin_lines("everyday"), size)

        def change(logits: torch.Tensor) -> torch.Tensor:
            return mixed(logits, unigrams.to(logits.device), strength)

        return rule_of(run, change)


def log_unigrams(tokenizer: Any, texts: Sequence[str], size: int) -> torch.Tensor:
    """log u [V], with one added to the count of every token."""
    import torch

    counts = torch.ones(size, dtype=torch.float64)
    for text in texts:
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
            counts[token] += 1
    return (counts / counts.sum()).log().float()


def mixed(logits: torch.Tensor, log_u: torch.Tensor, strength: float) -> torch.Tensor:
    """log of the mixture: logits [..., V] and log u [V] -> log-probabilities [..., V]; impossible tokens stay so."""

    impossible = logits.isneginf()
    found = logits.float().softmax(-1).mul_(1 - strength).add_(log_u.exp() * strength).log_()
    return found.masked_fill_(impossible, -math.inf).to(logits.dtype)
