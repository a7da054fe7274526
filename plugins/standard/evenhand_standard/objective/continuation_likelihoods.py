"""How likely a model finds the row's own continuation and another one, behind what the two texts share.

For a row x a and another text x b, everything before the first token that differs is as likely in both. With that token
at t0,

    log p(a | x) = sum_{t >= t0} log p(x_t | x_<t),        and the same of b

so that no prompt need be told apart from a continuation. The untouched model's likelihoods of a row are computed when
the row is first seen, and kept as two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand_sdk import Batch, Outputs, UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class PairLikelihoods:
    """Log-likelihoods in nat of both continuations of P rows."""

    rows: torch.Tensor
    """[P] index of the row in the batch."""
    own: torch.Tensor
    """[P] of the row's own continuation."""
    other: torch.Tensor
    """[P] of the other text's."""
    own_tokens: torch.Tensor
    """[P] tokens of the own continuation."""
    other_tokens: torch.Tensor
    """[P]"""

    def normalised(self) -> PairLikelihoods:
        """The same per token."""
        return PairLikelihoods(
            rows=self.rows, own=self.own / self.own_tokens, other=self.other / self.other_tokens,
            own_tokens=self.own_tokens, other_tokens=self.other_tokens,
        )  # fmt: skip


def pair_likelihoods(batch: Batch, outputs: Outputs, key: str) -> PairLikelihoods | None:
    """Of all rows of the batch that have another text under `key`; None when no row has."""
    if key not in outputs.pairs:
        return None
    pairs = batch.pairs[key]
    return _likelihoods(
        batch.input_ids[pairs.rows], batch.attention_mask[pairs.rows], outputs.logits[pairs.rows],
        pairs.input_ids, pairs.attention_mask, outputs.pairs[key].logits, pairs.rows,
    )  # fmt: skip


def _likelihoods(
    own: torch.Tensor,
    own_mask: torch.Tensor,
    own_logits: torch.Tensor,
    other: torch.Tensor,
    other_mask: torch.Tensor,
    other_logits: torch.Tensor,
    rows: torch.Tensor,
) -> PairLikelihoods:
    import torch

    differs = (own != other) | (own_mask != other_mask)
    if not bool(differs.any(-1).all()):
        raise UsageError("a pair holds the same text twice, so that there is nothing to prefer", where="training data")
    place = torch.arange(own.shape[1], device=own.device)
    behind = place >= differs.float().argmax(-1, keepdim=True)
    first, count = _tail(own, own_logits, behind & own_mask.bool())
    second, number = _tail(other, other_logits, behind & other_mask.bool())
    return PairLikelihoods(rows=rows, own=first, other=second, own_tokens=count, other_tokens=number)


def _tail(ids: torch.Tensor, logits: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of log p of the kept tokens [P], and their number [P], at least 1: ids and kept [P, T], logits [P, T, V]."""
    import torch

    kept = kept[:, 1:]  # nothing predicts the first token
    chosen = logits[:, :-1][kept].float()
    found = chosen.gather(-1, ids[:, 1:][kept][:, None])[:, 0] - chosen.logsumexp(-1)
    spread = torch.zeros(kept.shape, dtype=found.dtype, device=found.device).masked_scatter(kept, found)
    return spread.sum(-1), kept.sum(-1).clamp_min(1)


@dataclass
class UntouchedLikelihoods:
    """What the untouched model finds of the rows of one training, by row number."""

    key: str
    kept: dict[int, tuple[float, float]] = field(default_factory=dict)

    def of(self, batch: Batch, outputs: Outputs, found: PairLikelihoods) -> PairLikelihoods:
        """The reference's likelihoods of the same continuations, without gradient."""
        import torch

        reference, pairs = outputs.reference, batch.pairs[self.key]
        assert reference is not None and reference.forward is not None
        numbers = [int(batch.rows[row]) for row in found.rows]
        new = [k for k, number in enumerate(numbers) if number not in self.kept]
        if new:
            rows = pairs.rows[new]
            own, mask = batch.input_ids[rows], batch.attention_mask[rows]
            both = reference.forward(
                torch.cat([own, pairs.input_ids[new]]), torch.cat([mask, pairs.attention_mask[new]])
            ).split(len(new))
            seen = _likelihoods(own, mask, both[0], pairs.input_ids[new], pairs.attention_mask[new], both[1], rows)
            for k, a, b in zip(new, seen.own.tolist(), seen.other.tolist(), strict=True):
                self.kept[numbers[k]] = (a, b)
        values = torch.tensor([self.kept[n] for n in numbers], dtype=found.own.dtype, device=found.own.device)
        return PairLikelihoods(
            rows=found.rows, own=values[:, 0], other=values[:, 1], own_tokens=found.own_tokens,
            other_tokens=found.other_tokens,
        )  # fmt: skip
