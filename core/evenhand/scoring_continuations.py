"""The likelihood of a continuation after its context, as multiple-choice tests and prompts need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.contributions import DecodingRule, Kind
from evenhand.errors import UsageError
from evenhand.pairs import framing_tokens
from evenhand.scored_text import SequenceScore, score_of, token_ids
from evenhand.scoring import forward_of, pll
from evenhand.scoring_forward import OnEvent
from evenhand.scoring_gold import gold_logp
from evenhand.scoring_packing import Row
from evenhand.scoring_precision import Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def score_continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    *,
    kind: Kind = "causal",
    rules: Sequence[DecodingRule] = (),
    dtype: Precision = "auto",
    batch_tokens: int = 4096,
    on_event: OnEvent | None = None,
    progress_title: str | None = None,
) -> list[SequenceScore]:
    """Log-probability of each continuation after its context; the context's tokens have no score (nan).

    Spaces at the end of a context are counted to the continuation. A context that ends inside a token of the
    whole text is encoded apart. Raises UsageError for an empty continuation, or an empty context without a
    start token.
    """
    encoded = [_join(tokenizer, context, continuation) for context, continuation in pairs]
    if kind == "masked":
        framing = framing_tokens(tokenizer)
        asked = [[p for p in range(cut, len(ids)) if ids[p] not in framing] for ids, cut in encoded]
        return pll(
            model,
            tokenizer,
            [ids for ids, _ in encoded],
            asked,
            rules=rules,
            dtype=dtype,
            batch_tokens=batch_tokens,
            on_event=on_event,
            progress_title=progress_title,
        )
    forward = forward_of(model, tokenizer, dtype=dtype, batch_tokens=batch_tokens, on_event=on_event)
    distinct = list(dict.fromkeys(encoded))
    rows = [Row(ids, tuple(range(cut - 1, len(ids) - 1))) for ids, cut in distinct]
    gold = [token for (ids, cut) in distinct for token in ids[cut:]]
    values = gold_logp(forward, rows, gold, rules, progress_title)
    found: dict[tuple[tuple[int, ...], int], SequenceScore] = {}
    place = 0
    for ids, cut in distinct:
        found[ids, cut] = score_of(ids, {p: float(values[place + p - cut]) for p in range(cut, len(ids))})
        place += len(ids) - cut
    return [found[key] for key in encoded]


def _join(tokenizer: PreTrainedTokenizerBase, context: str, continuation: str) -> tuple[tuple[int, ...], int]:
    """The ids of context + continuation, and where the continuation begins."""
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    whole = token_ids(tokenizer, bare + continuation)
    # With a text behind it, the context does not end in the special token that closes a text.
    closing = closing_tokens(tokenizer)
    before = token_ids(tokenizer, bare)
    before = before[: len(before) - closing]
    if whole[: len(before)] != before:
        after = tuple(int(i) for i in tokenizer(continuation, add_special_tokens=False, verbose=False)["input_ids"])
        whole = before + after + whole[len(whole) - closing :] if closing else before + after
    if not before:
        raise UsageError(
            f"no token stands before the continuation {continuation!r}",
            where="scoring",
            do="give a context, or use a tokenizer that adds a start token",
        )
    if len(whole) - closing <= len(before):
        raise UsageError(f"nothing is left to score after the context {context!r}", where="scoring")
    return whole, len(before)


def closing_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """The number of special tokens that the tokenizer puts behind a text."""
    ids = token_ids(tokenizer, "a")
    framing = framing_tokens(tokenizer)
    return next((k for k, i in enumerate(reversed(ids)) if i not in framing), 0)
