"""SentenceDebias: the first principal components of what differs within pairs of sentences are projected out.

    h -> h - s sum_i (h . v_i) v_i

v are the components of mean-pooled, normalised states of both sides of each pair, centred at the pair's mean. They act
on the residual stream behind the last layer, at every word, and stay live.

Source: Liang et al. 2020, Towards debiasing sentence representations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand_sdk import (
    Artifact,
    AxisName,
    Locale,
    Material,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    StrengthOptions,
    hookimpl,
    load_axis,
)
from evenhand_standard.architecture.eraser import Eraser, principal_directions, projection
from evenhand_standard.architecture.erasure_sites import LiveErasure, Site
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import fitting_pairs, material_of
from evenhand_standard.architecture.labelled_states import Labelled, demand_enough, labelled, pooled, stream
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.moments import wide

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class SentenceDebiasOptions(StrengthOptions):
    """Options of `sentence-debias`; `strength` is the share of the projection."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    components: Annotated[int, Field(ge=1)] = Field(1, description="Principal components that are taken out.")
    depth: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        1.0, description="Behind which layer, as a share of the depth; 1 is the last."
    )
    pairs: Annotated[int, Field(ge=1)] = Field(240, description="Pairs of sentences that it is fitted on.")


class SentenceDebias(Mitigation):
    """Projects the group subspace of sentence representations out of hidden states."""

    name = "sentence-debias"
    summary = "Projects out the main directions in which sentences about different groups differ."
    source = "Liang et al. 2020, Towards debiasing sentence representations"
    controls = ("random-directions",)
    Options = SentenceDebiasOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 32}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        found, components, width = undescribed(shape), self.options.components, shape.width
        if width is not None and components > width:
            found.append(f"{components} components are more than the width of the states, {width}; take fewer")
        return found if self.options.strength else ()

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, live = self.options, LiveErasure(run.step_id, self.options.strength)

        def fit(model: PreTrainedModel) -> Artifact:
            if not o.strength:
                return Artifact()
            axis = load_axis(o.axis, o.locale)
            rows = labelled(run, axis, fitting_pairs(axis, o.pairs), (), "all")
            demand_enough(axis, rows, by_text=True)
            site = Site(chosen_layers(layers_of(model), o.depth, o.depth)[0], "residual")
            sums: list[torch.Tensor] = []
            stream(run, model, rows, {site: lambda states, few: add_products(sums, states, few)})
            tensors = projection(principal_directions(sums[0].cpu(), o.components)).tensors(site.key)
            return Artifact(tensors=tensors, meta={"sites": [site.key], "components": o.components})

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            live.put(model, {key: Eraser.read(artifact.tensors, key) for key in artifact.meta.get("sites", ())})

        return ModelTransform(fit=fit, apply=apply, revert=live.take)


def add_products(sums: list[torch.Tensor], states: torch.Tensor, rows: list[Labelled]) -> None:
    """Add sum of d d' [H, H] over pairs, d being each side's distance from the mean of its pair, in float64."""
    import torch

    unit = torch.nn.functional.normalize(wide(pooled(states, rows)), dim=-1)
    sides = unit.view(len(unit) // 2, 2, -1)
    apart = (sides - sides.mean(1, keepdim=True)).flatten(0, 1)
    products = apart.T @ apart
    sums[:] = [products if not sums else sums[0] + products]
