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
from evenhand_standard.data.verb_forms import IRREGULAR, base_form

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LINK = re.compile(r"(?:,\s*(?:(?:and|or|but)\s+)?(?:then\s+)?|\b(?:and|or|but)\s+(?:then\s+)?)")


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
    word = _straight(verb[0])
    edits: list[tuple[int, int, str]] = []
    if word in IRREGULAR or (word.endswith("s") and not word.endswith("ss")):
        base = base_form(verb[0])
        if word in NOT_VERBS or base is None:
            return None
        edits.append((verb.start(), verb.end(), base))
    if word in ("did", "do", "does", "can", "could", "will", "would", "shall", "should", "may", "might", "must", "had"):
        return edits
    rest = _coordinated(sentence, verb.end())
    if rest and not _opens_clause(sentence, start):
        return None  # each pupil does what she likes and says so: the second verb may be that of the pupil
    return None if rest is None else edits + rest


def _inverted(sentence: str, start: int) -> list[tuple[int, int, str]] | None:
    """The auxiliary before the pronoun of a question, repaired; empty when there is none, None when unsure."""
    words = list(WORD.finditer(sentence[:start]))
    if not words or _straight(words[-1][0]) not in IRREGULAR:
        return []
    if sentence[words[-1].end() : start].strip():
        return []
    auxiliary = words[-1]
    opens = len(words) == 1 or not sentence[words[-2].end() : auxiliary.start()].isspace()
    if opens or words[-2][0].lower() in AUXILIARY_STARTS:
        base = base_form(auxiliary[0])
        return None if base is None else [(auxiliary.start(), auxiliary.end(), base)]
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
        lowered = _straight(word[0])
        if not lowered.endswith("s") and lowered not in IRREGULAR or lowered.endswith("ss"):
            continue
        if lowered in NOT_VERBS:
            continue  # a subject or an object of its own follows: and his wife works
        base = base_form(word[0])
        if base is None or not (lowered in IRREGULAR or base.lower() in COMMON_VERBS):
            return None
        edits.append((word.start(), word.end(), base))
    return edits


def _straight(word: str) -> str:
    """A word as the lists write it."""
    return word.lower().replace("’", "'")


def applied(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    """The text with non-overlapping edits made."""
    pieces, place = [], 0
    for start, end, new in sorted(edits):
        pieces += [text[place:start], new]
        place = end
    return "".join([*pieces, text[place:]])
