"""What her and his stand for, in English, by rule.

`her` is an object (saw her) or a determiner (her dog); `his` is a determiner (his dog) or a possessive (it is
his). A determiner has a noun phrase after it, so both questions are one: does a noun phrase follow that
belongs to the pronoun? The answer reads at most two words on each side and needs no model. Where several
readings are common, the more frequent one is chosen and the confidence says so.
"""

from __future__ import annotations

import re

from evenhand_sdk.english_persons import is_person_noun
from evenhand_sdk.english_words import (
    ADJECTIVE_COMPLEMENTS,
    ASSISTING_VERBS,
    BARE_VERBS,
    BODY_PARTS,
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
    FINITE_VERBS,
    FULL_ADJECTIVES,
    FUNCTION_WORDS,
    GIVEN_IDIOMS,
    GIVEN_NOUNS,
    HANDLING,
    HAVING,
    HELD,
    ING_NOUNS,
    JUDGED,
    JUDGING,
    KEPT_BY_HER,
    LATE_ADVERBS,
    LEFT_SO,
    LET,
    LET_NOUNS,
    LIKING,
    LY_NON_ADVERBS,
    MAKING,
    NAMING_VERBS,
    NEVER_BEFORE_NOUNS,
    NOUN_OR_ADVERB,
    NOUN_VERBS,
    NUMBERS,
    OBJECT_VERBS,
    OPENERS,
    PERCEPTION_VERBS,
    PLACED,
    PLURAL_VERBS,
    PREDICATES,
    PREPOSITIONS,
    RANKING,
    ROLE_GIVERS,
    ROLES,
    SHOWING,
    SO_MUCH,
    SOFT_ADVERBS,
    SPEECH_VERBS,
    STATE_VERBS,
    TAKEN,
    TAKING,
    TIME_NOUNS,
    TURNING,
)

_NEXT = re.compile(r"[^\S\n]*(?:\n[^\S\n]*(?!\n))?([\"“‘(*_]*)([^\W_]+(?:['’-][^\W_]+)*)")
_LAST = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*\Z")
_LISTENING = re.compile(r"listen(?:s|ed|ing)?\s+to\s+\Z", re.IGNORECASE)
_LONGEST_WORD = 40

SURE, LIKELY, GUESS = 0.97, 0.9, 0.7


def possessive_case(text: str, start: int, end: int) -> tuple[str, float]:
    """The case of the `her` or `his` at text[start:end], and how sure that is, in (0, 1].

    Returns `determiner` when a noun phrase follows that the word determines; otherwise `object` for her and
    `possessive` for his.
    """
    his = text[start:end].lower() == "his"
    otherwise = "possessive" if his else "object"
    if text.startswith("/", end):
        partner = _NEXT.match(text, end + 1)
        if partner and partner[2].lower() in ("his", "her"):
            return _shared_case(text, partner.span(2), otherwise), GUESS
        return otherwise, GUESS
    following = _NEXT.match(text, end)
    if following is None:
        return otherwise, SURE
    word = following[2]
    lowered = word.lower()
    after = _NEXT.match(text, following.end())
    next_word = after[2].lower() if after and after.start(2) > following.end() else ""
    closed = not next_word or next_word in FUNCTION_WORDS or next_word in LATE_ADVERBS
    previous = previous_word(text, start)
    prepositional = previous in PREPOSITIONS
    if previous == "to" and _LISTENING.search(text, max(0, start - 13), start):
        previous, prepositional = "heard", False

    if lowered in ("and", "or") and after and next_word in ("his", "her") and next_word != text[start:end].lower():
        return _shared_case(text, after.span(2), otherwise), GUESS
    if lowered in ("left", "right") and next_word in BODY_PARTS:
        return "determiner", LIKELY
    if lowered == "back" and next_word in ("on", "to") and previous in TURNING:
        return "determiner", LIKELY
    if not his and (_set_apart(lowered, next_word, previous) or _counted(lowered, next_word, previous)):
        return "object", GUESS
    if lowered in NOUN_OR_ADVERB and word.islower():
        return ("determiner", LIKELY) if prepositional and closed else (otherwise, LIKELY)
    if not his and _costs(word, next_word, previous, closed=closed):
        return "object", LIKELY
    if not previous and not his and lowered in ("works", "looks", "thoughts", "needs") and next_word:
        return "determiner", GUESS
    if lowered in FUNCTION_WORDS:
        if lowered in ("being", "having") and (his or prepositional) and previous != "with":
            return "determiner", GUESS
        return otherwise, SURE
    if (lowered in FINITE_VERBS and next_word not in PLURAL_VERBS and next_word not in ("is", "was", "has")) or (
        previous == "of" and lowered.endswith("ed") and closed
    ):
        return otherwise, LIKELY
    if lowered in SOFT_ADVERBS and (lowered, next_word) != ("better", "half"):
        if prepositional:
            return "determiner", LIKELY
        return (otherwise if closed or next_word in TIME_NOUNS else "determiner"), GUESS
    if lowered.endswith("ly") and lowered not in LY_NON_ADVERBS:
        if closed:
            return otherwise, LIKELY
        return ("object" if not his and _acts(text, after, next_word, previous) else "determiner"), GUESS
    if his:
        return "determiner", LIKELY
    named = bool(after) and after[2][:1].isupper() if after else False
    return _her_before_content(word, next_word, previous, closed=closed, quoted=bool(following[1]), named=named)


