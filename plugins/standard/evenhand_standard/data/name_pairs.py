"""Pairing first names by frequency and by how strongly they are tied to a group.

For names n of one group and m of another, f the number of bearers and g in [0, 1] the strength of the tie,

    cost(n, m) = | log f(n) - log f(m) | + c | g(n) - g(m) |

and the pairing is the assignment of least total cost (Hungarian algorithm). With two groups g is
|men - women| / (men + women); with k, (k p - 1) / (k - 1), where p is the share of the most frequent group.

Absolute differences have many such assignments; the one with the least sum of squares is taken.

Source: Hall Maudslay et al. 2019 (names intervention).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from evenhand_sdk import Axis, UsageError
from evenhand_sdk.axes import packaged_axes

Counts = Mapping[str, Mapping[str, float]]
"""Name -> group -> bearers."""


EVEN = 1e-9
"""Of assignments of one total cost, of which absolute differences have many, the one of least squares is taken: its
costs are spread evenly, and no pair pays for another."""


@dataclass(frozen=True)
class Name:
    """One first name: its group, how many bear it, and how strongly it is tied to the group, in [0, 1]."""

    name: str
    group: str
    bearers: float
    tie: float


@dataclass(frozen=True)
class Paired:
    """The rows of names that take the place of a pack's, and what they rest on."""

    rows: tuple[tuple[str, ...], ...]
    cost: float
    """Mean cost of a pair."""
    unpaired: int
    """Names that were read and chosen, and have no partner."""
    left_out: Mapping[str, int]
    """Reason -> names of the file that are not used."""


def pair_names(
    names: Sequence[Name], groups: Sequence[str], *, weight: float, most: int
) -> tuple[list[tuple[str, ...]], float, int]:
    """(rows of one name a group, mean cost of a pair, names without a partner).

    The `most` most frequent names of each group take part. Each further group is assigned to the first one, whose
    names number as many as the smallest group's.
    """
    from scipy.optimize import linear_sum_assignment

    by_group = {
        group: sorted((n for n in names if n.group == group), key=lambda n: (-n.bearers, n.name)) for group in groups
    }
    by_group = {group: found[:most] for group, found in by_group.items()}
    if empty := [group for group, found in by_group.items() if not found]:
        raise UsageError(f"no name of the group {empty[0]!r} is left to pair", where="names")
    size = min(len(found) for found in by_group.values())
    first = by_group[groups[0]]
    anchors = first if len(first) == size or len(groups) == 2 else first[:size]
    partners: dict[str, dict[int, Name]] = {}
    total, pairs = 0.0, 0
    for group in groups[1:]:
        costs = cost_matrix(anchors, by_group[group], weight)
        left, right = linear_sum_assignment(costs + EVEN * costs**2)
        partners[group] = {int(i): by_group[group][int(j)] for i, j in zip(left, right, strict=True)}
        total += float(costs[left, right].sum())
        pairs += len(left)
    rows = [
        (anchor.name, *(partners[group][i].name for group in groups[1:]))
        for i, anchor in enumerate(anchors)
        if all(i in partners[group] for group in groups[1:])
    ]
    unpaired = sum(len(found) for found in by_group.values()) - len(rows) * len(groups)
    return rows, total / max(1, pairs), unpaired


def cost_matrix(left: Sequence[Name], right: Sequence[Name], weight: float) -> Any:
    """The costs [left, right] as an array."""
    import numpy as np

    logs = [np.log([n.bearers for n in side]) for side in (left, right)]
    ties = [np.array([n.tie for n in side]) for side in (left, right)]
    return abs(logs[0][:, None] - logs[1][None, :]) + weight * abs(ties[0][:, None] - ties[1][None, :])


def with_counted_names(
    axis: Axis, counts: Counts, *, weight: float, most: int, least_tie: float, exclude: Iterable[str]
) -> tuple[Axis, Paired]:
    """The axis with counted names in place of its own, paired. UsageError when a group has none."""
    chosen, left_out = usable(counts, axis, least_tie=least_tie, exclude=exclude)
    rows, cost, unpaired = pair_names(chosen, axis.groups, weight=weight, most=most)
    listed = {group: sum(n.group == group for n in chosen) for group in axis.groups}
    rare = sum(max(0, n - most) for n in listed.values())
    if rare:
        left_out = {**left_out, f"not among the {most:,} most frequent of the group": rare}
    k, listed_names = len(axis.groups), {name for row in rows for name in row}
    sure = {n.name: round((n.tie * (k - 1) + 1) / k, 4) for n in chosen if n.name in listed_names}
    renamed = replace(axis, names=tuple(rows), less_certain_names=sure)
    return renamed, Paired(tuple(rows), cost, unpaired, left_out)


def usable(
    counts: Counts, axis: Axis, *, least_tie: float, exclude: Iterable[str]
) -> tuple[list[Name], dict[str, int]]:
    """The names that may be swapped, and how many may not, by reason."""
    words = {word.lower() for word in axis.words(names=False)}
    told_of_others = words_of_other_packs(axis)
    unwanted = ambiguous() | {name.lower() for name in exclude}
    found: list[Name] = []
    left_out: dict[str, int] = {}
    for name, by_group in counts.items():
        bearers = sum(by_group.values())
        if bearers <= 0:
            reason = "nobody bears it"
        elif name.lower() in words:
            reason = "also a group word"
        elif name.lower() in told_of_others:
            reason = "also a word of another axis"
        elif name.lower() in unwanted:
            reason = "also another word, a place or a surname"
        elif (tie := tie_of(by_group, len(axis.groups))) < least_tie:
            reason = f"tie to a group below {least_tie:g}"
        else:
            group = max(axis.groups, key=lambda g: by_group.get(g, 0.0))
            found.append(Name(name, group, bearers, tie))
            continue
        left_out[reason] = left_out.get(reason, 0) + 1
    return found, left_out


def words_of_other_packs(axis: Axis) -> frozenset[str]:
    """What the other packs of the axis's language know, in lower case, as of peoples and countries: German, Kenya."""
    language = axis.locale.partition("-")[0]
    others = [pack for pack in packaged_axes() if pack.locale.partition("-")[0] == language and pack.name != axis.name]
    return frozenset(word.lower() for pack in others for word in pack.words(names=False))


@cache
def ambiguous() -> frozenset[str]:
    """Names, in lower case, that are more often something else with a capital letter: a word that begins a sentence, a
    month, a place, a title, a surname. The list is ours; its lines that begin with # say of what kind they are."""
    listed = resources.files("evenhand_standard.data").joinpath("ambiguous_names.txt").read_text(encoding="utf-8")
    return frozenset(name for line in listed.splitlines() if not line.startswith("#") for name in line.split())


def tie_of(by_group: Mapping[str, float], k: int) -> float:
    """How strongly a name is tied to its most frequent group, in [0, 1]: 0 when all k groups bear it alike."""
    share = max(by_group.values()) / sum(by_group.values())
    return max(0.0, (k * share - 1) / (k - 1))
