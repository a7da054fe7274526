"""Decoding rules on given text: what a rule would do to each distribution, without generating.

A rule of a causal model is a pure function of the prefix, so all prefixes of a text are handled at once. The contexts
a rule asks for grow with the prefix, and one that begins another shares its forward pass. A rule of a masked model is
a pure function of the masked text and the place of the mask; its contexts are texts with a mask of their own. How rules
in order act on one another's contexts is told in `rule_contexts`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand.asked_contexts import contexts_of, mask_contexts_of
from evenhand.contributions import DecodingRule, Variant
from evenhand.errors import EvenhandError, UsageError
from evenhand.rule_application import called, finishing
from evenhand.rule_contexts import Plan, after_rules, planned
from evenhand.scored_text import embeddings
from evenhand.scoring_forward import Consume, Forward
from evenhand.scoring_packing import Row

if TYPE_CHECKING:
    import torch

HELD_BYTES = 256 * 2**20
"""Most bytes of logits held at once, of texts and contexts together."""

Place = tuple[Variant | None, Row]
"""A text and the one position of it that is read, in a state of the model."""
Asked = dict[tuple[int, Row], tuple[Row, ...]]
"""(number of the rule, text and position) -> contexts, for what rules were asked before."""


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

    A rule gets the logits that the rules before it made, of the text and of its contexts. Rows of masked models
    have a mask at each position that is read. Raises PluginFault for a rule that returns something other than [B, V],
    changes what it is given, or asks for a context that there cannot be, and UsageError as `Forward.logits`.
    """
    import torch

    active = mapping_rules(rules, forward.kind)
    if not active:
        forward.logits(rows, consume, advance=advance, part=part)
        return

    def mapped(
        rule: DecodingRule, places: Sequence[Place], logits: torch.Tensor, contexts: list[torch.Tensor], _: object
    ) -> torch.Tensor:
        return _apply(forward.kind, rule, [row for _, row in places], logits, contexts)

    forward.check(rows)  # before rules are asked, which would be blamed for what is wrong with a text
    with finishing(active):
        place = 0
        for number, (chunk, plan, ended) in enumerate(_chunks(forward, rows, active)):
            if plan.asked and number % part[1] == part[0]:
                logits, _ = after_rules(plan, _read(forward, chunk, plan), mapped, noted=False)
                here = torch.arange(plan.asked)
                consume(place + here, here, logits)
            place += plan.asked
            advance(ended)


def _read(forward: Forward, chunk: Sequence[Row], plan: Plan[Place]) -> torch.Tensor:
    """The model's logits [n, V] of all places of a plan; those that were asked for are the positions of a chunk."""
    import torch

    raw = torch.empty((len(plan.places), forward.vocabulary), device=forward.device)
    _collect(forward, chunk, raw, range(plan.asked))
    _demand_room(forward, plan)
    contexts = list(enumerate(plan.places))[plan.asked :]
    for variant in dict.fromkeys(state for _, (state, _) in contexts):
        mine = {row: k for k, (state, row) in contexts if state is variant}
        with variant(forward.model, None) if variant is not None else contextlib.nullcontext():
            _collect_contexts(forward, mine, raw)
    return raw


def _demand_room(forward: Forward, plan: Plan[Place]) -> None:
    """A context that the model cannot take is the rule's, and not a text of the user's."""
    for rule, (_, row) in zip(plan.askers, plan.places[plan.asked :], strict=True):
        if len(row.ids) > forward.longest:
            raise UsageError(
                f"a context of the rule has {len(row.ids):,} tokens, but the model takes at most {forward.longest:,}",
                where=f"decoding rule {rule!r}",
                known="the context is longer than the text that it belongs to",
                do="split the text into shorter passages",
            )


def _collect_contexts(forward: Forward, asked: dict[Row, int], held: torch.Tensor) -> None:
    """Writes the logits of contexts, each a text with the one position that is read, into `held` [n, V]."""
    # In sorted order a context directly precedes those that it begins, which matters to causal models only.
    rows: list[Row] = []
    for context in sorted(asked, key=lambda row: (row.ids, row.positions), reverse=True):
        begun = len(context.ids) if forward.kind == "causal" else None
        if rows and rows[-1].ids[:begun] == context.ids:
            rows[-1] = Row(rows[-1].ids, (*rows[-1].positions, *context.positions))
        else:
            rows.append(context)
    causal = forward.kind == "causal"
    read = [Row(row.ids[: p + 1] if causal else row.ids, (p,)) for row in rows for p in row.positions]
    _collect(forward, rows, held, [asked[context] for context in read])


def _apply(
    kind: str,
    rule: DecodingRule,
    asked: Sequence[Row],
    logits: torch.Tensor,
    contexts: list[torch.Tensor],
) -> torch.Tensor:
    import torch

    if kind == "masked":
        assert rule.mask_logits is not None
        places = torch.tensor([row.positions[0] for row in asked], device=logits.device)
        ids = _padded([row.ids for row in asked], left=False).to(logits.device)
        changed = called(rule, rule.mask_logits, ids, logits, contexts, places)
    else:
        assert rule.next_logits is not None
        ids = _padded([row.ids[: row.positions[0] + 1] for row in asked], left=True).to(logits.device)
        changed = called(rule, rule.next_logits, ids, logits, contexts)
    return changed.float()


