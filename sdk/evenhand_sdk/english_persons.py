"""What an English word is by itself: a noun for persons, a surname, an adjective, an adverb, an end of a phrase."""

from __future__ import annotations

from collections.abc import Callable

from evenhand_sdk.english_noun_words import NOT_PERSONS, PERSON_ENDINGS, PERSON_NOUNS
from evenhand_sdk.english_person_words import (
    ADJECTIVE_ENDINGS,
    ADJECTIVES,
    ADVERBS,
    NOT_ADJECTIVES,
    SEAS,
)
from evenhand_sdk.english_words import FINITE_VERBS, FUNCTION_WORDS


def is_person_noun(word: str) -> bool:
    """Whether the word, singular or plural, names a person or a group of persons."""
    lowered = word.lower().replace("’", "'")
    if lowered.endswith("'s"):
        lowered = lowered[:-2]
    if lowered in PERSON_NOUNS:
        return True
    if lowered in NOT_PERSONS:
        return False
    if lowered.endswith("s") and lowered[:-1] in PERSON_NOUNS:
        return True
    if lowered.endswith(("ses", "xes", "ches", "shes", "oes")) and lowered[:-2] in PERSON_NOUNS:
        return True
    if lowered.endswith("ies") and lowered[:-3] + "y" in PERSON_NOUNS:
        return True
    if "-" in lowered and lowered.rsplit("-", 1)[1] in PERSON_NOUNS:
        return True
    if lowered.endswith(PERSON_ENDINGS) and len(lowered) > 6 and not is_surname(word):
        return True
    return word[:1].isupper() and lowered.endswith(("ans", "ims", "ics", "ews", "ians", "ists", "ese's", "ites"))


def is_surname(word: str) -> bool:
    """Coleman and Newman are surnames, Englishman and FIREMAN are not."""
    return word[0].isupper() and not word.isupper() and word.endswith("man") and not word.endswith(("shman", "chman"))


def is_adjective(word: str, is_group_word: Callable[[str], bool]) -> bool:
    lowered = word.lower()
    if lowered in SEAS:
        return False
    if lowered in ADJECTIVES or ("-" in word and not word[:2].isupper()) or lowered.isdigit():
        return True
    if is_group_word is not bool and is_group_word(lowered):
        return True
    if word[:1].isupper() and not is_surname(word) and lowered.endswith(("an", "ish", "ese", "i", "ic", "im", "ch")):
        return True
    return lowered not in NOT_ADJECTIVES and lowered.endswith(ADJECTIVE_ENDINGS) and len(lowered) > 4


def intensifies(word: str) -> bool:
    lowered = word.lower()
    return lowered in ADVERBS or (lowered.endswith("ly") and len(lowered) > 4)


def closes(word: str) -> bool:
    """Whether a noun phrase has ended before this word."""
    return word in FUNCTION_WORDS or word in FINITE_VERBS or word in ("of", "alike", "according", "per")
