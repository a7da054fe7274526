"""LEACE: the least change of hidden states after which no linear classifier finds the group.

    x -> x - s L R (x - mu),      L R = S_xz (S_zx S_xx^-1 S_xz)^+ S_zx S_xx^-1

fitted in the middle third of the layers, each behind the erasers before it. On the residual stream it stays a live
module that spares group words, so that "she" itself remains female; in front of attention and feed-forward block it is
folded into their matrices.

Source: Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form (theorem 4.2, concept scrubbing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from evenhand_sdk import Artifact, Material, Mitigation, ModelShape, ModelTransform, Plugin, RunContext, hookimpl
from evenhand_standard.architecture.eraser import leace
from evenhand_standard.architecture.erasure_fitting import ErasureOptions, erasing, fitted
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import material_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LeaceOptions(ErasureOptions):
    """Options of `leace`; `strength` is the share of the concept that is taken out."""

    shift: bool = Field(True, description="Keep the mean state; folded, it needs biases.")


class Leace(Mitigation):
    """Erases what hidden states say linearly about the group."""

    name = "leace"
    summary = "Erases the group from hidden states with the least change, so that no linear classifier finds it."
    source = "Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form"
    controls = ("random-directions",)
    Options = LeaceOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 16}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options

        def fit(model: PreTrainedModel) -> Artifact:
            return fitted(run, model, o, lambda moments: leace(moments, o.shrinkage, shift=o.shift), conditional=True)

        return erasing(run, o, fit)
