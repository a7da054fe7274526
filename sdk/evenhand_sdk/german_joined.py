"""Nouns that und, oder and commas join to a noun of the pack without being in it: Maler und Bildhauer.

They name the same person, or another of the same gender, and take -in or lose it by their ending. An ending is no
proof that a word is a person, so the change is likely only behind what says what somebody is, and a guess elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import GUESS, LIKELY, Token, like
from evenhand_sdk.grammar import Replacement

_ENDINGS = ("er", "ist", "ent", "ant", "eur", "or", "oge", "graf", "ekt")
_WEAK = ("isten", "enten", "anten", "ogen", "grafen", "ekten")
_JOINS = frozenset(("und", "oder", "sowie"))


def joined_nouns(
    before: Sequence[Token], after: Sequence[Token], case: str, known: Container[str], *, fem: bool
) -> list[Replacement]:
    """What changes in the nouns joined to a noun in this case.

    `before` are the words before its phrase, nearest first, and `after` those behind it. None of the nouns `known` to
    the pack is touched: they are swapped themselves.
    """
    found: list[Replacement] = []
    place = 0
    while _joins(after, place, listed=_joins(after, place + 2, listed=False)):
        new = _other(after[place + 1], case, known, fem=fem)
        if new is None:
            break
        found.append(Replacement(after[place + 1].start, after[place + 1].end, new))
        place += 2
    listed = _joins(after, 0, listed=False)
    while _joins(before, 0, listed=listed):
        new = _other(before[1], case, known, fem=fem)
        if new is None:
            break
        found.append(Replacement(before[1].start, before[1].end, new))
        adjectives, determiner, before = phrases.phrase(before[2:])
        kind = phrases.determiner_kind(determiner.lower) if determiner else None
        if determiner and kind:
            made = phrases.determiner_form(kind[0], kind[1], case, fem=fem)
            found.append(Replacement(determiner.start, determiner.end, like(determiner.word, made)))
        for one in adjectives:
            made = phrases.adjective_form(one.lower, kind and kind[0], case, fem=fem)
            found.append(Replacement(one.start, one.end, like(one.word, made)))
        listed = True
    sure = bool(before) and before[0].lower in words.COPULAS | {"als"}
    return [one._replace(certainty=LIKELY if sure else GUESS) for one in found]


def _joins(tokens: Sequence[Token], place: int, *, listed: bool) -> bool:
    """Whether a word that joins stands there, with another behind it; a comma is one in a list."""
    if place + 1 >= len(tokens):
        return False
    return tokens[place].lower in _JOINS or (listed and tokens[place].word == ",")


def _other(token: Token, case: str, known: Container[str], *, fem: bool) -> str | None:
    """The noun of the other gender in its case; None for a word that is no person by its ending."""
    word = token.word
    if not word[0].isupper() or word.lower() in known or word.lower() in words.SEVERAL or len(word) < 5:
        return None
    if fem:
        if case != phrases.NOMINATIVE and word.endswith(_WEAK):
            word = word.removesuffix("en")
        elif case == phrases.GENITIVE:
            word = word.removesuffix("s")
        return word.removesuffix("e") + "in" if word.endswith((*_ENDINGS, "og")) else None
    if word.endswith("ogin"):
        return phrases.noun_form(word[:-2] + "e", case)
    return phrases.noun_form(word[:-2], case) if word.endswith(tuple(end + "in" for end in _ENDINGS)) else None
