"""The same text behind words that describe what it is: extra contexts for rules that compare a model with itself.

A context is the prefix with a description put in, token by token otherwise the same. So it grows with the prefix by one
token at a time, shares the rows' forward pass, and has its own place in the key-value cache. The description stands at
the beginning of a text, behind the tokens that begin every text, or at the beginning of the last turn of a user in a
chat: before the whole chat it would be outside of what the model takes for a conversation.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

MARKS: Final = ("first-turn#", "answer#", "second-turn#")
LIKENESS: Final = "the likeness to text behind {!r}"
"""What guidance moves, in the words of `Plugin.moves`."""
SHARES: Final = {"how likely words of each group of * are": "what its guidance makes of it"}
"""What it moves besides: behind a description that names groups, a rule for texts that name nobody does not act."""
Contexts = Callable[[Sequence[int]], list[tuple[int, ...]]]
MaskContexts = Callable[[Sequence[int], int], list[tuple[tuple[int, ...], int]]]


def told_contexts(tokenizer: Any, descriptions: Sequence[str]) -> Contexts:
    """Prefix -> its contexts, one for each description, in their order; a pure function of the prefix."""
    told = [tuple(tokenizer(f"{words}\n", add_special_tokens=False)["input_ids"]) for words in descriptions]
    header, begin = user_header(tokenizer), tokenizer.bos_token_id

    def contexts(prefix: Sequence[int]) -> list[tuple[int, ...]]:
        ids = tuple(prefix)
        at = behind_last(ids, header) if header else None
        if at is None:
            at = 1 if begin is not None and ids[:1] == (begin,) else 0
        return [(*ids[:at], *words, *ids[at:]) for words in told]

    return contexts


def told_masks(tokenizer: Any, descriptions: Sequence[str]) -> MaskContexts:
    """(ids, place of a mask) -> the same text behind each description, in their order, and where its mask has gone."""
    told = [tuple(tokenizer(f"{words}\n", add_special_tokens=False)["input_ids"]) for words in descriptions]
    begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id

    def contexts(ids: Sequence[int], place: int) -> list[tuple[tuple[int, ...], int]]:
        text = tuple(ids)
        at = 1 if begin is not None and text[:1] == (begin,) else 0
        return [((*text[:at], *words, *text[at:]), place + len(words)) for words in told]

    return contexts


def user_header(tokenizer: Any) -> tuple[int, ...]:
    """The ids that stand before the words of every turn of a user; none without a chat template that has some."""
    if tokenizer.chat_template is None:
        return ()
    first, answer, second = MARKS
    turns = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": second},
    ]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    opening, middle = text.partition(first)[0], text.partition(answer)[2].partition(second)[0]
    shared = os.path.commonprefix([opening[::-1], middle[::-1]])[::-1]
    return tuple(tokenizer(shared, add_special_tokens=False)["input_ids"]) if shared.strip() else ()


def behind_last(ids: tuple[int, ...], header: tuple[int, ...]) -> int | None:
    """The place behind the last occurrence of a header in ids."""
    n = len(header)
    return next((k + n for k in range(len(ids) - n, -1, -1) if ids[k : k + n] == header), None)


def each_row(
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], torch.Tensor]:
    """`next_logits` that applies change(own [V], others [k, V]) to each row that has contexts, no other."""

    def next_logits(ids: torch.Tensor, logits: torch.Tensor, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
        rows = [b for b, others in enumerate(contexts) if len(others)]
        if not rows:
            return logits
        out = logits.clone()
        for b in rows:
            out[b] = change(logits[b].float(), contexts[b].float()).to(out.dtype)
        return out

    return next_logits
