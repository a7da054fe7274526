"""English, by rule: the implementation of `Grammar` that needs no model.

Each question reads a few words on either side; where several readings are common, the more frequent one is chosen and
the confidence says so. The rules are in `english_pronouns`, `english_articles`, `english_person_adjectives`,
`english_person_nouns`, `english_names`, `english_thing_names` and `english_agreement`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from evenhand_sdk.axes import WordTuple
from evenhand_sdk.english_agreement import plural_in_brackets, possessive_ending, verb_after
from evenhand_sdk.english_articles import article_before, repaired_article
from evenhand_sdk.english_articles import starts_with_vowel_sound as starts_with_vowel_sound
from evenhand_sdk.english_compounds import in_fixed_compound, of_two_peoples
from evenhand_sdk.english_facts import are_joined, group_facts, is_mere_topic
from evenhand_sdk.english_famous import is_said_of_famous
from evenhand_sdk.english_identity import is_also_called, says_who
from evenhand_sdk.english_names import (
    bears_surname,
    is_first_name,
    is_first_name_so_far,
    is_namesake,
    is_of_the_writer,
    is_surname_behind_title,
    is_title,
    named_as_ruler,
    names_whom,
)
from evenhand_sdk.english_neighbours import sentence_starts_at, words_before
from evenhand_sdk.english_partners import are_partners
from evenhand_sdk.english_person_adjectives import describes_person, describes_person_so_far, in_compound
from evenhand_sdk.english_person_nouns import adjective_or_noun, is_origin, is_state, names_persons
from evenhand_sdk.english_person_words import BEFORE_VERBS, FOLLOWERS, HAVING
from evenhand_sdk.english_persons import is_person_noun
from evenhand_sdk.english_pronouns import possessive_case, possessive_case_so_far
from evenhand_sdk.english_rulers import RANK_WORDS, rulers
from evenhand_sdk.english_ships import SHIP_WORDS, ships
from evenhand_sdk.english_thing_names import in_name_of_thing, names_a_cause
from evenhand_sdk.english_words import CLAUSE_OPENERS, FUNCTION_WORDS, NOUNS_AND_ADJECTIVES, SMALL_WORDS
from evenhand_sdk.grammar import Located, Reading, Replacement, Span, Swap
from evenhand_sdk.well_known import people_by_part

_ABBREVIATIONS = "Mr Mrs Ms Mx Dr St Sr Jr Prof Rev Gen Col Capt Lt Sgt Gov Sen Rep Hon vs No"
_OWNER = re.compile(r" (?:of|to) (?:the )?(?:\d{1,2}(?:st|nd|rd|th) )?(?:late |former )?")
"""Between a relative and whose relative that is."""
_DESCRIBED_OWNER = re.compile(r"(?:[\w'’-]+ ){0,4}[a-z][\w'’-]+ (?=[A-Z])")
"""What somebody's name comes behind (the daughter of Liberal Party politician Tony Abbott)."""
_FARTHEST = 6
"""Words between a verb of having and a relative (had two young and lively sons)."""
_OWNERS = frozenset(("her", "his", "hers"))


