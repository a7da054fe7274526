"""Contrastive guidance: away from what the model would write if it were told that the text is prejudiced.

    l' = (1 + w) l(x) - w mean_j l(b_j + x)      among plausible words; see `guidance.py`

Sources: Sanchez et al. 2023 (negative prompts), Li et al. 2023 (contrastive decoding and its plausibility).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from evenhand_sdk import DecodingRule, Material, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.decoding.guidance import guided
from evenhand_standard.decoding.self_debias import About, Description, prejudiced
from evenhand_standard.decoding.told_contexts import LIKENESS, SHARES, each_row, told_contexts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ContrastiveGuidanceOptions(StrengthOptions):
    """Options of `contrastive-guidance`; `strength` scales the weight."""

    about: tuple[About, ...] = Field(
        ("gender",),
        description="What the packaged descriptions of prejudiced text are about; each is one more context.",
    )
    descriptions: tuple[Description, ...] = Field(
        (),
        description="Own descriptions of the text to avoid, in the language of the prompts, instead of packaged ones.",
    )
    weight: Annotated[float, Field(gt=0.0, le=10.0)] = Field(0.5, description="How far to go (w); 0.3 to 1.5 is usual.")
    plausible: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.1, description="Words with less than this part of the highest probability keep theirs."
    )

    @model_validator(mode="after")
    def _something_to_avoid(self) -> ContrastiveGuidanceOptions:
        if not self.about and not self.descriptions:
            raise ValueError("there is nothing to avoid: name what the text is about, or give descriptions")
        return self


class ContrastiveGuidance(Mitigation):
    """Moves distributions away from those behind a description of prejudiced text."""

    name = "contrastive-guidance"
    summary = "Moves next-word distributions away from those behind a description of prejudiced text."
    source = "Sanchez et al. 2023 (negative prompts); Li et al. 2023 (contrastive decoding)"
    kinds = ("causal",)
    Options = ContrastiveGuidanceOptions

    def material(self) -> Material | None:
        return Material(texts={"descriptions": self.words})

    @property
    def words(self) -> tuple[str, ...]:
        """The descriptions that are put before a text."""
        return prejudiced(self.options.about, self.options.descriptions)

    def moves(self) -> Mapping[str, str]:
        return {**SHARES, **{LIKENESS.format(words): "less" for words in self.words}}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        weight = o.strength * o.weight
        return DecodingRule(
            name=run.step_id,
            contexts=told_contexts(run.tokenizer, self.words),
            next_logits=each_row(lambda own, others: guided(own, None, others, weight, o.plausible)),
        )
