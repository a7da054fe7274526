"""The pair bank: sentences that are equal but for the words of a group, split by template and by occupation.

A measure compares what a model does with the two sides: the log-probability of one against the other, or the
distributions of the next token behind the group word. Train on `train`, choose the best moment of a training
on `validation`, measure on `heldout`: the splits share neither a template nor an occupation.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain, zip_longest
from typing import Any

from evenhand_sdk import Axis, UsageError
from evenhand_sdk.english_articles import starts_with_vowel_sound

SPLITS = ("train", "heldout")
"""What is trained on, and what is measured."""
VALIDATION = "validation"
"""What chooses between the moments of a training: no benchmark reads it, and no training should."""
MADE_FOR = ("gender", "en")
"""Axis and locale of the pack that the bank is written for."""
GROUPS = frozenset({"female", "male"})
"""The groups that an axis must have to fill the templates."""
PRONOUN_SLOTS = {
    "subj": "subject",
    "obj": "object",
    "poss": "determiner",
    "own": "possessive",
    "refl": "reflexive",
}
"""Slots of pronouns, and the case of the row of the axis that fills them."""
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class PairItem:
    """One pair (x, x~): the same sentence with the words of the one group and of the other."""

    id: str
    template: str
    """The template with its slots."""
    occupation: str
    female_text: str
    male_text: str
    context: str
    """What both texts share before the first group word; empty or ending in a space."""
    stereotype: str
    """The group commonly associated with the occupation: female, male or none. It enters no score."""

    @property
    def left_text(self) -> str:
        return self.female_text

    @property
    def right_text(self) -> str:
        return self.male_text

    @property
    def group(self) -> str:
        return self.stereotype


def knows(axis: Axis) -> bool:
    """Whether the templates of the bank, which are English and tell of women and men, can be filled from the pack."""
    return set(axis.groups) >= GROUPS and axis.locale.partition("-")[0] == "en"


def pairs(axis: Axis, split: str, limit: int | None = None, seed: int = 0) -> list[PairItem]:
    """The pairs of a split in a seeded order that alternates between templates, so that any `limit` is
    balanced.

    Raises UsageError for an unknown split and for an axis that the bank does not know.
    """
    known = (*SPLITS, VALIDATION)
    if split not in known:
        raise UsageError(f"the pair bank has no split {split!r}", known=f"its splits are {', '.join(known)}")
    if limit is not None and limit < 0:
        raise UsageError(f"limit must not be negative, got {limit}")
    if not knows(axis):
        raise UsageError(
            f"the pair bank has no pairs for axis {axis.name!r} in {axis.locale!r}",
            known=f"it is English and needs the groups female and male; the axis has {', '.join(axis.groups)}",
            do="use an English axis with these groups, such as gender, or the templates of the axis pack",
        )
    bank = _bank()[split]
    occupations = [(name, kind) for kind, names in bank["occupations"].items() for name in names]
    generator = random.Random(f"{split}-{seed}")
    columns = []
    for key, template in bank["templates"].items():
        column = [_item(axis, key, template, name, kind) for name, kind in occupations]
        generator.shuffle(column)
        columns.append(column)
    generator.shuffle(columns)
    items = [item for item in chain.from_iterable(zip_longest(*columns)) if item is not None]
    return items if limit is None else items[:limit]


def training_lines(axis: Axis) -> list[str]:
    """The text `builtin:templates`: each training template with a third of the training occupations.

    One line has one group. The groups come in turn, over the occupations of a template and over the templates of an
    occupation, so that neither is told of one group more than once more often than of the other.
    """
    names = list(occupations("train"))
    lines = []
    for i, template in enumerate(templates("train").values()):
        for j, name in enumerate(names):
            turn, skipped = divmod(i + j, 3)
            if not skipped:
                lines.append(_filled(axis, template, name, ("female", "male")[turn % 2]))
    return lines


def templates(split: str) -> dict[str, str]:
    """The templates of a split by their key."""
    return dict(_bank()[split]["templates"])


def occupations(split: str) -> dict[str, str]:
    """The occupations of a split, each with its stereotype label."""
    return {name: kind for kind, names in _bank()[split]["occupations"].items() for name in names}


@cache
def _bank() -> Mapping[str, Any]:
    return tomllib.loads((resources.files(__name__) / "templates.toml").read_text(encoding="utf-8"))


def _item(axis: Axis, key: str, template: str, occupation: str, stereotype: str) -> PairItem:
    first = next(slot.start() for slot in _SLOT.finditer(template) if not slot[1].endswith("occupation"))
    return PairItem(
        id=f"{key}.{occupation.replace(' ', '-')}",
        template=template,
        occupation=occupation,
        female_text=_filled(axis, template, occupation, "female"),
        male_text=_filled(axis, template, occupation, "male"),
        context=_filled(axis, template[:first], occupation, "female"),
        stereotype=stereotype,
    )


def _filled(axis: Axis, template: str, occupation: str, group: str) -> str:
    def fill(slot: re.Match[str]) -> str:
        if slot[1] == "occupation":
            return occupation
        if slot[1] == "an_occupation":
            return f"{'an' if starts_with_vowel_sound(occupation) else 'a'} {occupation}"
        return _word(axis, slot[1], group)

    return _SLOT.sub(fill, template)


@cache
def _word(axis: Axis, slot: str, group: str) -> str:
    case = PRONOUN_SLOTS.get(slot)
    for row in axis.tuples:
        if (case is not None and row.case == case) or (case is None and row.words[axis.groups.index("female")] == slot):
            return row.words[axis.groups.index(group)]
    raise UsageError(f"axis {axis.name!r} has no row for the slot {{{slot}}} of the pair bank")
