"""Pairs of sentences that name two groups, which techniques of this stage fit themselves on.

Where the pair bank knows an axis, they are those of its training templates; for other axes, those of the templates in
the axis pack. `pair-gap` measures held-out templates of the bank, but the pack's templates for other axes, so a step
tells the toolkit which texts it has used (`material`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand_sdk import Axis, Material, UsageError, load_axis
from evenhand_standard.pair_bank import knows, pairs
from evenhand_standard.pair_bank.axis_sentences import sentence_pairs

NONE = "none"
"""The association of an occupation that is tied to no group, and of every pair outside the pair bank."""


@dataclass(frozen=True)
class GroupPair:
    """The same sentence with the words of two groups."""

    texts: tuple[str, str]
    groups: tuple[str, str]
    context: str
    """What comes before the first group word, where the pair bank knows it."""
    occupation: str
    association: str
    """The group that the occupation is commonly associated with, or `none`."""


def fitting_pairs(axis: Axis, limit: int | None = None, seed: int = 0) -> list[GroupPair]:
    """Pairs to fit on, balanced over templates whatever the limit.

    Raises UsageError for an axis of which neither the pair bank nor its own pack has sentences.
    """
    if knows(axis):
        return [
            GroupPair(
                texts=(item.female_text, item.male_text),
                groups=("female", "male"),
                context=item.context,
                occupation=item.occupation,
                association=item.stereotype,
            )
            for item in pairs(axis, "train", limit, seed)
        ]
    found = []
    for pair in sentence_pairs(axis, limit, seed):
        left, _, right = pair.group.partition("/")
        found.append(GroupPair((pair.left_text, pair.right_text), (left, right), "", "", NONE))
    if not found:
        raise UsageError(
            f"there are no sentences to fit on for the axis {axis.name!r} in {axis.locale!r}",
            known="its pack has no templates, and the pair bank is English and needs the groups female and male",
            do="add [[templates]] to the axis pack, or take another axis",
        )
    return found


def material_of(axis: str, locale: str, limit: int | None) -> Material:
    """The sentences that a step with these options is fitted on."""
    found: Sequence[GroupPair] = fitting_pairs(load_axis(axis, locale), limit)
    return Material(texts={"fitting sentences": [text for pair in found for text in pair.texts]})
