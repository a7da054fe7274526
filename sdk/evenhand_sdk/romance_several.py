"""One of several in French and Spanish: the head agrees with them, and is what the sentence is about.

L'une des femmes, une de mes sœurs, cada una de las niñas, la plus belle des actrices.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from evenhand_sdk.clause_words import LIKELY, Token, like
from evenhand_sdk.grammar import Replacement
from evenhand_sdk.romance_owners import Agreement, RomanceOwners

Form = tuple[str, float]
"""A new form, and how sure it is."""


class RomanceSeveral(RomanceOwners):
    """The rules about one of several; a language gives the word lists, and `Romance` the forms."""

    heads: Mapping[str, str]
    """Pronouns for one or some of several -> the form of the other gender (l'une des, uno de los)."""
    feminine_heads: frozenset[str]
    ranks: frozenset[str]
    """Adjectives that choose one of several without a degree (la meilleure des, la única de las)."""

    @abstractmethod
    def adjective(self, word: str, to: Agreement, *, predicate: bool = False) -> Form | None:
        """The form of an adjective in the new gender, and how sure that is; None for a word that has none."""

    def some_of(
        self, rest: Sequence[Token], to: Agreement
    ) -> tuple[list[Replacement], Sequence[Token], Agreement] | None:
        """What changes in the head of `one of the women`, the words before it, and what agrees with it.

        `rest` are the words before the noun phrase, nearest first.
        """
        position = 0
        while position < len(rest) and rest[position].lower in ("de", "d'", "des", "entre"):
            position += 1
        if position >= len(rest) or not to.plural:
            return None
        token = rest[position]
        made = self.heads.get(token.lower)
        if made is not None:
            if (token.lower in self.feminine_heads) is to.fem:
                return None
            change = Replacement(token.start, token.end, like(token.word, made), LIKELY)
            return [change], rest[position + 1 :], Agreement(to.fem, made.endswith("s"))
        return self._best_of(rest, position, to)

    def _best_of(
        self, rest: Sequence[Token], position: int, to: Agreement
    ) -> tuple[list[Replacement], Sequence[Token], Agreement] | None:
        """The same for a superlative (la plus belle des actrices, la mayor de las hermanas)."""
        token, one = rest[position], Agreement(to.fem, plural=False)
        form = self.adjective(token.word, one)
        article = position + 1
        while article < len(rest) and rest[article].lower in self.adverbs:
            article += 1
        chosen = article > position + 1 or token.lower in self.ranks
        if form is None or not chosen or article >= len(rest):
            return None
        made = self.determiner(rest[article].lower, fem=to.fem, before=form[0])
        if made is None:
            return None
        changes = [
            Replacement(token.start, token.end, *form),
            Replacement(rest[article].start, rest[article].end, like(rest[article].word, made)),
        ]
        return changes, rest[article + 1 :], one
