"""LEACE: the least change of hidden states after which no linear classifier finds the group.

    x -> x - s L R (x - mu),      L R = S_xz (S_zx S_xx^-1 S_xz)^+ S_zx S_xx^-1

fitted in the middle third of the layers, each behind the erasers before it. On the residual stream it stays a live
module that spares group words, so that "she" itself remains female; in front of attention and feed-forward block it is
folded into their matrices.

Source: Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form (theorem 4.2, concept scrubbing).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    AxisName,
    Locale,
    Material,
    Mitigation,
    ModelTransform,
    RunContext,
    StrengthOptions,
    hookimpl,
    load_axis,
)
from evenhand_standard.architecture.eraser import Eraser, leace
from evenhand_standard.architecture.erasure_sites import Form, LiveErasure, sites_of
from evenhand_standard.architecture.group_pairs import fitting_pairs, material_of
from evenhand_standard.architecture.labelled_states import (
    Labelled,
    Positions,
    demand_enough,
    labelled,
    spared_tokens,
    stream,
    tokens_of,
)
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.moments import Moments

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class LeaceOptions(StrengthOptions):
    """Options of `leace`; `strength` is the share of the concept that is taken out."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    form: Form = Field("residual", description="On the residual stream, live; or after norms, folded into matrices.")
    positions: Positions = Field(
        "neutral", description="Erase at words that name no group, or at all; after-norm erases at all."
    )
    layers: tuple[Share, Share] = Field((1 / 3, 2 / 3), description="From which share of the depth to which.")
    pairs: Annotated[int, Field(ge=1)] = Field(240, description="Pairs of sentences that it is fitted on.")
    shrinkage: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        1e-3, description="Weight of a round covariance beside the one that was seen."
    )
    shift: bool = Field(True, description="Keep the mean state; folded, it needs biases.")
    sequential: bool = Field(True, description="Fit each place behind the erasers before it, in a pass of its own.")

    @model_validator(mode="after")
    def _foldable(self) -> LeaceOptions:
        if self.form == "after-norm" and self.positions == "neutral":
            raise ValueError(
                'form = "after-norm" is folded into weights, which act at every word: set positions = "all"'
            )
        if self.layers[0] > self.layers[1]:
            raise ValueError(f"layers begin at {self.layers[0]:g} of the depth, behind their end, {self.layers[1]:g}")
        return self


class Leace(Mitigation):
    """Erases what hidden states say linearly about the group."""

    name = "leace"
    summary = "Erases the group from hidden states with the least change, so that no linear classifier finds it."
    source = "Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form"
    Options = LeaceOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 16}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options
        live = LiveErasure(run.step_id, o.strength, folds=o.form == "after-norm")

        def fit(model: PreTrainedModel) -> Artifact:
            if not o.strength:
                return Artifact()
            return fitted(run, model, o)

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            live.spared = artifact.tensors.get("spared")
            live.put(model, {key: Eraser.read(artifact.tensors, key) for key in artifact.meta.get("sites", ())})

        return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=live.fold)


def fitted(run: RunContext, model: PreTrainedModel, o: LeaceOptions) -> Artifact:
    """An eraser for each place, its tensors and how much of the label it found."""
    axis = load_axis(o.axis, o.locale)
    spared = spared_tokens(run, model, axis)
    rows = labelled(run, axis, fitting_pairs(axis, o.pairs), spared.tolist(), o.positions)
    demand_enough(axis, rows)
    sites = sites_of(chosen_layers(layers_of(model), *o.layers), o.form)
    tensors: dict[str, torch.Tensor] = {}
    ranks: dict[str, int] = {}
    live = LiveErasure(run.step_id, o.strength)
    try:
        if o.positions == "neutral":
            tensors["spared"] = live.spared = spared
            live.look(model)
        for group in [[site] for site in sites] if o.sequential else [sites]:
            width = int(model.get_input_embeddings().embedding_dim)
            moments = {site: Moments(width, len(axis.groups), 1 + len(axis.groups)) for site in group}
            stream(run, model, rows, {site: _adding(moments[site]) for site in group})
            for site in group:
                eraser = leace(moments[site], o.shrinkage, shift=o.shift)
                ranks[site.key] = eraser.rank
                if not eraser.rank:
                    continue  # an earlier erasure left nothing here; if that is so everywhere, the host says so
                tensors |= eraser.tensors(site.key)
                if o.sequential:
                    live.put_at(site, eraser, model)
    finally:
        live.take(model)
    states = sum(len(row.places) for row in rows)
    return Artifact(
        tensors=tensors, meta={"sites": [key for key, rank in ranks.items() if rank], "ranks": ranks, "states": states}
    )


def _adding(moments: Moments) -> Any:
    def sink(states: torch.Tensor, rows: list[Labelled]) -> None:
        moments.update(*tokens_of(states, rows))

    return sink
