"""Rules in order, each on what the rules before it have made: of the text itself, and of the contexts that it asks for.

With f_0 the model and c_1 ... c_m the contexts that rule k asks for at a text x, the rules make

    f_k(x) = rule_k(f_{k-1}(x), [f_{k-1}(c_1), ..., f_{k-1}(c_m)])

so that a rule compares like with like, and what an earlier one has made equal stays equal. Earlier rules may ask for
contexts of contexts; all that the model itself must read for f_n is known before anything is read, and is read at once.
Numbers of contexts multiply, so that there is a most of them (`MOST_SEQUENCES`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from evenhand.contributions import DecodingRule
from evenhand.errors import EvenhandError, UsageError
from evenhand.rule_application import moves

if TYPE_CHECKING:
    import torch

MOST_SEQUENCES = 1024
"""Most sequences that are read for one next token, or one mask, of one text."""

Place = TypeVar("Place", bound=Hashable)
"""What the model is asked: a text with its state, or a text and a place in it."""

Moved = tuple[str, int, int, float]
"""(rule, likeliest token before, after, total variation) of a distribution that a rule has moved."""


@dataclass(frozen=True)
class Plan(Generic[Place]):
    """What must be read for the rules' answers at some places, and which of it each rule gets."""

    places: list[Place]
    """What the model reads: the places that were asked for, and behind them the contexts, each once for its owner."""
    asked: int
    """How many of them were asked for; all others are contexts."""
    owners: list[int]
    """For each of them the number of the place that was asked for and needs it."""
    askers: list[str]
    """For each context the name of the rule that asked for it."""
    levels: list[tuple[DecodingRule, list[list[int]]]]
    """The rules in order, each with the contexts of the places that it is applied to, which are the first ones."""


def planned(
    asked: Sequence[Place],
    rules: Sequence[DecodingRule],
    contexts: Callable[[DecodingRule, Place], Iterable[Place]],
    *,
    shared: bool = False,
) -> Plan[Place]:
    """The plan for rules in order at places; `contexts(rule, place)` is what a rule wants to see besides.

    `shared`: a context that several of the places need is read once, and belongs to the first of them. Raises
    UsageError, with its `rows`, where a place needs more than `MOST_SEQUENCES`, and what `contexts` raises, with them.
    """
    places, owners = list(asked), list(range(len(asked)))
    askers: list[str] = []
    known: dict[tuple[int, Place], int] = {(0 if shared else k, place): k for k, place in enumerate(asked)}
    levels = []
    number = [1] * len(asked)
    for rule in reversed(rules):
        found: list[list[int]] = []
        for k in range(len(places)):
            mine = []
            for place in _asked(contexts, rule, places[k], owners[k]):
                key = 0 if shared else owners[k], place
                if key not in known:
                    known[key] = len(places)
                    places.append(place)
                    owners.append(owners[k])
                    askers.append(rule.name)
                    number[owners[k]] += 1
                    if number[owners[k]] > MOST_SEQUENCES:
                        raise _too_many(zip(askers, owners[len(asked) :], strict=True), owners[k])
                mine.append(known[key])
            found.append(mine)
        levels.append((rule, found))
    return Plan(places, len(asked), owners, askers, levels[::-1])


def _asked(
    contexts: Callable[[DecodingRule, Place], Iterable[Place]], rule: DecodingRule, place: Place, row: int
) -> Iterable[Place]:
    """What a rule wants to see besides a place; the `rows` of an error are the place that needs it, whose others may
    be served, whatever the reason."""
    try:
        return contexts(rule, place)
    except EvenhandError as error:
        error.rows = [row]
        raise


def _too_many(askers: Iterable[tuple[str, int]], row: int) -> UsageError:
    """`askers` has the rule of each context and the number of the place that needs it, the last rule first."""
    names = list(dict.fromkeys(name for name, owner in askers if owner == row))[::-1]
    error = UsageError(
        f"for one next token, or one mask, of a text, more than {MOST_SEQUENCES:,} sequences would have to be read",
        where=f"decoding rule{'s' * (len(names) > 1)} {', '.join(map(repr, names))}",
        known="where rules ask for contexts, or one rule for contexts on several axes, these multiply",
        do="use fewer of these rules or axes together, or fewer contexts of each (`max_contexts`)",
    )
    error.rows = [row]
    return error


def after_rules(
    plan: Plan[Place],
    raw: torch.Tensor,
    mapped: Callable[[DecodingRule, Sequence[Place], torch.Tensor, list[torch.Tensor], Sequence[int]], torch.Tensor],
    *,
    noted: bool = True,
) -> tuple[torch.Tensor, list[tuple[int, Moved]]]:
    """The model's logits [n, V] of all places of a plan -> those after all rules at the places that were asked for, and
    there, if that is to be `noted`, each row that a rule has moved.

    `mapped(rule, places, logits, contexts, owners)` applies one rule.
    """
    logits, count = raw, plan.asked
    found: list[tuple[int, Moved]] = []
    for rule, contexts in plan.levels:
        n = len(contexts)
        own, none = logits[:n], logits.new_empty((0, logits.shape[1]))
        seen = [logits[others] if others else none for others in contexts]
        logits = mapped(rule, plan.places[:n], own, seen, plan.owners[:n])
        if noted and logits is not own:
            changes = moves(own[:count], logits[:count])
            found += [(row, (rule.name, before, after, size)) for row, before, after, size in changes]
    return logits[:count], found
