"""Weights of rows, and what they add to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand_sdk import TrainingStart

if TYPE_CHECKING:
    import torch

WEIGHT = "evenhand_row_weight"
"""The column that `group-balancing` adds with `apply = "weigh"`; rows that later steps make from none have weight 1."""


class WeightedExcess:
    """What weights add to the language-modelling loss: with weights w_i of mean 1 over the rows of the training,

    1/N sum_t w_i(t) nll_t  -  1/N sum_t nll_t        over the N predicted tokens of a batch

    The mean is not that of the batch: a batch of one row would have no weight but 1, and a row's weight would depend on
    the rows beside it.
    """

    def __init__(self, kind: str) -> None:
        self.kind, self.mean = kind, 1.0

    def on_start(self, begun: TrainingStart) -> None:
        """Rows of the training have another mean than 1 where later steps dropped or added some."""
        given = [stated(w) for w in begun.rows[WEIGHT]]
        self.mean = sum(given) / max(1, len(given))

    def count(self, batch: Any) -> float:
        labels = batch.labels[:, 1:] if self.kind == "causal" else batch.labels
        return float((labels != -100).sum())

    def __call__(self, batch: Any, outputs: Any) -> torch.Tensor:
        import torch

        logits, labels = outputs.logits, batch.labels
        if self.kind == "causal":
            logits, labels = logits[:, :-1], labels[:, 1:]
        counted = labels != -100
        nll = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none"
        ).view_as(labels)
        excess = torch.tensor([stated(w) / self.mean - 1 for w in batch.columns[WEIGHT]], device=nll.device)
        return (excess[:, None] * counted * nll).sum() / counted.sum().clamp_min(1)


def stated(weight: float | None) -> float:
    """The weight of a row; 1 for a row that a later step made from none."""
    return 1.0 if weight is None else float(weight)
