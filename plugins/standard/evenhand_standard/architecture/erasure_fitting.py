"""Fit an eraser for each place of a model, each behind those before it, and put them in place: LEACE and INLP.

States stream by and are added up (`moments.py`), so memory does not grow with the number of sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from evenhand_sdk import Artifact, AxisName, Locale, ModelTransform, RunContext, StrengthOptions, load_axis
from evenhand_standard.architecture.eraser import Eraser
from evenhand_standard.architecture.erasure_sites import Form, LiveErasure, sites_of
from evenhand_standard.architecture.group_pairs import fitting_pairs
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


class ErasureOptions(StrengthOptions):
    """Which concept is erased where, and what it is fitted on; `strength` is the share that is taken out."""

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
    sequential: bool = Field(True, description="Fit each place behind the erasers before it, in a pass of its own.")

    @model_validator(mode="after")
    def _foldable(self) -> Self:
        if self.form == "after-norm" and self.positions == "neutral":
            raise ValueError(
                'form = "after-norm" is folded into weights, which act at every word: set positions = "all"'
            )
        if self.layers[0] > self.layers[1]:
            raise ValueError(f"layers begin at {self.layers[0]:g} of the depth, behind their end, {self.layers[1]:g}")
        return self


def erasing(run: RunContext, o: ErasureOptions, fit: Callable[[PreTrainedModel], Artifact]) -> ModelTransform:
    """The transform of a fitted erasure: live on the residual stream, folded in front of matrices."""
    live = LiveErasure(run.step_id, o.strength, folds=o.form == "after-norm")

    def apply(model: PreTrainedModel, artifact: Artifact) -> None:
        live.spared = artifact.tensors.get("spared")
        live.put(model, {key: Eraser.read(artifact.tensors, key) for key in artifact.meta.get("sites", ())})

    return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=live.fold)


def fitted(
    run: RunContext,
    model: PreTrainedModel,
    o: ErasureOptions,
    make: Callable[[Moments], Eraser],
    *,
    conditional: bool,
) -> Artifact:
    """An eraser for each place, made from the moments of its states; `meta` has the rank of each.

    Conditional moments leave out what the association of an occupation explains. Raises UsageError for a model without
    the places, and for too few states.
    """
    if not o.strength:
        return Artifact()
    axis = load_axis(o.axis, o.locale)
    spared = spared_tokens(run, model, axis)
    rows = labelled(run, axis, fitting_pairs(axis, o.pairs), spared.tolist(), o.positions)
    width = int(model.get_input_embeddings().embedding_dim)
    demand_enough(axis, rows, width=width)
    strata = 1 + len(axis.groups) if conditional else 1
    sites = sites_of(chosen_layers(layers_of(model), *o.layers), o.form)
    tensors: dict[str, torch.Tensor] = {}
    ranks: dict[str, int] = {}
    live = LiveErasure(run.step_id, o.strength)
    try:
        if o.positions == "neutral":
            tensors["spared"] = live.spared = spared
            live.look(model)
        for group in [[site] for site in sites] if o.sequential else [sites]:
            moments = {site: Moments(width, len(axis.groups), strata) for site in group}
            stream(run, model, rows, {site: _adding(moments[site], conditional) for site in group})
            for site in group:
                eraser = make(moments[site])
                ranks[site.key] = eraser.rank
                if not eraser.rank:
                    continue  # an earlier erasure left nothing here; if that is so everywhere, the host says so
                tensors |= eraser.tensors(site.key)
                if o.sequential:
                    live.put_at(site, eraser, model)
    finally:
        live.take(model)
    states = sum(len(row.places) for row in rows)
    meta = {"sites": [key for key, rank in ranks.items() if rank], "ranks": ranks, "states": states}
    return Artifact(tensors=tensors, meta={**meta, "states a dimension": round(states / width, 2)})


def _adding(moments: Moments, conditional: bool) -> Any:
    def sink(states: torch.Tensor, rows: list[Labelled]) -> None:
        found, groups, associations = tokens_of(states, rows)
        moments.update(found, groups, associations if conditional else None)

    return sink
