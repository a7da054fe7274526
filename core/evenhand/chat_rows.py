"""Chats of a training corpus as texts: each one as the model reads it, in the template of its tokenizer.

A chat is a list of turns, {"role": "user", "content": "..."} and so on, as in a column `messages`; or, as in a column
`conversations`, {"from": "human", "value": "..."}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.errors import UsageError

KEYS = (("role", "content"), ("from", "value"))
"""How a turn calls who speaks and what is said."""
SPEAKERS = {"human": "user", "gpt": "assistant"}
"""Names of speakers that templates know as others."""


def is_chat(value: Any) -> bool:
    """Whether a value of a data set is a list of turns, each with who speaks and what is said."""
    return isinstance(value, list) and bool(value) and all(_turn(turn) for turn in value)


def _turn(value: Any) -> dict[str, str] | None:
    """A turn as templates know it; None for what is none."""
    if not isinstance(value, Mapping):
        return None
    for by, what in KEYS:
        who, said = value.get(by), value.get(what)
        if isinstance(who, str) and isinstance(said, str):
            return {"role": SPEAKERS.get(who, who), "content": said}
    return None


def texts_of(values: Sequence[Any], tokenizer: Any, *, where: str) -> list[tuple[str | None, str]] | None:
    """The text of each chat, or None and why it has none; None where no value is a chat.

    Raises UsageError where the tokenizer has no template.
    """
    if not any(map(is_chat, values)):
        return None
    if tokenizer.chat_template is None:
        raise UsageError(
            "its rows are chats, and the tokenizer of the model has no chat template",
            where=where,
            do="use a model that was made for chats, or set data.column to one of text",
        )
    return [_text(tokenizer, value) for value in values]


def _text(tokenizer: Any, value: Any) -> tuple[str | None, str]:
    from evenhand.prompt_texts import in_template, without_begin

    if not value:
        return None, "no text"
    if not is_chat(value):
        return None, "no chat: a turn has no role, or no text"
    turns = [turn for turn in map(_turn, value) if turn is not None]
    try:
        return without_begin(tokenizer, in_template(tokenizer, turns, answered=True)), ""
    except UsageError:
        return None, "a chat that the model's template refuses"
