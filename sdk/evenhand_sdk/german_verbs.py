"""Verbs and nouns near sie and ihr, from which their number and their part of speech are told."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import Token


def noun_follows(after: Sequence[Token]) -> bool:
    """Whether a noun stands behind, with adjectives at most between."""
    for token in after[:4]:
        if not token.is_word:
            return False
        if token.word[0].isupper():
            return True
        if not phrases.is_adjective(token) and token.lower not in ("sehr", "ganz", "eigen"):
            return False
    return False


def is_plural_verb(token: Token) -> bool:
    """Whether the word has the form of a verb of several, or of an infinitive."""
    lowered = token.lower
    if lowered in words.PLURAL_VERBS:
        return True
    if lowered in words.SINGULAR_VERBS or lowered in words.NO_VERBS or phrases.determiner_kind(lowered) is not None:
        return False
    return token.word.islower() and lowered.endswith("en")


def is_plural(before: Sequence[Token], after: Sequence[Token]) -> bool:
    """Whether the verb of sie is a plural one: the next word, the one before, or the last of a subordinate clause."""
    previous = before[0].lower if before else ""
    if previous in words.CONJUNCTIONS:
        clause: list[Token] = []
        for token in after:
            if not token.is_word:
                break
            clause.append(token)
        return bool(clause) and is_plural_verb(clause[-1])
    if not before or previous in words.JOINING | {","}:
        return bool(after) and is_plural_verb(after[0])
    return is_plural_verb(before[0]) and _opens_clause(before)


def _opens_clause(before: Sequence[Token]) -> bool:
    """Whether a verb stands before its subject: `before` is the verb and the words before it, nearest first."""
    clause: list[Token] = []
    for token in before[1:]:
        if token.word == "," or token.lower in words.JOINING:
            break
        clause.append(token)
    if any(token.lower in words.SUBJECTS | (words.CONJUNCTIONS - words.ADVERBS) for token in clause):
        return False
    return not clause or clause[-1].lower in words.ADVERBS | words.PREPOSITIONS | words.CONTRACTED.keys()
