"""Abstention: where a question does not say whom it means, the model must not guess by the group.

A question that names people of two groups is also asked with the groups exchanged, with the people in the other order,
and with both; an answer to an exchanged question counts for the other group. With v the votes:

    margin = (votes for the plain answer's group - votes for the other) / number of variants
    answer "It cannot be determined ..."   where margin < tau

`calibrate` sets tau on packaged questions whose answers are known, by conformal risk control: the least tau at which
(answered wrongly + 1) / (n + 1) <= alpha. Sources: subject order and group exchange of Li et al. 2020 (UnQover);
Angelopoulos et al. 2022 (Conformal risk control).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from evenhand_sdk import (
    Ask,
    Axis,
    AxisName,
    DecodingRule,
    Locale,
    Material,
    Mitigation,
    Request,
    RequestChange,
    Response,
    RunContext,
    StrengthOptions,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_standard.decoding.asked_variants import answered_group, margin, variants
from evenhand_standard.decoding.prompt_intervention import is_chat
from evenhand_standard.decoding.request_share import acts_on
from evenhand_standard.decoding.underspecified import known_questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXT: Final = "It cannot be determined from what is said."
EXAMPLE: Final = (
    "The grandmother and the grandfather were at the station. Who is forgetful?",
    "The grandfather and the grandmother were at the station. Who is forgetful?",
)


class AbstentionOptions(StrengthOptions):
    """Options of `abstention`; `strength` is the share of the requests that it acts on."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    tau: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.6, description="Least lead of the answer over the variants of a question; 1 demands that all agree."
    )
    calibrate: bool = Field(
        False,
        description="Set tau on packaged questions with known answers instead; asks them once, when it is loaded.",
    )
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1, description="Of a calibration: the greatest share of questions that may be answered wrongly."
    )
    text: str = Field(TEXT, min_length=1, description="What is answered instead, in the language of the prompts.")


class Abstention(Mitigation):
    """Answers that it cannot be determined where the answer would follow the group or the order of the people."""

    name = "abstention"
    summary = "Answers 'cannot be determined' where a question names two groups and its answer follows the group."
    source = "after Li et al. 2020 (UnQover) and Angelopoulos et al. 2022 (Conformal risk control)"
    kinds = ("causal",)
    Options = AbstentionOptions

    def material(self) -> Material | None:
        return Material(texts={"questions": [q.prompt for q in known_questions()]}) if self.options.calibrate else None

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        if o.calibrate and (o.axis, o.locale.partition("-")[0]) != ("gender", "en"):
            raise UsageError(
                "the packaged questions are of gender, in English",
                where="option calibrate",
                do="leave it out, and give tau",
            )
        axis, seed = load_axis(o.axis, o.locale), run.seed_for("requests")
        tau = o.tau
        if o.calibrate:
            tau = calibrated(run, axis, o.alpha)
            run.logger.info("tau is %.2f", tau)

        def around(request: Request, ask: Ask) -> Response:
            if not acts_on(request, o.strength, seed) or variants(request.prompt, axis) is None:
                return ask(request)
            plain, votes, group = asked(request, ask, axis)
            lead = 1.0 if group is None else margin(votes, group)
            if lead >= tau:
                return plain
            lead_in = "" if is_chat(request) or request.prompt[-1:].isspace() else " "
            change = RequestChange(
                rule=run.step_id, what="abstention", before=plain.text, after=lead_in + o.text,
                facts={"answered": group, "votes": list(votes), "margin": round(lead, 3), "tau": round(tau, 3)},
            )  # fmt: skip
            return replace(plain, text=change.after, request_changes=(*plain.request_changes, change))

        return DecodingRule(name=run.step_id, around=around, probes=probes() if o.axis == "gender" else ())


def asked(request: Request, ask: Ask, axis: Axis) -> tuple[Response, list[str | None], str | None]:
    """The plain answer, each variant's vote in terms of the plain question, and the plain answer's group.

    A text that two variants share is asked once.
    """
    found = variants(request.prompt, axis)
    assert found is not None
    puts, pair = found
    distinct = list(dict.fromkeys(v.prompt for v in puts))
    answers = dict(zip(distinct, ask.many([replace(request, prompt=p) for p in distinct]), strict=True))
    other = {pair[0]: pair[1], pair[1]: pair[0]}
    votes = []
    for variant in puts:
        group = answered_group(answers[variant.prompt].text, axis)
        votes.append(other.get(group) if variant.exchanged and group is not None else group)
    return replace(answers[request.prompt], request=request), votes, votes[0]


def calibrated(run: RunContext, axis: Axis, alpha: float) -> float:
    """The tau of this model, from the packaged questions; UsageError where no tau keeps the error below alpha."""
    chat = {"chat": run.tokenizer.chat_template is not None}
    known = known_questions()
    puts = [v.prompt for q in known for v in (variants(q.prompt, axis) or ([], ()))[0]]
    distinct = [Request(prompt=p, max_new_tokens=16, meta=chat) for p in dict.fromkeys(puts)]
    given = {r.request.prompt: r for r in run.services.generate(distinct, rules=())}
    ask = Ask(lambda requests: [given[r.prompt] for r in requests])
    margins, wrong = [], []
    for question in known:
        _, votes, group = asked(Request(prompt=question.prompt), ask, axis)
        margins.append(-1.0 if group is None else margin(votes, group))
        wrong.append(group is not None and group != question.group)
    return least_threshold(margins, wrong, alpha)


def least_threshold(margins: Sequence[float], wrong: Sequence[bool], alpha: float) -> float:
    """Conformal risk control: the least of the margins above 0, or of 1, that keeps (wrong answered + 1)/(n + 1) at
    most alpha; questions with a smaller margin are not answered."""
    n = len(margins)

    def risk(t: float) -> float:
        return (sum(w and m >= t for m, w in zip(margins, wrong, strict=True)) + 1) / (n + 1)

    for tau in sorted({m for m in margins if m > 0} | {1.0}):
        if risk(tau) <= alpha:
            return tau
    raise UsageError(
        f"even where all variants agree, more than {alpha:g} of the {n} questions are answered wrongly",
        where="option calibrate",
        do="raise alpha, or take a model that answers simple questions",
    )


def probes() -> list[Response]:
    """A question that says nothing about whom it asks for, and the answers of a model that goes by the group."""
    asked_in_chat = {"chat": True}
    return [Response(request=Request(prompt=p, meta=asked_in_chat), text="The grandfather.") for p in EXAMPLE]
