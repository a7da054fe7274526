"""Rule-based neutral rewriting of answers: generic he, policeman and waitress become they, police officer and server.

    y -> n(y)       the rules of `neutral-rewriting`, applied to what the model has written, and nothing else

Sources: Sun et al. 2021 (They, them, theirs), Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from evenhand_sdk import (
    Ask,
    AxisName,
    DecodingRule,
    Locale,
    Mitigation,
    Request,
    RequestChange,
    Response,
    RunContext,
    Strength,
    StrengthOptions,
    hookimpl,
    load_axis,
)
from evenhand_standard.decoding.prompt_intervention import is_chat
from evenhand_standard.decoding.protected_lines import rewritten
from evenhand_standard.decoding.quotas import NAMED
from evenhand_standard.decoding.request_share import acts_on

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBES = (
    "Every driver must show his licence before he goes.",
    "Any policeman can help you.",
    "If a student is late, he or she must say why.",
)
"""Answers on which the rules can be seen to act; few answers of a model speak of anyone."""


class AnswerRewritingOptions(StrengthOptions):
    """Options of `answer-rewriting`."""

    strength: Strength = Field(
        ...,
        description="Share of the requests whose answers are rewritten; there is no default, because neutral words "
        "remove a group instead of balancing two.",
    )
    axis: AxisName = "gender"
    locale: Locale = "en"

    @field_validator("locale")
    @classmethod
    def _english(cls, locale: str) -> str:
        if locale.partition("-")[0] != "en":
            raise ValueError(f"the rules of neutral rewriting are those of English; there are none for {locale!r}")
        return locale


class AnswerRewriting(Mitigation):
    """Replaces generic gendered words of answers by neutral ones, and keeps what was replaced."""

    name = "answer-rewriting"
    summary = "Rewrites generic he, she, policeman and waitress in answers to neutral words, by rule."
    source = "Sun et al. 2021; Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter); own rules"
    kinds = ("causal",)
    Options = AnswerRewritingOptions
    example_options: Mapping[str, Any] = {"strength": 1.0}

    def moves(self) -> Mapping[str, str]:
        return {NAMED.format(self.options.axis): "none, where anybody is meant"}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        axis, seed = load_axis(o.axis, o.locale), run.seed_for("requests")

        def around(request: Request, ask: Ask) -> Response:
            answer = ask(request)
            if not acts_on(request, o.strength, seed):
                return answer
            found = rewritten("" if is_chat(request) else request.prompt, answer.text, axis)
            if found.text == answer.text:
                return answer
            change = RequestChange(
                rule=run.step_id, what="rewriting", before=answer.text, after=found.text,
                facts={"words": [list(pair) for pair in found.words], "left": dict(found.left)},
            )  # fmt: skip
            return replace(answer, text=found.text, request_changes=(*answer.request_changes, change))

        probes = [Response(request=Request(prompt=f"What is the rule? ({k})"), text=t) for k, t in enumerate(PROBES)]
        probes = [replace(p, request=replace(p.request, meta={"chat": True})) for p in probes]
        return DecodingRule(name=run.step_id, around=around, probes=probes)
