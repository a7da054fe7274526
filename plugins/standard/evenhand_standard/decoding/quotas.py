"""Set-level quotas: which of several answers to give, so that the groups they name have a target's shares.

With k answers to choose, c_g how many of them name group g (and no other), and t the target:

    minimise   (1/2) sum_g | c_g / sum c  -  t_g |,     among those the one with the greatest sum of fluency

Answers that name nobody, or several groups, keep the share that they have among the samples: a set must not become
balanced by erasing everybody. Both are sums of convex functions of the c_g, so taking the best next answer again and
again gives the exact optimum, however many groups there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
    wanted, whole = k - free, sum(target.values())
    counts = dict.fromkeys(target, 0)

    def further(g: str) -> tuple[float, float]:
        """By how much the distance grows with one more of a group, and what that costs in fluency."""
        goal, now = wanted * target[g] / whole, counts[g]
        return round(abs(now + 1 - goal) - abs(now - goal), 9), -fluency[of_group[g][now]]

    for _ in range(wanted):
        counts[min((g for g in target if counts[g] < len(of_group.get(g, ()))), key=further)] += 1
    picked = [i for g, count in counts.items() for i in of_group.get(g, ())[:count]]
    return sorted([*picked, *nobody[:free]])


def distance(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Total variation between the shares of counts and of a target, in [0, 1]; 0 where nothing was counted."""
    whole, total = sum(counts.values()), sum(target.values())
    if not whole:
        return 0.0
    return 0.5 * sum(abs(counts.get(g, 0) / whole - t / total) for g, t in target.items())


def shares(groups: Sequence[str | None]) -> dict[str, int]:
    """How many name each group, for a record; nobody or several: under `none`."""
    return dict(Counter(g or "none" for g in groups))
