"""Whether a text that is still being written names somebody of an axis.

It is `bool(group_words(text, axis))`. What stands around a word decides whether it names somebody; that is judged once
the text has gone on for a while, and kept, so that a further word costs the same however long the text has become.
"""

from __future__ import annotations

from dataclasses import dataclass

from evenhand_sdk.axes import Axis
from evenhand_sdk.composed_text import compose
from evenhand_sdk.counterfactual import outside_of_things, persons_and_surnames, stands_alone
from evenhand_sdk.lexicon import compiled
from evenhand_sdk.prefix_memory import BLOCK, PrefixMemory
from evenhand_sdk.word_search import find, folded

_AROUND = 400
"""Characters on either side of a word, beyond which nothing decides what it means."""


@dataclass(frozen=True)
class _Named:
    """What the words that begin before `end` gave."""

    end: int = 0
    certain: bool = False
    """Whether one of them names somebody, whatever else the text says."""
    alone: frozenset[str] = frozenset()
    """First names without a surname; one that is a surname elsewhere in the text is one here, too."""
    surnames: frozenset[str] = frozenset()


class NamesSomebody:
    """(text) -> whether a group word or a first name of the axis is there; a pure function of the text.

    Texts that begin alike, such as one that grows by a word at a time, are cheaper after one another.
    """

    def __init__(self, axis: Axis, *, block: int = BLOCK) -> None:
        self._lexicon = compiled(axis)
        self._memory: PrefixMemory[str, _Named] = PrefixMemory(_Named(), self._settled, block=block)

    def __call__(self, text: str) -> bool:
        named = self._memory.state(text)
        if not named.certain:
            named = self._until(named, text, len(text))
        return named.certain or not named.alone <= named.surnames

    def _settled(self, named: _Named, text: str) -> _Named:
        """After the words that nothing behind the text can change."""
        return self._until(named, text, len(text) - _AROUND)

    def _until(self, named: _Named, text: str, end: int) -> _Named:
        """After the words that begin before `end`."""
        if end <= named.end:
            return named
        lexicon, begin = self._lexicon, max(0, named.end - _AROUND)
        window, other = text[begin:], compose(text[begin:])
        if other is not None:
            window = other.text
        found = [
            word
            for word in find(window, folded(window), lexicon)
            if named.end <= begin + (word.start if other is None else other.place(word.start)) < end
        ]
        if not found:
            return _Named(end, named.certain, named.alone, named.surnames)
        kept, others = persons_and_surnames(window, found, lexicon)
        alone = {window[w.start : w.end].lower() for w in kept if stands_alone(window, w, lexicon)}
        certain = named.certain or any(not stands_alone(window, w, lexicon) for w in kept)
        others = outside_of_things(window, others, lexicon) if others else []
        surnames = {window[w.start : w.end].lower() for w in others}
        return _Named(end, certain, named.alone | alone, named.surnames | surnames)
