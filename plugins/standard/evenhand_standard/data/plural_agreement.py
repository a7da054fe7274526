"""The verbs of a subject that becomes they: he is, she goes, does he -> they are, they go, do they.

By rule and without a model, so it knows when it does not know: a clause whose verbs cannot all be found and repaired
gives `None`, and the caller leaves the sentence as it is. Source: Sun et al. 2021 and Vanmassenhove et al. 2021, whose
systems use a dependency parser for this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand_sdk.english_words import LY_NON_ADVERBS
from evenhand_standard.data.neutral_words import (
    ADVERBS,
    AUXILIARY_STARTS,
    COMMON_VERBS,
    NOT_VERBS,
    PARTICIPLES,
)

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
IRREGULAR = {
    "is": "are",
    "was": "were",
    "has": "have",
    "does": "do",
    "isn't": "aren't",
    "wasn't": "weren't",
    "hasn't": "haven't",
    "doesn't": "don't",
}
_LINK = re.compile(r"(?:,\s*(?:(?:and|or|but)\s+)?(?:then\s+)?|\b(?:and|or|but)\s+(?:then\s+)?)")


def base_form(verb: str) -> str:
    """The plain form of a regular verb in the third person: carries -> carry, watches -> watch, takes -> take."""
    lowered = verb.lower()
    if lowered in IRREGULAR:
        return IRREGULAR[lowered]
    if lowered.endswith("ies") and len(lowered) > 4:
        return verb[:-3] + "y"
    if lowered.endswith(("sses", "shes", "ches", "xes", "zzes", "oes")) and lowered != "aches":
        return verb[:-2]
    return verb[:-1]


def agreeing(sentence: str, start: int, end: int) -> list[tuple[int, int, str]] | None:
    """The edits (start, end, new words) that let the verbs agree once the pronoun at [start, end) is they.

    `end` is behind the pronoun itself, before a contraction ('s). None when a verb may be missed.
    """
    contraction = re.match(r"['’](s|d|ll|ve|re)\b", sentence[end:])
    if contraction:
        if contraction[1] != "s":
            return []
        following = WORD.search(sentence, end + 2)
        word = following[0].lower() if following else ""
        if word in ADVERBS or word.endswith("ly"):
            following = WORD.search(sentence, following.end()) if following else None
            word = following[0].lower() if following else ""
        has = word in PARTICIPLES or (word.endswith("ed") and word != "tired")
        return [(end + 1, end + 2, "ve" if has else "re")]
    before = _inverted(sentence, start)
    if before is None:
        return None
    if before:
        return before
    verb = _verb_after(sentence, end)
    if verb is None:
        return []
    word = verb[0].lower()
    edits: list[tuple[int, int, str]] = []
    if word in IRREGULAR:
        edits.append((verb.start(), verb.end(), _cased(IRREGULAR[word], verb[0])))
    elif word.endswith("s") and not word.endswith("ss"):
        if word in NOT_VERBS:
            return None
        edits.append((verb.start(), verb.end(), base_form(verb[0])))
    if word in ("did", "do", "does", "can", "could", "will", "would", "shall", "should", "may", "might", "must", "had"):
        return edits
    rest = _coordinated(sentence, verb.end())
    if rest and not _opens_clause(sentence, start):
        return None  # each pupil does what she likes and says so: the second verb may be that of the pupil
    return None if rest is None else edits + rest


def _inverted(sentence: str, start: int) -> list[tuple[int, int, str]] | None:
    """The auxiliary before the pronoun of a question, repaired; empty when there is none, None when unsure."""
    words = list(WORD.finditer(sentence[:start]))
    if not words or words[-1][0].lower() not in IRREGULAR:
        return []
    if sentence[words[-1].end() : start].strip():
        return []
    auxiliary = words[-1]
    opens = len(words) == 1 or not sentence[words[-2].end() : auxiliary.start()].isspace()
    if opens or words[-2][0].lower() in AUXILIARY_STARTS:
        return [(auxiliary.start(), auxiliary.end(), _cased(IRREGULAR[auxiliary[0].lower()], auxiliary[0]))]
    return None


def _opens_clause(sentence: str, start: int) -> bool:
    """Whether at most a connecting word stands between the last sign and the pronoun."""
    clause = re.split(r"[,.;:!?()—]", sentence[:start])[-1]
    return len(WORD.findall(clause)) <= 1


def _verb_after(sentence: str, end: int) -> re.Match[str] | None:
    """The word behind the pronoun and its adverbs; None at the end of the clause."""
    place = end
    while (word := WORD.search(sentence, place)) is not None:
        if sentence[place : word.start()].strip(" ,"):
            return None
        lowered = word[0].lower()
        if lowered in ADVERBS or (lowered.endswith("ly") and lowered not in LY_NON_ADVERBS):
            place = word.end()
            continue
        return word
    return None


def _coordinated(sentence: str, start: int) -> list[tuple[int, int, str]] | None:
    """Further verbs of the same subject (he eats and sleeps); None where a word in -s may be verb or noun."""
    limit = re.search(r"[.;:!?()—]", sentence[start:])
    stop = start + limit.start() if limit else len(sentence)
    edits: list[tuple[int, int, str]] = []
    for link in _LINK.finditer(sentence, start, stop):
        word = _verb_after(sentence, link.end())
        if word is None or word.end() > stop:
            continue
        lowered = word[0].lower()
        if not lowered.endswith("s") and lowered not in IRREGULAR or lowered.endswith("ss"):
            continue
        if lowered in NOT_VERBS:
            continue  # a subject or an object of its own follows: and his wife works
        base = base_form(lowered)
        if lowered in IRREGULAR or base in COMMON_VERBS:
            edits.append((word.start(), word.end(), _cased(base, word[0])))
        else:
            return None
    return edits


def _cased(word: str, like: str) -> str:
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def applied(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """The text with non-overlapping edits made."""
    pieces, place = [], 0
    for start, end, new in sorted(edits):
        pieces += [text[place:start], new]
        place = end
    return "".join([*pieces, text[place:]])
