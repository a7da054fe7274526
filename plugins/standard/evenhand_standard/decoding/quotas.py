"""Set-level quotas: which of several answers to give, so that the groups they name have a target's shares.

With k answers to choose, c_g how many of them name group g (and no other), and t the target:

    minimise   (1/2) sum_g | c_g / sum c  -  t_g |,     among those the one with the greatest sum of fluency

Answers that name nobody, or several groups, keep the share that they have among the samples: a set must not become
balanced by erasing everybody. The number of count vectors is small, so all are tried: the optimum is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from evenhand_sdk import Axis, group_words

NAMED = "which groups of {} answers name"
"""What quotas and neutral rewriting move, in the words of `Plugin.moves`."""


def named_group(text: str, axis: Axis) -> str | None:
    """The one group that a text names; None where it names none or several."""
    groups = {word.group for word in group_words(text, axis)}
    return groups.pop() if len(groups) == 1 else None


def chosen(groups: Sequence[str | None], fluency: Sequence[float], k: int, target: Mapping[str, float]) -> list[int]:
    """The places of the k answers to give, in order; all of them where there are not more than k."""
    n = len(groups)
    if n <= k:
        return list(range(n))
    order = sorted(range(n), key=lambda i: (-fluency[i], i))
    of_group: dict[str | None, list[int]] = {}
    for i in order:
        of_group.setdefault(groups[i], []).append(i)
    nobody = of_group.get(None, [])
    named = n - len(nobody)
    free = min(len(nobody), max(k - named, round(k * len(nobody) / n)))
    names = list(target)
    best: tuple[float, float] | None = None
    picked: list[int] = []
    for counts in compositions(k - free, [len(of_group.get(g, ())) for g in names]):
        mine = [i for g, count in zip(names, counts, strict=True) for i in of_group.get(g, ())[:count]]
        value = (-distance(dict(zip(names, counts, strict=True)), target), sum(fluency[i] for i in mine))
        if best is None or value > best:
            best, picked = value, mine
    return sorted([*picked, *nobody[:free]])


def distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Total variation between the shares of counts and of a target, in [0, 1]; 0 where nothing was counted."""
    whole, total = sum(counts.values()), sum(target.values())
    if not whole:
        return 0.0
    return 0.5 * sum(abs(counts.get(g, 0) / whole - t / total) for g, t in target.items())


def compositions(k: int, most: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All ways to write k as an ordered sum with at most `most[i]` in place i."""
    if not most:
        if k == 0:
            yield ()
        return
    for first in range(max(0, k - sum(most[1:])), min(k, most[0]) + 1):
        for rest in compositions(k - first, most[1:]):
            yield (first, *rest)


def shares(groups: Sequence[str | None]) -> dict[str, int]:
    """How many name each group, for a record; nobody or several: under `none`."""
    return dict(Counter(g or "none" for g in groups))