def _chunks(
    forward: Forward, rows: Sequence[Row], rules: Sequence[DecodingRule]
) -> Iterator[tuple[list[Row], Plan[Place], int]]:
    """Rows in order, as many at a time as may hold their logits and those of their contexts, what is read for them,
    and how many rows have come to their end with them.

    A row that must hold more is read in several chunks, each with some of its positions; one position is not divided.
    What a rule asked for is kept for the rows of one chunk, which may begin alike, and no longer.
    """
    room = max(1, HELD_BYTES // (4 * forward.vocabulary))
    asking = _Asking(forward.kind, rules, embeddings(forward.model))

    def plan(places: Sequence[Place]) -> Plan[Place]:
        try:
            return planned(places, rules, asking, shared=True)
        except EvenhandError as error:
            error.rows = ()  # those of the plan, of which nobody has heard
            raise

    whole = _Held()
    for row in rows:
        part = _Held()
        for p in row.positions:
            place: Place = (None, Row(row.ids, (p,)))
            needed = plan([place]).places
            if whole.rows and whole.size + part.size + len(needed) > room:
                yield whole.rows, plan(whole.asked), len(whole.rows)
                whole = _Held()
                asking.keep(part.needed + needed)
            if part.asked and part.size + len(needed) > room:
                yield [part.row(row, forward.kind)], plan(part.asked), 0
                part = _Held()
                asking.keep(needed)
            part.add(place, needed)
        whole.rows.append(part.row(row, forward.kind) if len(part.asked) < len(row.positions) else row)
        whole.asked += part.asked
        whole.size += part.size
    if whole.rows:
        yield whole.rows, plan(whole.asked), len(whole.rows)


@dataclass
class _Held:
    """Positions that are read together, and all that is read for them."""

    rows: list[Row] = field(default_factory=list)
    asked: list[Place] = field(default_factory=list)
    needed: list[Place] = field(default_factory=list)
    size: int = 0

    def add(self, place: Place, needed: Sequence[Place]) -> None:
        self.asked.append(place)
        self.needed += needed
        self.size += len(needed)

    def row(self, of: Row, kind: str) -> Row:
        """The text with these of its positions, and nothing behind them that they do not depend on."""
        positions = tuple(p for _, row in self.asked for p in row.positions)
        return Row(of.ids[: max(positions) + 1] if kind == "causal" else of.ids, positions)


class _Asking:
    """What rules want to see besides a text at one position of it; asked once for what they depend on."""

    def __init__(self, kind: str, rules: Sequence[DecodingRule], tokens: int | None) -> None:
        self._tokens = tokens
        self._numbers = {id(rule): k for k, rule in enumerate(rules)}
        self._contexts = _mask_contexts if kind == "masked" else _contexts
        self._causal = kind == "causal"
        self._known: Asked = {}

    def keep(self, places: Sequence[Place]) -> None:
        """Forget what was asked at other places."""
        mine = {self._alone(row) for _, row in places}
        self._known = {key: found for key, found in self._known.items() if key[1] in mine}

    def __call__(self, rule: DecodingRule, place: Place) -> list[Place]:
        state, row = place
        found: list[Place] = []
        if (rule.contexts if self._causal else rule.mask_contexts) is not None:
            key = self._numbers[id(rule)], self._alone(row)
            if key not in self._known:
                self._known[key] = self._contexts(rule, key[1], self._tokens)
            found += [(state, context) for context in self._known[key]]
        return found + [(variant, self._alone(row)) for variant in rule.variants]

    def _alone(self, row: Row) -> Row:
        """What the contexts at a place depend on: of causal models the prefix, of masked ones the whole text."""
        end = row.positions[0] + 1
        return Row(row.ids[:end], row.positions) if self._causal and len(row.ids) > end else row


def _contexts(rule: DecodingRule, prefix: Row, tokens: int | None) -> tuple[Row, ...]:
    """What a rule of a causal model wants to see besides a prefix: the last position of each context is read."""
    return tuple(Row(context, (len(context) - 1,)) for context in contexts_of(rule, prefix.ids, tokens))


def _mask_contexts(rule: DecodingRule, text: Row, tokens: int | None) -> tuple[Row, ...]:
    """What a rule of a masked model wants to see besides a text with a mask: each context says where its mask is."""
    [position] = text.positions
    return tuple(Row(other, (place,)) for other, place in mask_contexts_of(rule, text.ids, position, tokens))


def _collect(forward: Forward, rows: Sequence[Row], held: torch.Tensor, targets: Sequence[int]) -> None:
    """Writes the logits of the rows' places into `held` [n, V], float32: those of place k at `targets[k]`."""
    import torch

    at = torch.tensor(targets, device=held.device)

    def keep(places: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
        held[at[places.to(held.device)]] = logits[index.to(logits.device)].to(held)

    forward.logits(rows, keep)


def _padded(rows: Sequence[tuple[int, ...]], *, left: bool) -> torch.Tensor:
    """Token ids as a rule sees them: [B, T] with -1 before (or behind) the shorter ones."""
    import torch

    longest = max(len(row) for row in rows)
    blanks = [(-1,) * (longest - len(row)) for row in rows]
    return torch.tensor([blank + row if left else row + blank for row, blank in zip(rows, blanks, strict=True)])
