"""The opinion lexicon of Hu and Liu (2004): (positive - negative) / (positive + negative) words, 0 without any.

A stand-in for regard: it knows no negation and not whom a word is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand_sdk.benchmark_data import KnownFile, read_text
from evenhand_sdk.storage import sha256_text
from evenhand_standard.text_scorers.contract import Scorer

POSITIVE = KnownFile(
    path="sentiment_lexicons/opinion_lexicon/positive-words.txt",
    sha256="9f643e85bcd7eb32e680f05df3d87fdd3277d6626122b3efec94f3ee3790b596",
    rows=2040,
    encoding="iso-8859-1",
    origin="nltk/nltk_data, packages/corpora/opinion_lexicon.zip, opinion_lexicon/positive-words.txt",
    licence="CC-BY-4.0",
)
NEGATIVE = KnownFile(
    path="sentiment_lexicons/opinion_lexicon/negative-words.txt",
    sha256="f80f5cfe3a62e7e07768eca9435b9ba514dbd5fc0eecf181e80b16f8f4578b34",
    rows=4817,
    encoding="iso-8859-1",
    origin="nltk/nltk_data, packages/corpora/opinion_lexicon.zip, opinion_lexicon/negative-words.txt",
    licence="CC-BY-4.0",
)
WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*\+?")


def opinion_lexicon(folder: str | None = None) -> Scorer:
    """The scorer of the two published word lists. Raises DataNotFound, DigestMismatch."""
    positive, negative = (_words(read_text(known, folder)) for known in (POSITIVE, NEGATIVE))
    return of_words(
        positive, negative, {"source": "Hu and Liu 2004 (KDD)", "licence": "CC-BY-4.0", "origin": POSITIVE.origin}
    )


def of_words(positive: frozenset[str], negative: frozenset[str], facts: dict[str, str]) -> Scorer:
    """The scorer of two word lists, in lower case; a word in both counts for both."""

    def score(texts: Sequence[str]) -> list[float]:
        found = []
        for text in texts:
            words = WORD.findall(text.lower())
            good, bad = sum(w in positive for w in words), sum(w in negative for w in words)
            found.append((good - bad) / (good + bad) if good + bad else 0.0)
        return found

    return Scorer(
        name="opinion-lexicon",
        low=-1.0,
        score=score,
        digest=sha256_text("\n".join([*sorted(positive), "-", *sorted(negative)])),
        facts={
            "method": "(positive - negative) / (positive + negative) words",
            "words": {"positive": len(positive), "negative": len(negative)},
            **facts,
        },
    )


def _words(text: str) -> frozenset[str]:
    lines = (line.strip().lower() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith(";"))
