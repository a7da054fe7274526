"""Adversarial training with projection: the model unlearns what lets an adversary guess a group, and never helps it.

With g_P the gradient of all other terms and g_A that of the adversary's cross-entropy, over the model's parameters,

    direction  =  g_P  -  s * [ proj_{g_A}(g_P) + alpha_t * g_A ],        proj_v(u) = (u . v / v . v) v

and the model descends it, while the adversary descends its own loss. Without the projection, a step that is good for
language could make the adversary's task easier. The adversary reads text whose group words are masked, in the states
of a hidden layer (demographic parity: the representation alone). alpha_t ramps up linearly over the first tenth of
the steps.

Source: Zhang, Lemoine and Mitchell 2018, Mitigating unwanted biases with adversarial learning; the ramp is ours, they
use sqrt(t) with a step size of 1/t.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Aggregator,
    AxisName,
    DataTransform,
    Locale,
    LossTerm,
    Mitigation,
    RunContext,
    Section,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import RowOptions
from evenhand_standard.objective.adversary_heads import guessing, layer_of, make_heads
from evenhand_standard.objective.fresh_probe import probe_section
from evenhand_standard.objective.group_masking import EXAMPLE, Masking, labelled
from evenhand_standard.objective.pair_parity import pairs_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

RAMP = 0.1
"""Share of the steps after which alpha has its full value."""


class AdversaryOptions(RowOptions):
    """What both kinds of adversarial training let a recipe say."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    names: bool = Field(True, description="First names belong to groups, too, and are masked.")
    layer: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="The hidden states that adversaries read; 0: embeddings, none: at two thirds of the depth.",
    )
    hidden: Annotated[int, Field(ge=1)] = Field(64, description="Units of an adversary's hidden layer.")
    adversary_learning_rate: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="None: a multiple of training.learning_rate, 10 (adversarial) or 5 (gradient-reversal)."
    )
    adversary_steps: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="Steps of the adversaries on each micro-batch, for one that lags behind the model."
    )


class AdversarialOptions(AdversaryOptions):
    """Options of `adversarial`; `strength` scales what is taken from the gradient."""

    alpha: Annotated[float, Field(ge=0.0)] = Field(1.0, description="Weight of climbing the adversary's loss.")


class Adversarial(Mitigation):
    """Trains the model against an adversary that guesses the group, with the projection that keeps it from helping."""

    name = "adversarial"
    summary = "Takes out of each update what helps an adversary to guess the group from hidden states."
    source = "Zhang, Lemoine and Mitchell 2018, Mitigating unwanted biases with adversarial learning"
    Options = AdversarialOptions
    sole = ("aggregator",)
    example_columns = EXAMPLE

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        return labelled(run, o, load_axis(o.axis, o.locale), names=o.names) if split == "train" else None

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm | Aggregator]:
        import torch

        o = self.options
        if o.strength == 0:
            return []
        axis = load_axis(o.axis, o.locale)
        place = Masking(axis.name)
        heads = make_heads(model, len(axis.groups), count=1, hidden=o.hidden, dropout=0.0)
        rate = o.adversary_learning_rate or 10 * run.services.settings.learning_rate
        name = f"adversary of {run.step_id}"
        reached = [0.0]
        term = LossTerm(
            name=name,
            fn=guessing(heads, place, axis.groups, layer_of(model, o.layer)),
            count=pairs_of(place.text),
            needs=place.needs,
            parameters=heads.parameters,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=rate),
            optimizer_steps=o.adversary_steps,
        )
        return [
            term,
            Aggregator(
                name=f"projection of {run.step_id}",
                combine=lambda losses, gradients: projected(gradients, name, o.strength, o.alpha * reached[0]),
                uses="gradients",
                on_step=lambda step, total: reached.__setitem__(0, min(1.0, (step + 1) / max(1.0, RAMP * total))),
            ),
        ]

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        o = self.options
        if o.strength == 0:
            return None
        return probe_section(run, model, load_axis(o.axis, o.locale), layer_of(model, o.layer))


def projected(gradients: Mapping[str, torch.Tensor], adversary: str, strength: float, alpha: float) -> torch.Tensor:
    """g_P - s * [proj_{g_A}(g_P) + alpha * g_A] [D] of gradients [D] by term."""
    import torch

    against = gradients[adversary]
    others = [g for name, g in gradients.items() if name != adversary]
    own = torch.stack(others).sum(0) if others else torch.zeros_like(against)
    square = float(torch.dot(against, against))
    if square == 0.0:
        return own
    share = float(torch.dot(own, against)) / square
    return own.sub_(against, alpha=strength * (share + alpha))
