"""Contrastive learning over counterfactual pairs: a text stands by its counterfactual, and apart from other texts.

With h(x) the mean of a text's final hidden states, s the cosine, and x_i, x~_i the pairs of a batch,

    L_CL = mean_i  -log  exp( s(h_i, h~_i) / tau ) / ( exp( s(h_i, h~_i) / tau ) + sum_j exp( s(h_i, h~_j) / tau ) )
    L_AL = mean_ij ( s(h_i, h_j) - s(h~_i, h~_j) )^2

where j runs over pairs of other rows. Without the other texts, all representations could collapse into one; L_AL asks
that two texts be as alike as their counterfactuals are. The training adds

    strength * ( weight * [ (1 - alignment) * L_CL + alignment * L_AL ] + retention * KL(p0 || p) )

Source: He et al. 2022 (MABEL: tau 0.05, alignment 0.05), who take entailment pairs of an NLI set for the two texts and
both sides of their counterfactuals as positives; here other rows of the same text stand in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Batch, LossTerm, Mitigation, Needs, Outputs, Pairing, RunContext, hookimpl
from evenhand_standard.objective.axis_pairs import AxisPairOptions, terms_on_pairs
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]


class PairContrastOptions(AxisPairOptions):
    """Options of `pair-contrast`; `strength` scales both terms."""

    weight: NotNegative = Field(0.1, description="Weight of the contrast beside the language-modelling loss.")
    temperature: Annotated[float, Field(gt=0.0)] = Field(0.05, description="tau: how sharply texts are told apart.")
    alignment: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.05, description="Share of the alignment loss; the rest is the contrastive one."
    )


class PairContrast(Mitigation):
    """Brings the representations of a text and its counterfactual together, and keeps those of other texts apart."""

    name = "pair-contrast"
    summary = "Brings a text and its counterfactual together in the hidden states, and keeps other texts apart."
    source = "He et al. 2022, MABEL: Attenuating gender bias using textual entailment data"
    Options = PairContrastOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options

        def term(pairing: Pairing, name: str) -> LossTerm:
            fn = contrast(pairing.key, o.temperature, o.alignment)
            needs = Needs(hidden_states=True, counterfactual=pairing, rows=2)
            return LossTerm(name=name, fn=fn, count=told_apart(pairing.key), weight=o.strength * o.weight, needs=needs)

        return terms_on_pairs(run, model, o, term, "pair contrast")


def told_apart(key: str) -> Callable[[Batch], float]:
    """How many counterfactuals a batch has; 0 where none has another row to be told apart from."""
    return lambda batch: float(len(batch.pairs[key].rows) if len(batch.pairs[key].rows.unique()) > 1 else 0)


def contrast(key: str, temperature: float, alignment: float) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The loss [] of a batch; 0 where fewer than two of its rows have a counterfactual."""

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        if key not in outputs.pairs or len(batch.pairs[key].rows.unique()) < 2:
            return nothing(outputs)
        pairs, found = batch.pairs[key], outputs.pairs[key]
        assert outputs.hidden_states is not None and found.hidden_states is not None
        own = direction(outputs.hidden_states[-1], batch.attention_mask)[pairs.rows]
        other = direction(found.hidden_states[-1], pairs.attention_mask)
        apart = pairs.rows[:, None] != pairs.rows[None, :]
        with torch.autocast(own.device.type, enabled=False):  # differences between texts can be below the step of bf16
            contrastive = info_nce(own @ other.T, apart, temperature)
            aligned = (own @ own.T - other @ other.T)[apart].square().mean()
            return (1 - alignment) * contrastive + alignment * aligned

    return fn


def direction(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over tokens of states [B, T, H] under a mask [B, T], at length 1: [B, H] in float32."""
    import torch

    kept = mask[..., None].to(states.device)
    pooled = (states.float() * kept).sum(1) / kept.sum(1).clamp_min(1)
    return torch.nn.functional.normalize(pooled, dim=-1)


def info_nce(alike: torch.Tensor, apart: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean over i [] of -log softmax of alike[i, i] [P, P] among itself and those that are `apart` [P, P]."""
    import torch

    itself = torch.eye(len(alike), dtype=torch.bool, device=alike.device)
    scores = (alike / temperature).masked_fill(~(apart | itself), -torch.inf)
    return (scores.logsumexp(-1) - scores.diagonal()).mean()
