"""What a loss term sees: one micro-batch and the model's outputs on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(kw_only=True)
class PairBatch:
    """Counterfactuals of some rows of the batch, and the positions where both sides should agree."""

    rows: torch.Tensor
    """[P] index of the text row that each counterfactual belongs to."""
    input_ids: torch.Tensor
    """[P, T] the counterfactuals. Masked models: with the row's mask or drawn piece at the compared positions, and as
    they are everywhere else."""
    attention_mask: torch.Tensor
    """[P, T]"""
    positions: torch.Tensor
    """[N, 3] (pair p, position in the text row, position in the counterfactual): compare distributions there. Empty
    where the pairing is not `aligned`."""
    bins: torch.Tensor
    """[V] the bin of each vocabulary entry, for `fold`."""


@dataclass(kw_only=True)
class Batch:
    """One micro-batch of text rows."""

    input_ids: torch.Tensor
    """[B, T]"""
    attention_mask: torch.Tensor
    """[B, T]"""
    labels: torch.Tensor
    """[B, T]; -100 where nothing is predicted. Causal models: not yet shifted. Masked models: at masked positions."""
    rows: torch.Tensor
    """[B] row numbers in the data set."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, PairBatch] = field(default_factory=dict)

    def to(self, device: Any) -> Batch:
        """The same batch with all its tensors on a device."""

        def moved(part: Any) -> dict[str, Any]:
            return {k: v.to(device) if hasattr(v, "to") else v for k, v in vars(part).items()}

        pairs = {key: PairBatch(**moved(pair)) for key, pair in self.pairs.items()}
        return Batch(**{**moved(self), "pairs": pairs})


@dataclass(kw_only=True)
class PairOutputs:
    """The model on the counterfactuals of a batch."""

    logits: torch.Tensor
    """[P, T, V]"""
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    reference: Reference | None = None
    """The untouched model on these counterfactuals, where a term needs the reference."""


@dataclass(kw_only=True)
class Reference:
    """The untouched model on the text rows of a batch, or on its counterfactuals."""

    logits: Callable[[], torch.Tensor]
    """() -> [B, T, V] or [P, T, V], computed when asked from cached final hidden states and the frozen output
    matrix."""
    model: PreTrainedModel | None = None
    """The untouched model itself: frozen, in evaluation mode."""


@dataclass(kw_only=True)
class Outputs:
    """The model on a batch."""

    logits: torch.Tensor
    """[B, T, V]"""
    loss: torch.Tensor
    """The language-modelling loss: mean negative log-likelihood in nat per predicted token."""
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    pairs: Mapping[str, PairOutputs] = field(default_factory=dict)
    reference: Reference | None = None
    model: PreTrainedModel | None = None
    """The model that is trained, for terms on its weights; under FSDP or ZeRO 3 a process holds only its part."""
