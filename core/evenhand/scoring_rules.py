"""Decoding rules on given text: what a rule would do to each distribution, without generating.

A rule of a causal model is a pure function of the prefix, so all prefixes of a text are handled at once. The contexts
a rule asks for grow with the prefix, and one that begins another shares its forward pass. A rule of a masked model is
a pure function of the masked text and the place of the mask; its contexts are texts with a mask of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from evenhand.contributions import DecodingRule
from evenhand.errors import PluginFault
from evenhand.rule_application import finishing
from evenhand.scoring_forward import Consume, Forward
from evenhand.scoring_packing import Row

if TYPE_CHECKING:
    import torch

HELD_BYTES = 256 * 2**20
"""Most bytes of logits held at once, of texts and contexts together."""

Contexts = list[list[tuple[Row, ...]]]
"""For each rule and each place: its contexts, each with the one position that is read."""
Asked = dict[tuple[tuple[int, ...], int], tuple[Row, ...]]
"""(ids, position) -> contexts, for what a rule was asked before."""


def mapping_rules(rules: Sequence[DecodingRule], kind: str = "causal") -> list[DecodingRule]:
    """The rules that can be applied to given text, by a model of this kind."""
    return [r for r in rules if (r.mask_logits if kind == "masked" else r.next_logits) is not None]


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

    A rule gets the logits that the rules before it made, and the raw logits of its contexts. Rows of masked models
    have a mask at each position that is read. Raises PluginFault for a rule that returns something other than [B, V],
    or asks for a context that there cannot be.
    """
    import torch

    active = mapping_rules(rules, forward.kind)
    if not active:
        forward.logits(rows, consume, advance=advance, part=part)
        return
    with finishing(active):
        place = 0
        for number, (chunk, contexts) in enumerate(_chunks(forward, rows, active)):
            asked = [(row.ids, p) for row in chunk for p in row.positions]
            if not asked or number % part[1] != part[0]:
                place += len(asked)
                advance(len(chunk))
                continue
            logits = _collect(forward, chunk, len(asked))
            for rule, wanted in zip(active, contexts, strict=True):
                read = context_logits(forward, wanted)
                for variant in rule.variants:
                    with variant(forward.model, None):
                        other = _collect(forward, chunk, len(asked))
                    read = [torch.cat([own, row[None]]) for own, row in zip(read, other, strict=True)]
                logits = _apply(forward.kind, rule, asked, logits, read)
            here = torch.arange(len(asked))
            consume(place + here, here, logits)
            place += len(asked)
            advance(len(chunk))


def context_logits(forward: Forward, asked: Sequence[Sequence[Row]]) -> list[torch.Tensor]:
    """The logits of each place's contexts: a list of [k, V], k may be 0."""
    import torch

    distinct = list(dict.fromkeys(c for contexts in asked for c in contexts))
    if not distinct:
        none = torch.empty((0, forward.vocabulary), device=forward.device)
        return [none for _ in asked]
    # In sorted order a context directly precedes those that it begins, which matters to causal models only.
    rows: list[Row] = []
    for context in sorted(distinct, key=lambda row: (row.ids, row.positions), reverse=True):
        read = len(context.ids) if forward.kind == "causal" else None
        if rows and rows[-1].ids[:read] == context.ids:
            rows[-1] = Row(rows[-1].ids, (*rows[-1].positions, *context.positions))
        else:
            rows.append(context)
    table = _collect(forward, rows, len(distinct))
    places = ((row, p) for row in rows for p in row.positions)
    causal = forward.kind == "causal"
    number = {Row(row.ids[: p + 1] if causal else row.ids, (p,)): n for n, (row, p) in enumerate(places)}
    return [table[[number[c] for c in contexts]] for contexts in asked]


