"""The counterfactuals of a text that is still being written: a name counts as one as soon as it is complete.

A word is exchanged where two things let it be: the text up to its own end, as `causal_counterfactuals` judges it, and
its sentence, as far as that is written, with the sentence before it (The King James Bible). What it becomes is judged
by the words behind it, too, once there are any (I saw her: his; I saw her yesterday: him). So the counterfactual grows
with the text, and an earlier word of it changes only where a word behind a pronoun has told what that stands for, or a
name or a fact in the last sentence has become complete.

Sentences are judged in order, and what the earlier ones gave is kept: a further word costs the same however long the
text has become.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from evenhand_sdk.axes import Axis, WordTuple
from evenhand_sdk.composed_text import compose
from evenhand_sdk.counterfactual import changeable, in_context_so_far, row_of
from evenhand_sdk.counterfactual_swap import edits_as_given, exchanged
from evenhand_sdk.exempt_spans import completes_person, ends_paragraph, exempt_so_far
from evenhand_sdk.grammar import Replacement
from evenhand_sdk.lexicon import compiled
from evenhand_sdk.prefix_memory import BLOCK, PrefixMemory
from evenhand_sdk.spans import Spans
from evenhand_sdk.word_search import Found, find, folded

Edits = tuple[Replacement, ...]
Row = tuple[WordTuple, float]
_SOMETHING = re.compile(r"\s*\S")
_SEVERAL_WORDS = re.compile(r"\s*(?:\S+\s+){2}\S+\s")
"""As many as may tell what a pronoun in front of them stands for."""


class Exchange(NamedTuple):
    """A counterfactual as what has to be changed in the text."""

    group: str
    """The group that the first person of the text then belongs to."""
    edits: Edits
    """In order, and apart."""


@dataclass(frozen=True)
class _Judged:
    """What the sentences up to `end` gave."""

    before: int = 0
    """Where the last one of them begins."""
    end: int = 0
    source: int | None = None
    """The group of the first word that is exchanged."""
    edits: tuple[Edits | None, ...] = ()
    """Towards each group; None where the pack lacks a word that must change."""
    surnames: frozenset[str] = frozenset()
    told: bool = False
    """Whether a phrase has named a real person in this paragraph, so that the rest of it stays."""


class CounterfactualsSoFar:
    """(text) -> its counterfactuals, one per other group; a pure function of the text.

    Texts that begin alike, such as one that grows by a word at a time, are cheaper after one another.
    """

    def __init__(self, axis: Axis, *, names: bool = True, block: int = BLOCK) -> None:
        self.axis, self.names = axis, names
        self._lexicon = compiled(axis)
        first = _Judged(edits=((),) * len(axis.groups))
        self._memory: PrefixMemory[str, _Judged] = PrefixMemory(first, self._whole_sentences, block=block)

    def __call__(self, text: str) -> list[Exchange]:
        """One for each other group, in the order of `axis.groups`; none where nothing is exchanged."""
        if (other := compose(text)) is not None:
            return [Exchange(group, edits_as_given(edits, other, causal=True)) for group, edits in self(other.text)]
        judged = self._whole_sentences(self._memory.state(text), text)
        while judged.end < len(text):
            found = self._lexicon.grammar.sentence_end.search(text, judged.end)
            judged = self._with_sentence(judged, text[: found.end()] if found else text, text)
        return [Exchange(group, edits) for group, edits in zip(self.axis.groups, judged.edits, strict=True) if edits]

    def _whole_sentences(self, judged: _Judged, text: str) -> _Judged:
        """After all sentences of the text that are at their end, whatever follows."""
        sentence_end = self._lexicon.grammar.sentence_end
        while found := sentence_end.search(text, judged.end):
            # A sentence may go on behind the end of a line, where words tell what a pronoun before it stands for.
            told = (_SEVERAL_WORDS if found[0] == "\n" else _SOMETHING).match(text, found.end())
            if told is None:
                break
            judged = self._with_sentence(judged, text[: found.end()], text[: told.end()])
        return judged

    def _with_sentence(self, judged: _Judged, text: str, further: str) -> _Judged:
        """After one more sentence, with which the text ends; `further` is the text and what is known to follow."""
        lexicon = self._lexicon
        window = text[judged.before :]
        new = judged.end - judged.before
        words, surnames = self._words(judged, text, window, new)
        source = words[0].entry.group if words and judged.source is None else judged.source
        edits = judged.edits
        if words:
            rows = [row_of(further, w, lexicon, causal=not _SOMETHING.match(further, w.end)) for w in words]
            edits = tuple(
                self._more(earlier, text, words, rows, source, group) for group, earlier in enumerate(judged.edits)
            )
        told = (judged.told or completes_person(window, new, lexicon)) and not ends_paragraph(window)
        return _Judged(judged.end, len(text), source, edits, surnames, told)

    def _words(self, judged: _Judged, text: str, window: str, new: int) -> tuple[list[Found], frozenset[str]]:
        """The words of text[judged.end:] that are exchanged, and the names that are surnames so far."""
        lexicon, fold = self._lexicon, folded(window)
        found = [word for word in find(window, fold, lexicon, one_part=True) if word.start >= new]
        if not self.names:
            found = [word for word in found if not word.entry.is_name]
        if not found:
            return [], judged.surnames
        placed = [_moved(word, judged.before) for word in found]
        here, surnames = in_context_so_far(text, placed, lexicon, judged.surnames)
        if judged.told or not here:
            return [], surnames
        here = exempt_so_far(window, lexicon, [_moved(word, -judged.before) for word in here])
        if not here:
            return [], surnames
        whole = changeable(window, fold, lexicon, names=self.names)
        let = Spans((word.start, word.end) for word in whole)
        return [_moved(word, judged.before) for word in here if let.touches(word.start, word.end)], surnames

    def _more(
        self, earlier: Edits | None, text: str, words: list[Found], rows: list[Row], source: int | None, group: int
    ) -> Edits | None:
        """The edits towards a group after a sentence with these words."""
        if earlier is None or source is None or group == source:
            return earlier
        made = exchanged(text, words, rows, source, group, self.axis, self._lexicon, causal=True)
        return None if made is None else (*earlier, *made[0])


def _moved(word: Found, by: int) -> Found:
    return word._replace(start=word.start + by, end=word.end + by)
