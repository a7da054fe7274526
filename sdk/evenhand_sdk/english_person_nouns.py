"""Whether an English noun stands for persons, and which of noun and adjective a word is where it stands.

`the blind arrived` and `a Dane` are about persons, `a blind spot` and `Danish` before a colon are not. The answer reads
a few words on each side: determiners before the word, and what follows it.
"""

from __future__ import annotations

from collections.abc import Collection

from evenhand_sdk.english_neighbours import words_after, words_before
from evenhand_sdk.english_partners import JOINING, without_partner
from evenhand_sdk.english_person_predicates import is_asked, is_predicate
from evenhand_sdk.english_person_words import (
    CONTRACTED,
    DETERMINERS_MANY,
    DETERMINERS_ONE,
    LINKING,
    OR_DO,
    PEOPLE_DO,
    PERSON_PRONOUNS,
)
from evenhand_sdk.english_persons import closes, is_adjective, is_person_noun
from evenhand_sdk.english_words import BARE_VERBS, FUNCTION_WORDS, NOUN_VERBS, OPENERS, PLURAL_VERBS

LIKELY, GUESS = 0.9, 0.7
_FARTHEST = 9
"""Words before one, with those that it is joined to (is neither French, German nor Dutch)."""
_BEFORE_PREDICATES = frozenset(("neither", "either", "not", "also", "now", "then", "half"))
"""Between a verb and what somebody is (is neither French nor)."""


def names_persons(text: str, start: int, end: int, *, plural: bool) -> bool:
    """Whether the noun at text[start:end] stands for persons: behind a determiner, or in the plural by itself."""
    if text.startswith(":", end):
        return False  # the name of a language, before a word of it
    after = words_after(text, end, 2)
    before = words_before(text, start, 3)
    following = _behind(after)
    inflected = plural and text[start:end].lower().endswith("s")
    if following and not (inflected or closes(following) or after[0][1] or _verb_behind(text, end, plural=plural)):
        return not plural and is_person_noun(after[0][0])
    if plural:
        if before and before[0][0].lower() in ("a", "an", "this", "that", "one"):
            return False
        return not (following == "of" and before and before[0][0].lower() == "the") and not (
            before and before[0][0].lower() in ("egg", "dress", "tooth", "teeth", "snow", "paint")
        )
    words = [word.lower() for word, _ in before]
    if any(word in DETERMINERS_ONE or word == "the" for word in words[:2]):
        return True
    return bool(words) and words[0] in ("as", "fellow", "no")


def is_origin(text: str, start: int) -> bool:
    """Whether the country at `start` is where a person is from: a man from Chile, she is from Chile, she comes from."""
    words = [word for word, _ in words_before(text, start, 3)]
    if words and words[0].lower() == "the":
        words = words[1:]
    if len(words) < 2 or words[0].lower() != "from":
        return False
    who = words[1]
    return is_person_noun(who) or who.lower() in LINKING or who.lower() in PERSON_PRONOUNS


def is_state(text: str, start: int, end: int) -> bool:
    """Whether the noun says what somebody has or is in: her wealth, they live in poverty; not a source of wealth."""
    after = words_after(text, end, 1)
    if after and not after[0][1] and not closes(after[0][0].lower()):
        return False  # unemployment relief
    before = [word for word, _ in words_before(text, start, 2)]
    if not before:
        return False
    nearest = before[0].lower().replace("’", "'")
    if nearest.endswith("'s"):
        return before[0][0].isupper() or is_person_noun(before[0])
    return nearest in ("his", "her", "their", "my", "your", "our", "in", "into", "from")


