"""The term that holds a model to its untouched copy while another loss changes it; most objectives bring one along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand_sdk import Axis, LossTerm, Needs, RunContext, token_bins
from evenhand_standard.objective.pair_parity import RetainedWords

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def retention_terms(
    run: RunContext, model: PreTrainedModel, axes: Sequence[Axis], *, names: bool, weight: float
) -> list[LossTerm]:
    """KL(p0 || p) on predicted words that are no group words of the axes, as a list of one term, or of none for weight
    0 (techniques 2.5)."""
    if weight == 0:
        return []
    words = [bin for axis in axes for bin in axis.bins(names=names)]
    bins = token_bins(run.tokenizer, words, model.get_input_embeddings().num_embeddings)
    held = RetainedWords(bins, causal=run.kind == "causal")
    return [
        LossTerm(
            name="retention",
            fn=held,
            key=held.key,
            count=held.count,
            weight=weight,
            needs=Needs(reference=True),
            anchor=True,
        )
    ]
