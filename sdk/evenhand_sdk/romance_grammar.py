"""What French and Spanish share: agreement of articles, adjectives and participles with a word that changes its gender.

Behind a swap the noun phrase is read outwards from its noun: adjectives and a determiner before it, adjectives behind
it, and, where it is the subject of a linking verb, what is said of it; then the rest of the sentence
(`romance_sentence.py`). A word is changed only when it has a form of the old gender and a known form of the new one; a
word that cannot be judged lowers the confidence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from evenhand_sdk.axes import load_axis
from evenhand_sdk.clause_words import (
    FEMALE,
    GUESS,
    LIKELY,
    MALE,
    Token,
    like,
    spaced,
    tokens_after,
    tokens_before,
)
from evenhand_sdk.grammar import Replacement, Swap
from evenhand_sdk.pronoun_things import Meant
from evenhand_sdk.romance_owners import Agreement, sentence_before
from evenhand_sdk.romance_several import Form
from evenhand_sdk.romance_things import RomanceThings


class Romance(RomanceThings, ABC):
    """The rules that do not depend on the language; a language gives the word lists and the forms."""

    only_verbs: frozenset[str] = frozenset()
    """Those of the forms `verbs_behind_noun` that are verbs before a preposition, too."""
    unsure: frozenset[Meant] = frozenset((Meant.EITHER,))
    """What a pronoun may mean that makes its swap a guess."""
    whoever: Mapping[str, str] = {}
    """Pronouns for somebody told by a relative clause -> the form of the other gender (celle qui)."""
    of_whom: frozenset[str]
    """What opens a relative clause."""
    comparisons: frozenset[str]
    """Adverbs behind which a word is an adjective (más estrictos)."""
    agrees = True

    # --- what a language gives ---

    @abstractmethod
    def joined(self, preposition: str, determiner: str | None, *, before: str) -> str | None:
        """A preposition with what follows it, contracted or elided; None when nothing is contracted."""

    @abstractmethod
    def by_rule(self, word: str, to: Agreement) -> Form | None:
        """The form of an adjective that no list holds, and how sure that is."""

    def word_itself(self, swap: Swap, before: Sequence[Token], after: Sequence[Token], *, fem: bool) -> str:
        """The new word where the context asks for another one than the row gives (sa femme: son mari)."""
        return swap.after

    def right_behind(self, word: str, to: Agreement) -> Form | None:
        """The form of a word that is an adjective because it stands right behind a noun (el rey emérito)."""
        return None

    def before_noun(self, change: Replacement, following: Token, to: Agreement) -> Replacement:
        """The change of an adjective behind a linking verb, where a noun may follow (es buena cocinera)."""
        return change

    def in_front(self, word: str, *, before: str) -> str:
        """The form of an adjective before the noun, which may depend on the next word (beau: bel)."""
        return word

    def is_complement(self, rest: Sequence[Token], to: Agreement) -> bool:
        """Whether a noun phrase behind these words has a preposition, so that no verb agrees with it."""
        return bool(rest) and rest[0].lower in self.prepositions

    # --- forms ---

    @cached_property
    def forms(self) -> Mapping[tuple[str, bool, bool], str]:
        """(form, whether the new gender is feminine, plural) -> new form, for the adjectives that the pack lists."""
        table: dict[tuple[str, bool, bool], str] = {}
        for row in load_axis("gender", self.locale).tuples:
            if row.theme != "agreement":
                continue
            fem, masc = row.words
            for f, m, plural in ((fem, masc, False), (self.plural(fem), self.plural(masc), True)):
                table.setdefault((f, False, plural), m)
                table.setdefault((m, True, plural), f)
        return table

    @abstractmethod
    def plural(self, word: str) -> str:
        """The plural of a form."""

    def predicate_by_rule(self, word: str, to: Agreement) -> Form | None:
        """As `by_rule`, behind a linking verb, where no other verb can stand."""
        return None

    def adjective(self, word: str, to: Agreement, *, predicate: bool = False) -> Form | None:
        """The form of an adjective in the new gender, and how sure that is; None for a word that has none.

        The number decides where singular and plural look alike (jaloux: jalouse, jalouses).
        """
        lowered = word.lower()
        listed = self.forms.get((lowered, *to)) or self.forms.get((lowered, to.fem, not to.plural))
        if listed is not None:
            return like(word, listed), 1.0
        found = self.by_rule(lowered, to)
        if found is None and predicate:
            found = self.predicate_by_rule(lowered, to)
        return None if found is None else (like(word, found[0]), found[1])

    # --- the rules ---

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        if set(swap.groups) != {FEMALE, MALE}:
            return ()
        to = Agreement(swap.groups[swap.target] == FEMALE, swap.row.number == "plural")
        before = tokens_before(text, swap.start)
        after = tokens_after(text, swap.end)
        new = self.word_itself(swap, before, after, fem=to.fem)
        found = [Replacement(swap.start, swap.end, new)] if new != swap.after else []
        if swap.row.pos == "pronoun":
            if before and before[0].is_word and swap.start - before[0].end <= 1:
                found += self._join(before[0], None, swap.start, new)
            rest: Sequence[Token] = before
            subject = swap.row.case not in ("object", "reflexive")
        else:
            left, rest = self._phrase(before, swap.start, new, to, common=swap.row.pos == "noun")
            found += left
            subject = not self.is_complement(rest, to)
        behind, at = self._behind(after, swap.row.pos, to)
        found += behind
        some = self.some_of(rest, to)
        if some is not None:
            found += some[0]
            rest, to = some[1:]
            subject = not self.is_complement(rest, to)
        found += self.opening(text, rest, to) + self._whoever(text, rest, to)
        if self.is_couple(rest, to):
            found = [one for one in found if not (one.start >= swap.end and text[one.end - 1] in "sx")]
        else:
            if subject:
                inverted = text[swap.start - 1 : swap.start] == "-"
                found += self._predicate(after, at, to, inverted=inverted) + self._before_subject(rest, to)
            found += self.strays(text, swap.end, at, rest, to, found, subject=subject)
        if swap.row.pos == "pronoun" and self.meant(text, swap.start, swap.end) in self.unsure:
            found.append(Replacement(swap.start, swap.end, new, GUESS))
        if "’" in text and "'" not in text:
            found = [change._replace(after=change.after.replace("'", "’")) for change in found]
        return found

    def _whoever(self, text: str, rest: Sequence[Token], to: Agreement) -> list[Replacement]:
        """What opens the sentence and is said to be the person (Celle qui chante est ma tante)."""
        if not rest or rest[0].lower not in self.linking:
            return []
        tokens = sentence_before(text, rest[0].start)
        if len(tokens) < 3 or tokens[1].lower not in self.of_whom:
            return []
        made = self.whoever.get(tokens[0].lower) or self.determiner(tokens[0].lower, fem=to.fem, before="x")
        if made is None or self.shows(made, fem=not to.fem):
            return []
        found = [Replacement(tokens[0].start, tokens[0].end, like(tokens[0].word, made), LIKELY)]
        linking = next((place for place, token in enumerate(tokens) if token.lower in self.linking), None)
        return found if linking is None else found + self._complement(tokens, linking + 1, to)

    def _join(self, preposition: Token, determiner: str | None, until: int, before: str) -> list[Replacement]:
        """The preposition (or que, si) before the phrase, which begins with `determiner` or with `before`."""
        made = self.joined(preposition.lower, determiner, before=before)
        if made is None or made == preposition.lower:
            return []
        return [Replacement(preposition.start, until, spaced(like(preposition.word, made)))]

    def _phrase(
        self, before: Sequence[Token], start: int, new: str, to: Agreement, *, common: bool
    ) -> tuple[list[Replacement], Sequence[Token]]:
        """What changes before the noun, inside its phrase, and the words that stand before the phrase."""
        pending: list[Replacement] = []
        following, until = new, start
        for position, token in enumerate(before):
            rest = before[position + 1 :]
            lowered = token.lower
            if not token.is_word:
                return (pending if common else []), before[position:]
            made = self.determiner(lowered, fem=to.fem, before=following)
            if made is not None:
                whole = (
                    before[position:] if lowered in self.prepositions else rest
                )  # du, del: with a preposition inside
                return pending + self._determined(token, made, until, rest, following, to), whole
            if lowered in self.fixed_determiners:
                return pending + self._outer(rest, lowered, to), rest
            if self.joined(lowered, None, before=following) is not None:
                return pending + self._join(token, None, until, following), before[position:]
            if lowered in self.adverbs or (lowered in self.conjunctions and position):
                following, until = token.word, token.start
                continue
            form = self.adjective(token.word, to)
            if form is None or position > 4:
                return [], before[position:]
            word = self.in_front(form[0], before=following)
            pending.append(Replacement(token.start, token.end, word, form[1]))
            following, until = word, token.start
        return (pending if common else []), ()

    def _determined(
        self, token: Token, made: str, until: int, rest: Sequence[Token], following: str, to: Agreement
    ) -> list[Replacement]:
        """The determiner, with the preposition or the other determiner before it."""
        written = like(token.word, made)
        own = [Replacement(token.start, until, spaced(written))] if written != token.word else []
        if rest and rest[0].is_word:
            joined = self.joined(rest[0].lower, made, before=following)
            if joined is not None:
                return [Replacement(rest[0].start, until, spaced(like(rest[0].word, joined)))]
        return own + self._outer(rest, made, to)

    def _outer(self, rest: Sequence[Token], inner: str, to: Agreement) -> list[Replacement]:
        """A determiner or an adjective before the determiner (tous les, todas las, seule la)."""
        if rest and (form := self.forms.get((rest[0].lower, *to))) and rest[0].lower.startswith(("seul", "sol")):
            return [Replacement(rest[0].start, rest[0].end, like(rest[0].word, form))]
        if not rest or not rest[0].lower.startswith(("tou", "tod")):
            return []
        made = self.determiner(rest[0].lower, fem=to.fem, before=inner)
        return [] if made is None else [Replacement(rest[0].start, rest[0].end, like(rest[0].word, made))]

    def _behind(self, after: Sequence[Token], pos: str, to: Agreement) -> tuple[list[Replacement], int]:
        """Adjectives directly behind the noun, and the position of the first token that is none of them."""
        position = 0
        if pos == "pronoun":
            return [], 0
        while position < len(after) and after[position].word[:1].isupper():
            position += 1  # Madame Dubois, la doctora Ruiz
        if position or pos in ("title", "name"):
            return [], position
        found, position = self._adjectives(after, 0, to)
        found += (best := self._superlatives(after, position, to))[0]
        position = best[1]
        if position < len(after) and after[position].word == ",":
            changed, end = self._set_off(after, position + 1, to)
            if changed:
                return [*found, *changed], end
        return found, position

    def _superlatives(self, after: Sequence[Token], position: int, to: Agreement) -> tuple[list[Replacement], int]:
        """Superlatives behind the noun, with their articles (la femme la plus belle), and the position behind them."""
        found: list[Replacement] = []
        while True:
            place = position
            if found and place < len(after) and (after[place].lower in self.conjunctions or after[place].word == ","):
                place += 1
            if place + 2 >= len(after) or after[place + 1].lower not in self.degrees:
                return found, position
            article = after[place]
            made = self.determiner(article.lower, fem=to.fem, before="x")
            if made is None and article.lower not in self.fixed_determiners:
                return found, position
            changed, end = self._adjectives(after, place + 2, to)
            if not changed:
                return found, position
            if made is not None:
                found.append(Replacement(article.start, article.end, like(article.word, made)))
            found += changed
            position = end

    def _set_off(self, after: Sequence[Token], position: int, to: Agreement) -> tuple[list[Replacement], int]:
        """What is set off by commas behind the noun (vêtue de noir), and the position behind the closing comma."""
        changed, end = self._adjectives(after, self.past_leads(after, position), to)
        if not changed:
            return [], position
        if end < len(after) and after[end].is_word and not self._may_follow(after[end]):
            return [], position  # première victime: it belongs to what follows
        while end < len(after) and after[end].word != ",":
            end += 1
        return changed, end + 1

    def _may_follow(self, token: Token) -> bool:
        """Whether the word may stand behind an adjective that is set off without being the noun of it."""
        lowered = token.lower
        return (
            token.word[0].isupper()
            or (self.is_small(lowered) and not self.is_determiner(lowered))
            or (lowered in self.prepositions)
        )

    def _adjectives(
        self, after: Sequence[Token], position: int, to: Agreement, *, predicate: bool = False
    ) -> tuple[list[Replacement], int]:
        """A run of adjectives with their adverbs and conjunctions, and the position behind it."""
        found: list[Replacement] = []
        end = position
        while position < len(after):
            token = after[position]
            joins = token.lower in self.conjunctions or token.word == ","
            predicate = predicate and not joins  # another verb may follow: était colérique et attendait
            if (
                token.lower in self.adverbs
                or (predicate and self.is_adverb(token.lower))
                or (joins and 0 < position == end)
            ):
                position += 1
                continue
            compared = position > 0 and after[position - 1].lower in self.comparisons
            form = self.adjective(token.word, to, predicate=predicate or compared) if token.is_word else None
            if form is None and not predicate and position == end and token.is_word:
                form = self.right_behind(token.word, to)
            if form is None or (position == 0 and self._governs(after, position)):
                break
            found.append(Replacement(token.start, token.end, *form))
            position += 1
            end = position
        return found, end

    def _governs(self, after: Sequence[Token], position: int) -> bool:
        """Whether a form directly behind the noun is its verb (la madre despierta al niño)."""
        following = after[position + 1].lower if position + 1 < len(after) else ""
        if after[position].lower in self.verbs_behind_noun:
            return after[position].lower in self.only_verbs or following not in self.prepositions
        if after[position].lower not in self.verbs_too or not following:
            return False
        return following in ("a", "al") or self.is_determiner(following) or following == "l'"

    def _predicate(self, after: Sequence[Token], position: int, to: Agreement, *, inverted: bool) -> list[Replacement]:
        """What a linking verb says of the subject that ends before `position`."""
        position = self._past_complement(after, position)
        while position < len(after) and after[position].lower in self.before_verb:
            position += 1
        if any(self.agrees_with_nobody(after, place) for place in range(position, min(len(after), position + 4))):
            return []
        if position < len(after) and after[position].lower in self.having:
            position += 1
            while position < len(after) and self.is_adverb(after[position].lower):
                position += 1
            if position < len(after) and after[position].lower in self.been:
                return self._complement(after, position + 1, to) + self._second(after, position + 1, to)
            return []
        if position < len(after) and after[position].lower in self.linking:
            return self._complement(after, position + 1, to) + self._second(after, position + 1, to)
        return self._complement(after, position, to) if inverted else []

    def _second(self, after: Sequence[Token], position: int, to: Agreement) -> list[Replacement]:
        """What a second linking verb of the same subject says (es cantante y está cansada)."""
        for place in range(position, min(len(after) - 1, position + 8)):
            if after[place].lower in self.conjunctions:
                place += 1
                while place < len(after) and after[place].lower in self.before_verb:
                    place += 1
                if place < len(after) and after[place].lower in self.linking:
                    return self._complement(after, place + 1, to)
        return []

    def _complement(self, after: Sequence[Token], position: int, to: Agreement) -> list[Replacement]:
        while position < len(after) and after[position].lower in self.been:
            position += 1
        found, end = self._adjectives(after, position, to, predicate=True)
        behind = {one.start: two for one, two in pairwise(after[position : end + 1])}
        found = [self.before_noun(one, behind[one.start], to) if one.start in behind else one for one in found]
        if end > position or position >= len(after):
            return found
        token = after[position]
        made = self.determiner(token.lower, fem=to.fem, before="x")
        if made is not None:  # elle est la première, es la más alta
            found, end = self._adjectives(after, position + 1, to)
            closed = (
                end == len(after) or not after[end].is_word or after[end].lower in self.prepositions | self.relative
            )
            if end == position + 1 or not closed:
                return []
            shortened = [self.in_front(one.after, before=two.after) for one, two in pairwise(found)]
            found[:-1] = [one._replace(after=word) for one, word in zip(found, shortened, strict=False)]
            next_word = after[position + 1].word if after[position + 1].start < found[0].start else found[0].after
            made = self.determiner(token.lower, fem=to.fem, before=next_word) or made
            return [Replacement(token.start, after[position + 1].start, spaced(like(token.word, made))), *found]
        if token.lower not in self.fixed_determiners and self.unclear(token.lower, fem=to.fem):
            # it looks like an adjective of the old gender, but its new form is not known
            return [Replacement(token.start, token.end, token.word, GUESS)]
        return []

    def unclear(self, word: str, *, fem: bool) -> bool:
        """Whether a word behind a linking verb may be an adjective with an unknown form in the new gender."""
        return False

    def _past_complement(self, after: Sequence[Token], position: int) -> int:
        """The position behind `de Julie`, `qui`, and the like, where the verb of the subject may stand."""
        if position < len(after) and after[position].lower in self.relative:
            return position + 1
        for _ in range(2):
            if position >= len(after) or after[position].lower not in self.prepositions:
                break
            place = position + 1
            while place < min(len(after), position + 5) and after[place].is_word and not self._verb(after[place]):
                place += 1
            if place >= len(after) or not self._verb(after[place]):
                return position
            position = place
        return position

    def _verb(self, token: Token) -> bool:
        return token.lower in self.linking or token.lower in self.having or token.lower in self.before_verb

    def _before_subject(self, rest: Sequence[Token], to: Agreement) -> list[Replacement]:
        """What an inverted linking verb says of the subject behind it (¿Está lista la camarera?)."""
        return []
