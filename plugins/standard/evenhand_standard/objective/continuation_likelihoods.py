"""How likely a model finds two continuations, behind what the two texts share.

For texts x a and x b, everything before the first token that differs is as likely in both. With that token at t0,

    log p(a | x) = sum_{t >= t0} log p(x_t | x_<t),        and the same of b

so that no prompt need be told apart from a continuation. The untouched model's likelihoods of a row are computed when
the row is first seen, and kept as two numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand_sdk import Batch, Outputs

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """Log-likelihoods in nat of two continuations for each of P rows."""

    own: torch.Tensor
    """[P] of the first continuation."""
    other: torch.Tensor
    """[P] of the second."""
    own_tokens: torch.Tensor
    """[P] tokens of the first continuation."""
    other_tokens: torch.Tensor
    """[P]"""

    def normalised(self) -> Likelihoods:
        """The same per token."""
        own, other = self.own / self.own_tokens, self.other / self.other_tokens
        return Likelihoods(own=own, other=other, own_tokens=self.own_tokens, other_tokens=self.other_tokens)


@dataclass(frozen=True, kw_only=True)
class TextPairs:
    """Two texts for each of P rows of a batch, and the model's logits on them."""

    rows: list[int]
    """Index of each row in the batch."""
    own: torch.Tensor
    """[P, T]"""
    own_mask: torch.Tensor
    other: torch.Tensor
    """[P, T]"""
    other_mask: torch.Tensor
    own_logits: torch.Tensor
    """[P, T, V]"""
    other_logits: torch.Tensor

    def differs(self) -> torch.Tensor:
        """[P, T] where the two texts differ."""
        return _differ(self.own, self.own_mask, self.other, self.other_mask)

    def likelihoods(self) -> Likelihoods:
        """Behind the first difference, which every pair must have."""
        return _likelihoods(self, self.own_logits, self.other_logits)


def row_and_other(batch: Batch, outputs: Outputs, key: str) -> TextPairs | None:
    """Each row of a batch that has another text under `key`, and that text; None when no row has.

    Two texts that are cut off before they differ are no pair.
    """
    if key not in outputs.pairs:
        return None
    pairs, logits = batch.pairs[key], outputs.pairs[key].logits
    rows = pairs.rows
    return _differing(
        TextPairs(
            rows=rows.tolist(), own=batch.input_ids[rows], own_mask=batch.attention_mask[rows], other=pairs.input_ids,
            other_mask=pairs.attention_mask, own_logits=outputs.logits[rows], other_logits=logits,
        )
    )  # fmt: skip


def two_others(batch: Batch, outputs: Outputs, key: str) -> TextPairs | None:
    """The two texts that rows of a batch have under `key`, the first as `own`; None when no row has.

    Two texts that are cut off before they differ are no pair.
    """
    if key not in outputs.pairs:
        return None
    pairs, logits = batch.pairs[key], outputs.pairs[key].logits
    a, b = slice(0, None, 2), slice(1, None, 2)
    return _differing(
        TextPairs(
            rows=pairs.rows[a].tolist(), own=pairs.input_ids[a], own_mask=pairs.attention_mask[a],
            other=pairs.input_ids[b], other_mask=pairs.attention_mask[b], own_logits=logits[a], other_logits=logits[b],
        )
    )  # fmt: skip


def differing_rows(key: str) -> Callable[[Batch], float]:
    """How many pairs `row_and_other` finds in a batch."""

    def count(batch: Batch) -> float:
        pairs = batch.pairs[key]
        ids, mask = batch.input_ids[pairs.rows], batch.attention_mask[pairs.rows]
        return float(_differ(ids, mask, pairs.input_ids, pairs.attention_mask).any(-1).sum())

    return count


def differing_others(key: str) -> Callable[[Batch], float]:
    """How many pairs `two_others` finds in a batch."""

    def count(batch: Batch) -> float:
        ids, mask = batch.pairs[key].input_ids, batch.pairs[key].attention_mask
        return float(_differ(ids[::2], mask[::2], ids[1::2], mask[1::2]).any(-1).sum())

    return count


def _differ(own: torch.Tensor, own_mask: torch.Tensor, other: torch.Tensor, other_mask: torch.Tensor) -> torch.Tensor:
    return (own != other) | (own_mask != other_mask)


def _differing(texts: TextPairs) -> TextPairs | None:
    """The pairs whose texts differ where the model reads them; None when there are none."""
    kept = texts.differs().any(-1)
    if bool(kept.all()):
        return texts
    rows = [row for row, differs in zip(texts.rows, kept.tolist(), strict=True) if differs]
    if not rows:
        return None
    return TextPairs(
        rows=rows, own=texts.own[kept], own_mask=texts.own_mask[kept], other=texts.other[kept],
        other_mask=texts.other_mask[kept], own_logits=texts.own_logits[kept], other_logits=texts.other_logits[kept],
    )  # fmt: skip


def _likelihoods(texts: TextPairs, own_logits: torch.Tensor, other_logits: torch.Tensor) -> Likelihoods:
    import torch

    differs = texts.differs()
    place = torch.arange(differs.shape[1], device=differs.device)
    behind = place >= differs.float().argmax(-1, keepdim=True)
    own, count = _tail(texts.own, own_logits, behind & texts.own_mask.bool())
    other, number = _tail(texts.other, other_logits, behind & texts.other_mask.bool())
    return Likelihoods(own=own, other=other, own_tokens=count, other_tokens=number)


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

    kept: dict[int, tuple[float, float]] = field(default_factory=dict)

    def of(self, batch: Batch, outputs: Outputs, texts: TextPairs, like: Likelihoods) -> Likelihoods:
        """The untouched model's likelihoods of the same continuations; `like` are the present model's."""
        import torch

        reference = outputs.reference
        assert reference is not None and reference.model is not None
        numbers = [int(batch.rows[row]) for row in texts.rows]
        new = [k for k, number in enumerate(numbers) if number not in self.kept]
        if new:
            ids = torch.cat([texts.own[new], texts.other[new]])
            mask = torch.cat([texts.own_mask[new], texts.other_mask[new]])
            with torch.no_grad():
                own, other = reference.model(input_ids=ids, attention_mask=mask).logits.split(len(new))
            fresh = TextPairs(
                rows=[texts.rows[k] for k in new], own=texts.own[new], own_mask=texts.own_mask[new],
                other=texts.other[new], other_mask=texts.other_mask[new], own_logits=own, other_logits=other,
            ).likelihoods()  # fmt: skip
            for k, a, b in zip(new, fresh.own.tolist(), fresh.other.tolist(), strict=True):
                self.kept[numbers[k]] = (a, b)
        values = torch.tensor([self.kept[n] for n in numbers], dtype=like.own.dtype, device=like.own.device)
        return Likelihoods(
            own=values[:, 0], other=values[:, 1], own_tokens=like.own_tokens, other_tokens=like.other_tokens
        )
