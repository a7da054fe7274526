"""Nouns of persons that mean something else where they stand: Polen (Poland), eine Leiter (a ladder), die Kunde (news).

A masculine noun for one person never follows an article of the feminine singular, nor a plural one an article of the
singular: what does so is another noun.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import Token
from evenhand_sdk.german_verbs import is_plural_verb

_PLURAL = "plural"
_NEUTER = frozenset(("das", "dieses", "jenes", "jedes", "im", "ins", "am", "ans", "vors", "übers"))
_OF = frozenset(("der", "des", "dieser", "dieses", "einer", "eines", "meiner", "unserer", "von", "vom"))


def is_other_noun(
    noun: str,
    numbers: Collection[str],
    before: Sequence[Token],
    after: Sequence[Token],
) -> bool:
    """Whether a masculine noun of the pack, in lower case, is no person here.

    `numbers` are those that its form may have, `before` the words before it, nearest first.
    """
    adjectives, determiner, rest = phrases.phrase(before)
    if noun in words.COUNTRIES:
        return _is_country(adjectives, determiner, rest)
    if determiner is None:
        return False
    shown = determiner.lower
    kind = phrases.determiner_kind(shown)
    if shown == "zur":
        return True
    if kind is None:
        return False
    of_one = shown.startswith(("ein", "irgendein", "jed"))
    if numbers == {_PLURAL}:
        return of_one
    if of_one and kind[2] == "e":  # eine Leiter
        return True
    preposition = rest[0].lower if rest and rest[0].is_word else ""
    if shown.endswith("er") and preposition in words.DATIVE | words.TWO_WAY:  # von der Leiter
        return True
    if not shown.endswith("e"):
        return False
    if _PLURAL not in numbers:  # die Kunde
        return True
    several = bool(after) and (after[0].lower in _OF or is_plural_verb(after[0]))  # die Leiter der Schule
    return noun in words.FEMININE_TWINS and not several and preposition not in words.PLURAL_COPULAS


def _is_country(adjectives: Sequence[Token], determiner: Token | None, rest: Sequence[Token]) -> bool:
    if determiner is not None:
        place = determiner.lower == "dem" and bool(rest) and rest[0].lower in ("aus", "in", "von", "nach")
        return place or determiner.lower in _NEUTER or determiner.lower in words.EIN_WORDS
    young = len(rest) == 1 and rest[0].word[0].isupper() and rest[0].lower.endswith("e")  # Junge Polen
    return not adjectives and not young and not (rest and rest[0].lower in words.COPULAS)
