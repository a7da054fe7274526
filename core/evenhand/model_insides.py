"""What a model under test shows inside: hidden states, and the attention that its tokens receive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evenhand.scoring_precision import measuring

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel

AT_ONCE = 32
"""Texts whose hidden states are held at once."""


def hidden_states(
    model: PreTrainedModel,
    ids: Sequence[Sequence[int]],
    precision: str,
    *,
    layer: int,
    pooling: Literal["first", "last", "mean"],
    pad: int,
) -> torch.Tensor:
    """[N, H] float32: the state of each sequence at its first or last token, or the mean over its tokens."""
    import torch

    order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
    found: dict[int, torch.Tensor] = {}
    with measuring(model, precision):
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            longest = max(len(ids[k]) for k in chosen)
            batch = torch.tensor([[*ids[k], *[pad] * (longest - len(ids[k]))] for k in chosen])
            mask = torch.tensor([[1] * len(ids[k]) + [0] * (longest - len(ids[k])) for k in chosen])
            batch, mask = batch.to(model.device), mask.to(model.device)
            # The base model alone: nobody reads logits here.
            out = model.base_model(input_ids=batch, attention_mask=mask, output_hidden_states=True)
            states = out.hidden_states[layer].float()
            if pooling == "mean":
                pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            else:
                at = mask.sum(1) - 1 if pooling == "last" else torch.zeros_like(mask[:, 0])
                pooled = states[torch.arange(len(chosen), device=states.device), at]
            found |= dict(zip(chosen, pooled.cpu(), strict=True))
    return torch.stack([found[k] for k in range(len(ids))]) if ids else torch.empty(0, 0)


def received_attention(
    model: PreTrainedModel, ids: Sequence[Sequence[int]], precision: str
) -> list[np.ndarray[Any, Any]]:
    """[T] for each sequence: the attention that each token receives, averaged over layers, heads and queries."""
    import torch

    found = []
    with _eager(model), measuring(model, precision):
        for sequence in ids:
            row = torch.tensor([list(sequence)], device=model.device)
            out = model(input_ids=row, attention_mask=torch.ones_like(row), output_attentions=True)
            weights = torch.stack([layer[0].float() for layer in out.attentions])
            found.append(weights.mean((0, 1, 2)).cpu().numpy())
    return found


@contextlib.contextmanager
def _eager(model: PreTrainedModel) -> Iterator[None]:
    """Attention that returns its weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
