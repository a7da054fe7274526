"""Gradient reversal against an ensemble of adversaries.

    L  =  L_LM + s * sum_j CE( A_j( GRL_lambda(h) ), z )

GRL is the identity forwards and multiplies the gradient by -lambda backwards: each adversary A_j descends its
cross-entropy, the model climbs the sum. Here the term has the weight -lambda * s for the model, and the adversaries'
own optimiser follows the plain value, which is the same. One pass backwards serves all, where `adversarial` needs one
for each term; nothing keeps the model from helping the adversaries in the sum, and training is less stable.

Sources: Ganin and Lempitsky 2015 (gradient reversal); Elazar and Goldberg 2018; Kumar et al. 2023 (ensemble of five
heads with dropout 0.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import DataTransform, LossTerm, Mitigation, RunContext, Section, hookimpl, load_axis
from evenhand_standard.objective.adversarial import AdversaryOptions
from evenhand_standard.objective.adversary_heads import guessing, layer_of, make_heads
from evenhand_standard.objective.fresh_probe import probe_section
from evenhand_standard.objective.group_masking import EXAMPLE, Masking, labelled
from evenhand_standard.objective.pair_parity import pairs_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class GradientReversalOptions(AdversaryOptions):
    """Options of `gradient-reversal`; `strength` scales lambda."""

    reversal: Annotated[float, Field(ge=0.0)] = Field(1.0, description="lambda, by which the gradient is reversed.")
    adversaries: Annotated[int, Field(ge=1)] = Field(5, description="Heads of the ensemble.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.3, description="In the hidden layer of each head.")


class GradientReversal(Mitigation):
    """Trains the model to climb the loss of several adversaries that guess the group."""

    name = "gradient-reversal"
    summary = "Reverses the gradient of several adversaries that guess the group from hidden states."
    source = "Ganin and Lempitsky 2015; ensemble of adversaries as in Kumar et al. 2023 (DAM)"
    Options = GradientReversalOptions
    example_columns = EXAMPLE

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        return labelled(run, o, load_axis(o.axis, o.locale), names=o.names) if split == "train" else None

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm | None:
        import torch

        o = self.options
        if o.strength == 0:
            return None
        axis = load_axis(o.axis, o.locale)
        place = Masking(axis.name)
        heads = make_heads(model, len(axis.groups), count=o.adversaries, hidden=o.hidden, dropout=o.dropout)
        rate = o.adversary_learning_rate or 5 * run.services.settings.learning_rate
        return LossTerm(
            name=f"adversaries of {run.step_id}",
            fn=guessing(heads, place, axis.groups, layer_of(model, o.layer)),
            count=pairs_of(place.text),
            weight=-o.strength * o.reversal,
            needs=place.needs,
            parameters=heads.parameters,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate),
            optimizer_steps=o.adversary_steps,
        )

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        o = self.options
        if o.strength == 0:
            return None
        return probe_section(run, model, load_axis(o.axis, o.locale), layer_of(model, o.layer))
