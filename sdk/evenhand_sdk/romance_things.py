"""What a French or Spanish sentence names in the gender of a pronoun: persons, and things by their determiner."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

from evenhand_sdk.clause_words import Token
from evenhand_sdk.pronoun_things import Meant, Named, meant, tokens_of
from evenhand_sdk.romance_couples import RomanceCouples
from evenhand_sdk.romance_owners import Agreement, sentence_before


class RomanceThings(RomanceCouples, ABC):
    """The rules about things that pronouns mean; a language gives its pronouns."""

    adjectives_too: frozenset[str]
    """Nouns for persons that are adjectives, too, and that the pack does not list as such (la ville amie)."""
    subjects: dict[str, Agreement]
    """The pronouns that may mean a thing, with their gender and number."""

    def meant(self, text: str, start: int, end: int) -> Meant:
        """Whom or what a pronoun means: a person, or a thing of its gender and number that is named before it."""
        pronoun = self.subjects.get(text[start:end].lower())
        if pronoun is None:
            return Meant.PERSON
        return meant(text, start, lambda sentence: self._named(sentence, pronoun))

    @cached_property
    def _named(self) -> Callable[[str, Agreement], Sequence[Named]]:
        """The persons, pronouns and things of a gender and number in a sentence, in the order of the text."""

        def read(sentence: str, to: Agreement) -> Sequence[Named]:
            tokens = tokens_of(sentence)
            kinds = (self._named_at(tokens, place, to) for place in range(len(tokens)))
            return [kind for kind in kinds if kind is not None]

        return lru_cache(maxsize=1024)(read)

    def is_nobody(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether the pronoun at `place` means neither a person nor a thing (il pleut)."""
        return False

    def _named_at(self, tokens: Sequence[Token], place: int, to: Agreement) -> Named | None:
        lowered = tokens[place].lower
        if lowered in self.subjects:
            same = self.subjects[lowered] == to and not self.is_nobody(tokens, place)
            return Named.PRONOUN if same else None
        if to in self._persons_at(tokens[place]):
            return Named.PERSON
        shown = self.shows(lowered, fem=to.fem)
        if not shown and lowered not in self.fixed_determiners and lowered != "l'":
            return None
        if (lowered in self.plural_determiners) is not to.plural or self._is_clitic(tokens, place):
            return None
        noun = self._noun_behind(tokens, place + 1)
        if noun is None or noun in self.persons_of or not (shown or self.may_be(noun, fem=to.fem)):
            return None
        oblique = place > 0 and tokens[place - 1].lower in self.prepositions
        sure = shown or not self.may_be(noun, fem=not to.fem)
        return Named.THING if sure and not oblique and lowered not in self.prepositions else Named.PERHAPS

    def _is_clitic(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether la, le or los stands before a verb (il la voit, María la vio)."""
        if not place or tokens[place].lower not in ("la", "le", "les", "los", "las"):
            return False
        before = tokens[place - 1].lower
        return before in self.subjects or before in self.before_verb | self.speakers or before in self.names

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        return super().in_fixed_compound(text, start, end) or self._is_said_of_thing(text, start, end)

    def _is_said_of_thing(self, text: str, start: int, end: int) -> bool:
        """Whether a noun for a person that is an adjective, too, is said of a thing, or of somebody whom the pack lacks
        (la table voisine, la jambe est blessée)."""
        if text[start:end].lower() not in self.adjectives | self.adjectives_too:
            return False
        tokens = sentence_before(text, start)
        place = self._before(tokens, len(tokens))
        if place > 0 and tokens[place].lower in self.been:
            place = self._before(tokens, place)
        if place > 0 and tokens[place].lower in self.linking | self.having:
            place = self._before(tokens, place)
            subject = tokens[place]
            if subject.lower in self.subjects:
                return self.meant(text, subject.start, subject.end) is Meant.THING
        return place > 0 and self._is_thing(tokens, place)

    def _is_thing(self, tokens: Sequence[Token], place: int) -> bool:
        """Whether the word at `place` is a noun right behind its determiner, and no person of the pack."""
        noun, determiner = tokens[place].lower, tokens[place - 1].lower
        if not tokens[place].word.islower() or self.is_small(noun) or noun in self.persons_of:
            return False
        if not self.is_determiner(determiner) and determiner != "l'":
            return False
        shown = (Agreement(fem, plural) for fem in (True, False) for plural in (True, False))
        return all(self.adjective(noun, to) is None for to in shown)