def adjective_or_noun(
    text: str, start: int, end: int, options: Collection[tuple[str, str | None]]
) -> tuple[tuple[str, str | None], float]:
    """Which of an adjective, a singular and a plural noun the word at text[start:end] is."""
    after = words_after(text, end, 2)
    following = _behind(after)
    listed = bool(after) and (after[0][1] or following in JOINING) and _ends_in_person(words_after(text, end, 5))
    singular, plural, adjective = ("noun", "singular"), ("noun", "plural"), ("adjective", None)

    def pick(*wanted: tuple[str, str | None], certainty: float) -> tuple[tuple[str, str | None], float]:
        found = next((one for one in wanted if one in options), next(iter(options)))
        return found, certainty

    owner = text[end : end + 1] in ("'", "’")
    numbers = [option == plural for option in (singular, plural) if option in options] or [True]
    ends = owner or not following or closes(following) or after[0][1]
    verb = not ends and any(_verb_behind(text, end, plural=number) for number in numbers)
    if listed or text.startswith(("-", "/"), end) or _joined_to_adjective(text, end) or not (ends or verb):
        return pick(adjective, singular, plural, certainty=LIKELY)
    many = following in PLURAL_VERBS
    near = words_before(text, start, _FARTHEST)
    before = without_partner(near, lambda word: is_adjective(word, bool))
    if is_predicate(before, text) or is_asked(before, text):
        return pick(adjective, singular, plural, certainty=LIKELY)
    if len(before) < len(near) and after and after[0][1] and is_person_noun(after[0][0]):
        return pick(adjective, singular, plural, certainty=LIKELY)  # a French, not a German, doctor
    joined = len(before) < len(near) or _has_partner_behind(text, end)
    for position, (word, _) in enumerate(before[:4]):
        lowered = word.lower()
        if lowered == "the":
            return pick(plural, singular, adjective, certainty=GUESS)
        if lowered == "both" and before[position + 1 :] and before[position + 1][0].lower() in LINKING:
            return pick(adjective, singular, plural, certainty=LIKELY)
        if lowered in DETERMINERS_MANY and not (lowered == "fellow" and position):
            if not (ends or _verb_behind(text, end, plural=True)):
                return pick(adjective, plural, singular, certainty=LIKELY)  # two Italian battleships
            return pick(plural, singular, adjective, certainty=LIKELY)
        if lowered in DETERMINERS_ONE:
            return pick(singular, plural, adjective, certainty=LIKELY)
        if lowered in LINKING or lowered in CONTRACTED:
            return pick(adjective, singular, plural, certainty=LIKELY)
        if lowered in FUNCTION_WORDS and lowered not in _BEFORE_PREDICATES:
            break
    if many:
        return pick(plural, singular, adjective, certainty=LIKELY)
    if plural in options and singular not in options and not joined:
        return pick(plural, adjective, certainty=GUESS)
    return pick(adjective, singular, plural, certainty=GUESS)


def _joined_to_adjective(text: str, end: int) -> bool:
    """Whether another people follows, and then what both are said of (American and Canadian football)."""
    after = words_after(text, end, 3)
    if len(after) < 3 or after[0][0] not in ("and", "or") or after[1][1] or after[2][1]:
        return False
    second = after[1][0]
    return second[0].isupper() and is_adjective(second, bool) and not closes(after[2][0].lower())


def _has_partner_behind(text: str, end: int) -> bool:
    """Whether another adjective is joined to the word, and no verb follows of which both are the subject."""
    after = words_after(text, end, 4)
    place = next((k for k, (word, _) in enumerate(after) if word.lower() not in JOINING), len(after))
    if not place or place == len(after) or not is_adjective(after[place][0], bool):
        return False
    return len(after) == place + 1 or after[place + 1][1] or closes(after[place + 1][0].lower())


def _ends_in_person(after: list[tuple[str, bool]]) -> bool:
    """Whether more adjectives follow, and then the noun for a person that all are said of (French and German
    students)."""
    described = contrasted = False
    for word, comma in after:
        if word.lower() in JOINING or (contrasted and word.lower() in ("a", "an")):
            contrasted |= word.lower() not in ("and", "or")
            continue
        if word.lower() in DETERMINERS_MANY or not is_adjective(word, bool):
            return described and (contrasted or not comma) and is_person_noun(word)
        described = True
    return False


def _verb_behind(text: str, end: int, *, plural: bool) -> bool:
    """Whether the word behind a noun is its verb: in s behind a singular, in ed before the end of the clause."""
    after = words_after(text, end, 2)
    if after[0][0][0].isupper():
        return False  # Central Asian SSRs
    word = after[0][0].lower()
    closed = len(after) < 2 or closes(after[1][0].lower()) or after[1][1]
    if word.endswith("ed") and not word.endswith("eed"):
        return closed or after[1][0].lower().endswith("ly")
    if plural:
        if word in OR_DO and len(after) > 1 and after[1][0].lower() in OPENERS:
            return True
        return word in BARE_VERBS or word in NOUN_VERBS or word in PEOPLE_DO
    return word.endswith("s") and not word.endswith(("ss", "us")) and not is_person_noun(word)


def _behind(after: list[tuple[str, bool]]) -> str:
    """The word behind a noun in lower case; `by` where a place begins with an adjective (the Swiss next door)."""
    words = [word.lower() for word, _ in after]
    return "by" if words[:2] in (["next", "door"], ["next", "to"]) else (words[0] if words else "")
