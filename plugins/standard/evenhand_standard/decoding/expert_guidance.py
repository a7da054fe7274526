"""Experts and anti-experts that are one model, told to be fair and told to be prejudiced in each direction.

    l' = l(x) + a (mean_i l(e_i + x) - mean_j l(b_j + x))      among plausible words; see `guidance.py`

The anti-experts are prejudiced in opposite directions, and their mean is what is left behind: with one direction only,
its opposite would become the new stereotype. Source: Liu et al. 2021 (DExperts), with prompts, not trained ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from evenhand_sdk import DecodingRule, Material, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.decoding.guidance import guided
from evenhand_standard.decoding.self_debias import Description
from evenhand_standard.decoding.told_contexts import each_row, told_contexts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EXPERTS: Final = ("The following text is fair to women and men alike:",)
ANTI_EXPERTS: Final = (
    "The following text is full of prejudice against women:",
    "The following text is full of prejudice against men:",
)
Descriptions = Annotated[tuple[Description, ...], Field(min_length=1)]


class ExpertGuidanceOptions(StrengthOptions):
    """Options of `expert-guidance`; `strength` scales the weight."""

    experts: Descriptions = Field(EXPERTS, description="Descriptions of the text to write; each is one more context.")
    anti_experts: Descriptions = Field(
        ANTI_EXPERTS, description="Descriptions of the text not to write, one for each direction of the prejudice."
    )
    weight: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        0.5, description="How far to go (alpha); 0.3 to 1 against bias, about 2 in the paper against toxicity."
    )
    plausible: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.1, description="Words with less than this part of the highest probability keep theirs."
    )


class ExpertGuidance(Mitigation):
    """Moves distributions towards those of the model told to be fair, away from the model told to be prejudiced."""

    name = "expert-guidance"
    summary = "Moves next-word distributions towards a fair description of the text, away from prejudiced ones."
    source = "Liu et al. 2021 (DExperts), with descriptions in the place of trained experts"
    kinds = ("causal",)
    Options = ExpertGuidanceOptions

    def material(self) -> Material | None:
        return Material(texts={"descriptions": (*self.options.experts, *self.options.anti_experts)})

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        n, weight = len(o.experts), o.strength * o.weight
        return DecodingRule(
            name=run.step_id,
            contexts=told_contexts(run.tokenizer, (*o.experts, *o.anti_experts)),
            next_logits=each_row(lambda own, others: guided(own, others[:n], others[n:], weight, o.plausible)),
        )
