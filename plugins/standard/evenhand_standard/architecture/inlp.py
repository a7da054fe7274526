"""Iterative nullspace projection: classifier after classifier for the group, each in what the ones before left.

    w_k = classifier of the group on P_k h,    P_(k+1) = projection on the nullspaces of w_1 .. w_k
    h -> h - s (I - P) h

The classifiers are ridge regressions, which need nothing but moments, so the states stream by once and all rounds are
solved from one matrix. Behind the last layer, as published, it stays live; in front of attention and feed-forward block
(`form = "after-norm"`) it is folded into their matrices, which needs no biases, since a projection has no shift.

Source: Ravfogel et al. 2020, Null it out: guarding protected attributes by iterative nullspace projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand_sdk import Artifact, Material, Mitigation, ModelShape, ModelTransform, Plugin, RunContext, hookimpl
from evenhand_standard.architecture.eraser import Eraser, nullspace_directions, projection
from evenhand_standard.architecture.erasure_fitting import ErasureOptions, Share, erasing, fitted
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import material_of
from evenhand_standard.architecture.labelled_states import Positions
from evenhand_standard.architecture.moments import Moments

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class InlpOptions(ErasureOptions):
    """Options of `inlp`; `strength` is the share of the projection."""

    rounds: Annotated[int, Field(ge=1)] = Field(10, description="Classifiers, one after another; at most the width.")
    positions: Positions = Field("all", description="Erase at all words, or only at those that name no group.")
    layers: tuple[Share, Share] = Field((1.0, 1.0), description="From which share of the depth to which; 1 is the end.")


class Inlp(Mitigation):
    """Projects hidden states on the common nullspace of many classifiers of the group."""

    name = "inlp"
    summary = "Projects out the directions by which one linear classifier after another tells the groups apart."
    source = "Ravfogel et al. 2020, Null it out: guarding protected attributes by iterative nullspace projection"
    controls = ("random-directions",)
    Options = InlpOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 16, "rounds": 2}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        found, rounds, width = undescribed(shape), self.options.rounds, shape.width
        if width is not None and rounds > width:
            found.append(f"{rounds} rounds are more than the width of the states, {width}; take fewer")
        return found if self.options.strength else ()

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options

        def made(moments: Moments) -> Eraser:
            return projection(nullspace_directions(moments, o.rounds, o.shrinkage))

        def fit(model: PreTrainedModel) -> Artifact:
            return fitted(run, model, o, made, conditional=False)

        return erasing(run, o, fit)
