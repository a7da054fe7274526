"""Self-Debias: words that the model finds likelier when it is told to be prejudiced become less likely.

With x a prefix (of masked models: a text with a mask) and b_j descriptions of prejudiced text,

    d(w) = max(0, max_j p(w | b_j + x) - p(w | x)),    p'(w) ~ p(w) max(floor, exp(-strength decay d(w)))

and p' is drawn back towards p where the two differ by more than `most` in total variation. Source: Schick, Udupa and
Schütze 2021; the bound on the change is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from evenhand_sdk import DecodingRule, Material, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.decoding.told_contexts import LIKENESS, SHARES, each_row, told_contexts, told_masks
from evenhand_standard.decoding.worded import Worded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

About = Literal[
    "gender", "race", "religion", "age", "disability", "nationality", "sexual-orientation", "socioeconomic", "body-size"
]
SUBJECTS: Final[dict[str, str]] = {
    "gender": "women and men",
    "race": "the colour of people's skin and where their families come from",
    "religion": "what people believe",
    "age": "how old people are",
    "disability": "disabled people",
    "nationality": "foreigners",
    "sexual-orientation": "whom people love",
    "socioeconomic": "the poor and the rich",
    "body-size": "how people look",
}
DESCRIPTION: Final = "The following text is full of prejudice about {}:"
Description = Worded


class SelfDebiasOptions(StrengthOptions):
    """Options of `self-debias`; `strength` scales the decay."""

    about: tuple[About, ...] = Field(
        ("gender",),
        description="What the packaged descriptions of prejudiced text are about; each is one more context.",
    )
    descriptions: tuple[Description, ...] = Field(
        (),
        description="Own descriptions of the text to avoid, in the language of the prompts, instead of packaged ones.",
    )
    decay: Annotated[float, Field(gt=0.0)] = Field(50.0, description="How fast a word's probability falls (lambda).")
    floor: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.01, description="The least part of its probability that a word keeps before all are made to add up again."
    )
    most: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="Most total variation by which one distribution may change; 1 is the published rule."
    )

    @model_validator(mode="after")
    def _something_to_avoid(self) -> SelfDebiasOptions:
        if not self.about and not self.descriptions:
            raise ValueError("there is nothing to avoid: name what the text is about, or give descriptions")
        return self


class SelfDebias(Mitigation):
    """Makes words less likely that the model itself finds likelier in prejudiced text."""

    name = "self-debias"
    summary = "Makes less likely what the model would write if it were told that the text is prejudiced."
    source = "Schick, Udupa and Schütze 2021, Self-diagnosis and self-debiasing"
    Options = SelfDebiasOptions

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
        change = each_row(lambda own, others: suppressed(own, others, o.strength * o.decay, o.floor, o.most))
        if run.kind == "masked":
            return DecodingRule(
                name=run.step_id,
                mask_contexts=told_masks(run.tokenizer, self.words),
                mask_logits=lambda ids, logits, contexts, places: change(ids, logits, contexts),
            )
        return DecodingRule(name=run.step_id, contexts=told_contexts(run.tokenizer, self.words), next_logits=change)


def prejudiced(about: tuple[str, ...], descriptions: tuple[str, ...]) -> tuple[str, ...]:
    """Own descriptions of prejudiced text, or the packaged ones, without repetition."""
    return tuple(dict.fromkeys(descriptions or (DESCRIPTION.format(SUBJECTS[name]) for name in about)))


def suppressed(own: torch.Tensor, others: torch.Tensor, decay: float, floor: float, most: float) -> torch.Tensor:
    """log p' above: logits [V] and [k, V] -> log-probabilities [V]; impossible tokens stay so."""
    log_p = own.log_softmax(-1)
    p = log_p.exp()
    likelier = (others.softmax(-1).amax(0) - p).clamp_min(0.0)
    kept = (-decay * likelier).exp().clamp_min(floor)
    ratio = kept / (p * kept).sum()  # p' / p
    moved = 0.5 * (p * (ratio - 1)).abs().sum()
    part = (most / moved).clamp_max(1.0)  # 1 where nothing moved
    return log_p + ((1 - part) + part * ratio).log()
