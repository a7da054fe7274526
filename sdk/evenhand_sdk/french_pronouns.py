"""Whether il is anybody, and whether lui is a word of its own (avec lui) or stands before a verb (il lui parle)."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk import french_words as words
from evenhand_sdk.clause_words import Token, tokens_before

_CLITICS = frozenset(("ne", "n'", "lui", "leur", "me", "m'", "te", "t'", "nous", "vous"))
_AND = frozenset(("et", "ou", "ni", "est"))


def is_tonic(text: str, start: int, after: Sequence[Token]) -> bool:
    """Whether lui stands by itself: behind a preposition, and before no infinitive (pour lui parler)."""
    before = tokens_before(text, start)
    if not before or text[start - 1] == "-":
        return False
    following = after[0].lower if after and after[0].is_word else ""
    if following.endswith(("er", "ir", "re")) and len(following) > 3:
        return False
    previous = before[0].lower
    if previous in _AND | {"c'est"}:
        return not following or following in ("que", "qui")
    return previous in words.TONIC


def is_impersonal(after: Sequence[Token]) -> bool:
    """Whether il is nobody: il y a, il pleut, il faut, il est important de."""
    lowered = [token.lower for token in after[:6] if token.lower not in _CLITICS]
    if not lowered:
        return False
    if lowered[:2] in (["y", "a"], ["y", "avait"], ["y", "aura"], ["y", "aurait"], ["y", "eut"]):
        return True
    if lowered[0] in words.IMPERSONAL_VERBS or "".join(lowered[:2]) in words.IMPERSONAL_VERBS:
        return True
    if lowered[0] == "était" and "fois" in lowered[:4]:
        return True
    if (
        lowered[0] in ("fait", "faisait", "fera")
        and lowered[1:2]
        and lowered[1] in ("beau", "froid", "chaud", "nuit", "jour", "noir", "bon", "mauvais", "doux")
    ):
        return True
    if lowered[0] in ("semble", "paraît", "semblait", "arrive") and lowered[1:2] in (["que"], ["qu'"]):
        return True
    if lowered[0] in ("est", "était", "sera", "serait", "semble"):
        rest = [word for word in lowered[1:] if word not in words.ADVERBS or word in words.IMPERSONAL_ADJECTIVES]
        return bool(rest) and (
            rest[0] in words.IMPERSONAL_ADJECTIVES
            and rest[1:2] in (["de"], ["d'"], ["que"], ["qu'"], [])
            and rest[0] not in ("certain", "bon", "mauvais", "clair", "rare")
            or rest[0].endswith("heures")
        )
    return False