def _costs(word: str, next_word: str, previous: str, *, closed: bool) -> bool:
    """Whether the word behind her is what somebody grants, teaches or costs her (cost her votes, taught her chess)."""
    if previous not in COSTING or next_word == "to" or not (closed or previous in ("cost", "costs")):
        return False
    return word.lower() not in KEPT_BY_HER and not is_person_noun(word)


def _set_apart(word: str, next_word: str, previous: str) -> bool:
    """Whether the words behind her begin something that is not hers: a time, a place, a degree, such a thing."""
    if word == "such":
        return next_word in ("a", "an")
    if word in ("almost", "nearly"):
        return next_word.endswith("ly")
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


def _acts(text: str, after: re.Match[str] | None, next_word: str, previous: str) -> bool:
    """Behind her and an adverb in ly: whether she does or is something (saw her slowly rise, made her widely known)."""
    if previous in PERCEPTION_VERBS and (next_word in BARE_VERBS or next_word in NOUN_VERBS):
        return True
    if previous in PERCEPTION_VERBS and next_word.endswith("ing") and next_word not in ING_NOUNS:
        return True
    third = _NEXT.match(text, after.end()) if after else None
    return previous in MAKING and (third is None or third[2].lower() in FUNCTION_WORDS)


def _her_before_content(
    word: str, next_word: str, previous: str, *, closed: bool, quoted: bool, named: bool
) -> tuple[str, float]:
    """Her before a content word: usually a determiner, unless the verb before it takes a person and
    something else."""
    lowered = word.lower()
    if quoted and previous in SPEECH_VERBS:
        return "object", LIKELY
    if previous in NAMING_VERBS and word[0].isupper() and not word.isupper():
        return "object", LIKELY
    if previous in CAUSATIVES and lowered in BARE_VERBS:
        return "object", LIKELY
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
        counted = (lowered in NUMBERS and next_word not in COUNTED_PERSONS) or word[0].isdigit()
        if (
            lowered in GIVEN_NOUNS
            and closed
            and (
                next_word not in ("to", "away", "up", "back", "out", "off")
                or lowered in ("access", "entry", "admission")
            )
        ) or (counted and next_word not in ("own",)):
            return "object", GUESS
    return "determiner", LIKELY


def _counted(word: str, next_word: str, previous: str) -> bool:
    """Whether the word behind her says how much: likes her best, likes her more than, paid her little attention."""
    if word in ("best", "most", "more", "better") and (next_word == "than" or (not next_word and previous in LIKING)):
        return True
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
    if previous in HAVING and word in BARE_VERBS | NOUN_VERBS and next_word in ("the", "a", "an", "it", "them"):
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


def possessive_case_so_far(text: str, start: int, end: int) -> tuple[str, float]:
    """The case of `her` or `his` from the words before it alone, for text that is still being written.

    Her is an object after a verb that is mostly said of persons (told, asked, thanked) and a determiner
    otherwise; his is always a determiner.
    """
    if text[start:end].lower() == "her" and previous_word(text, start) in OBJECT_VERBS:
        return "object", GUESS
    return "determiner", GUESS


def previous_word(text: str, start: int) -> str:
    """The lower-case word before `start` with only white space or an opening quote between, or the empty string."""
    before = text[max(0, start - _LONGEST_WORD) : start]
    bare = before.rstrip('"“‘(*_')
    stripped = bare.rstrip()
    if len(stripped) == len(bare):
        return ""
    token = stripped.split()[-1] if stripped else ""
    if token.isalnum():
        return token.lower()
    found = _LAST.search(token)
    return found[0].lower() if found else ""


def _shared_case(text: str, partner: tuple[int, int], otherwise: str) -> str:
    """His in `his or her work` is what the her behind it is: a determiner if that one is."""
    return "determiner" if possessive_case(text, *partner)[0] == "determiner" else otherwise
