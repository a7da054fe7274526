"""Attention heads taken away at random: what removing the heads of a method must beat.

    W_O  ->  W_O with the input columns of n heads set to 0,   n = strength * all heads

The columns of a head are those that its output meets in the output projection, so that it no longer writes anything.
Heads come in an order drawn from the seed over all layers; the last one may lose only a part of its output, so that n
is continuous and the loss of quality can be matched to that of a run.

Source: the degradation controls of this project's reporting protocol; Michel, Levy and Neubig 2019 for removing heads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evenhand_sdk import Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class RandomHeads(Mitigation):
    """Takes heads away, as a control that fairer-looking numbers must beat."""

    name = "random-heads"
    summary = "A control: takes away attention heads that are drawn at random; strength is their share."
    source = "Degradation-matched controls (this project); Michel, Levy and Neubig 2019 on removing heads"
    draws = True
    Options = StrengthOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        from evenhand_standard.controls.changed_weights import changed_weights

        strength = self.options.strength
        if strength == 0:
            return None
        outputs = output_projections(model)
        heads = int(model.config.num_attention_heads)
        kept = kept_shares(len(outputs) * heads, strength, run.seed_for("heads"))
        by_layer = dict(zip(outputs, kept.reshape(len(outputs), heads), strict=True))

        def pruned(name: str, weight: torch.Tensor) -> torch.Tensor:
            return without_heads(weight, by_layer[name], transposed=outputs[name])

        return changed_weights(pruned, names=outputs)


def output_projections(model: PreTrainedModel) -> dict[str, bool]:
    """The matrices by which attention writes its heads' outputs, in order of the layers: name -> whether inputs are
    rows (GPT-2), not columns. Raises UsageError for a family that is not described."""
    from evenhand_standard.architecture.families import family_of

    pattern = family_of(model).attention_output
    found = {}
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and re.search(pattern, name):
            owner = model.get_submodule(name.rpartition(".")[0])
            found[name] = type(owner).__name__ == "Conv1D"
    return found


def kept_shares(heads: int, strength: float, seed: int) -> torch.Tensor:
    """[heads] which share of each head's output is kept: 0 for the first strength * heads in the drawn order."""
    import torch

    order = torch.randperm(heads, generator=torch.Generator().manual_seed(seed))
    kept = torch.empty(heads, dtype=torch.float64)
    kept[order] = 1 - (strength * heads - torch.arange(heads, dtype=torch.float64)).clamp(0, 1)
    return kept


def without_heads(weight: torch.Tensor, kept: torch.Tensor, *, transposed: bool) -> torch.Tensor:
    """An output projection [out, heads * width], or [heads * width, out], with the inputs of each head scaled."""
    inputs = weight.shape[0] if transposed else weight.shape[1]
    scale = kept.to(weight).repeat_interleave(inputs // len(kept))
    return weight * (scale[:, None] if transposed else scale)