class English:
    """English grammar by rule."""

    cases_told_apart: Collection[frozenset[str]] = (
        frozenset({"object", "determiner"}),
        frozenset({"determiner", "possessive"}),
    )
    sentence_end = re.compile(
        r"[.!?]"
        + "".join(rf"(?<!\b{short}\.)" for short in _ABBREVIATIONS.split())
        + r"(?<!\b[A-Z]\.)[.!?]*[\"'”’)\]]*\s+(?=[^\Wa-z_]|[\"“‘'(\[])|\n+"
    )
    small_words: Collection[str] = SMALL_WORDS
    pronouns_after_hyphen = False
    nouns_and_adjectives: Collection[str] = NOUNS_AND_ADJECTIVES
    agrees = False
    any_person: Collection[str] = frozenset(
        ("man", "woman", "boy", "girl", "lady", "gentleman", "guy", "gal", "male", "female", "lad", "lass")
    )
    rank_words = RANK_WORDS
    ship_words = SHIP_WORDS
    ship_pronouns = frozenset(("she", "her", "hers", "herself"))
    beings: Collection[str] = frozenset(("queen bee", "queen ant", "queen wasp", "drag queen", "drag king"))

    @property
    def well_known(self) -> Mapping[str, Sequence[str]]:
        return people_by_part("en")

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        return possessive_case(text, start, end)

    def case_so_far(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        return possessive_case_so_far(text, start, end)

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        return adjective_or_noun(text, start, end, options)

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        if in_compound(text, start, end) or (text[start].isupper() and of_two_peoples(text, start, end, is_group_word)):
            return False
        if row.context == "origin":
            return is_origin(text, start)
        if row.context == "state":
            return is_state(text, start, end)
        if row.pos == "noun":
            return names_persons(text, start, end, plural=row.number == "plural")
        return describes_person(text, start, end, is_group_word) and not (
            text[start].isupper() and (names_a_cause(text, end) or is_said_of_famous(text, start, end))
        )

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        return row.pos == "adjective" and describes_person_so_far(text, start, end)

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        return is_first_name(text, start, end, is_name)

    def is_first_name_so_far(self, text: str, start: int, end: int) -> bool:
        return is_first_name_so_far(text, start)

    def bears_surname(self, text: str, end: int) -> bool:
        return bears_surname(text, end)

    def rulers(self, text: str) -> tuple[Sequence[Span], Sequence[Span]]:
        return rulers(text)

    def ships(self, text: str, pronouns: Sequence[Span], *, woman: bool) -> Sequence[Span]:
        return ships(text, pronouns, woman=woman)

    def owner_behind(self, text: str, start: int, end: int) -> Span | None:
        found = _OWNER.match(text, end)
        if found is None or text[start:end].lower() not in FOLLOWERS:
            return None
        described = _DESCRIBED_OWNER.match(text, found.end())
        words = described[0].split() if described else []
        by_noun = described and is_person_noun(words[-1]) and FUNCTION_WORDS.isdisjoint(map(str.lower, words))
        return end + 4, described.end() if described and by_noun else found.end()

    def is_namesake(self, text: str, start: int) -> bool:
        return is_namesake(text, start)

    def is_of_the_writer(self, text: str, start: int) -> bool:
        return is_of_the_writer(text, start)

    def named_as_ruler(self, text: str, start: int, end: int) -> tuple[int, int] | None:
        return named_as_ruler(text, start, end)

    def in_name_of_thing(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        if row.pos != "name" and row.number != "plural" and is_surname_behind_title(text, start, end):
            return True
        common = row.pos == "noun" and text[start:end].lower() in row.words
        return in_name_of_thing(text, start, end, common=common)

    def possessor(self, text: str, start: int) -> tuple[int, int] | None:
        noun = re.compile(r"[\w-]+").match(text, start)
        if noun is None or noun[0].lower() not in FOLLOWERS:
            return None
        for word, place in words_before(text, start, 3):
            lowered = word.lower()
            if lowered in _OWNERS:
                return place, place + len(word)
            if lowered.endswith(("'s", "’s")):
                return place, place + len(word) - 2
        return _who_has(text, start)

    def says_who(self, text: str, end: int, start: int) -> bool:
        return says_who(text, end, start)

    def names_whom(self, text: str, end: int, start: int, *, many: bool) -> bool:
        return names_whom(text, end, start, many=many)

    def is_also_called(self, text: str, end: int, start: int) -> bool:
        return is_also_called(text, end, start)

    def is_title(self, text: str, start: int, end: int) -> bool:
        return is_title(text, start, end)

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        return in_fixed_compound(text, start, end)

    def group_facts(self, text: str, words: Sequence[Located], told: Sequence[Span]) -> Sequence[Span]:
        return group_facts(text, words, told, self.sentence_end)

    def are_joined(self, text: str, end: int, start: int) -> bool:
        return are_joined(text, end, start)

    def are_partners(self, text: str, end: int, start: int) -> bool:
        return are_partners(text, end, start)

    def is_mere_topic(self, text: str, start: int) -> bool:
        return is_mere_topic(text, start)

    def refers_ahead(self, text: str, sentence: int, pronoun: int, name: int) -> bool:
        opener = text[sentence : sentence + 24].split(None, 1)[:1]
        comma = text.rfind(",", pronoun, name)
        return bool(opener) and opener[0].lower() in CLAUSE_OPENERS and comma > 0 and text[comma + 1 : name].isspace()

    def begins_sentence(self, text: str, start: int) -> bool:
        return sentence_starts_at(text, start)

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        found: list[Replacement] = []
        if text[swap.start - 1 : swap.start] in (" ", '"', "“", "‘", "(", "*", "_") and (
            article := article_before(text, swap.start, swap.free)
        ):
            had = text[slice(*article)]
            repaired = repaired_article(had, swap.before, swap.after)
            if repaired != had:
                found.append(Replacement(*article, repaired))
        if swap.row.number == "plural" and swap.after.endswith(" people") and _the_before(text, swap.start):
            found.append(Replacement(swap.start, swap.end, swap.after.removesuffix(" people")))  # the Japanese
        following = text[swap.end : swap.end + 1]
        if following in ("'", "’"):
            ending = possessive_ending(text, swap)
            if ending is not None:
                found.append(ending)
        if following == "(" and (bracket := plural_in_brackets(text, swap)):
            found.append(bracket)
        if swap.row.pos == "pronoun" and swap.row.case == "subject" and following:
            found += verb_after(text, swap)
        return found


def _who_has(text: str, start: int) -> Span | None:
    """The last word of whom a verb says to have these relatives: the VIII of Henry VIII had six wives."""
    for word, place in words_before(text, start, _FARTHEST):
        if word.lower() in HAVING:
            owner = next((w for w in words_before(text, place, 2) if w[0].lower() not in BEFORE_VERBS), None)
            return None if owner is None else (owner[1], owner[1] + len(owner[0]))
    return None


def _the_before(text: str, start: int) -> bool:
    """Whether `the` alone stands before a place."""
    return text[max(0, start - 4) : start].lower() == "the " and not text[max(0, start - 5) : start - 4].isalnum()
