"""Decoding rules on given text: what a rule would do to each next-token distribution, without generating.

A rule is a pure function of the prefix, so all prefixes of a text are handled at once. The contexts a rule
asks for grow with the prefix, and one that begins another shares its forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from evenhand.contributions import DecodingRule
from evenhand.errors import PluginFault
from evenhand.scoring_forward import Consume, Forward
from evenhand.scoring_packing import Row

if TYPE_CHECKING:
    import torch

HELD_BYTES = 256 * 2**20
"""Most bytes of logits held at once, of texts and contexts together."""

Contexts = list[list[tuple[tuple[int, ...], ...]]]
"""For each rule and each prefix: its contexts."""


def mapping_rules(rules: Sequence[DecodingRule]) -> list[DecodingRule]:
    """The rules that can be applied to given text."""
    return [rule for rule in rules if rule.next_logits is not None]


def logits_under_rules(
    forward: Forward,
    rows: Sequence[Row],
    rules: Sequence[DecodingRule],
    consume: Consume,
    *,
    advance: Callable[[int], None] = lambda rows: None,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Like `Forward.logits`, after all rules that map logits, in order; `part` counts chunks of rows.

    A rule gets the logits that the rules before it made, and the raw logits of its contexts. Raises
    PluginFault for a rule that returns something other than [B, V].
    """
    import torch

    active = mapping_rules(rules)
    if not active:
        forward.logits(rows, consume, advance=advance, part=part)
        return
    place = 0
    for number, (chunk, contexts) in enumerate(_chunks(forward, rows, active)):
        prefixes = [row.ids[: p + 1] for row in chunk for p in row.positions]
        if not prefixes or number % part[1] != part[0]:
            place += len(prefixes)
            advance(len(chunk))
            continue
        logits = _collect(forward, chunk, len(prefixes))
        ids = _left_padded(prefixes).to(logits.device)
        for rule, asked in zip(active, contexts, strict=True):
            logits = _apply(rule, ids, logits, context_logits(forward, asked))
        here = torch.arange(len(prefixes))
        consume(place + here, here, logits)
        place += len(prefixes)
        advance(len(chunk))


def context_logits(forward: Forward, asked: Sequence[Sequence[tuple[int, ...]]]) -> list[torch.Tensor]:
    """The next-token logits of each prefix's contexts: a list of [k, V], k may be 0."""
    import torch

    distinct = list(dict.fromkeys(c for contexts in asked for c in contexts))
    if not distinct:
        none = torch.empty((0, forward.vocabulary), device=forward.device)
        return [none for _ in asked]
    # In sorted order a context directly precedes those that it begins.
    rows: list[Row] = []
    for context in sorted(distinct, reverse=True):
        if rows and rows[-1].ids[: len(context)] == context:
            rows[-1] = Row(rows[-1].ids, (*rows[-1].positions, len(context) - 1))
        else:
            rows.append(Row(context, (len(context) - 1,)))
    table = _collect(forward, rows, len(distinct))
    number = {row.ids[: p + 1]: n for n, (row, p) in enumerate((row, p) for row in rows for p in row.positions)}
    return [table[[number[c] for c in contexts]] for contexts in asked]


def _apply(rule: DecodingRule, ids: torch.Tensor, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
    assert rule.next_logits is not None
    changed = rule.next_logits(ids, logits, contexts)
    if getattr(changed, "shape", None) != logits.shape:
        raise PluginFault(
            f"returned {_shape(changed)} instead of logits [{logits.shape[0]}, {logits.shape[1]}]",
            where=f"decoding rule {rule.name!r}",
        )
    return changed.float()


def _shape(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"a tensor {list(shape)}"


def _chunks(
    forward: Forward, rows: Sequence[Row], rules: Sequence[DecodingRule]
) -> Iterator[tuple[list[Row], Contexts]]:
    """Rows in order, as many at a time as may hold their logits and those of their contexts."""
    room = max(1, HELD_BYTES // (4 * forward.vocabulary))
    memory: list[dict[tuple[int, ...], tuple[tuple[int, ...], ...]]] = [{} for _ in rules]
    chunk: list[Row] = []
    contexts: Contexts = [[] for _ in rules]
    held = 0
    for row in rows:
        asked = [
            [_contexts(rule, row.ids[: p + 1], known) for p in row.positions]
            for rule, known in zip(rules, memory, strict=True)
        ]
        size = len(row.positions) + max(len({c for cs in per_rule for c in cs}) for per_rule in asked)
        if chunk and held + size > room:
            yield chunk, contexts
            chunk, contexts, held = [], [[] for _ in rules], 0
        chunk.append(row)
        for mine, new in zip(contexts, asked, strict=True):
            mine.extend(new)
        held += size
    if chunk:
        yield chunk, contexts


def _contexts(
    rule: DecodingRule,
    prefix: tuple[int, ...],
    known: dict[tuple[int, ...], tuple[tuple[int, ...], ...]],
) -> tuple[tuple[int, ...], ...]:
    if rule.contexts is None:
        return ()
    if prefix not in known:
        known[prefix] = tuple(tuple(int(i) for i in context) for context in rule.contexts(prefix))
        if not all(known[prefix]):
            raise PluginFault("asked for an empty context", where=f"decoding rule {rule.name!r}")
    return known[prefix]


def _collect(forward: Forward, rows: Sequence[Row], count: int) -> torch.Tensor:
    """All logits of the rows, [n, V] float32."""
    import torch

    held = torch.empty((count, forward.vocabulary), device=forward.device)

    def keep(places: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
        held[places.to(held.device)] = logits[index.to(logits.device)].float()

    forward.logits(rows, keep)
    return held


def _left_padded(prefixes: Sequence[tuple[int, ...]]) -> torch.Tensor:
    import torch

    longest = max(len(prefix) for prefix in prefixes)
    return torch.tensor([(-1,) * (longest - len(prefix)) + tuple(prefix) for prefix in prefixes])
