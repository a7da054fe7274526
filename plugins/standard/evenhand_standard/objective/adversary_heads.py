"""Adversaries on a hidden layer: small networks that guess a text's group from the mean of its states.

    guess  =  W2 act( W1 norm( mean_t h_k(t) ) ),        loss = cross-entropy of the group, in nat

The norm makes the guess independent of how large the states of a layer are, so that one learning rate serves all
models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Batch, Outputs, UsageError
from evenhand_standard.objective.group_masking import Masking
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def make_heads(model: PreTrainedModel, classes: int, *, count: int, hidden: int, dropout: float) -> torch.nn.ModuleList:
    """So many networks from the model's hidden size to the classes, on the model's device."""
    import torch

    size = model.config.hidden_size

    def head() -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.LayerNorm(size, elementwise_affine=False),
            torch.nn.Linear(size, hidden),
            torch.nn.GELU(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(hidden, classes),
        )

    return torch.nn.ModuleList(head() for _ in range(count)).to(model.device)


def layer_of(model: PreTrainedModel, layer: int | None) -> int:
    """The index into the hidden states, of which the first is the embeddings; none: at two thirds of the depth.

    Raises UsageError for a layer that the model does not have.
    """
    depth = int(model.config.num_hidden_layers)
    if layer is not None and layer > depth:
        raise UsageError(
            f"the model has no hidden states {layer}",
            where="option layer",
            known=f"it has {depth} layers: 0 are the embeddings, {depth} is what its last layer gives",
            do=f"give a layer from 0 to {depth}, or leave the option out",
        )
    return round(2 * depth / 3) if layer is None else layer


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean [P, H] of states [P, T, H] over the tokens of the mask [P, T], in float32."""
    kept = mask[..., None].to(states.device)
    return (states.float() * kept).sum(1) / kept.sum(1).clamp_min(1)


def guessing(heads: Any, place: Masking, groups: Sequence[str], layer: int) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The sum over heads of the cross-entropy [] of the group of each masked text; 0 when a batch has none."""
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        if place.text not in outputs.pairs:
            return nothing(outputs)
        pairs, states = batch.pairs[place.text], outputs.pairs[place.text].hidden_states
        assert states is not None
        features = pooled(states[layer], pairs.attention_mask)
        labels = [groups.index(batch.columns[place.label][row]) for row in pairs.rows.tolist()]
        target = torch.tensor(labels, device=features.device)
        losses = [torch.nn.functional.cross_entropy(head(features).float(), target) for head in heads]
        return torch.stack(losses).sum()

    return fn
