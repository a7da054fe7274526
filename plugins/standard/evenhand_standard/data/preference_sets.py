"""Preference pairs that pull towards parity, not towards the reverse stereotype, and what each loss makes of them.

A comparison is a prompt x with two continuations a and b that differ in a group. Let

    D0 = log p0(a|x) - log p0(b|x),     D = log p(a|x) - log p(b|x),     h = D - D0

Each comparison comes in both directions, (chosen a, rejected b) and its mirror (chosen b, rejected a). A single
direction has no optimum but D = infinity: the reverse stereotype. With both,

    DPO   -w log s(beta h) - (1 - w) log s(-beta h)      is least at  beta h = logit w
    IPO   (h - m)^2                                      is least at  h = m
    zero margin   huber(D)                               is least at  D = 0

so with equal weights DPO stays at h = 0, which is the *reference's* preference, biased as it is. Parity, D = 0, needs

    w = s(-beta D0),   m = -D0

and these are the weights and margins that are given with the pairs. Sources: Rafailov et al. 2023 (DPO), Azar et al.
2024 (IPO), Mitchell 2023 (conservative DPO); the calibration is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand_sdk import Axis
from evenhand_standard.data.synthesis_grid import group_pairs

Format = Literal["dpo", "ipo", "zero-margin"]


@dataclass(frozen=True)
class Comparison:
    """A prompt, and two continuations that differ in the group."""

    prompt: str
    first: str
    second: str
    axis: str
    groups: tuple[str, str]
    """The group of each continuation."""
    template: str
    stereotype: str = ""
    """The group that is commonly associated with the prompt, where a label says so."""


@dataclass(frozen=True)
class PreferencePair:
    """One direction of a comparison, as a preference objective reads it."""

    comparison: Comparison
    chosen: str
    rejected: str
    chosen_group: str
    mirror: bool
    """The chosen side is the stereotypical one, or, without a label, the second."""
    weight: float
    """Of this direction in the loss; the two directions have 1 together."""
    margin: float
    """What the format's margin should be: of h for `dpo` and `ipo`, of D for `zero-margin`; in nat."""

    @property
    def text(self) -> str:
        return self.comparison.prompt + self.chosen


def comparison(
    texts: Sequence[str], axis: str, groups: tuple[str, str], template: str, stereotype: str = ""
) -> Comparison | None:
    """Two texts as one: what they share up to the last word before the first difference is the prompt.

    None when they share no word at the beginning, or do not differ.
    """
    one, two = texts
    same = next((k for k, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    if same is None:
        return None
    cut = one.rfind(" ", 0, same)
    if cut <= 0:
        return None
    return Comparison(one[:cut], one[cut:], two[cut:], axis, groups, template, stereotype)


def banked(axis: Axis, seed: int) -> list[Comparison]:
    """The training split of the pair bank, in its balanced order; empty for an axis that it does not know."""
    from evenhand_standard.pair_bank import knows, pairs

    if not knows(axis):
        return []
    found = []
    for item in pairs(axis, "train", seed=seed):
        groups = ("female", "male")
        label = item.stereotype if item.stereotype in groups else ""
        texts = (item.female_text, item.male_text)
        if made := comparison(texts, axis.name, groups, item.template, stereotype=label):
            found.append(made)
    return found


def gridded(axis: Axis, filled: Iterator[tuple[str, Mapping[str, str]]]) -> list[Comparison]:
    """Pairs of groups of each filled template (template, group -> text): one pair of each, then another, and so on."""
    columns = []
    for template, texts in filled:
        pairs = group_pairs([group for group in axis.groups if group in texts])
        made = (comparison((texts[a], texts[b]), axis.name, (a, b), template) for a, b in pairs)
        columns.append([item for item in made if item is not None])
    longest = max(map(len, columns), default=0)
    return [column[k] for k in range(longest) for column in columns if k < len(column)]


def directions(item: Comparison, form: Format, beta: float, preference: float) -> tuple[PreferencePair, PreferencePair]:
    """Both directions of a comparison; `preference` is D0 in nat, and 0 where it is not known."""
    one = (item.first, item.second, item.groups[0], preference)
    other = (item.second, item.first, item.groups[1], -preference)
    # Of a labelled comparison, the anti-stereotypical direction comes first.
    ordered = (other, one) if item.stereotype == item.groups[0] else (one, other)
    made = []
    for k, (chosen, rejected, group, d0) in enumerate(ordered):
        weight = sigmoid(-beta * d0) if form == "dpo" else 0.5
        margin = 0.0 if form == "zero-margin" else -d0
        made.append(PreferencePair(item, chosen, rejected, group, bool(k), weight, margin))
    return made[0], made[1]


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
