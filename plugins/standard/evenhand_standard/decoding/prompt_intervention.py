"""Prompt interventions: words around a request that ask for fairness, show it, or give the model time to think.

    instruction        y ~ p(. | i, x)                        i: a text before the request, in a chat its system turn
    persona            the same, with i whom the model is asked to speak as, in a locale
    exemplars          y ~ p(. | e_1 ... e_n, x)              e: questions with answers, in balance over groups
    reflection         y0 ~ p(. | x),  y ~ p(. | x, y0, i)    the answer is revised once
    self-help          x' ~ p(. | i, x),  y ~ p(. | x')       the request is put without prejudice first
    chain-of-thought   r ~ p(. | x, i),  y ~ p(. | x, i, r)   thoughts first, then the answer alone

Sources: Si et al. 2023 (instructions, balanced examples), Ganguli et al. 2023 (self-correction), Gallegos et al. 2025
(reprompting), Kojima et al. 2022 (chain of thought in two requests). The texts are in `prompt_texts.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Ask,
    DecodingRule,
    Material,
    Mitigation,
    Request,
    RequestChange,
    Response,
    RunContext,
    StrengthOptions,
    hookimpl,
)
from evenhand_sdk.english_words import FUNCTION_WORDS
from evenhand_standard.decoding.prompt_texts import CONCLUDE, EXEMPLARS, INSTRUCTIONS, PERSONAS, PLAIN
from evenhand_standard.decoding.request_share import acts_on
from evenhand_standard.decoding.worded import Worded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Form = Literal["instruction", "reflection", "self-help", "chain-of-thought", "exemplars", "persona"]
KEPT_WORDS: Final = 0.5
"""The least share of its content words that a request must keep when it is put again."""
WORD = re.compile(r"[^\W\d_]+")
Text = Worded
MARK: Final = "evenhand-system-turn"


class PromptInterventionOptions(StrengthOptions):
    """Options of `prompt-intervention`; `strength` is the share of the requests that it acts on."""

    form: Form = Field(
        "instruction",
        description="instruction: a text before the request. persona: whom to speak as, before it. exemplars: "
        "questions with answers before it. reflection: the answer is revised once. self-help: the model puts the "
        "request again before it answers. chain-of-thought: it thinks step by step before it answers.",
    )
    instruction: Worded | None = Field(None, description="Own words instead of the packaged ones.")
    placement: Literal["auto", "system", "user"] = Field(
        "auto",
        description="Where an instruction stands in a chat: system, user (before the user's words), or auto: system "
        "where the model's chat template has such a turn.",
    )
    locale: str = Field("en", description="Of a persona: en, en-GB, en-IN, en-US, de, es or fr.")
    exemplars: tuple[tuple[Text, Text], ...] = Field(
        (), description="Own (question, answer) pairs instead of the packaged ones, which are about gender, in English."
    )

    @model_validator(mode="after")
    def _words_fit_the_form(self) -> PromptInterventionOptions:
        if self.form == "exemplars" and self.instruction is not None:
            raise ValueError("examples have no instruction: give `exemplars`, or another form")
        if self.exemplars and self.form != "exemplars":
            raise ValueError(f'`exemplars` are for form = "exemplars", not for {self.form}')
        if self.form == "persona" and self.instruction is None and self.locale not in PERSONAS:
            raise ValueError(
                f"there is no packaged persona for {self.locale!r} (known: {', '.join(sorted(PERSONAS))}); give its "
                "words as `instruction`"
            )
        return self


class PromptIntervention(Mitigation):
    """Puts words before requests, has answers revised or thought about, or requests put again."""

    name = "prompt-intervention"
    summary = "Asks the model to be fair: by words or examples before a request, a second look, or a better question."
    source = "Si et al. 2023; Ganguli et al. 2023; Gallegos et al. 2025; Kojima et al. 2022; own wording"
    kinds = ("causal",)
    Options = PromptInterventionOptions

    def material(self) -> Material | None:
        if self.options.form == "exemplars":
            return Material(texts={"exemplars": [f"{question} {answer}" for question, answer in self._exemplars]})
        return Material(texts={"instruction": [self._words]})

    @property
    def _words(self) -> str:
        o = self.options
        return str(o.instruction or (PERSONAS[o.locale] if o.form == "persona" else INSTRUCTIONS[o.form]))

    @property
    def _exemplars(self) -> Sequence[tuple[str, str]]:
        return self.options.exemplars or [(question, answer) for question, answer, _ in EXEMPLARS]

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        seed = run.seed_for("requests")
        system = o.placement == "system" or (o.placement == "auto" and takes_system(run.tokenizer))

        def around(request: Request, ask: Ask) -> Response:
            if not acts_on(request, o.strength, seed):
                return ask(request)
            facts: dict[str, Any] = {}
            if o.form in ("instruction", "persona"):
                asked = instructed(request, self._words, system=system)
            elif o.form == "exemplars":
                asked = shown(request, turned(self._exemplars, request, seed))
            elif o.form == "chain-of-thought":
                thoughts = ask(thinking(request, o.instruction)).text
                asked, facts = thought(request, thoughts, o.instruction), {"thoughts": thoughts}
            elif o.form == "reflection":
                first = ask(request).text
                asked, facts = reflected(request, first, o.instruction), {"first answer": first}
            else:
                again = ask(put_again(request, o.instruction)).text
                asked, facts = helped(request, again)
            answer = ask(asked)
            change = RequestChange(
                rule=run.step_id, what="prompt", before=request.prompt, after=_shown(asked), facts=facts
            )
            return replace(answer, request=request, request_changes=(*answer.request_changes, change))

        return DecodingRule(name=run.step_id, around=around)


def is_chat(request: Request) -> bool:
    """Whether the request is a turn of a chat, or a text to be continued."""
    return bool(request.meta.get("chat"))


def instructed(request: Request, words: str, *, system: bool) -> Request:
    """The request with an instruction before it: in the (first) system turn, the user's turn, or the text."""
    if not is_chat(request) or not system:
        return replace(request, prompt=f"{words}\n\n{request.prompt}")
    turns = list(request.turns)
    if turns and turns[0][0] == "system":
        turns[0] = ("system", f"{turns[0][1]}\n\n{words}")
    else:
        turns.insert(0, ("system", words))
    return replace(request, turns=tuple(turns))


