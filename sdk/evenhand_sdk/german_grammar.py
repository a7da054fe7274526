"""German, by rule: the case of a noun phrase, the forms of its words, and whom sie, ihr and sein mean.

The gender of a masculine phrase shows its case (der, den, dem, des); a feminine one leaves two (die, der), which are
told apart by prepositions, by a noun before it and by the order of the clause. Sein and ihr change with the owner, and
their endings with the thing or person that is owned (seine Tante: ihren Onkel).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.axes import WordTuple, load_axis
from evenhand_sdk.clause_words import (
    FEMALE,
    GUESS,
    LIKELY,
    MALE,
    SURE,
    Token,
    is_given_name,
    like,
    tokens_after,
    tokens_before,
)
from evenhand_sdk.german_joined import joined_nouns
from evenhand_sdk.german_owners import Persons, is_of_several, owner
from evenhand_sdk.german_senses import is_other_noun
from evenhand_sdk.german_things import named, opens_clause
from evenhand_sdk.german_verbs import is_plural, noun_follows
from evenhand_sdk.grammar import Plain, Reading, Replacement, Swap
from evenhand_sdk.pronoun_things import Meant, Named, meant, tokens_of

_SINGULAR, _PLURAL = "singular", "plural"


class German(Plain):
    """German grammar by rule."""

    cases_told_apart: Collection[frozenset[str]] = (
        frozenset({"subject", "object"}),
        frozenset({"object", "determiner"}),
    )
    sentence_end = re.compile(
        r"(?<!\bDr)(?<!\bProf)(?<!\bNr)(?<!\bz)(?<!\d)[.!?…]+[\"'”“’»«)\]]*\s+(?=[^\Wa-z_]|[\"„‚»(\[])|\n+"
    )
    small_words: Collection[str] = words.SMALL_WORDS
    agrees = True

    # --- the noun phrase ---

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        if set(swap.groups) != {FEMALE, MALE}:
            return ()
        fem = swap.groups[swap.target] == FEMALE
        before = tokens_before(text, swap.start)
        if swap.row.pos == "pronoun":
            found = self._owner_agrees(text, swap, before) if swap.row.case == "determiner" else []
            if self._meant(text, swap.start, swap.end) is Meant.EITHER:
                found = [*found, Replacement(swap.start, swap.end, found[-1].after if found else swap.after, GUESS)]
            return found
        if swap.row.pos != "noun" or swap.row.theme.startswith("first names"):
            return ()
        adjectives, determiner, rest = phrases.phrase(before)
        if swap.row.number == _PLURAL:
            return self._plural(swap, determiner, rest, fem=fem)
        return self._singular(text, swap, adjectives, determiner, rest, fem=fem)

    def _singular(
        self,
        text: str,
        swap: Swap,
        adjectives: Sequence[Token],
        determiner: Token | None,
        rest: Sequence[Token],
        *,
        fem: bool,
    ) -> list[Replacement]:
        kind, case, certainty = self._case(text, swap, adjectives, determiner, rest, to_fem=fem)
        found = [
            Replacement(token.start, token.end, like(token.word, adjective), certainty)
            for token in adjectives
            if (adjective := phrases.adjective_form(token.lower, kind, case, fem=fem))
        ]
        if determiner is not None:
            found += self._determiner(determiner, rest, adjectives, swap, case, certainty, fem=fem)
        noun = self._noun(text, swap, determiner, fem=fem)
        written = noun if fem else phrases.noun_form(noun, case)
        if written != swap.after:
            found.append(Replacement(swap.start, swap.end, like(swap.before, written), certainty))
        found += joined_nouns(rest, tokens_after(text, swap.end), case, self._known_nouns, fem=fem)
        return found + _relative(text, swap.end, fem=fem) + ([] if fem else self._others_own(text, swap.end))

    def _others_own(self, text: str, end: int) -> list[Replacement]:
        """A lower confidence for an ihr behind a woman that is taken for that of several people and may be hers."""
        found = []
        for token in tokens_after(text, end):
            if token.lower in words.HERS:
                own = owner(text, token.start, tokens_before(text, token.start), self._persons)
                if own.several and not own.certain:
                    found.append(Replacement(token.start, token.end, token.word, GUESS))
        return found

    def _case(
        self,
        text: str,
        swap: Swap,
        adjectives: Sequence[Token],
        determiner: Token | None,
        rest: Sequence[Token],
        *,
        to_fem: bool,
    ) -> tuple[str | None, str, float]:
        """Kind of the determiner, the case of the phrase, and how sure that is."""
        if determiner is None:
            case, certainty = self._bare(swap, adjectives, rest, to_fem=to_fem)
            return None, case, certainty
        if determiner.lower in words.CONTRACTED or determiner.lower == "zur":
            return "article", phrases.DATIVE, SURE
        kind, _, ending = phrases.determiner_kind(determiner.lower) or ("article", "d", "")
        if to_fem:
            shown = phrases.case_of_man(kind, ending)
            return kind, shown or phrases.NOMINATIVE, SURE if shown else GUESS
        case, certainty = phrases.case_of_woman(ending, rest)
        return kind, case, certainty

    def _bare(
        self, swap: Swap, adjectives: Sequence[Token], rest: Sequence[Token], *, to_fem: bool
    ) -> tuple[str, float]:
        """The case of a phrase without a determiner (Frau Weber, als Lehrer, lieber Kollege)."""
        preposition = rest[0].lower if rest and rest[0].is_word else ""
        if preposition in words.DATIVE | words.TWO_WAY:
            return phrases.DATIVE, LIKELY
        if preposition in words.ACCUSATIVE:
            return phrases.ACCUSATIVE, LIKELY
        if preposition in ("als", "ist", "war", "wird", "wurde"):
            return phrases.NOMINATIVE, SURE
        if adjectives:
            ending = adjectives[0].lower[-2:]
            return {"en": phrases.ACCUSATIVE, "em": phrases.DATIVE}.get(ending, phrases.NOMINATIVE), LIKELY
        return phrases.subject_or_object(rest)

    def _determiner(
        self,
        determiner: Token,
        rest: Sequence[Token],
        adjectives: Sequence[Token],
        swap: Swap,
        case: str,
        certainty: float,
        *,
        fem: bool,
    ) -> list[Replacement]:
        lowered = determiner.lower
        until = adjectives[-1].start if adjectives else swap.start
        if lowered in words.CONTRACTED and fem:
            return [Replacement(determiner.start, determiner.end, like(determiner.word, words.CONTRACTED[lowered]))]
        if lowered == "zur" and not fem:
            return [Replacement(determiner.start, determiner.end, like(determiner.word, "zum"))]
        known = phrases.determiner_kind(lowered)
        if known is None:
            return []
        kind, stem, _ = known
        short = words.SPLIT.get(rest[0].lower) if rest and kind == "article" and case == phrases.DATIVE else None
        if short and not fem:  # bei der: beim
            return [Replacement(rest[0].start, until, like(rest[0].word, short) + " ", certainty)]
        made = phrases.determiner_form(kind, stem, case, fem=fem)
        return [Replacement(determiner.start, determiner.end, like(determiner.word, made), certainty)]

    def _noun(self, text: str, swap: Swap, determiner: Token | None, *, fem: bool) -> str:
        """The new noun in the nominative: Herr and Frau are titles before a name."""
        after = tokens_after(text, swap.end)
        titled = determiner is None and bool(after) and after[0].word[0].isupper()
        if swap.before in ("Herr", "Herrn") and titled:
            return "Frau"
        if swap.before == "Frau" and titled:
            return "Herr"
        return swap.row.words[swap.target] if not fem else swap.after

    def _plural(self, swap: Swap, determiner: Token | None, rest: Sequence[Token], *, fem: bool) -> list[Replacement]:
        """Only the dative has a form of its own in the plural: den Lehrern."""
        dative = (determiner is not None and determiner.lower.endswith("en") and determiner.lower != "einen") or (
            bool(rest) and rest[0].lower in words.DATIVE
        )
        new = swap.after
        if dative and not new.endswith(("n", "s")):
            new += "n"
        found = [Replacement(swap.start, swap.end, new)] if new != swap.after else []
        if determiner is None:
            return found
        if determiner.lower.endswith("er"):
            return found + _one_of(rest, fem=fem)  # einer der Männer
        return found + (_one_of(rest[1:], fem=fem) if rest and rest[0].lower == "von" else [])

    def _owner_agrees(self, text: str, swap: Swap, before: Sequence[Token]) -> list[Replacement]:
        """The form of sein or ihr, and a lower confidence where one woman or several people may own."""
        found = self._owner(text, swap, before)
        if swap.groups[swap.source] == MALE or owner(text, swap.start, before, self._persons).certain:
            return found
        after = found[0].after if found else swap.after
        return [Replacement(swap.start, swap.end, after, GUESS)]

    def _owner(self, text: str, swap: Swap, before: Sequence[Token]) -> list[Replacement]:
        """The ending of sein or ihr, when the person who is owned changes gender, too (seine Tante: ihren Onkel)."""
        after = tokens_after(text, swap.end)
        noun = next((token for token in after[:4] if token.is_word and not phrases.is_adjective(token)), None)
        owned = self._people.get(noun.lower) if noun else None
        stem = "ihr" if swap.groups[swap.target] == FEMALE else "sein"
        ending = swap.before.lower().removeprefix("ihr").removeprefix("sein")
        if owned is None or noun is None:
            return []
        is_fem, numbers = owned
        if _SINGULAR not in numbers or (_PLURAL in numbers and ending == "e" and not is_fem):
            return []  # several persons: the ending stays
        if is_fem:
            case, certainty = phrases.case_of_woman(ending or "e", before)
            new = phrases.determiner_form("ein", stem, case, fem=False)
        else:
            known = phrases.case_of_man("ein", ending)
            case, certainty = known or phrases.NOMINATIVE, SURE if known else GUESS
            new = phrases.determiner_form("ein", stem, case, fem=True)
        return [Replacement(swap.start, swap.end, like(swap.before, new), certainty)]

    @cached_property
    def _people(self) -> dict[str, tuple[bool, frozenset[str]]]:
        """Nouns of persons in lower case -> whether they are feminine, and the numbers that the form may have."""
        table: dict[str, tuple[bool, frozenset[str]]] = {}
        for row in load_axis("gender", "de").tuples:
            if row.pos == "noun" and not row.theme.startswith("first names"):
                for group, word in zip((FEMALE, MALE), row.words, strict=True):
                    if group in row.sources:
                        known = table.get(word.lower(), (False, frozenset()))[1]
                        table[word.lower()] = group == FEMALE, known | {row.number or _SINGULAR}
        return table

    @cached_property
    def _known_nouns(self) -> frozenset[str]:
        return self._names.union(self._people)

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        noun = text[start:end].lower()
        is_fem, numbers = self._people.get(noun, (True, frozenset()))
        return not is_fem and is_other_noun(noun, numbers, tokens_before(text, start), tokens_after(text, end))

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        """Singular or plural of a noun with one form for both (der Lehrer, die Lehrer), by its determiner."""
        _, determiner, rest = phrases.phrase(tokens_before(text, start))
        certainty = SURE
        while determiner is None and len(rest) > 1 and rest[0].lower in ("und", "oder") and rest[1].word[0].isupper():
            _, determiner, rest = phrases.phrase(rest[2:])  # ein bekannter Bildhauer und Maler
            certainty = LIKELY if determiner is not None and determiner.lower.startswith("ein") else GUESS
        lowered = determiner.lower if determiner else ""
        if determiner is not None:
            plural = lowered.endswith(("ie", "e")) or lowered in ("zwei", "drei", "vier", "fünf")
            if lowered == "den" and text[start:end].endswith("en") and rest and rest[0].lower in words.DATIVE:
                plural = True
            if lowered == "der" and rest and not plural:  # einer der Schüler, die Klasse der Studenten
                owned = rest[0].word[0].isupper() and len(rest) > 1
                plural = text[start:end].endswith("n") or owned or phrases.is_one(rest[0].lower)
        else:
            previous = rest[0].lower if rest else ""
            plural = previous not in (words.COPULAS - words.PLURAL_COPULAS) | {"als"}
            certainty = GUESS
        wanted = _PLURAL if plural else _SINGULAR
        return next((option for option in options if option[1] == wanted), next(iter(options))), certainty

    # --- pronouns ---

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        return is_given_name(text, start, end, words.TITLES, is_name)

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        before, after = tokens_before(text, start), tokens_after(text, end)
        if "determiner" in options:
            return ("determiner", LIKELY) if noun_follows(after) else ("object", LIKELY)
        previous = before[0].lower if before else ""
        if previous in words.PREPOSITIONS - {"während", "seit", "bis"} or previous in words.CLEAR_SUBJECTS:
            return "object", SURE
        if not before or previous in words.CONJUNCTIONS | words.JOINING | {","}:
            return "subject", LIKELY
        case, certainty = phrases.subject_or_object(before)
        return ("subject" if case == phrases.NOMINATIVE else "object"), certainty

    def case_so_far(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        if "determiner" in options:
            return "determiner", GUESS
        return self.case(text[:end], start, end, options)[0], GUESS

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        surface = text[start:end]
        word = surface.lower()
        if surface[0].isupper() and not self.begins_sentence(text, start) and word.startswith(("sie", "ihr")):
            return False  # the polite form
        before, after = tokens_before(text, start), tokens_after(text, end)
        if word == "sie" and (is_plural(before, after) or self._several_as_object(text, start, end, before)):
            return False
        if word == "ihr" and after and after[0].lower in words.TOGETHER:
            return False
        if word.startswith("sein") and not noun_follows(after):
            return False  # the verb
        determiner = word.startswith("ihr") and (word != "ihr" or noun_follows(after))
        if determiner and owner(text, start, before, self._persons).several:
            return False
        return self._meant(text, start, end) is not Meant.THING

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        return text[start:end].lower() in ("er", "ihn", "ihm")  # sie, ihr and sein wait for what follows

    def _several_as_object(self, text: str, start: int, end: int, before: Sequence[Token]) -> bool:
        """Whether sie is an object and means several people who were named before."""
        case, _ = self.case(text, start, end, ("subject", "object"))
        return case == "object" and is_of_several(text, start, before, self._persons)

    @cached_property
    def _persons(self) -> Persons:
        return Persons(self._people, self._women, self._names)

    @cached_property
    def _women(self) -> frozenset[str]:
        return frozenset(row[0].lower() for row in load_axis("gender", "de").names)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name.lower() for row in load_axis("gender", "de").names for name in row)

    def _meant(self, text: str, start: int, end: int) -> Meant:
        """Whom or what a pronoun means: a person, or a thing of its gender that is named before it."""
        word = text[start:end].lower()
        fem, neuter = word.startswith(("sie", "ihr")), word.startswith(("sein", "ihm"))
        before = tokens_before(text, start)
        owned = noun_follows(tokens_after(text, end)) and word.startswith(("sein", "ihr"))
        if before and not owned:  # der Ball traf ihn: another than the ball
            place = next((place for place, token in enumerate(before) if opens_clause(token, place)), len(before) - 1)
            start = before[place].start
        return meant(text, start, lambda sentence: self._named(sentence, fem, neuter))

    @cached_property
    def _named(self) -> Callable[[str, bool, bool], Sequence[Named]]:
        """What a sentence names, by whether it is feminine, and whether neuter things count as masculine ones."""

        def read(sentence: str, fem: bool, neuter: bool) -> Sequence[Named]:
            return named(tokens_of(sentence), self._persons, fem=fem, neuter=neuter)

        return lru_cache(maxsize=1024)(read)


def _one_of(head: Sequence[Token], *, fem: bool) -> list[Replacement]:
    """The word for one of several, in its case; `head` is that word and those before it, nearest first."""
    if not head or not phrases.is_one(head[0].lower):
        return []
    kind, stem, ending = phrases.determiner_kind(head[0].lower) or ("ein", "ein", "")
    if fem:
        case = {"er": phrases.NOMINATIVE, "en": phrases.ACCUSATIVE, "em": phrases.DATIVE}.get(ending, phrases.GENITIVE)
        certainty = LIKELY
    else:
        case, certainty = phrases.case_of_woman(ending, head[1:])
    made = phrases.determiner_form("der" if kind == "ein" else kind, stem, case, fem=fem)
    return [Replacement(head[0].start, head[0].end, like(head[0].word, made), min(certainty, LIKELY))]


def _relative(text: str, end: int, *, fem: bool) -> list[Replacement]:
    """The relative pronoun directly behind the noun (der Mann, der: die Frau, die)."""
    after = tokens_after(text, end)
    if len(after) < 3 or after[0].word != ",":
        return []
    position = 2 if after[1].lower in words.PREPOSITIONS else 1
    if position + 1 >= len(after):
        return []
    token, following = after[position], after[position + 1]
    if fem:
        made = {"der": "die", "den": "die", "dem": "der", "dessen": "deren"}.get(token.lower)
        certainty = SURE
    elif token.lower == "die":
        is_object = following.lower in words.SUBJECTS or phrases.determiner_kind(following.lower) is not None
        is_object = is_object and not following.lower.startswith("ihr")  # die ihre Söhne suchte
        made, certainty = ("den" if is_object or position == 2 else "der"), LIKELY
    else:
        made, certainty = {"der": "dem", "deren": "dessen"}.get(token.lower), SURE
    return [] if made is None else [Replacement(token.start, token.end, made, certainty)]
