"""Whether a pronoun means a thing that was named before it, for languages in which things have a gender.

A language reads what a sentence names of the pronoun's gender; here the sentences are put together. What the nearest
sentence names first is taken for what it is about. A pronoun there hands on to the sentence before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum

from evenhand_sdk.clause_words import TOKEN, Token

_END = re.compile(r"[.!?;:\n¿¡…]")
_REACH = 400
"""How many characters of a sentence are read."""
_SENTENCES = 5
"""How many sentences before that of the pronoun are read."""


class Named(Enum):
    """What a sentence names in the gender of a pronoun."""

    PERSON = "person"
    """Somebody whom the pack knows, so that the word is swapped."""
    PRONOUN = "pronoun"
    THING = "thing"
    """A noun of that gender that stays, as subject or object."""
    PERHAPS = "perhaps"
    """A noun that may have that gender, or stands behind a preposition."""


class Meant(Enum):
    """Whom or what a pronoun means."""

    PERSON = "person"
    THING = "thing"
    EITHER = "either"


Read = Callable[[str], Sequence[Named]]
"""What a sentence names in the gender and number of a pronoun, in the order of the text."""


def tokens_of(sentence: str) -> list[Token]:
    """The words and marks of a sentence."""
    return [Token(found.start(), found.end(), found[0]) for found in TOKEN.finditer(sentence)]


def meant(text: str, start: int, read: Read) -> Meant:
    """Whom or what a pronoun means, by its own sentence before `start` and up to five others.

    `start` is where the pronoun's clause begins if it cannot mean the subject of that clause (the dog bit him).
    """
    gap = False
    sentences = _sentences(text, start)
    for place, sentence in enumerate(sentences):
        named = read(sentence)
        if not named:
            gap = gap or place > 0
            continue
        if named[0] is Named.PRONOUN:
            continue
        if Named.PERSON in named:
            return Meant.EITHER if named[0] is Named.THING else Meant.PERSON
        if named[0] is Named.PERHAPS and Named.PRONOUN in named and Named.THING not in named:
            continue
        unsure = gap or Named.THING not in named
        return Meant.EITHER if unsure or _names_person(sentences, read) else Meant.THING
    return Meant.PERSON


def _names_person(sentences: Iterator[str], read: Read) -> bool:
    """Whether the sentences, nearest first, name a person, or a pronoun with nothing before it that it could mean."""
    left = False
    for sentence in sentences:
        named = read(sentence)
        if Named.PERSON in named:
            return True
        if named:
            left = named[0] is Named.PRONOUN
    return left


def _sentences(text: str, start: int) -> Iterator[str]:
    """The sentence up to `start`, and those before it, nearest first, within one paragraph."""
    end = start
    for _ in range(_SENTENCES + 1):
        begin = max(0, end - _REACH)
        marks = [match.end() for match in _END.finditer(text, begin, end)]
        begin = marks[-1] if marks else begin
        yield text[begin:end]
        gap = begin
        while begin and not text[begin - 1].isalnum():
            begin -= 1
        if not begin or "\n\n" in text[begin:gap]:
            return
        end = begin
