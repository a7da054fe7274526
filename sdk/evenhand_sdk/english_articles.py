"""a or an before another word, in English."""

from __future__ import annotations

_SOUNDED = ("heir", "hour", "honest", "honor", "honour", "lgbt", "mtf", "ftm")
"""Begin with a vowel sound, although not with a vowel letter."""
_CONSONANT = ("eu", "ewe", "one", "once", "use", "usu", "uti", "ute", "uk", "ug", "uru", "u.")
"""Begin with a consonant sound (yoo, wu), although with a vowel letter."""
_VOWEL_AFTER_ALL = ("ugl", "ugh")


def article_before(text: str, start: int, free: int) -> tuple[int, int] | None:
    """The span of an `a` or `an` before `start`, at or behind `free`, with only a space or an opening quote between."""
    if start < 2:
        return None
    end = start
    if text[end - 1] in "\"“‘'(*_" and end > 2:
        end -= 1
    if text[end - 1] != " ":
        return None
    begin = end - 3 if end > 2 and text[end - 3 : end - 1].lower() == "an" else end - 2
    if begin < free or text[begin : end - 1].lower() not in ("a", "an"):
        return None
    if begin and (text[begin - 1].isalnum() or text[begin - 1] in "'’-_&/."):
        return None
    return begin, end - 1


def repaired_article(article: str, before: str, after: str) -> str:
    """`a` or `an`, changed when the word behind it changed from `before` to `after` and the article had been right.

    The change is made only if it can be undone: the article of the swapped text repairs to the original one.
    """
    had, needs = starts_with_vowel_sound(before), starts_with_vowel_sound(after)
    if had == needs or (article.lower() == "an") != had:
        return article
    if needs:
        repaired = article + ("N" if after.isupper() and len(after) > 1 and article == "A" else "n")
    else:
        repaired = article[0]
    undone = repaired if len(repaired) == 1 else repaired[0]
    restored = undone + ("N" if before.isupper() and undone == "A" else "n") if had else undone
    return repaired if restored in (article, article.upper()) else article


def starts_with_vowel_sound(word: str) -> bool:
    """Whether English says `an` before the word: by its letters, with the usual exceptions (heir, unit, Europe)."""
    lowered = word.lower()
    if lowered.startswith(_SOUNDED):
        return True
    if lowered[:1].isdigit():
        return lowered[0] == "8" or (lowered[:2] in ("11", "18") and not lowered[2:3].isdigit())
    if lowered.startswith(_CONSONANT) and not lowered.startswith(_VOWEL_AFTER_ALL):
        return False
    if lowered.startswith("uni"):
        return lowered.startswith(("unin", "unim"))
    if lowered[:1] == "8" or (lowered[:2] in ("11", "18") and not lowered[2:3].isdigit()):
        return True  # eight, eleven, eighteen
    return lowered[:1] in "aeiou" and bool(lowered)
