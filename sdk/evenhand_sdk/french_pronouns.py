"""Whether il is anybody, and whether lui is a word of its own (avec lui) or stands before a verb (il lui parle)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evenhand_sdk import french_words as words
from evenhand_sdk.clause_words import Token, tokens_before

_CLITICS = frozenset(("ne", "n'", "lui", "leur", "me", "m'", "te", "t'", "nous", "vous"))
_AND = frozenset(("et", "ou", "ni", "est"))
_TO_BE = frozenset(("est", "était", "sera", "serait", "semble", "fut", "soit"))
_SOME = frozenset(("un", "une", "des", "du", "plusieurs", "quelques", "quelque", "beaucoup", "peu", "assez", "trop"))
_TIMES = ("heure", "jour", "minute", "seconde", "mois", "an", "année", "semaine", "nuit", "temps", "moment", "instant")


def is_tonic(text: str, start: int, after: Sequence[Token]) -> bool:
    """Whether lui stands by itself: behind a preposition, and before no infinitive (pour lui parler)."""
    before = tokens_before(text, start)
    following = after[0].lower if after and after[0].is_word else ""
    joined = following in ("et", "ou", "qui") or (bool(after) and after[0].word == ",")
    if not before or text[start - 1] == "-":
        return joined and not before  # Lui et elle, Lui, il
    if _is_infinitive(following):
        return False
    previous = before[0].lower
    if previous in _AND | {"c'est"}:
        return not following or following in ("que", "qui")
    return previous in words.TONIC


def is_impersonal(before: Sequence[Token], after: Sequence[Token], persons: Collection[str]) -> bool:
    """Whether il is nobody: il y a, il pleut, il faut, il est huit heures, pleut-il, il est important de.

    `before` are the words before it, nearest first, of which an inverted verb is one; `persons` the nouns of persons.
    """
    verb: list[str] = []
    if len(before) > 1 and before[0].word == "-":
        verb = [token.lower for token in before[2:4] if token.lower in ("y", "s'", "se")]
        verb.append(before[1].lower.removesuffix("-t"))
        if verb[-1] in _TO_BE and "heure" in (token.lower for token in before[2:5]):  # Quelle heure est-il ?
            return True
    lowered = verb + [token.lower for token in after[:7] if token.lower not in _CLITICS]
    if not lowered:
        return False
    first, behind = lowered[0], lowered[1:]
    if first == "y":
        return behind[behind[:1] == ["en"] :][:1] in (["a"], ["avait"], ["aura"], ["aurait"], ["eut"], ["ait"])
    if first in words.IMPERSONAL_VERBS or "".join(lowered[:2]) in words.IMPERSONAL_VERBS:
        return True
    if first in ("se", "s'"):
        return bool(behind) and (behind[0] in words.HAPPENING or behind[:2] in (["trouve", "que"], ["trouve", "qu'"]))
    if first == "était" and "fois" in lowered[:4]:
        return True
    if first in ("fait", "faisait", "fera") and behind[:1] and behind[0] in words.WEATHER:
        return True
    if first in ("semble", "paraît", "semblait", "arrive", "arrivait"):
        if behind[:1] in (["que"], ["qu'"]):
            return True
        if first.startswith("arriv") and behind[:1] in (["de"], ["d'"]) and _is_infinitive("".join(behind[1:2])):
            return True
    if first in words.APPEARING:
        return _is_something(behind, persons)
    if first in _TO_BE:
        return _is_so(behind, persons)
    return False


def _is_so(behind: Sequence[str], persons: Collection[str]) -> bool:
    """Whether what follows `il est` is said of nobody: an hour, or an adjective about what comes then."""
    rest = [word for word in behind if word not in words.ADVERBS or word in words.IMPERSONAL_ADJECTIVES]
    if rest[:1] == ["environ"]:
        rest = rest[1:]
    if not rest:
        return False
    if rest[0] in words.APPEARED:
        return _is_something(rest[1:], persons)
    counted = rest[0].isdigit() or rest[0] in words.FIXED_DETERMINERS | words.HOURS
    if counted and rest[1:2] and (rest[1].startswith("heure") or rest[1] == "h"):
        return True
    if rest[:2] == ["grand", "temps"] or rest[0] in ("midi", "minuit"):
        return True
    return (
        rest[0] in words.IMPERSONAL_ADJECTIVES
        and rest[1:2] in (["de"], ["d'"], ["que"], ["qu'"], [])
        and rest[0] not in ("certain", "bon", "mauvais", "clair", "rare")
    )


def _is_something(behind: Sequence[str], persons: Collection[str]) -> bool:
    """Whether the words behind a verb are what is there, not how long or as what (il reste deux places)."""
    rest = [word for word in behind if word not in words.ADVERBS or word in _SOME]
    if rest[:1] == ["que"] or rest[:2] in (["de", "la"], ["de", "l'"]):
        return True
    if rest[:1] == ["à"]:
        return _is_infinitive("".join(rest[1:2]))
    if not rest or not (rest[0] in _SOME or rest[0].isdigit() or rest[0] in words.NUMBERS):
        return False
    nouns = rest[1:3]
    return bool(nouns) and not any(noun in persons or noun.startswith(_TIMES) for noun in nouns)


def _is_infinitive(word: str) -> bool:
    return word.endswith(("er", "ir", "re")) and len(word) > 3
