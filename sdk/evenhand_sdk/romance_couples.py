"""A man and a woman together, as French and Spanish see them: what is said of both is masculine throughout.

Juan y María son amigos becomes Julia y José son amigos: adjective, participle and noun behind the verb stay.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from evenhand_sdk.clause_words import Token
from evenhand_sdk.romance_owners import Agreement, sentence_before
from evenhand_sdk.romance_sentence import RomanceSentence


class RomanceCouples(RomanceSentence, ABC):
    """The rules about a woman and a man who are joined; a language gives the word lists."""

    @property
    def alone(self) -> frozenset[str]:
        """Pronouns that may be joined to another person (él, elle, lui)."""
        return frozenset(("él", "ella", "ellos", "ellas", "elle", "lui", "elles", "eux"))

    def is_couple(self, rest: Sequence[Token], to: Agreement) -> bool:
        """Whether a person who gets the gender of `to` is joined to one who loses it; `rest` are the words before the
        person's phrase, nearest first (Juan y)."""
        if len(rest) < 2 or rest[0].lower not in self.conjunctions:
            return False
        return self._gender(rest, 1) is to.fem

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        """Whether a masculine plural is said of a woman and a man together (Juan y María son amigos)."""
        if Agreement(fem=False, plural=True) not in self.persons_of.get(text[start:end].lower(), ()):
            return False
        tokens = sentence_before(text, start)
        place = len(tokens) - 1
        if place > 0 and tokens[place].lower in self.conjunctions and tokens[place - 1].is_word:
            place -= 2  # son médicos y vecinos
        while place >= 0 and (self._leads_to_noun(tokens[place].lower) or tokens[place].lower in ("de", "d'")):
            place -= 1
        while place >= 0 and tokens[place].lower in self.been | self.adverbs:
            place -= 1
        if place < 1 or tokens[place].lower not in self.linking | self.having:
            return False
        if not self.is_plural_verb(tokens[place].lower):
            return False
        place -= 1
        while place >= 0 and tokens[place].lower in self.before_verb | self.adverbs:
            place -= 1
        return self.names_couple(tokens[: place + 1])

    def names_couple(self, tokens: Sequence[Token]) -> bool:
        """Whether the tokens end with women and men who are joined (mi tía y su hermano)."""
        back = tokens[::-1]
        found: set[bool] = set()
        joined = False
        for place, token in enumerate(back):
            if token.lower in self.conjunctions or token.word == ",":
                joined = True
            elif token.lower in self.linking | self.having | self.subordinators or not token.is_word:
                break
            elif (gender := self._gender(back, place)) is not None and not self._is_owned(back, place):
                found.add(gender)
        return joined and len(found) == 2

    def _leads_to_noun(self, word: str) -> bool:
        return self.is_determiner(word) or word in self.adjectives or word in self.adverbs

    def _gender(self, back: Sequence[Token], place: int) -> bool | None:
        """Whether the person at `place`, of words nearest first, is feminine; None for nobody, or for either."""
        word = back[place].lower
        known = self.genders.get(word)
        if known is None and word in self.alone:
            return word.startswith(("ella", "elle"))
        return known

    def _is_owned(self, back: Sequence[Token], place: int) -> bool:
        """Whether a person stands behind a preposition (la madre de Juan)."""
        place += 1
        while place < len(back) and self._leads_to_noun(back[place].lower):
            if back[place].lower in self.prepositions:
                return True
            place += 1
        return place < len(back) and back[place].lower in self.prepositions
