"""The text that a model continues to answer a request: a plain prompt, or a chat in its tokenizer's template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.contributions import Request
from evenhand.errors import UsageError
from evenhand.sound_requests import demand_sound

ROLES = ("system", "user", "assistant")


def prompt_text(tokenizer: Any, request: Request) -> str:
    """The text that the model continues to answer a request: its prompt, or the chat in the tokenizer's template.

    Raises UsageError for an empty prompt that nothing can stand for, a chat without a template, and unknown roles.
    """
    demand_sound(request)
    begins = tokenizer("")["input_ids"][:1]
    if not request.meta.get("chat"):
        if request.turns:
            what = 'the request has earlier turns, and is none of a chat: set `meta={"chat": True}`'
            raise UsageError(what, where="generate")
        if not (request.prompt or tokenizer.bos_token):
            what = "the prompt is empty, and this tokenizer has no token to begin a text with"
            raise UsageError(what, where="generate")
        return request.prompt or ("" if begins == [tokenizer.bos_token_id] else str(tokenizer.bos_token))
    if tokenizer.chat_template is None:
        raise UsageError(
            "the request is one of a chat, and this tokenizer has no chat template",
            where="generate",
            do='leave out `"chat": True`, or use a model that was made for chats',
        )
    if unknown := [role for role, _ in request.turns if role not in ROLES]:
        raise UsageError(f"there is no role {unknown[0]!r}", where="generate", known=f"roles: {', '.join(ROLES)}")
    turns = [{"role": role, "content": text} for role, text in (*request.turns, ("user", request.prompt))]
    return without_begin(tokenizer, in_template(tokenizer, turns))


def without_begin(tokenizer: Any, text: str) -> str:
    """A text that a template has written, without the token at its beginning that the tokenizer writes, too."""
    begin = tokenizer.bos_token
    return text.removeprefix(begin) if begin and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else text


def in_template(tokenizer: Any, turns: Sequence[Mapping[str, str]], *, answered: bool = False) -> str:
    """A chat as its model reads it, up to where the answer begins; `answered`: up to the end of its last turn.

    Raises UsageError for a chat that the template refuses.
    """
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=not answered))
    except TemplateError as error:
        raise UsageError(
            f"the model's chat template refuses this chat: {error}",
            where="generate",
            known=f"its roles are {', '.join(turn['role'] for turn in turns)}",
            do="give the turns that the template knows, mostly user and assistant in turn",
        ) from error
