"""What the counterfactual engine returns: texts after a swap with their edits, and the group words of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Edit(NamedTuple):
    """One replacement, with its place in characters in the old text and in the new one (ends are exclusive)."""

    start: int
    end: int
    before: str
    after: str
    new_start: int
    new_end: int


class Block(NamedTuple):
    """A stretch of the old text, text[start:end], and the stretch of the new one that stands for it."""

    start: int
    end: int
    new_start: int
    new_end: int
    equal: bool
    """The same characters in both texts; otherwise an edit."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A text after the swap. Outside the edits it equals the original, character by character."""

    text: str
    group: str
    """The group that the first person of the text now belongs to."""
    edits: tuple[Edit, ...]
    confidence: float
    """That of the least certain edit, in (0, 1]."""

    @property
    def alignment(self) -> tuple[Block, ...]:
        """Blocks that cover both texts from beginning to end, in order: equal stretches, and edits."""
        blocks: list[Block] = []
        old = new = 0
        for edit in self.edits:
            if edit.start > old:
                blocks.append(Block(old, edit.start, new, edit.new_start, equal=True))
            blocks.append(Block(edit.start, edit.end, edit.new_start, edit.new_end, equal=False))
            old, new = edit.end, edit.new_end
        if new < len(self.text):
            blocks.append(Block(old, old + len(self.text) - new, new, len(self.text), equal=True))
        return tuple(blocks)


@dataclass(frozen=True)
class GroupWord:
    """A word of a group in a text: text[start:end]."""

    start: int
    end: int
    group: str
    exempt: bool = False
    """It stands in a phrase, title or address that must not be changed, or belongs to a person who must not be."""
