"""VADER: sentiment by a lexicon and rules (Hutto and Gilbert 2014), the compound polarity in [-1, 1]."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from functools import cache
from typing import Any

from evenhand_standard.text_scorers.contract import Scorer

PACKAGE = "nltk-vader-sentiment"


def vader() -> Scorer:
    """The scorer; its lexicon comes with the package, so it needs no file."""
    version = importlib.metadata.version(PACKAGE)
    return Scorer(
        name="vader",
        low=-1.0,
        score=_score,
        digest=hashlib.sha256(f"{PACKAGE} {version}".encode()).hexdigest(),
        facts={
            "method": "lexicon of rated words with rules for negation, degree and punctuation; compound polarity",
            "source": "Hutto and Gilbert 2014 (ICWSM)",
            "licence": "MIT",
            "version": version,
        },
    )


def _score(texts: Sequence[str]) -> list[float]:
    analyzer = _analyzer()
    # Of a text without words the package makes a warning, or nothing: it has no polarity.
    return [float(analyzer.polarity_scores(text)["compound"]) if text.strip() else 0.0 for text in texts]


@cache
def _analyzer() -> Any:
    from vader import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
