"""Texts with their counterfactuals and with an unrelated text, as losses on the likelihood of whole texts read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evenhand_sdk import Axis, counterfactuals


@dataclass(frozen=True)
class TextPair:
    """A counterfactual of a text."""

    text: str
    exchanged: tuple[tuple[str, str], ...]
    """The words of the text that were exchanged, each with what stands for it."""


@dataclass(frozen=True)
class TextSet:
    """A text, its counterfactuals, and an unrelated text."""

    pairs: tuple[TextPair, ...]
    unrelated: str
    """Empty where there is none."""

    @property
    def texts(self) -> list[str]:
        """What is read besides the text itself: the counterfactuals in order, then the unrelated text."""
        return [pair.text for pair in self.pairs] + ([self.unrelated] if self.unrelated else [])


class TextSets:
    """The sets of texts of one axis; each is made once."""

    def __init__(self, axis: Axis, *, names: bool, unrelated: bool) -> None:
        self.axis, self.names, self.unrelated = axis, names, unrelated
        self._made: dict[str, TextSet] = {}

    @property
    def key(self) -> str:
        """Identifies the sets, as the key of a pairing."""
        parts = "names" if self.names else "words", "unrelated" if self.unrelated else "pairs"
        return f"texts/{self.axis.digest}/{'/'.join(parts)}"

    def of(self, text: str) -> TextSet:
        """The set of a text; without pairs where nothing can be exchanged."""
        if text not in self._made:
            found = counterfactuals(text, self.axis, names=self.names)
            pairs = tuple(TextPair(c.text, tuple((e.before, e.after) for e in c.edits)) for c in found)
            first = min((e.start for c in found for e in c.edits), default=0)
            self._made[text] = TextSet(pairs, scrambled(text, first) if pairs and self.unrelated else "")
        return self._made[text]


def scrambled(text: str, start: int) -> str:
    """The text with its words from a character on in reverse order: the same words, without sense; empty when there
    are fewer than two, or when nothing changes."""
    words = text[start:].split()
    made = text[:start] + " ".join(reversed(words))
    return made if len(words) > 1 and made != text else ""


def token_count(tokenizer: Any, text: str) -> int:
    """The tokens of a whole text, without special ones."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
