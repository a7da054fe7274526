"""Whom ihr and sie mean in German: one woman, or several people.

The ihr of one woman becomes sein; that of several stays ihr. The persons named before it decide: the one that it is
joined to (die Frauen und ihre Kinder), else the subject of its clause, of the clauses before it, or of the sentence
before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import Token, tokens_after, tokens_before
from evenhand_sdk.german_verbs import is_plural, is_plural_verb

_PLURAL = "plural"
_PLURAL_DETERMINERS = frozenset(
    ("die", "alle", "diese", "jene", "meine", "deine", "seine", "ihre", "unsere", "eure", "keine")
)
_COUNTS = frozenset(("beide", "zwei", "drei", "vier", "fünf", "viele", "einige", "mehrere"))


class Persons(NamedTuple):
    """The words for persons that a pack knows, in lower case."""

    nouns: Mapping[str, tuple[bool, frozenset[str]]]
    """Noun -> whether it is feminine, and the numbers that the form may have."""
    women: Collection[str]
    """First names of women."""
    names: Collection[str]
    """First names of anybody."""


class Mention(NamedTuple):
    """Persons named by tokens[start:end]."""

    start: int
    end: int
    several: bool
    woman: bool
    """Whether it is one woman."""
    subject: bool
    """Whether its form may be that of a subject."""


class Owner(NamedTuple):
    """Who owns a thing."""

    several: bool
    certain: bool


def owner(text: str, start: int, before: Sequence[Token], persons: Persons) -> Owner:
    """Whether the ihr at `start`, behind the words `before` (nearest first), is that of several people."""
    tokens = before[::-1]
    mentions = named(tokens, persons)
    if tokens and tokens[-1].lower in ("und", "sowie", "samt", "nebst", "mit", "oder"):
        joined = [mention for mention in mentions if mention.end == len(tokens) - 1]
        if joined:
            return Owner(joined[-1].several, certain=True)
    if not _women_or_several(mentions):
        if any(is_plural_verb(token) for token in tokens):
            return Owner(several=True, certain=True)
        tokens = _sentence_before(text, before[-1].start if before else start)
        mentions = named(tokens, persons)
        if not _women_or_several(mentions) and before and before[0].lower in words.PREPOSITIONS:
            return Owner(_is_several_ahead(tokens_after(text, start), persons), certain=True)
    return _chosen(tokens, _women_or_several(mentions))


def _is_several_ahead(tokens: Sequence[Token], persons: Persons) -> bool:
    """Whether the subject behind the phrase of ihr, the first of `tokens`, is several people (mit ihren Söhnen gingen
    die Frauen)."""
    noun = next((place for place, token in enumerate(tokens) if place and token.word[0].isupper()), len(tokens))
    mentions = [mention for mention in named(tokens, persons) if mention.start > noun and mention.subject]
    return bool(mentions) and mentions[0].several


def is_of_several(text: str, start: int, before: Sequence[Token], persons: Persons) -> bool:
    """Whether the object sie at `start`, behind the words `before` (nearest first), means several people who were named
    in a clause before its own, and no woman was."""
    end = next((place for place, token in enumerate(before) if _divides(token)), len(before))
    tokens = before[end:][::-1]
    mentions = _women_or_several(named(tokens, persons))
    if not mentions and end == len(before):
        mentions = _women_or_several(named(_sentence_before(text, before[-1].start if before else start), persons))
    return bool(mentions) and all(mention.several for mention in mentions)


def named(tokens: Sequence[Token], persons: Persons) -> list[Mention]:
    """The persons that the tokens name, in order; those that und joins are one mention of several."""
    found: list[Mention] = []
    for place, token in enumerate(tokens):
        mention = _mention(tokens, place, token, persons)
        if mention is None:
            continue
        last = found[-1] if found else None
        if last is not None and last.end + 1 == mention.start and tokens[last.end].lower == "und":
            found[-1] = Mention(last.start, mention.end, several=True, woman=False, subject=last.subject)
        else:
            found.append(mention)
    return found


def _mention(tokens: Sequence[Token], place: int, token: Token, persons: Persons) -> Mention | None:
    lowered = token.lower
    if lowered == "sie":
        several = is_plural(tokens[:place][::-1], tokens[place + 1 :])
        return Mention(place, place + 1, several, woman=not several, subject=True)
    if not token.word[0].isupper():
        return None
    adjectives, determiner, rest = phrases.phrase(tokens[:place][::-1])
    start = place - len(adjectives) - (determiner is not None)
    case = determiner.lower if determiner else ""
    free = not (rest and rest[0].lower in words.PREPOSITIONS)
    if lowered in persons.names:
        return Mention(start, place + 1, several=False, woman=lowered in persons.women, subject=free)
    known = persons.nouns.get(lowered)
    if known is not None:
        is_fem, numbers = known
    elif lowered in words.SEVERAL:
        is_fem, numbers = False, frozenset((_PLURAL,))
    elif lowered.endswith("innen") or (lowered.endswith("in") and case in ("die", "eine", "der", "einer")):
        is_fem, numbers = True, frozenset((_PLURAL if lowered.endswith("innen") else "singular",))
    else:
        return None
    several = numbers == {_PLURAL} or (_PLURAL in numbers and _is_plural_phrase(token, case, rest, is_fem=is_fem))
    if several and case.endswith("er") and rest and phrases.is_one(rest[0].lower):  # eine der Schwestern
        return Mention(start - 1, place + 1, several=False, woman=is_fem, subject=True)
    oblique = ("den", "dem", "des", "der", "einer") if several or is_fem else ("den", "dem", "des", "einen", "einem")
    return Mention(start, place + 1, several, is_fem and not several, free and case not in oblique)


def _is_plural_phrase(token: Token, determiner: str, rest: Sequence[Token], *, is_fem: bool) -> bool:
    """Whether a noun with one form for both numbers is plural here (die Lehrer)."""
    if determiner == "der":  # die Klasse der Lehrer
        return not is_fem and bool(rest) and rest[0].word[0].isupper() and len(rest) > 1
    if determiner == "den":
        return token.word.endswith("n") and bool(rest) and rest[0].lower in words.DATIVE
    return determiner in _PLURAL_DETERMINERS | _COUNTS or (not determiner and not is_fem)


def _women_or_several(mentions: Sequence[Mention]) -> list[Mention]:
    return [mention for mention in mentions if mention.woman or mention.several]


def _divides(token: Token) -> bool:
    return token.word == "," or token.lower in words.CONJUNCTIONS or token.lower in words.JOINING


def _chosen(tokens: Sequence[Token], mentions: Sequence[Mention]) -> Owner:
    """The owner among one woman and several people: the subject of the nearest clause that names one."""
    if not mentions:
        return Owner(several=False, certain=True)
    if all(mention.several is mentions[0].several for mention in mentions):
        return Owner(mentions[0].several, certain=True)
    end = len(tokens)
    for place in range(len(tokens) - 1, -1, -1):
        inside = any(mention.start <= place < mention.end for mention in mentions)
        if place and (inside or not _divides(tokens[place])):
            continue
        if end < len(tokens) and phrases.opens_relative(tokens[place : place + 3]):  # die Frau, deren Söhne studieren,
            end = place
            continue
        subject = next((mention for mention in mentions if place <= mention.start < end and mention.subject), None)
        if subject is not None:
            return Owner(subject.several, certain=False)
        end = place
    return Owner(mentions[-1].several, certain=False)


def _sentence_before(text: str, start: int) -> list[Token]:
    """The words of the sentence before the one that begins at `start`, in the order of the text."""
    end = start
    while end and not text[end - 1].isalnum():
        end -= 1
    return tokens_before(text, end)[::-1]
