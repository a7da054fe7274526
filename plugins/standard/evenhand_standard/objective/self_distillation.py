"""Counterfactual role reversal: the model learns from its untouched self, averaged over a text and its counterfactuals.

With x~_1 ... x~_k the counterfactuals of x and T the untouched model, at aligned positions t

    q( . | x_<t) = normalised op( p_T( . | x_<t), p_T( . | x~_1 <t), ... )        op: mean, geometric mean, max
    L            = mean over positions of  KL( F q || F p( . | x_<t) )

F folds the probabilities of aligned group words (she, he) into one. The average is taken on folded distributions, so
that the student may keep what grammar asks of it: within a bin nothing is taught. The training adds
strength * (weight * L + retention * KL(p_T || p)).

Source: Gupta et al. 2022 (counterfactual role reversal in distillation; teacher larger than the student, no folding).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Batch,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    PairBatch,
    Pairing,
    RunContext,
    Section,
    fold,
    hookimpl,
)
from evenhand_standard.objective.axis_pairs import AxisPairOptions, terms_on_pairs
from evenhand_standard.objective.context_use import context_section
from evenhand_standard.objective.pair_parity import LEAST, log_probabilities, mean_in_chunks, nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
Operation = Literal["mean", "geometric", "max"]
Term = Callable[[Batch, Outputs], "torch.Tensor"]


class SelfDistillationOptions(AxisPairOptions):
    """Options of `self-distillation`; `strength` scales both terms."""

    operation: Operation = Field("mean", description="How the teacher's distributions become one.")
    weight: NotNegative = Field(1.0, description="Weight of KL(teacher || trained) beside the language-modelling loss.")


class SelfDistillation(Mitigation):
    """Distils the untouched model, averaged over a text and its counterfactuals, into the model itself."""

    name = "self-distillation"
    summary = "Learns from the untouched model's answer to a text and to its counterfactuals, averaged."
    source = "Gupta et al. 2022, Mitigating gender bias in distilled language models via counterfactual role reversal"
    Options = SelfDistillationOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options

        def term(pairing: Pairing, name: str) -> LossTerm:
            fn, needs = distillation(pairing.key, o.operation), Needs(counterfactual=pairing, reference=True)
            return LossTerm(name=name, fn=fn, count=places_of(pairing.key), weight=o.strength * o.weight, needs=needs)

        return terms_on_pairs(run, model, o, term, "self-distillation")

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        return None if self.options.strength == 0 else context_section(run, model, self.options.locale)


def places(pairs: PairBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """The positions [N, 2] (row, place) that a counterfactual has beside them, each once, and which is each pair's."""
    import torch

    pair, here, _ = pairs.positions.unbind(-1)
    found: tuple[torch.Tensor, torch.Tensor] = torch.stack([pairs.rows[pair], here], dim=-1).unique(
        dim=0, return_inverse=True
    )
    return found


def places_of(key: str) -> Callable[[Batch], float]:
    """How many of them a batch has."""
    return lambda batch: float(len(places(batch.pairs[key])[0]) if len(batch.pairs[key].positions) else 0)


def distillation(key: str, operation: Operation) -> Term:
    """The mean of KL(F q || F p) [] over the positions of the rows that a counterfactual has beside them."""
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        pairs = batch.pairs[key]
        if key not in outputs.pairs or len(pairs.positions) == 0:
            return nothing(outputs)
        found = outputs.pairs[key]
        assert outputs.reference is not None and found.reference is not None
        pair, _, there = pairs.positions.unbind(-1)
        each, place = places(pairs)
        row, at = each.unbind(-1)
        with torch.no_grad():
            own = folded(outputs.reference.logits()[row, at], pairs.bins)
            others = folded(found.reference.logits()[pair, there], pairs.bins)
            target = teacher(own, others, place, operation)

        def divergence(q: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            return (q.exp() * (q - folded(logits, pairs.bins))).sum(-1)

        return mean_in_chunks(divergence, target, outputs.logits[row, at])

    return fn


def folded(logits: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Folded log-probabilities [N, V]; a token whose mass lies elsewhere has a very small one, for the gradient."""
    return fold(log_probabilities(logits), bins).clamp_min(LEAST)


def teacher(own: torch.Tensor, others: torch.Tensor, place: torch.Tensor, operation: Operation) -> torch.Tensor:
    """The log-probabilities [N, V] of op over those of a text [N, V] and of its counterfactuals [M, V], of which each
    belongs to the position `place` [M]."""
    import torch

    index = place[:, None].expand_as(others)
    if operation == "max":
        made = own.scatter_reduce(0, index, others, "amax")
    elif operation == "mean":
        made = own.exp().scatter_reduce(0, index, others.exp(), "mean").clamp_min(torch.finfo(torch.float32).tiny).log()
    else:
        made = own.scatter_reduce(0, index, others, "mean")
    return made.log_softmax(-1).clamp_min(LEAST)
