"""Her before other words: an object with something said of it (called her lazy), or the owner of what follows.

The verb before her and the words behind it decide; `english_pronouns` asks.
"""

from __future__ import annotations

import re

from evenhand_sdk.english_her_words import (
    ADJECTIVE_COMPLEMENTS,
    ASSISTING_VERBS,
    CAUSATIVES,
    CAUSED,
    CAUSING,
    COSTING,
    COUNTED_PERSONS,
    DEGREES,
    DIRECT_PREPOSITIONS,
    DIRECTIONS,
    DITRANSITIVES,
    DURATIONS,
    FINING,
    FINITE_BE_AND_MODALS,
    FULL_ADJECTIVES,
    GIVEN_IDIOMS,
    GIVEN_MASSES,
    GIVEN_NOUNS,
    HANDLING,
    HAVING,
    HELD,
    HOW_MUCH,
    ING_NOUNS,
    JUDGED,
    JUDGING,
    KEPT_BY_HER,
    LEFT_SO,
    LET,
    LET_NOUNS,
    LIKING,
    MADE_TO,
    MAKING,
    NAMING_VERBS,
    NEVER_BEFORE_NOUNS,
    PERCEPTION_VERBS,
    PLACED,
    PREDICATES,
    RANKING,
    RANKS,
    ROLE_GIVERS,
    ROLES,
    SHOWING,
    SO_MUCH,
    SPEECH_VERBS,
    STATE_VERBS,
    TAKEN,
    TAKING,
    TALES,
    TELLING,
    WEEKDAYS,
)
from evenhand_sdk.english_marks import OPENING
from evenhand_sdk.english_persons import is_person_noun
from evenhand_sdk.english_words import (
    AT_HOME,
    BARE_VERBS,
    FUNCTION_WORDS,
    GIVING,
    NOUN_VERBS,
    NUMBERS,
    OBJECT_VERBS,
    OPENERS,
    PREPOSITIONS,
)

NEXT = re.compile(rf"[^\S\n]*(?:\n[^\S\n]*(?!\n))?({OPENING}*)([^\W_]+(?:['’-][^\W_]+)*)")

LIKELY, GUESS = 0.9, 0.7


def costs(word: str, next_word: str, previous: str, *, closed: bool) -> bool:
    """Whether the word behind her is what somebody grants, teaches or costs her (cost her votes, taught her chess)."""
    if previous not in COSTING or next_word == "to" or not (closed or previous in ("cost", "costs")):
        return False
    return word.lower() not in KEPT_BY_HER and not is_person_noun(word)


def set_apart(word: str, next_word: str, previous: str) -> bool:
    """Whether the words behind her begin something that is not hers: a time, a place, a degree, such a thing."""
    if word == "such":
        return next_word in ("a", "an")
    if word in ("almost", "nearly"):
        return next_word.endswith("ly")
    if word in DURATIONS and previous in ("take", "takes", "took", "taken"):
        return word.endswith("s") and next_word == "to"  # it took her years to recover
    if word in WEEKDAYS and previous in OBJECT_VERBS | AT_HOME:
        return not next_word or next_word in FUNCTION_WORDS  # met her Tuesday at
    if word in NUMBERS and next_word in DURATIONS:
        return previous not in PREPOSITIONS and (word == "one") != next_word.endswith("s")  # her five year old son
    if word == "only":
        return next_word in ("as", "for", "when", "because", "if", "to", "by", "once", "after")
    if word in PLACED:
        return next_word in PREPOSITIONS or next_word in ("away", "now", "here", "there", "then", "ago", "enough")
    if word in DEGREES:
        return previous in MAKING and next_word not in ("own", "best", "first", "last", "recent", "")
    if word == "close":
        return previous not in PREPOSITIONS and next_word in (
            "",
            "to",
            "against",
            "enough",
            "again",
            "as",
            "while",
            "so",
        )
    if word in DIRECT_PREPOSITIONS:
        return next_word in OPENERS
    if word in HELD:
        return previous in TAKING and (not next_word or next_word in FUNCTION_WORDS)
    if word in ("included", "excepted", "aside"):
        return True
    if previous == "of" and word in TAKEN and (not next_word or next_word in FUNCTION_WORDS):
        return True
    return word.endswith("ed") and next_word == "by"


def acts(text: str, after: re.Match[str] | None, next_word: str, previous: str) -> bool:
    """Behind her and an adverb in ly: whether she does or is something (saw her slowly rise, made her widely known)."""
    if previous in PERCEPTION_VERBS and (next_word in BARE_VERBS or next_word in NOUN_VERBS):
        return True
    if previous in PERCEPTION_VERBS and next_word.endswith("ing") and next_word not in ING_NOUNS:
        return True
    third = NEXT.match(text, after.end()) if after else None
    return previous in MAKING and (third is None or third[2].lower() in FUNCTION_WORDS)