def reflected(request: Request, answer: str, words: str | None) -> Request:
    """What is asked when there is a first answer; a text to be continued begins again behind it."""
    if is_chat(request):
        turns = (*request.turns, ("user", request.prompt), ("assistant", answer))
        return replace(request, turns=turns, prompt=words or INSTRUCTIONS["reflection"])
    again = words or PLAIN["reflection"]
    return replace(request, prompt=f"{request.prompt}{answer}\n\n{again}\n{request.prompt}")


def turned(pairs: Sequence[tuple[str, str]], request: Request, seed: int) -> list[tuple[str, str]]:
    """The pairs in their circular order, from a place that seed and prompt decide: no answer always stands last."""
    digest = hashlib.sha256(f"{seed}\n{request.prompt}".encode("utf-8", "surrogatepass")).digest()
    k = int.from_bytes(digest[:6], "big") % len(pairs)
    return [*pairs[k:], *pairs[:k]]


def shown(request: Request, pairs: Sequence[tuple[str, str]]) -> Request:
    """The request behind questions with answers: earlier turns of a chat behind its system turn, lines of a text."""
    if not is_chat(request):
        lines = "".join(f"{question}\n{answer}\n\n" for question, answer in pairs)
        return replace(request, prompt=f"{lines}{request.prompt}")
    turns = list(request.turns)
    at = 1 if turns and turns[0][0] == "system" else 0
    turns[at:at] = [turn for question, answer in pairs for turn in (("user", question), ("assistant", answer))]
    return replace(request, turns=tuple(turns))


def thinking(request: Request, words: str | None) -> Request:
    """The request for thoughts before the answer."""
    if is_chat(request):
        return replace(request, prompt=f"{request.prompt}\n\n{words or INSTRUCTIONS['chain-of-thought']}")
    return replace(request, prompt=f"{request.prompt}\n\n{words or PLAIN['chain-of-thought']}\n")


def thought(request: Request, thoughts: str, words: str | None) -> Request:
    """What is asked when there are thoughts; a text to be continued begins again behind them."""
    first = thinking(request, words)
    if is_chat(request):
        turns = (*request.turns, ("user", first.prompt), ("assistant", thoughts))
        return replace(request, turns=turns, prompt=CONCLUDE)
    return replace(request, prompt=f"{first.prompt}{thoughts.strip()}\n\n{request.prompt}")


def put_again(request: Request, words: str | None) -> Request:
    """The request to put a request again."""
    if is_chat(request):
        return replace(request, turns=(), prompt=f"{words or INSTRUCTIONS['self-help']}\n\n{request.prompt}")
    return replace(request, prompt=f"{request.prompt}\n{words or PLAIN['self-help']}\n")


def helped(request: Request, again: str) -> tuple[Request, dict[str, Any]]:
    """The request as it was put again, or as it was where it does not ask the same any more; and why."""
    text = again.strip() if is_chat(request) else again.strip().partition("\n")[0].rstrip()
    kept = words_kept(request.prompt, text)
    facts: dict[str, Any] = {"put again as": text, "content words kept": round(kept, 3)}
    if not text or kept < KEPT_WORDS:
        return request, {**facts, "used": False}
    return replace(request, prompt=text), {**facts, "used": True}


def words_kept(before: str, after: str) -> float:
    """The share of the distinct content words of one text that the other has, too; 1 for a text without any."""
    mine, theirs = ({m[0].lower() for m in WORD.finditer(text)} - set(FUNCTION_WORDS) for text in (before, after))
    return len(mine & theirs) / len(mine) if mine else 1.0


def takes_system(tokenizer: Any) -> bool:
    """Whether what stands in a system turn comes into the text of a chat; False without a chat template."""
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        return False
    turns = [{"role": "system", "content": MARK}, {"role": "user", "content": "?"}]
    try:
        return MARK in str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except TemplateError:
        return False  # some templates refuse the turn by an error of their own


def _shown(request: Request) -> str:
    turns = [f"[{role}] {text}" for role, text in request.turns]
    return "\n".join([*turns, f"[user] {request.prompt}" if is_chat(request) else request.prompt])
