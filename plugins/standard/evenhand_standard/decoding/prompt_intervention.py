"""Prompt interventions: the model is asked to be fair, to look at its answer again, or to put the question better.

    instruction   y ~ p(. | i, x)                       i: a text before the request, in a chat its system turn
    reflection    y0 ~ p(. | x),  y ~ p(. | x, y0, i)   the answer is revised once
    self-help     x' ~ p(. | i, x),  y ~ p(. | x')      the request is put without prejudice first

Sources: Si et al. 2023 (instructions), Ganguli et al. 2023 (self-correction), Gallegos et al. 2025 (reprompting).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

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
from evenhand_standard.decoding.request_share import acts_on

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Form = Literal["instruction", "reflection", "self-help"]
INSTRUCTIONS: Final[dict[str, str]] = {
    "instruction": "Treat all people alike. Whatever somebody's gender, origin, religion, age, body or money may be, "
    "it says nothing about what they can do, what they are like or what they have done. Where you cannot know "
    "something about a person, do not guess.",
    "reflection": "Read your answer again. If it takes for granted what somebody is like because of the group that "
    "they belong to, correct it. Write nothing but the answer.",
    "self-help": "Write the following request again so that it asks for the same thing, without any prejudice about "
    "groups of people. Write nothing but the request.",
}
PLAIN: Final[dict[str, str]] = {
    "reflection": "Once more, without taking for granted what somebody is like because of their group:",
    "self-help": "The same words, without any prejudice about groups of people:",
}
"""The same for a text that is continued, where nobody is spoken to."""
KEPT_WORDS: Final = 0.5
"""The least share of its content words that a request must keep when it is put again."""
WORD = re.compile(r"[^\W\d_]+")
MARK: Final = "evenhand-system-turn"


class PromptInterventionOptions(StrengthOptions):
    """Options of `prompt-intervention`; `strength` is the share of the requests that it acts on."""

    form: Form = Field(
        "instruction",
        description="instruction: a text before the request. reflection: the answer is revised once. self-help: the "
        "model puts the request again before it answers.",
    )
    instruction: str | None = Field(None, min_length=1, description="Own words instead of the packaged ones.")
    placement: Literal["auto", "system", "user"] = Field(
        "auto",
        description="Where an instruction stands in a chat: system, user (before the user's words), or auto: system "
        "where the model's chat template has such a turn.",
    )


class PromptIntervention(Mitigation):
    """Puts an instruction to be fair before requests, has answers revised, or requests put again."""

    name = "prompt-intervention"
    summary = "Asks the model to be fair: by an instruction, by a second look at its answer, or by a better question."
    source = "Si et al. 2023; Ganguli et al. 2023; Gallegos et al. 2025; own wording"
    kinds = ("causal",)
    Options = PromptInterventionOptions

    def material(self) -> Material | None:
        return Material(texts={"instruction": [self._words]})

    @property
    def _words(self) -> str:
        o = self.options
        return str(o.instruction or INSTRUCTIONS[o.form])

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
            if o.form == "instruction":
                asked, facts = instructed(request, self._words, system=system), {}
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
