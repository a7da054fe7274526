"""Whether a predicate is said of a person: `she is black`, `the farmer grew up poor`; not `the car is black`."""

from __future__ import annotations

from evenhand_sdk.english_neighbours import sentence_starts_at
from evenhand_sdk.english_person_words import (
    ABSTRACT_ENDINGS,
    AUXILIARIES,
    COMING,
    CONTRACTED,
    DESCRIBING,
    GROWING,
    LINKING,
    PERSON_PRONOUNS,
    REPORTED,
)
from evenhand_sdk.english_persons import intensifies, is_adjective, is_person_noun
from evenhand_sdk.english_words import FUNCTION_WORDS, PREPOSITIONS

_ASKING = frozenset(("am", "is", "are", "was", "were", "isn't", "aren't", "wasn't", "weren't"))
_BEFORE_QUESTION = frozenset(("and", "or", "but", "so", "how", "why", "then"))
_DETERMINERS = frozenset(("the", "my", "your", "our", "his", "her", "their", "this", "that", "these", "those"))
_PLACE_NAMES = frozenset(("New", "San", "Santa", "Los", "Las", "El", "Fort", "Port", "Mount", "Lake", "Cape"))
"""First words of names of places (New York)."""
_NO_SUBJECTS = frozenset(("me", "him", "us", "them"))


def is_predicate(before: list[tuple[str, int]], text: str) -> bool:
    """Whether an adjective behind these words (nearest first) is said of a person by a verb such as be or seem."""
    position = 0
    while position < len(before) and intensifies(before[position][0]):
        position += 1
    if position >= len(before):
        return False
    if before[position][0].lower() in ("and", "but", "yet") and position + 1 < len(before):
        joined = before[position + 1][0]
        return is_adjective(joined, bool) and not joined[0].isupper() and is_predicate(before[position + 2 :], text)
    verb = before[position][0].lower().replace("’", "'")
    nearer = before[position + 1][0].lower() if position + 1 < len(before) else ""
    if (verb == "up" and nearer in GROWING) or (verb == "out" and nearer in COMING):
        return True
    if verb == "as" and nearer in DESCRIBING:
        return True
    if verb in CONTRACTED:
        return True
    if verb not in LINKING:
        return _is_listed(before[position:], text)
    if verb in ("identify", "identifies", "identified", "identifying", "born", "raised", "dying", "died", "dies"):
        return True
    rest = before[position + 1 :]
    while rest and (
        rest[0][0].lower() in AUXILIARIES or intensifies(rest[0][0]) or rest[0][0].lower() in LINKING | REPORTED
    ):
        rest = rest[1:]
    if not rest:
        return before[-1][0].lower() in PERSON_PRONOUNS  # most are black
    return _is_person_subject([word for word, _ in rest])


def is_asked(before: list[tuple[str, int]], text: str) -> bool:
    """Whether an adjective behind these words (nearest first) is asked of a person: is she black, was the cook old."""
    subject = [word for word, _ in before[:1]]
    if len(before) < 2 or not _is_person_subject(subject) or subject[0].lower() in _NO_SUBJECTS:
        return False
    place = 2 if len(before) > 2 and before[1][0].lower() in _DETERMINERS else 1
    verb, begin = before[place]
    if verb.lower().replace("’", "'") not in _ASKING:
        return False
    return (
        sentence_starts_at(text, begin)
        or before[place + 1 : place + 2] == []
        or (before[place + 1][0].lower() in _BEFORE_QUESTION)
    )


def _is_listed(before: list[tuple[str, int]], text: str) -> bool:
    """Whether the word before the adjective is another one of what somebody is: she is tall, thin and loud."""
    word, place = before[0]
    listed = word.islower() and text[place + len(word)] == "," and word not in FUNCTION_WORDS
    return listed and len(before) > 1 and is_predicate(before[1:], text)


def _is_person_subject(words: list[str]) -> bool:
    """Whether the subject that ends the clause so far is a person: nearest word first."""
    nearest = words[0]
    if nearest[0].isupper() and words[1:2] and words[1] in _PLACE_NAMES:
        return False  # New York is old
    if is_person_noun(nearest) or nearest.lower().replace("’", "'") in PERSON_PRONOUNS | CONTRACTED:
        return True
    if nearest[0].isupper() and nearest.lower() not in FUNCTION_WORDS and not nearest.endswith(ABSTRACT_ENDINGS):
        return True
    for position, word in enumerate(words[:4]):
        if word.lower() in PREPOSITIONS or word.lower() in ("who", "that"):
            if position + 1 == len(words):
                return False
            who = words[position + 1]
            return is_person_noun(who) or (word.lower() == "who" and who[0].isupper())
    return False