def _apply(
    kind: str,
    rule: DecodingRule,
    asked: Sequence[tuple[tuple[int, ...], int]],
    logits: torch.Tensor,
    contexts: list[torch.Tensor],
) -> torch.Tensor:
    import torch

    if kind == "masked":
        assert rule.mask_logits is not None
        places = torch.tensor([p for _, p in asked], device=logits.device)
        ids = _padded([row for row, _ in asked], left=False).to(logits.device)
        changed = rule.mask_logits(ids, logits, contexts, places)
    else:
        assert rule.next_logits is not None
        ids = _padded([row[: p + 1] for row, p in asked], left=True).to(logits.device)
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
    """Rows in order, as many at a time as may hold their logits and those of their contexts.

    What a rule asked for is kept for the rows of one chunk, which may begin alike, and no longer.
    """
    room = max(1, HELD_BYTES // (4 * forward.vocabulary))
    ask = _mask_contexts if forward.kind == "masked" else _contexts
    memory: list[Asked] = [{} for _ in rules]
    chunk: list[Row] = []
    contexts: Contexts = [[] for _ in rules]
    held = 0
    for row in rows:
        asked = [
            [ask(rule, row.ids, p, known) for p in row.positions] for rule, known in zip(rules, memory, strict=True)
        ]
        size = len(row.positions) + max(
            len({c for cs in per_rule for c in cs}) + len(row.positions) * len(rule.variants)
            for rule, per_rule in zip(rules, asked, strict=True)
        )
        if chunk and held + size > room:
            yield chunk, contexts
            chunk, contexts, held = [], [[] for _ in rules], 0
            mine = {_key(forward.kind, row.ids, p) for p in row.positions}
            memory = [{key: found for key, found in known.items() if key in mine} for known in memory]
        chunk.append(row)
        for so_far, new in zip(contexts, asked, strict=True):
            so_far.extend(new)
        held += size
    if chunk:
        yield chunk, contexts


def _key(kind: str, ids: tuple[int, ...], position: int) -> tuple[tuple[int, ...], int]:
    """What the contexts at a place depend on: of causal models the prefix, of masked ones the whole text."""
    return (ids if kind == "masked" else ids[: position + 1]), position


def _contexts(rule: DecodingRule, ids: tuple[int, ...], position: int, known: Asked) -> tuple[Row, ...]:
    """What a rule of a causal model wants to see besides a prefix: the last position of each context is read."""
    if rule.contexts is None:
        return ()
    key = _key("causal", ids, position)
    if key not in known:
        found = [tuple(int(i) for i in context) for context in rule.contexts(key[0])]
        if not all(found):
            raise PluginFault("asked for an empty context", where=f"decoding rule {rule.name!r}")
        known[key] = tuple(Row(context, (len(context) - 1,)) for context in found)
    return known[key]


def _mask_contexts(rule: DecodingRule, ids: tuple[int, ...], position: int, known: Asked) -> tuple[Row, ...]:
    """What a rule of a masked model wants to see besides a text with a mask: each context says where its mask is."""
    if rule.mask_contexts is None:
        return ()
    if (ids, position) not in known:
        found = [(tuple(int(i) for i in other), int(place)) for other, place in rule.mask_contexts(ids, position)]
        for other, place in found:
            if not (0 <= place < len(other) and other[place] == ids[position]):
                raise PluginFault(
                    f"asked for a context without a mask at place {place}", where=f"decoding rule {rule.name!r}"
                )
        known[ids, position] = tuple(Row(other, (place,)) for other, place in found)
    return known[ids, position]


def _collect(forward: Forward, rows: Sequence[Row], count: int) -> torch.Tensor:
    """All logits of the rows, [n, V] float32."""
    import torch

    held = torch.empty((count, forward.vocabulary), device=forward.device)

    def keep(places: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
        held[places.to(held.device)] = logits[index.to(logits.device)].float()

    forward.logits(rows, keep)
    return held


def _padded(rows: Sequence[tuple[int, ...]], *, left: bool) -> torch.Tensor:
    """Token ids as a rule sees them: [B, T] with -1 before (or behind) the shorter ones."""
    import torch

    longest = max(len(row) for row in rows)
    blanks = [(-1,) * (longest - len(row)) for row in rows]
    return torch.tensor([blank + row if left else row + blank for row, blank in zip(rows, blanks, strict=True)])
