"""What her and his stand for, in English, by rule.

`her` is an object (saw her) or a determiner (her dog); `his` is a determiner (his dog) or a possessive (it is
his). A determiner has a noun phrase after it, so both questions are one: does a noun phrase follow that
belongs to the pronoun? The answer reads at most two words on each side and needs no model. Where several
readings are common, the more frequent one is chosen and the confidence says so.
"""

from __future__ import annotations

import re

from evenhand_sdk.english_her import NEXT, acts, costs, counted, her_before_content, set_apart
from evenhand_sdk.english_her_words import DITRANSITIVES, DURATIONS, PERCEPTION_VERBS, TELLING
from evenhand_sdk.english_marks import before_marks, behind_marks
from evenhand_sdk.english_person_words import PAST_FORMS
from evenhand_sdk.english_words import (
    AT_HOME,
    BARE_VERBS,
    BEHIND_WILL,
    BEHIND_WORKS,
    BODY_PARTS,
    COMPOUNDED,
    COPULAS,
    FINITE_VERBS,
    FUNCTION_WORDS,
    GIVING,
    HIS_OWN,
    HOMEWARD,
    HURTING,
    LATE_ADVERBS,
    LEFT_HOME,
    LOVED_ONES,
    LY_NON_ADVERBS,
    NOUN_OR_ADVERB,
    NOUN_VERBS,
    OBJECT_VERBS,
    OF_ONESELF,
    OWNED_EVERY,
    PAST_ONLY,
    PAST_OR_NOUN,
    PLURAL_VERBS,
    PREPOSITIONS,
    SOFT_ADVERBS,
    TIME_NOUNS,
    TURNING,
    WAYS,
)

_NUMBER = re.compile(r" [.$£€#]\d")
_CONTRACTED = re.compile(
    r"(?:(?:i|you|y|he|she|it|we|they|that|this|there|what|who|how|where|when|why)['’](?:d|ll|ve|re|m|s|all)|let['’]s)",
    re.IGNORECASE,
)
_OF_HIS = re.compile(
    r"\b(?:an?|some|any|another|no|one|two|three|several|that|this|these|those) (?:[\w-]+ ){1,2}of \Z", re.IGNORECASE
)
"""A friend of his."""
_SHE = re.compile(r"\b[Ss]he (?:[\w']+ )?[\w']+ \Z")
"""Whoever she is, her behind her verb is herself or her own (she left her home early)."""
_REACH = 60
_ORDERED = frozenset(("first", "second", "third", "last", "right", "left", "past", "best"))
"""Behind a copula and her: it was her first, it is her right."""
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
        partner = NEXT.match(text, end + 1)
        if partner and partner[2].lower() in ("his", "her"):
            return _shared_case(text, partner.span(2), otherwise), GUESS
        return otherwise, GUESS
    following = NEXT.match(text, behind_marks(text, start, end))
    if following is None:
        return ("determiner", LIKELY) if his and _NUMBER.match(text, end) else (otherwise, SURE)
    word = following[2]
    lowered = word.lower()
    after = NEXT.match(text, behind_marks(text, following.start(2), following.end()))
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
    if _CONTRACTED.fullmatch(word):
        return otherwise, LIKELY  # told her I'd go
    if lowered in WAYS:
        return ("determiner" if next_word and not closed else otherwise), LIKELY  # pulled her upward, her upward climb
    around = text[max(0, start - _REACH) : start]
    if his:
        if lowered in HIS_OWN and _OF_HIS.search(around):
            return "possessive", LIKELY  # a friend of his works there
        owned = _his_own(lowered, next_word, previous, closed=closed)
    else:
        owned = _her_own(lowered, next_word, previous, around, closed=closed)
    if owned:
        return "determiner", LIKELY
    if not his and (set_apart(lowered, next_word, previous) or counted(lowered, next_word, previous)):
        return "object", GUESS
    if next_word in COMPOUNDED.get(lowered, ()) or (lowered == "back" and closed and previous in HURTING):
        return "determiner", LIKELY  # her back door, her home town; hurt her back
    if lowered == "all" and not next_word and previous in GIVING:
        return "determiner", LIKELY
    if lowered in NOUN_OR_ADVERB and word.islower():
        return ("determiner", LIKELY) if prepositional and closed else (otherwise, LIKELY)
    if not his and costs(word, next_word, previous, closed=closed):
        return "object", LIKELY
    if not previous and not his and lowered in ("works", "looks", "thoughts", "needs") and next_word:
        return "determiner", GUESS
    if lowered in FUNCTION_WORDS:
        if lowered in ("being", "having") and (his or prepositional or not previous) and previous != "with":
            return "determiner", GUESS
        return otherwise, SURE
    if previous in PERCEPTION_VERBS and lowered.endswith("s") and next_word in BARE_VERBS | NOUN_VERBS:
        return "determiner", LIKELY  # felt her hopes rise
    if lowered in FINITE_VERBS and next_word not in PLURAL_VERBS and next_word not in ("is", "was", "has"):
        return otherwise, LIKELY
    if prepositional and (lowered in PAST_ONLY or (closed and _past(lowered))):
        return otherwise, LIKELY  # the man beside her laughed at it
    if lowered in SOFT_ADVERBS and (lowered, next_word) != ("better", "half"):
        if prepositional:
            return "determiner", LIKELY
        return (otherwise if closed or next_word in TIME_NOUNS else "determiner"), GUESS
    if lowered.endswith("ly") and lowered not in LY_NON_ADVERBS:
        if closed:
            return otherwise, LIKELY
        return ("object" if not his and acts(text, after, next_word, previous) else "determiner"), GUESS
    if his:
        return "determiner", LIKELY
    named = bool(after) and after[2][:1].isupper() if after else False
    return her_before_content(word, next_word, previous, closed=closed, quoted=bool(following[1]), named=named)


