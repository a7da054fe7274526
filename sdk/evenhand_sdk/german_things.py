"""What a German sentence names in the gender of a pronoun: the gender of a noun, by its determiner."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk import german_phrases as phrases
from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import Token
from evenhand_sdk.german_owners import Persons
from evenhand_sdk.german_verbs import is_plural, is_plural_verb
from evenhand_sdk.pronoun_things import Named

_HERS = words.HERS | {"ihr"}
_HIS = frozenset(("er", "ihn", "ihm", "sein", "seine", "seinen", "seinem", "seiner", "seines"))
_FEMININE = ("ung", "heit", "keit", "schaft", "ion", "tät", "ik", "ur", "ei", "enz", "anz", "in")
_NEAR = 12
"""How many words beside one are read."""
_PLURAL = ("en", "er", "ern", "eln", "s", "innen")


def opens_clause(token: Token, place: int) -> bool:
    """Whether the clause of a pronoun begins with the word, the `place`th before it."""
    return token.word == "," or token.lower in words.CONJUNCTIONS or (not place and token.lower in words.JOINING)


def named(tokens: Sequence[Token], persons: Persons, *, fem: bool, neuter: bool = False) -> list[Named]:
    """Persons, pronouns and things of the gender, in the singular; `neuter` counts neuter things as masculine ones."""
    found: list[Named] = []
    for place, token in enumerate(tokens):
        kind = _kind(tokens, place, token, persons, fem=fem, neuter=neuter)
        if kind is not None:
            found.append(kind)
    return found


def _kind(
    tokens: Sequence[Token], place: int, token: Token, persons: Persons, *, fem: bool, neuter: bool
) -> Named | None:
    lowered = token.lower
    before = tokens[max(0, place - _NEAR) : place][::-1]
    if lowered in (_HERS if fem else _HIS):
        return Named.PRONOUN
    if lowered == "sie" and fem:
        return None if is_plural(before, tokens[place + 1 : place + _NEAR]) else Named.PRONOUN
    if not token.word[0].isupper() or lowered in words.SEVERAL:
        return None
    if lowered in persons.names:
        return Named.PERSON if (lowered in persons.women) is fem else None
    adjectives, determiner, rest = phrases.phrase(before)
    shown = determiner.lower if determiner else ""
    known = persons.nouns.get(lowered)
    if known is not None:
        return Named.PERSON if known[0] is fem and "singular" in known[1] else None
    if not shown:
        return None
    if neuter and shown in ("das", "dieses", "jenes", "jedes"):
        return Named.PERHAPS if rest and rest[0].lower in words.PREPOSITIONS else Named.THING
    if neuter and not (rest and rest[0].lower in words.PREPOSITIONS) and _ends_bare(shown):
        return Named.THING
    behind = tokens[place + 1] if place + 1 < len(tokens) else None
    preposition = bool(rest) and rest[0].lower in words.PREPOSITIONS
    return _fem(token, shown, rest, behind) if fem else _masc(token, shown, rest, preposition=preposition)


def _ends_bare(shown: str) -> bool:
    """Whether the determiner is one before masculine and neuter nouns alike (ein Kind)."""
    kind = phrases.determiner_kind(shown)
    return kind is not None and kind[0] == "ein" and not kind[2]


def _fem(token: Token, shown: str, rest: Sequence[Token], behind: Token | None) -> Named | None:
    """Whether the noun is feminine and singular behind this determiner."""
    preposition = rest[0].lower if rest else ""
    oblique = preposition in words.PREPOSITIONS
    if shown == "zur" or (shown in ("der", "dieser") and preposition in words.DATIVE | words.TWO_WAY):
        return Named.PERHAPS
    if shown in ("eine", "jede", "irgendeine"):
        return Named.PERHAPS if oblique else Named.THING
    kind = phrases.determiner_kind(shown)
    if kind is None or kind[2] not in ("e", "ie"):
        return None
    if not rest and behind is not None and behind.word.islower() and behind.lower not in words.PREPOSITIONS:
        return None if is_plural_verb(behind) else Named.THING
    if token.word.endswith(_PLURAL) and not token.word.endswith(_FEMININE):
        return None
    return Named.PERHAPS if oblique else Named.THING


def _masc(token: Token, shown: str, rest: Sequence[Token], *, preposition: bool) -> Named | None:
    """Whether the noun is masculine and singular behind this determiner."""
    if shown in ("der", "dieser", "jener", "jeder"):
        if preposition or (rest and rest[0].word[0].isupper()):
            return None  # in der Stadt, das Haus der Stadt
        opens = not rest or not rest[0].is_word or rest[0].lower in words.JOINING | words.CONJUNCTIONS | words.ADVERBS
        return Named.THING if opens else Named.PERHAPS
    if shown == "einen":
        return Named.PERHAPS if preposition else Named.THING
    kind = phrases.determiner_kind(shown)
    if kind is None:
        return Named.PERHAPS if shown in words.CONTRACTED else None
    if kind[2] == "en":
        several = token.word.endswith(("n", "s"))
        return None if several and preposition else Named.PERHAPS if several or preposition else Named.THING
    return Named.PERHAPS if kind[2] in ("", "em") and kind[0] != "der" else None
