"""Counts of a corpus by group, and what follows from them: associations of words, pronouns, labels, duplicates.

Co-occurrence bias of a word w, with windows of k words on each side of each word of a group g:

    P(w|g)  = ( c(w,g) / sum_i c(w_i,g) ) / ( c(g) / sum_i c(w_i) )
    bias(w) = log [ P(w|g) / P(w|g') ]                                      Bordia and Bowman 2019

PMI with a symmetric Dirichlet prior of `alpha` pseudo-counts a word, both for the words near the group and for those
of the corpus, brought to the same size:

    PMI(w,g) = log [ ( c(w,g) + alpha ) / ( E(w,g) + alpha ) ],    E(w,g) = sum_i c(w_i,g) * c(w) / sum_i c(w_i)

The first ratio needs w near both groups, and is large by chance for rare words; the second is defined for any word, and
the prior draws small counts towards 0.
Everything is a sum over texts, so a corpus of any size can be streamed; what is kept grows with its vocabulary, and by
about 80 bytes for each different text.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evenhand_sdk import Axis, group_words
from evenhand_sdk.composed_text import composed

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
NO_GROUP = "none mentioned"
SEVERAL = "several"


@dataclass(kw_only=True)
class AxisCounts:
    """The counts of one axis."""

    axis: Axis
    window: int
    mentions: Counter[str] = field(default_factory=Counter)
    """c(g): words and names of a group, those in exempt phrases left out."""
    pronouns: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    """Texts that mention a group; one that mentions two counts for both."""
    sole: Counter[str] = field(default_factory=Counter)
    """Texts by the only group that they mention, or `SEVERAL`, or `NO_GROUP`: each text once."""
    near: dict[str, Counter[str]] = field(default_factory=dict)
    """c(w,g), group words left out."""
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    """Group or `NO_GROUP` -> label -> texts."""

    def add(self, text: str, words: Sequence[re.Match[str]], label: str | None) -> None:
        """Count one text, given its words."""
        found = [word for word in group_words(text, self.axis) if not word.exempt]
        starts, ends = [m.start() for m in words], [m.end() for m in words]
        spans = [(word.group, _covered(starts, ends, word.start, word.end)) for word in found]
        taken = {k for _, span in spans for k in span}
        for word, (group, span) in zip(found, spans, strict=True):
            self.mentions[group] += 1
            self.pronouns[group] += text[word.start : word.end].lower() in self._pronouns
            if not span:
                continue
            near = self.near.setdefault(group, Counter())
            around = range(max(0, span[0] - self.window), min(len(words), span[-1] + self.window + 1))
            near.update(words[k][0].lower() for k in around if k not in taken)
        groups = list(dict.fromkeys(word.group for word in found))
        self.texts.update(groups)
        self.sole[(groups or [NO_GROUP])[0] if len(groups) < 2 else SEVERAL] += 1
        if label is not None:
            for group in groups or [NO_GROUP]:
                self.labels.setdefault(group, Counter())[label] += 1

    def __post_init__(self) -> None:
        rows = (row for row in self.axis.tuples if row.pos == "pronoun")
        self._pronouns = frozenset(word.lower() for row in rows for word in row.words)


@dataclass(kw_only=True)
class CorpusCounts:
    """All counts of a corpus; `add` the texts one by one."""

    axes: tuple[AxisCounts, ...]
    documents: int = 0
    words: Counter[str] = field(default_factory=Counter)
    """c(w) over all words of the corpus, group words included."""
    seen: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, axes: Sequence[Axis], *, window: int = 10) -> CorpusCounts:
        """Nothing counted yet."""
        return cls(axes=tuple(AxisCounts(axis=axis, window=window) for axis in axes))

    def add(self, text: str, label: str | None = None) -> None:
        """Count one text; `label` is its class, where the corpus has classes."""
        text = composed(text)
        words = list(WORD.finditer(text))
        self.documents += 1
        self.words.update(word[0].lower() for word in words)
        self.seen.add(hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).digest()[:16])
        for counts in self.axes:
            counts.add(text, words, label)

    @property
    def duplicate_rate(self) -> float:
        """Share of texts that are equal to an earlier one but for case and spaces; 0 of an empty corpus."""
        return 1 - len(self.seen) / self.documents if self.documents else 0.0


def cooccurrence_bias(counts: AxisCounts, words: Counter[str], group: str) -> dict[str, float]:
    """bias(w) in nat for each word near both the group and another one, above 0 where it is nearer to the group.

    g' is the other group; of several other groups, all of them taken as one. Empty when either is not mentioned.
    """
    near = counts.near.get(group, Counter())
    far = sum((side for name, side in counts.near.items() if name != group), Counter())
    if not near or not far:
        return {}
    total, mentions = sum(words.values()), counts.mentions
    rate = (1 / sum(near.values())) / (mentions[group] / total)
    other = (1 / sum(far.values())) / ((sum(mentions.values()) - mentions[group]) / total)
    return {w: math.log(n * rate) - math.log(far[w] * other) for w, n in near.items() if far[w]}


def dirichlet_pmi(counts: AxisCounts, words: Counter[str], group: str, alpha: float) -> dict[str, float]:
    """PMI(w,g) in nat for each word near the group, smoothed by `alpha` > 0 pseudo-counts."""
    near, total = counts.near.get(group, Counter()), sum(words.values())
    size = sum(near.values())
    return {w: math.log((n + alpha) / (size * words[w] / total + alpha)) for w, n in near.items()}


def label_shares(labels: Mapping[str, Counter[str]]) -> dict[str, dict[str, float]]:
    """Group -> label -> share of the group's texts."""
    return {group: {label: n / sum(c.values()) for label, n in c.items()} for group, c in labels.items()}


def largest_label_gap(labels: Mapping[str, Counter[str]]) -> tuple[str, str, str, float] | None:
    """(label, group with the most, group with the least, difference of shares); None with fewer than two groups."""
    shares = label_shares({group: c for group, c in labels.items() if group != NO_GROUP})
    if len(shares) < 2:
        return None
    gaps = []
    for label in sorted({label for row in shares.values() for label in row}):
        ordered = sorted(shares, key=lambda group: shares[group].get(label, 0.0))
        low, high = ordered[0], ordered[-1]
        gaps.append((label, high, low, shares[high].get(label, 0.0) - shares[low].get(label, 0.0)))
    return max(gaps, key=lambda gap: gap[3])


def _covered(starts: Sequence[int], ends: Sequence[int], start: int, end: int) -> range:
    """The numbers of the words that the characters [start, end) touch."""
    return range(bisect_right(ends, start), bisect_left(starts, end))