def _his_own(word: str, next_word: str, previous: str, *, closed: bool) -> bool:
    """Whether his owns a word that elsewhere is an adverb or a verb (his back, his now wife; not: it is his now)."""
    if word[0].isdigit() or word == "home":
        return True
    if word not in HIS_OWN:
        return previous in COPULAS and word in _ORDERED
    if word in ("now", "often", "otherwise"):
        return not closed
    if word in ("will", "might"):
        return next_word not in BARE_VERBS | NOUN_VERBS | BEHIND_WILL and not next_word.endswith("ly")
    if word == "works":
        return next_word not in BEHIND_WORKS
    if previous in COPULAS:
        if word in ("right", "back", "half"):
            return next_word not in ("away", "now", "then", "there", "the", "a", "an")
        return word != "every" or not (next_word in TIME_NOUNS or next_word in DURATIONS)
    return True


def _her_own(word: str, next_word: str, previous: str, around: str, *, closed: bool) -> bool:
    """Whether her owns a word that behind an object is an adverb, a verb or a time (sold her home, her every move)."""
    if word == "home":
        return not _is_brought_home(previous, next_word, around, closed=closed)
    if not around.strip() or around.rstrip()[-1] in '.!?"“' or previous == "all":
        return word in HIS_OWN and word not in ("every", "otherwise", "often", "works")  # Her back hurt.
    hers = previous in DITRANSITIVES and _SHE.search(around) is not None
    if hers and word in OF_ONESELF:
        return True  # she gave her time
    if word == "half":
        return not next_word or (next_word == "of" and (hers or previous not in DITRANSITIVES))
    if word == "past":
        return not next_word or (next_word in ("from", "and", "with", "was", "is", "has") and previous not in HOMEWARD)
    if word == "right":
        return next_word == "to" and previous not in HOMEWARD  # defended her right to speak
    if word == "now":
        return not closed and (previous == "and" or previous in PREPOSITIONS)  # with her now husband
    if word == "will":
        return next_word in ("", "to", "and", "or", "was", "is")  # broke her will and spirit
    if word == "every":
        return next_word in OWNED_EVERY and previous not in DITRANSITIVES
    if word == "otherwise":
        return not closed and previous not in TELLING and next_word not in TIME_NOUNS | {"last", "next"}
    return previous in COPULAS and word in _ORDERED and next_word not in TIME_NOUNS


def _is_brought_home(previous: str, next_word: str, around: str, *, closed: bool) -> bool:
    """Whether her before home is whom somebody brings, keeps or leaves there, and not whose home it is."""
    if previous in ("leave", "leaves", "left", "leaving"):
        return next_word in LEFT_HOME and _SHE.search(around) is None
    if previous in AT_HOME:
        return closed and next_word not in ("a", "an", "the") and _SHE.search(around) is None
    return previous in HOMEWARD


def _past(word: str) -> bool:
    """Whether the word is the past form of a verb, which without a noun behind it no owner has."""
    if word.endswith("ed"):
        return len(word) > 4 and not word.endswith("eed") and word not in LOVED_ONES
    return word in PAST_FORMS and word not in PAST_OR_NOUN


def possessive_case_so_far(text: str, start: int, end: int) -> tuple[str, float]:
    """The case of `her` or `his` from the words before it alone, for text that is still being written.

    Her is an object after a verb that is mostly said of persons (told, asked, thanked) and a determiner
    otherwise; his is always a determiner.
    """
    if text[start:end].lower() == "her" and previous_word(text, start) in OBJECT_VERBS:
        return "object", GUESS
    return "determiner", GUESS


def previous_word(text: str, start: int) -> str:
    """The lower-case word before `start` with only white space or opening marks between, or the empty string."""
    start = before_marks(text, start)
    bare = text[max(0, start - _LONGEST_WORD) : start]
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
