"""How differently a model goes on after two groups: a number to choose a change by.

    gap = mean over positions t behind the group word of  JS( F p(. | x_<t), F p(. | x~_<t) )

Differentiable. F folds aligned group words into one. The pairs are those to fit on (`group_pairs.py`), which a run is
not measured with. For masked models each position is masked in turn.

Source: building blocks 2.3 to 2.5 of the technique notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand_sdk import (
    Axis,
    RunContext,
    UsageError,
    aligned_positions,
    comparable_positions,
    group_tokens,
    token_bins,
)
from evenhand_standard.architecture.asked_rows import Asked, Ids, batches, hidden, logits_at
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.objective.folded_divergence import mean_folded_js

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Compared:
    """A pair of texts as rows: distribution k of the left rows is compared with distribution k of the right ones."""

    left: tuple[Asked, ...]
    right: tuple[Asked, ...]

    @property
    def positions(self) -> int:
        return sum(len(row.places) for row in self.left)


@dataclass(frozen=True)
class PairProbe:
    """Pairs, ready to be read by models of one tokenizer."""

    pairs: tuple[Compared, ...]
    bins: torch.Tensor
    pad: int

    @classmethod
    def of(cls, run: RunContext, model: PreTrainedModel, axis: Axis, pairs: int) -> PairProbe:
        """So many pairs; UsageError when none has a position to compare."""
        tokenizer, kind = run.tokenizer, run.kind
        bins = token_bins(tokenizer, axis.bins(), model.get_input_embeddings().num_embeddings)
        ignored = group_tokens(bins) | frozenset(tokenizer.all_special_ids)

        def ids(text: str) -> Ids:
            return tuple(tokenizer(text)["input_ids"])

        compared = []
        for pair in fitting_pairs(axis, pairs):
            left, right = ids(pair.texts[0]), ids(pair.texts[1])
            if kind == "causal":
                where = comparable_positions(left, right, ignored)
                made = Compared((Asked(left, tuple(i for i, _ in where)),), (Asked(right, tuple(j for _, j in where)),))
            else:
                where = [(i, j) for i, j in aligned_positions(left, right) if left[i] not in ignored]
                made = Compared(
                    tuple(Asked(hidden(left, i, tokenizer), (i,)) for i, _ in where),
                    tuple(Asked(hidden(right, j, tokenizer), (j,)) for _, j in where),
                )
            if where:
                compared.append(made)
        if not compared:
            raise UsageError(
                f"no pair of sentences of the axis {axis.name!r} has a word to compare with this tokenizer",
                do="take another axis, or more pairs",
            )
        return cls(tuple(compared), bins, int(tokenizer.pad_token_id or 0))

    @property
    def positions(self) -> int:
        """How many positions are compared."""
        return sum(pair.positions for pair in self.pairs)

    def gap(self, model: PreTrainedModel) -> float:
        """The mean divergence in nat over all compared positions."""
        import torch

        with torch.no_grad():
            total = sum(float(value) * count for value, count in self.gaps(model))
        return total / self.positions

    def gaps(self, model: PreTrainedModel) -> Iterator[tuple[torch.Tensor, int]]:
        """(mean divergence [] of a few pairs, with its gradient; how many positions it is over)."""
        for few in batches(self.pairs, lambda pair: (*pair.left, *pair.right)):
            left = logits_at(model, [row for pair in few for row in pair.left], self.pad)
            right = logits_at(model, [row for pair in few for row in pair.right], self.pad)
            yield mean_folded_js(left, right, self.bins.to(left.device)), len(left)
