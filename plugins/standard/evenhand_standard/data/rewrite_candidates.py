"""Candidate rewrites of a text towards a group, and the choice among them by a language model.

The engine decides by rule whether her is him or his. Where its table allows another reading, that is a candidate, too,
and the model says which text is likelier. A rewrite must stay near its source:

    edit distance over words <= k,     similarity = 2 M / T >= floor       (M: equal words in blocks, T: words of both)

Sources: Qian et al. 2022 (learned perturbation); the off-line form by re-scoring is ours.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand_sdk import Axis, counterfactuals

MOST = 16
"""Candidates of one text: four places with two readings."""
WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Rewrite:
    """A text to add, towards a group."""

    text: str
    group: str
    distance: int
    """Words inserted, deleted or replaced."""
    similarity: float
    candidates: int = 1
    reread: bool = False
    """The model chose another reading than the engine."""


def candidates(text: str, axis: Axis, target: str, *, names: bool = True) -> list[str]:
    """The engine's counterfactual first, then those with other readings of its ambiguous words; empty when none."""
    found = counterfactuals(text, axis, target, names=names)
    if not found:
        return []
    engine = found[0]
    readings = [_readings(axis, edit.before, edit.after) for edit in engine.edits]
    texts = []
    for choice in itertools.islice(itertools.product(*readings), MOST):
        pieces, place = [], 0
        for edit, after in zip(engine.edits, choice, strict=True):
            pieces += [text[place : edit.start], after]
            place = edit.end
        texts.append("".join([*pieces, text[place:]]))
    return list(dict.fromkeys(texts))


def _readings(axis: Axis, before: str, after: str) -> list[str]:
    """What a word may become: first as the engine has it, then by the other rows that it stands in."""
    old, new = before.lower(), after.lower()
    rows = [row.words for row in axis.tuples if row.pos == "pronoun"]
    sides = {(i, j) for words in rows for i, w in enumerate(words) for j, v in enumerate(words) if (w, v) == (old, new)}
    other = {words[j] for i, j in sides for words in rows if words[i] == old and words[j]}
    like = str.upper if len(after) > 1 and after.isupper() else str.capitalize if after[:1].isupper() else str
    return [after, *sorted(like(word) for word in other if word != new)]


def word_distance(one: str, other: str) -> int:
    """Levenshtein distance over words and signs."""
    a, b = WORD.findall(one), WORD.findall(other)
    found = distance_within(a, b, max(len(a), len(b)))
    assert found is not None
    return found


def distance_within(a: Sequence[str], b: Sequence[str], most: int) -> int | None:
    """Levenshtein distance of two lists of words; None where it is above `most`.

    `reach[k]` is how far into `a` the diagonal k (place in `b` minus place in `a`) comes with so many edits: the time
    grows with the length plus the square of the distance, or of `most` (Ukkonen 1985).
    """
    end = len(b) - len(a)
    reach: dict[int, int] = {}
    for edits in range(most + 1):
        found: dict[int, int] = {}
        for k in range(max(-edits, -len(a)), min(edits, len(b)) + 1):
            i = max(reach.get(k, -1) + 1, reach.get(k - 1, -1), reach.get(k + 1, -1) + 1) if edits else 0
            i = min(i, len(a), len(b) - k)
            while i < len(a) and i + k < len(b) and a[i] == b[i + k]:
                i += 1
            found[k] = i
        if found.get(end) == len(a):
            return edits
        reach = found
    return None


def similarity(one: str, other: str) -> float:
    """2 M / T over words and signs, in [0, 1]."""
    return difflib.SequenceMatcher(None, WORD.findall(one), WORD.findall(other), autojunk=False).ratio()


def near(text: str, rewrites: Sequence[str], *, edits: int, floor: float) -> list[str]:
    """The rewrites that stay near the text, in order; the text itself is none."""
    words = WORD.findall(text)
    return [
        new
        for new in rewrites
        if new != text
        and distance_within(words, WORD.findall(new), edits) is not None
        and similarity(text, new) >= floor
    ]


def likeliest(likelihoods: Sequence[float], texts: Sequence[str]) -> str:
    """The text with the highest log-likelihood; the first one of equals."""
    return texts[max(range(len(texts)), key=lambda k: (likelihoods[k], -k))]
