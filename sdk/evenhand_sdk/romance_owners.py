"""Which other noun of a sentence may own a form that agrees, as French and Spanish share it.

A noun shows its gender by its determiner (la robe), or may have it by its ending (l'eau, vende ropa). Persons of the
gender pack are no owners here: they are exchanged themselves, and what agrees with them changes for their own sake.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from evenhand_sdk.axes import load_axis
from evenhand_sdk.clause_words import FEMALE, MALE, TOKEN, Token
from evenhand_sdk.romance_persons import RomancePersons

_END = re.compile(r"[.!?;:\n¿¡…]")
_REACH = 400
"""How many characters of a sentence are read on either side of a word."""


class Agreement(NamedTuple):
    """What the words around a swap have to agree with."""

    fem: bool
    plural: bool


class Owners(NamedTuple):
    """The other nouns of a stretch of text that could own a form of the old gender."""

    sure: bool = False
    """Whether one shows that gender."""
    possible: bool = False
    """Whether one may have it."""
    subject: bool = False
    """Whether one that shows it may be the subject of what follows."""


def sentence_before(text: str, end: int) -> list[Token]:
    """The words and marks of the sentence before `end`, in the order of the text."""
    begin = max(0, end - _REACH)
    marks = [match.end() for match in _END.finditer(text, begin, end)]
    found = [Token(m.start(), m.end(), m[0]) for m in TOKEN.finditer(text, marks[-1] if marks else begin, end)]
    return found if marks or begin == 0 else found[1:]


def sentence_after(text: str, start: int) -> list[Token]:
    """The words and marks of the sentence behind `start`."""
    mark = _END.search(text, start, start + _REACH)
    stop = mark.start() if mark else min(len(text), start + _REACH)
    return [Token(m.start(), m.end(), m[0]) for m in TOKEN.finditer(text, start, stop)]


class RomanceOwners(RomancePersons):
    """How nouns and their gender are told; a language gives the word lists."""

    adverbs: frozenset[str]
    """Adverbs that stand between a verb or a determiner and an adjective."""
    prepositions: frozenset[str]
    place_prepositions: frozenset[str]
    """Prepositions behind which a word with a capital is a place."""
    conjunctions: frozenset[str]
    subordinators: frozenset[str]
    """Words that open a clause with a verb of its own."""
    linking: frozenset[str]
    """Finite forms of verbs whose complement agrees with the subject."""
    before_verb: frozenset[str]
    """Negations and clitics between a subject and its verb."""
    having: frozenset[str]
    """Finite forms of the auxiliary that `been` follows."""
    moving: frozenset[str]
    """Finite forms of verbs of motion and of state that may say how their subject is (salió enfadado)."""
    feminine_determiners: frozenset[str]
    masculine_determiners: frozenset[str]
    fixed_determiners: frozenset[str]
    """Determiners that have one form for both genders."""
    particles: frozenset[str]
    """Adverbs of place and time that may follow an adjective (assise près de la porte)."""
    degrees: frozenset[str]
    """Adverbs of the superlative (la plus belle)."""

    @property
    @abstractmethod
    def forms(self) -> Mapping[tuple[str, bool, bool], str]:
        """(form, whether the new gender is feminine, plural) -> new form, for the adjectives that the pack lists."""

    @cached_property
    def adjectives(self) -> frozenset[str]:
        """The forms of the adjectives that the pack lists."""
        return frozenset(form for form, _, _ in self.forms)

    @abstractmethod
    def may_be(self, noun: str, *, fem: bool) -> bool:
        """Whether a noun may have the gender, by its ending."""

    def is_bare_noun(self, tokens: Sequence[Token], position: int) -> bool:
        """Whether a word without a determiner is a noun, by the words before it (en robe)."""
        lowered = tokens[position].lower
        return (
            position > 0
            and tokens[position - 1].lower in self.prepositions
            and not self.is_small(lowered)
            and lowered not in self.adjectives
        )

    @cached_property
    def persons_of(self) -> Mapping[str, frozenset[Agreement]]:
        """The persons and pronouns of the gender pack, in lower case -> the genders and numbers that they may have."""
        table: dict[str, frozenset[Agreement]] = {}
        pack = load_axis("gender", self.locale)
        rows = [(row.words, row.number == "plural", row.sources) for row in pack.tuples]
        for words, plural, sources in [*rows, *((row, False, (FEMALE, MALE)) for row in pack.names)]:
            for word, fem in zip(words, (True, False), strict=True):
                if (FEMALE if fem else MALE) in sources:
                    table[word.lower()] = table.get(word.lower(), frozenset()) | {Agreement(fem, plural)}
        table.pop("lui", None)  # mostly a clitic
        return table

    def is_small(self, word: str) -> bool:
        """Whether the word is one of those that make no noun."""
        return (
            word in self.adverbs or word in self.prepositions or word in self.conjunctions or word in self.before_verb
            or word in self.subordinators or word in self.linking or word in self.having or word in self.moving
            or word in self.particles or self.is_determiner(word)
        )  # fmt: skip

    def is_determiner(self, word: str) -> bool:
        """Whether the word stands before a noun, in whatever gender."""
        return word in self.fixed_determiners or self.shows(word, fem=True) or self.shows(word, fem=False)

    def shows(self, word: str, *, fem: bool) -> bool:
        """Whether the word is a determiner that has the gender in its form."""
        return word in (self.feminine_determiners if fem else self.masculine_determiners)

    def owners(self, tokens: Sequence[Token], to: Agreement) -> Owners:
        """The nouns among the tokens that have, or may have, the gender that `to` leaves, in its number."""
        sure = possible = subject = False
        for position in range(len(tokens)):
            kind = self._owner_at(tokens, position, to)
            if kind == "sure":
                sure = True
                opens = position == 0 or tokens[position - 1].lower in self.subordinators
                subject = subject or opens
            possible = possible or kind == "possible"
        return Owners(sure, possible, subject)

    def _owner_at(self, tokens: Sequence[Token], position: int, to: Agreement) -> str | None:
        token = tokens[position]
        lowered = token.lower
        if not token.is_word:
            return None
        shown = self.shows(lowered, fem=not to.fem)
        if shown or lowered in self.fixed_determiners or lowered == "l'":
            if (lowered in self.plural_determiners) is not to.plural:
                return None
            noun = self._noun_behind(tokens, position + 1)
            if noun is None or noun in self.persons_of:
                return None
            if shown or not self.may_be(noun, fem=to.fem):
                return "sure"
            return "possible" if self.may_be(noun, fem=not to.fem) else None
        if self.is_determiner(lowered) or lowered in self.persons_of or to.plural is not lowered.endswith(("s", "x")):
            return None
        if token.word[0].isupper():
            place = position == 0 or tokens[position - 1].lower in self.place_prepositions
            return None if place else "possible"
        if position and self.is_determiner(tokens[position - 1].lower):  # du film: its article has told
            return None
        if self.is_bare_noun(tokens, position) and self.may_be(lowered, fem=not to.fem):
            return "possible"
        return None

    def _noun_behind(self, tokens: Sequence[Token], position: int) -> str | None:
        """The noun of a phrase behind its determiner, in lower case: the first that is no adjective, or the last."""
        noun = None
        for token in tokens[position : position + 3]:
            if not token.is_word or self.is_small(token.lower):
                break
            noun = token.lower
            if noun not in self.adjectives:
                break
        return noun

    def is_noun_at(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether the word at `position` is a noun that may have the gender that `to` leaves."""
        token = tokens[position]
        if not token.is_word:
            return False
        if position and self.is_determiner(before := tokens[position - 1].lower) or (position and before == "l'"):
            return self._owner_at(tokens, position - 1, to) is not None
        return self._owner_at(tokens, position, to) == "possible"
