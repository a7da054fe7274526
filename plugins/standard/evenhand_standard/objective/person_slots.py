"""Where a text names a person's group first: the slot that no antecedent has decided.

In "The nurse said that she ..." the context before "she" names no group, and any group word would be right; the second
"she" of the text must agree with the first. Losses that draw the group words of one slot together may act on the first
only (ungrounded), or they destroy agreement. For a masked model, which reads both sides, a slot is ungrounded when it
is the only group word of its text. First names count as antecedents even where they are no slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evenhand_sdk import Axis, UsageError, counterfactuals, group_words


@dataclass(frozen=True)
class Place:
    """A stretch of tokens, ids[start:end]."""

    start: int
    end: int


@dataclass(frozen=True)
class Slot:
    """An ungrounded person slot of a text."""

    place: Place
    """The tokens of its word."""
    word: str
    spaced: bool
    """Whether a space stands before the word."""


@dataclass(frozen=True)
class Version:
    """A text with another group's word in the slot of the original."""

    text: str
    here: Place
    """The tokens of the original from the first change to the end of the slot's word."""
    there: Place
    """The same of this text."""


class SlotReader:
    """Finds the slots of texts of one axis; each text is read once."""

    def __init__(self, tokenizer: Any, axis: Axis, *, kind: str, names: bool) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(
                "the tokenizer does not say which characters a token stands for",
                where="tokenizer",
                do="use a model with a fast tokenizer (tokenizer.json)",
            )
        self.tokenizer, self.axis, self.kind, self.names = tokenizer, axis, kind, names
        self._first_names = frozenset(name for row in axis.names for name in row if name)
        self._slots: dict[str, Slot | None] = {}
        self._versions: dict[str, list[Version]] = {}

    def slot(self, text: str) -> Slot | None:
        """The slot of a text, None when it has no ungrounded one, or one that is its first token."""
        if text not in self._slots:
            self._slots[text] = self._find(text)
        return self._slots[text]

    def versions(self, text: str) -> list[Version]:
        """The text with the words of other groups, where the slot and its tokens can be told; in the pack's order."""
        if text not in self._versions:
            self._versions[text] = list(self._make(text)) if self.slot(text) else []
        return self._versions[text]

    def first_group_word(self, text: str) -> Place | None:
        """The tokens of the first group word or name, grounded or not, exempt or not; None where there is none."""
        found = group_words(text, self.axis)
        return place_of(self._read(text)[1], found[0].start, found[0].end) if found else None

    def with_gap(self, text: str) -> list[list[int]]:
        """The tokens of a text with one mask in the place of the slot's word; nothing without a slot."""
        slot = self.slot(text)
        if slot is None:
            return []
        ids, _ = self._read(text)
        return [[*ids[: slot.place.start], self.tokenizer.mask_token_id, *ids[slot.place.end :]]]

    # ------------------------------------------------------------------------------------------------- inside
    def _find(self, text: str) -> Slot | None:
        found = group_words(text, self.axis)
        if not found or found[0].exempt or (self.kind == "masked" and len(found) > 1):
            return None
        first = found[0]
        word = text[first.start : first.end]
        if word in self._first_names and not self.names:
            return None
        place = place_of(self._read(text)[1], first.start, first.end)
        if place is None or (self.kind == "causal" and place.start == 0):
            return None
        return Slot(place, word, spaced=text[: first.start].endswith(" "))

    def _make(self, text: str) -> list[Version]:
        (first, *_), made = group_words(text, self.axis), []
        ids, offsets = self._read(text)
        others = counterfactuals(text, self.axis, names=self.names)
        covering = [next((e for e in o.edits if e.start <= first.start < e.end), None) for o in others]
        reached = [(o, e) for o, e in zip(others, covering, strict=True) if e is not None]
        start = min(
            [first.start, *(o.edits[0].start for o, _ in reached)]
        )  # an article before the word may change, too
        for other, edit in reached:
            other_ids, other_offsets = self._read(other.text)
            here, there = place_of(offsets, start, edit.end), place_of(other_offsets, start, edit.new_end)
            if here is None or there is None or here.start != there.start or here.start == 0:
                continue
            if ids[: here.start] == other_ids[: there.start]:
                made.append(Version(other.text, here, there))
        return made

    def _read(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        made = self.tokenizer(text, add_special_tokens=self.kind == "masked", return_offsets_mapping=True)
        return list(made["input_ids"]), [tuple(pair) for pair in made["offset_mapping"]]


def place_of(offsets: Sequence[tuple[int, int]], start: int, end: int) -> Place | None:
    """The tokens of text[start:end], whose first may have the space before it; None where no token begins there."""
    inside = [k for k, (a, b) in enumerate(offsets) if b > start and a < end and b > a]
    if not inside or offsets[inside[0]][0] < start - 1:
        return None
    return Place(inside[0], inside[-1] + 1)