def her_before_content(
    word: str, next_word: str, previous: str, *, closed: bool, quoted: bool, named: bool
) -> tuple[str, float]:
    """Her before a content word: usually a determiner, unless the verb before it takes a person and
    something else."""
    lowered = word.lower()
    if quoted and previous in SPEECH_VERBS:
        return "object", LIKELY
    if previous in TELLING and next_word in FINITE_BE_AND_MODALS and lowered not in TALES:
        return "object", LIKELY  # told her dinner was ready: who was told must stand there
    if lowered in RANKS and previous in ROLE_GIVERS and is_person_noun(next_word):
        return "object", LIKELY  # made her chief editor
    if previous in NAMING_VERBS and word[0].isupper() and not word.isupper():
        return "object", LIKELY
    if previous in CAUSATIVES and lowered in BARE_VERBS:
        return "object", LIKELY
    made = previous in MAKING and previous not in LET and lowered in MADE_TO and next_word != "of"
    if made and (closed or next_word.endswith("ly")):
        return "object", LIKELY  # made her jump
    if previous in LET and word.islower():
        return ("determiner" if _hers_to_let_go(lowered, next_word) else "object"), LIKELY
    if (
        lowered in HANDLING
        and (next_word in OPENERS or named)
        and (previous in MAKING or previous in CAUSATIVES or previous in ASSISTING_VERBS)
    ):
        return "object", GUESS
    if previous in ASSISTING_VERBS and (lowered in NOUN_VERBS or next_word in OPENERS):
        return "object", GUESS
    if previous in PERCEPTION_VERBS and lowered in NOUN_VERBS and next_word in DIRECTIONS:
        return "object", GUESS
    if previous in MAKING and next_word in OPENERS:
        return "object", GUESS
    if (
        previous in PERCEPTION_VERBS
        and lowered.endswith("ing")
        and (lowered not in ING_NOUNS or next_word in OPENERS or previous in SHOWING)
    ):
        if previous in HAVING and not closed and not next_word.endswith("ly"):
            return "determiner", GUESS  # had her wrestling match
        return "object", LIKELY
    if previous in PERCEPTION_VERBS and lowered.endswith("ed") and (closed and next_word):
        return "object", GUESS
    if lowered in NEVER_BEFORE_NOUNS or _said_of_her(lowered, next_word, previous, closed=closed):
        return "object", LIKELY
    if closed and lowered in PREDICATES:
        return "object", LIKELY
    if (
        previous in STATE_VERBS
        and closed
        and (lowered in ADJECTIVE_COMPLEMENTS or (lowered.endswith(FULL_ADJECTIVES) and len(lowered) > 6))
    ):
        return "object", LIKELY
    if closed and (previous in CAUSING and lowered in CAUSED or previous in NAMING_VERBS and lowered == "names"):
        return "object", LIKELY
    if lowered in NUMBERS and next_word == "of":
        return "object", LIKELY
    if previous in DITRANSITIVES:
        numbered = (lowered in NUMBERS and next_word not in COUNTED_PERSONS) or word[0].isdigit()
        if (
            lowered in GIVEN_NOUNS
            and closed
            and (
                next_word not in ("to", "away", "up", "back", "out", "off")
                or lowered in ("access", "entry", "admission", "time", "reason", "courage", "strength", "permission")
            )
        ) or (numbered and next_word not in ("own",)):
            return "object", GUESS
    return "determiner", LIKELY


def counted(word: str, next_word: str, previous: str) -> bool:
    """Whether the word behind her says how much: likes her best, likes her more than, paid her little attention."""
    if word in ("best", "most", "more", "better") and (next_word == "than" or (not next_word and previous in LIKING)):
        return True
    if word in HOW_MUCH and next_word in GIVEN_MASSES:
        return previous in GIVING
    return word in SO_MUCH and previous in GIVEN_IDIOMS.get(next_word, ())


def _said_of_her(word: str, next_word: str, previous: str, *, closed: bool) -> bool:
    """Whether the word behind her is what somebody makes, calls, gives or wants her, and no thing of hers."""
    if previous in ROLE_GIVERS and word in ROLES:
        return closed and next_word not in OPENERS
    if previous in JUDGING and word in JUDGED:
        return closed
    if previous in GIVEN_IDIOMS.get(word, ()):
        return closed
    if (previous in FINING and word in NUMBERS) or (previous in RANKING and word in ("number", "first", "second")):
        return next_word not in FUNCTION_WORDS
    if (
        previous in HAVING
        and word in BARE_VERBS | NOUN_VERBS
        and (next_word in ("the", "a", "an", "it", "them") or next_word in NUMBERS)
    ):
        return True
    if previous in PERCEPTION_VERBS and word in BARE_VERBS | NOUN_VERBS | {"wrap"} and next_word in ("the", "a", "an"):
        return True
    return previous in LEFT_SO and word.endswith("ed") and len(word) > 4 and closed


def _hers_to_let_go(word: str, next_word: str) -> bool:
    """Behind let her: whether the word is a thing of hers (let her eyes close), not what she may do (let her stray)."""
    if word in LET_NOUNS or (word.endswith("s") and not word.endswith(("ss", "us"))):
        return True
    verb = word in BARE_VERBS or word in NOUN_VERBS
    return next_word == "be" or (not verb and bool(next_word) and next_word not in FUNCTION_WORDS)
