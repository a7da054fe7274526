"""English grammar that asks spaCy's tagger where words are ambiguous; everything else is by rule.

Needs spaCy and one of its English pipelines. The tagger decides between her (him) and her (his), his and his (hers),
and between adjective and noun; which nouns name persons, articles and endings stay with the rules.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from evenhand.errors import UsageError
from evenhand_sdk.english_grammar import English
from evenhand_sdk.grammar import Reading

SIZES = ("trf", "lg", "md", "sm")
"""Names of English pipelines (en_core_web_sm) say how large they are; the most accurate first."""
TAGGED = 0.95
"""Confidence of a decision of the tagger: about its accuracy on newspaper text."""
_NOUNS = {"NN": "singular", "NNP": "singular", "NNS": "plural", "NNPS": "plural"}


class SpacyEnglish(English):
    """English grammar with spaCy's part-of-speech tags; raises UsageError where spaCy or a pipeline is missing."""

    def __init__(self) -> None:
        self._pipeline = _pipeline()
        self._tagged = lru_cache(maxsize=8)(self._tag)

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        tag = self._tagged(text).get(start)
        case = {"PRP$": "determiner", "PRP": "possessive" if "possessive" in options else "object"}.get(tag or "")
        if case == "determiner" and text[start:end].lower() == "his" and self._ends_phrase(text, end):
            case = "possessive"  # taggers call both uses of his PRP$
        if case is None or case not in options:
            return super().case(text, start, end, options)
        return case, TAGGED

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        tag = self._tagged(text).get(start, "")
        noun = _NOUNS.get(tag)
        wanted: Reading | None = ("noun", noun) if noun else ("adjective", None) if tag.startswith("JJ") else None
        ruled, certainty = super().reading(text, start, end, options)
        if wanted is None or wanted not in options or (noun and ruled[0] == "noun"):
            return ruled, certainty
        return wanted, TAGGED

    def _ends_phrase(self, text: str, end: int) -> bool:
        """Whether no noun phrase follows: nothing, or a word that is no noun, adjective, number or adverb."""
        later = [(place, tag) for place, tag in self._tagged(text).items() if place >= end]
        return not later or not later[0][1].startswith(("NN", "JJ", "CD", "RB", "VBG", "VBN", "``", "HYPH"))

    def _tag(self, text: str) -> dict[int, str]:
        """Place of a token -> its Penn Treebank tag."""
        return {token.idx: token.tag_ for token in self._pipeline(text)}


def _pipeline() -> Any:
    """The best English pipeline that is installed, with nothing in it but what the tagger needs."""
    do = "pip install spacy; python -m spacy download en_core_web_sm"
    try:
        spacy = importlib.import_module("spacy")
    except ModuleNotFoundError as error:
        if error.name != "spacy":
            raise
        raise UsageError("grammar 'spacy' needs spaCy, which is not installed", do=do) from error
    names = [name for name in spacy.util.get_installed_models() if name.startswith("en_")]
    if not names:
        raise UsageError("grammar 'spacy' needs an English pipeline of spaCy, and none is installed", do=do)
    best = min(names, key=lambda name: next((k for k, size in enumerate(SIZES) if f"_{size}" in name), len(SIZES)))
    return spacy.load(best, disable=["parser", "ner", "lemmatizer"])
