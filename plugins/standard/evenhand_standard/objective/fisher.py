"""The diagonal of the Fisher information: how much each weight matters to what a model says about neutral text.

    F_j = 1/N sum_i ( d log p(y_i | x_i) / d theta_j )^2,      y_i drawn from p(. | x_i)

x_i is a sequence and y_i a draw of what the model predicts in it: after each of its prefixes, or at its masks. The
labels are the model's own, not the text's, or it would be the empirical Fisher, which is another thing (Kunstner et
al. 2019). One sequence at a time: the square of a sum of gradients is not the sum of their squares.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk import Axis, UsageError, group_words, progress

if TYPE_CHECKING:
    import torch

MASK_RATE: Final = 0.15
"""As in the training of masked models."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What the sequences say about a model."""

    fisher: Mapping[str, torch.Tensor]
    """By parameter name, float32; empty when it was not asked for."""
    loss: float
    """The language-modelling loss of the text itself, in nat per predicted token."""
    sequences: int


def neutral(texts: Iterable[Any], axes: Sequence[Axis], count: int, seed: int) -> tuple[list[str], int]:
    """At most `count` texts that name no group of the axes, drawn from a seed, and how many there are."""
    found = [t for t in texts if isinstance(t, str) and t.strip() and not any(group_words(t, axis) for axis in axes)]
    return random.Random(seed).sample(found, min(count, len(found))), len(found)


def importance(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    kind: str,
    max_length: int,
    seed: int,
    fisher: bool = True,
) -> Importance:
    """The Fisher diagonal over the parameters that require a gradient, and the loss, in evaluation mode.

    Texts of fewer than two tokens are left out; UsageError when none is left.
    """
    import torch

    masks, labels = (torch.Generator().manual_seed(seed + k) for k in range(2))
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    encoded = [_encoded(tokenizer, text, kind, max_length) for text in texts]
    # Like lengths behind each other: processors rebuild their kernels for every new shape.
    rows = sorted((ids for ids in encoded if len(ids) > (2 if kind == "masked" else 1)), key=len)
    if not rows:
        raise UsageError("no neutral text has two tokens or more", where="retention")
    squares = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in named.items()} if fisher else {}
    nats = tokens = 0.0
    was_training = model.training
    model.eval()
    try:
        with torch.set_grad_enabled(fisher), progress("Weighing the parameters", total=len(rows), unit="texts") as bar:
            for ids in rows:
                logp, gold = _predictions(model, tokenizer, ids, kind, masks)
                nats -= float(logp.detach().gather(-1, gold[:, None]).sum())
                tokens += len(gold)
                if fisher:
                    own = torch.multinomial(logp.detach().exp().cpu(), 1, generator=labels).to(logp.device)
                    gradients = torch.autograd.grad(logp.gather(-1, own).sum(), list(named.values()), allow_unused=True)
                    for name, gradient in zip(named, gradients, strict=True):
                        if gradient is not None:
                            squares[name].addcmul_(gradient.float(), gradient.float())
                bar.advance(1)
    finally:
        model.train(was_training)
    for total in squares.values():
        total /= len(rows)
    return Importance(fisher=squares, loss=nats / tokens, sequences=len(rows))


def _encoded(tokenizer: Any, text: str, kind: str, max_length: int) -> list[int]:
    how = {"truncation": True, "max_length": max_length, "add_special_tokens": kind == "masked"}
    return list(tokenizer(text, **how)["input_ids"])


def _predictions(
    model: Any, tokenizer: Any, ids: list[int], kind: str, masks: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities [n, V] of what the model predicts in one sequence, and what stands there, [n]."""
    import torch

    row = torch.tensor([ids])
    if kind == "causal":
        logits = model(input_ids=row.to(model.device)).logits[0, :-1]
        return logits.float().log_softmax(-1), row[0, 1:].to(logits.device)
    special = set(tokenizer.all_special_ids)
    places = torch.tensor([k for k, token in enumerate(ids) if token not in special])
    chosen = places[torch.randperm(len(places), generator=masks)[: max(1, round(MASK_RATE * len(places)))]]
    gold = row[0, chosen]
    row[0, chosen] = tokenizer.mask_token_id
    logits = model(input_ids=row.to(model.device)).logits[0, chosen.to(model.device)]
    return logits.float().log_softmax(-1), gold.to(logits.device)
