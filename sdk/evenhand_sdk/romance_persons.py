"""Whom a word means, as French and Spanish see it: persons or things, one or several."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from evenhand_sdk.axes import load_axis
from evenhand_sdk.clause_words import GUESS, LIKELY, like, tokens_before
from evenhand_sdk.grammar import Plain, Reading, Replacement, Swap


class RomancePersons(Plain):
    """The rules about persons that do not depend on the language."""

    locale: str
    plural_determiners: frozenset[str]

    @abstractmethod
    def determiner(self, word: str, *, fem: bool, before: str) -> str | None:
        """The form of a determiner in the new gender before the word `before`; None if it is no determiner that has
        a form of the old gender."""

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        """Singular or plural of a noun with one form for both (le fils, les fils), by its determiner."""
        wanted = "singular"
        for token in tokens_before(text, start)[:3]:
            if token.lower in self.plural_determiners:
                wanted = "plural"
        chosen = next((option for option in options if option[1] == wanted), next(iter(options)))
        return chosen, LIKELY

    @cached_property
    def genders(self) -> Mapping[str, bool]:
        """The nouns and first names of the gender pack, in lower case -> whether they are feminine."""
        pack = load_axis("gender", self.locale)
        rows = [row.words for row in pack.tuples if row.pos == "noun" and row.sources] + list(pack.names)
        return {word.lower(): fem for row in rows for word, fem in zip(row, (True, False), strict=True)}

    @property
    def persons(self) -> Collection[str]:
        """The nouns and first names of the gender pack, in lower case."""
        return self.genders.keys()

    @cached_property
    def names(self) -> frozenset[str]:
        """The first names of the gender pack, in lower case."""
        return frozenset(name.lower() for row in load_axis("gender", self.locale).names for name in row)

    def question_clitic(
        self, text: str, swap: Swap, pattern: re.Pattern[str], pairs: Mapping[str, str]
    ) -> Iterator[Replacement]:
        """A clitic in the sentence behind a person who was asked about (Ma tante ? Je la connais)."""
        match = pattern.match(text, swap.end)
        if match and match[1].lower() in pairs:
            yield Replacement(match.start(1), match.end(1), like(match[1], pairs[match[1].lower()]), GUESS)
