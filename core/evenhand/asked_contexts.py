"""What a decoding rule asks for besides a text, checked: token ids that the model can read."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.errors import PluginFault

Ids = tuple[int, ...]


def contexts_of(rule: DecodingRule, prefix: Sequence[int], tokens: int | None) -> list[Ids]:
    """The contexts of a prefix; `tokens` is what the model has embeddings for.

    Raises PluginFault for contexts that are no token ids, are empty, or have ids that the model does not know.
    """
    if rule.contexts is None:
        return []
    return [_readable(rule, context, tokens) for context in _listed(rule, rule.contexts(prefix))]


def mask_contexts_of(
    rule: DecodingRule, ids: Sequence[int], position: int, tokens: int | None
) -> list[tuple[Ids, int]]:
    """The contexts of a text with a mask at a position, each with the place of the mask in it.

    Raises PluginFault as `contexts_of`, and for a context without a mask at its place.
    """
    if rule.mask_contexts is None:
        return []
    found = []
    for asked in _listed(rule, rule.mask_contexts(ids, position)):
        try:
            context, place = asked
            place = operator.index(place)
        except (TypeError, ValueError) as error:
            raise _fault(rule, f"asked for {_kind(asked)} where a context and the place of its mask belong") from error
        other = _readable(rule, context, tokens)
        if not (0 <= place < len(other) and other[place] == ids[position]):
            raise _fault(rule, f"asked for a context without a mask at place {place}")
        found.append((other, place))
    return found


def _listed(rule: DecodingRule, found: Any) -> list[Any]:
    try:
        each = iter(found)
    except TypeError as error:
        raise _fault(rule, f"asked for {_kind(found)} where a list of contexts belongs") from error
    return list(each)


def _readable(rule: DecodingRule, context: Any, tokens: int | None) -> Ids:
    try:
        ids = tuple(map(operator.index, context))
    except TypeError as error:
        raise _fault(rule, f"asked for {_kind(context)} where a context belongs, a list of token ids") from error
    if not ids:
        raise _fault(rule, "asked for an empty context")
    low, high = min(ids), max(ids)
    if low < 0 or (tokens is not None and high >= tokens):
        wrong = low if low < 0 else high
        known = f"the model has 0 to {tokens - 1:,}" if tokens is not None else ""
        raise _fault(rule, f"asked for a context with the token id {wrong:,}", known)
    return ids


def _kind(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _fault(rule: DecodingRule, what: str, known: str = "") -> PluginFault:
    return PluginFault(what, where=f"decoding rule {rule.name!r}", known=known)
