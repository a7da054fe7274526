"""Experts and anti-experts that are one model, told to be fair and told to be prejudiced in each direction.

    l' = l(x) + a (mean_i l(e_i + x) - mean_j l(b_j + x))      among plausible words; see `guidance.py`

The anti-experts are prejudiced in opposite directions, and their mean is what is left behind: with one direction only,
its opposite would become the new stereotype. Where adapters are given, these are the experts, as in the paper: the same
weights, with an adapter switched on in rows of their own of one batch. Source: Liu et al. 2021 (DExperts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, model_validator

from evenhand_sdk import DecodingRule, Material, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.decoding.guidance import guided
from evenhand_standard.decoding.lora_experts import Adapter, read_adapter, switched_on
from evenhand_standard.decoding.self_debias import Description
from evenhand_standard.decoding.told_contexts import LIKENESS, SHARES, each_row, told_contexts

if TYPE_CHECKING:
    import torch
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
    expert_adapters: tuple[str, ...] = Field(
        (), description="Folders of LoRA adapters (peft) trained on fair text, in the place of all descriptions."
    )
    anti_expert_adapters: tuple[str, ...] = Field(
        (), description="Folders of LoRA adapters trained on prejudiced text, one for each direction of the prejudice."
    )
    weight: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        0.5, description="How far to go (alpha); 0.3 to 1 against bias, about 2 in the paper against toxicity."
    )
    plausible: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.1, description="Words with less than this part of the highest probability keep theirs."
    )

    @model_validator(mode="after")
    def _two_sides(self) -> ExpertGuidanceOptions:
        for experts, others in ((self.experts, self.anti_experts), (self.expert_adapters, self.anti_expert_adapters)):
            if both := {e.strip() for e in experts} & {o.strip() for o in others}:
                raise ValueError(
                    f"{min(both)!r} is an expert and an anti-expert: choose one, since both undo each other"
                )
        return self


class ExpertGuidance(Mitigation):
    """Moves distributions towards those of the model told to be fair, away from the model told to be prejudiced."""

    name = "expert-guidance"
    summary = "Moves next-word distributions towards a fair description of the text, away from prejudiced ones."
    source = "Liu et al. 2021 (DExperts), with descriptions in the place of trained experts"
    kinds = ("causal",)
    Options = ExpertGuidanceOptions

    @property
    def _adapters(self) -> tuple[str, ...]:
        return (*self.options.expert_adapters, *self.options.anti_expert_adapters)

    def material(self) -> Material | None:
        if self._adapters:
            return None  # what they were trained on is not known here
        return Material(texts={"descriptions": (*self.options.experts, *self.options.anti_experts)})

    def moves(self) -> Mapping[str, str]:
        if self._adapters:
            return SHARES
        towards, away = self.options.experts, self.options.anti_experts
        likeness = {LIKENESS.format(words): end for end, told in (("more", towards), ("less", away)) for words in told}
        return {**SHARES, **likeness}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        if self._adapters:
            return self._by_adapters(run, model)
        n, weight = len(o.experts), o.strength * o.weight
        return DecodingRule(
            name=run.step_id,
            contexts=told_contexts(run.tokenizer, (*o.experts, *o.anti_experts)),
            next_logits=each_row(lambda own, others: guided(own, others[:n], others[n:], weight, o.plausible)),
        )

    def _by_adapters(self, run: RunContext, model: PreTrainedModel) -> DecodingRule:
        """One set of weights: each adapter acts on rows of its own, in one batch with the model as it is."""
        o = self.options
        n, weight = len(o.expert_adapters), o.strength * o.weight
        adapters = [read_adapter(folder, model) for folder in self._adapters]

        def change(own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            away = others[n:] if len(others) > n else own[None]
            return guided(own, others[:n] if n else None, away, weight, o.plausible)

        return DecodingRule(
            name=run.step_id,
            variants=[partial(_with, adapter) for adapter in adapters],
            next_logits=each_row(change),
        )


def _with(adapter: Adapter, model: Any, rows: Sequence[int] | None) -> AbstractContextManager[None]:
    return switched_on(model, adapter, rows)
