"""Gates of attention heads: what each head writes is multiplied before the output projection reads it.

    W_O [g_1 o_1; ...; g_n o_n]  =  W_O' [o_1; ...; o_n],    W_O' = W_O with the columns of head h times g_h

So gates are folded exactly, at no cost. Gates of several steps multiply, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand_sdk import UsageError
from evenhand_standard.architecture.layer_parts import Layer, layers_of
from evenhand_standard.architecture.live_hooks import Beside, Hooks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass
class LiveGates:
    """The gates of one step on a model."""

    step: str
    hooks: Hooks = field(default_factory=Hooks)
    _gates: torch.Tensor | None = None

    def put(self, model: PreTrainedModel, gates: torch.Tensor) -> None:
        """Multiply from now on by gates [layers, heads]; they may carry gradients. UsageError for another shape."""
        layers = layers_of(model)
        wanted = (len(layers), layers[0].heads)
        if tuple(gates.shape) != wanted:
            raise UsageError(
                f"gates are for {gates.shape[0]} layers of {gates.shape[1]} heads",
                where=f"step {self.step!r}",
                known=f"the model has {wanted[0]} layers of {wanted[1]}",
                do="the artifact belongs to another model",
            )
        self._gates = gates
        for layer in layers:
            row = gates[layer.number]
            if row.requires_grad or bool((row != 1).any()):
                self._watch(layer, row)

    def _watch(self, layer: Layer, row: torch.Tensor) -> None:
        beside = Beside(row)

        def gated(heads: torch.Tensor) -> torch.Tensor:
            return heads * beside.like(heads).repeat_interleave(layer.head_size)

        self.hooks.on_input(layer.output.module, gated)

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        self._gates = None

    def fold(self, model: PreTrainedModel) -> bool:
        """Multiply the columns of the output projections."""
        gates = self._gates
        if gates is None:
            return True
        self.take(model)
        for layer in layers_of(model):
            row = gates[layer.number].detach()
            if bool((row != 1).any()):
                weight = layer.output.weight()
                layer.output.write(weight * row.to(weight).repeat_interleave(layer.head_size))
        return True


def shut(kept: torch.Tensor, strength: float) -> torch.Tensor:
    """Gates for a mask of heads, 1 for those that stay: 1 - strength for the others."""
    import torch

    return torch.where(kept.bool(), 1.0, 1.0 - strength).float()
