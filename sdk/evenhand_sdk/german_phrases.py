"""Noun phrases of German: which case one has, and the forms that its words take in it."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk import german_words as words
from evenhand_sdk.clause_words import GUESS, LIKELY, SURE, Token

NOMINATIVE, ACCUSATIVE, DATIVE, GENITIVE = "nominative", "accusative", "dative", "genitive"
_ADJECTIVE_ENDINGS = ("e", "en", "er", "em", "es")


def is_adjective(token: Token) -> bool:
    """Whether a word before a noun looks like an inflected adjective."""
    word = token.word
    return (
        word.islower() and len(word) > 3 and word.endswith(_ADJECTIVE_ENDINGS)
        and word not in words.NOT_ADJECTIVES and determiner_kind(word) is None and word not in words.PREPOSITIONS
    )  # fmt: skip


def determiner_kind(word: str) -> tuple[str, str, str] | None:
    """Kind (article, der, ein), stem and ending of a determiner; None for another word."""
    lowered = word.lower()
    if lowered in ("der", "die", "den", "dem", "des"):
        return "article", "d", lowered[1:]
    for stem in words.DER_WORDS:
        if lowered.startswith(stem) and lowered[len(stem) :] in ("er", "e", "en", "em", "es"):
            return "der", stem, lowered[len(stem) :]
    for stem in words.EIN_WORDS:
        if lowered.startswith(stem) and lowered[len(stem) :] in ("", "e", "en", "em", "er", "es"):
            return "ein", stem, lowered[len(stem) :]
    return None


def phrase(before: Sequence[Token]) -> tuple[list[Token], Token | None, Sequence[Token]]:
    """Adjectives and determiner directly before a noun, nearest first, and the words before the phrase."""
    adjectives: list[Token] = []
    for position, token in enumerate(before):
        if not token.is_word:
            break
        lowered = token.lower
        if (
            determiner_kind(lowered)
            or lowered in words.CONTRACTED
            or lowered
            in (*words.OTHER_DETERMINERS, "zur", "zwei", "drei", "vier", "fünf", "viele", "alle", "einige", "mehrere")
        ):
            return adjectives, token, before[position + 1 :]
        opens = position == len(before) - 1 or before[position + 1].lower == "sehr"  # Liebe Kollegin, Sehr geehrte Frau
        if is_adjective(token) or (
            opens and lowered in ("liebe", "lieber", "geehrte", "geehrter", "verehrte", "verehrter")
        ):
            adjectives.append(token)
            continue
        break
    if adjectives and _is_finite(adjectives[-1], before[len(adjectives) :]):
        adjectives.pop()  # Sie spielte Mutter
    return adjectives, None, before[len(adjectives) :]


def _is_finite(token: Token, before: Sequence[Token]) -> bool:
    """Whether what ends like an adjective, behind the words `before` (nearest first) and in front of a noun without a
    determiner, is a finite verb."""
    if not before or token.word[0].isupper():
        return False
    previous = before[0]
    if previous.lower in words.SUBJECTS or _is_adverb(previous):
        return True
    joined = not previous.is_word or previous.lower in words.JOINING
    if joined or previous.lower in words.CONJUNCTIONS:
        return token.lower.endswith(("te", "ten")) and not token.lower.startswith("ge")
    small = words.TITLES | words.PREPOSITIONS | words.COPULAS | {"sehr", "als", "wie", "so"}
    return previous.word[0].isupper() and previous.lower not in small and determiner_kind(previous.lower) is None


def opens_relative(tokens: Sequence[Token]) -> bool:
    """Whether a comma and what follows open a relative clause (", deren", ", mit der")."""
    if len(tokens) < 2 or tokens[0].word != ",":
        return False
    place = 2 if tokens[1].lower in words.PREPOSITIONS else 1
    return place < len(tokens) and tokens[place].lower in words.RELATIVES and not tokens[place].word[0].isupper()


def is_one(word: str) -> bool:
    """Whether the word picks one of several before their genitive (eine der, jeder der)."""
    return word.startswith(words.ONE) and determiner_kind(word) is not None


def case_of_man(kind: str, ending: str) -> str | None:
    """The case that a determiner shows before a masculine noun in the singular."""
    if kind == "article":
        return words.ARTICLES.get("d" + ending)
    if (kind == "der" and ending == "") or (kind == "ein" and ending == "er"):
        return None
    return words.MASCULINE.get(ending)


def case_of_woman(ending: str, before: Sequence[Token]) -> tuple[str, float]:
    """The case of a feminine phrase whose determiner ends so; `before` are the words before it, nearest first."""
    preposition = before[0].lower if before and before[0].is_word else ""
    if ending.endswith("r"):
        if preposition in words.GENITIVE:
            return GENITIVE, SURE
        if preposition in words.DATIVE | words.TWO_WAY:
            return DATIVE, SURE
        if preposition in words.JOINING and len(before) > 1 and before[1].word[0].isupper():
            _, determiner, rest = phrase(before[2:])  # das Haus der Schwester und ihrer Mutter
            if determiner is not None and determiner.lower.endswith(("r", "s")):
                return (GENITIVE, LIKELY) if determiner.lower.endswith("s") else case_of_woman("r", rest)
        noun = bool(before) and before[0].is_word and before[0].word[0].isupper() and len(before) > 1
        return (GENITIVE, LIKELY) if noun else (DATIVE, LIKELY)
    if preposition in words.ACCUSATIVE | words.TWO_WAY:
        return ACCUSATIVE, SURE
    return subject_or_object(before)


def subject_or_object(before: Sequence[Token]) -> tuple[str, float]:
    """Nominative or accusative of a phrase, from the words of its clause before it, nearest first."""
    clause: list[Token] = []
    for token in before:
        if token.word == "," or token.lower in words.CONJUNCTIONS:
            break
        clause.append(token)
    clause.reverse()
    if len(clause) == 1 and _closes_relative(before[1:]):
        return ACCUSATIVE, LIKELY  # die Frau, die dort wohnt, besucht ihren
    if not clause:
        return NOMINATIVE, LIKELY
    lowered = [token.lower for token in clause]
    if any(word in words.COPULAS for word in lowered) and not any(word.startswith("ge") for word in lowered[-1:]):
        return NOMINATIVE, LIKELY
    if lowered[-1] in words.JOINING:
        verb = any(word in words.CLEAR_SUBJECTS for word in lowered) or any(
            token.word.islower() and determiner_kind(token.word) is None and not is_adjective(token)
            for token in clause[:-1]
        )
        return (ACCUSATIVE, GUESS) if verb else (NOMINATIVE, LIKELY)  # mein Onkel und meine Tante
    opening = words.PREPOSITIONS | words.JOINING | words.NO_SUBJECTS | words.CONTRACTED.keys() | {"zur", "ins", "ans"}
    if lowered[0] in opening or _is_adverb(clause[0]):
        subject = any(word in words.SUBJECTS for word in lowered[1:]) or _names_subject(clause)
        return (ACCUSATIVE, LIKELY) if subject else (NOMINATIVE, LIKELY)
    if len(clause) == 1:
        return (NOMINATIVE, GUESS)  # Kommt die Lehrerin?
    return ACCUSATIVE, LIKELY


def _names_subject(clause: Sequence[Token]) -> bool:
    """Whether a clause that begins with something else has its subject behind the verb (gestern traf der Sohn)."""
    for place in range(2, len(clause)):
        if not clause[place].word[0].isupper():
            continue
        _, determiner, rest = phrase(clause[:place][::-1])
        shown = determiner.lower if determiner else ""
        oblique = shown in words.CONTRACTED or shown == "zur" or shown.endswith(("em", "es", "en"))
        if not oblique and rest and rest[0].word.islower() and rest[0].lower not in words.PREPOSITIONS:
            return True
    return False


def _closes_relative(before: Sequence[Token]) -> bool:
    """Whether the words before, nearest first, end with a relative clause and its comma."""
    if not before or before[0].word != ",":
        return False
    place = next((place for place in range(1, len(before)) if before[place].word == ","), None)
    return place is not None and opens_relative(before[place::-1][:3])


def _is_adverb(token: Token) -> bool:
    """Whether the first word of a clause is no subject: an adverb, a question word or a verb."""
    lowered = token.lower
    if lowered in words.SUBJECTS or determiner_kind(lowered) is not None or lowered in words.OTHER_DETERMINERS:
        return False
    return lowered in words.ADVERBS or lowered.endswith(("weise", "mals", "lich", "tags", "lings"))


def determiner_form(kind: str, stem: str, case: str, *, fem: bool) -> str:
    """The determiner in a case of the singular."""
    if kind == "article":
        if fem:
            return "die" if case in (NOMINATIVE, ACCUSATIVE) else "der"
        return {NOMINATIVE: "der", ACCUSATIVE: "den", DATIVE: "dem", GENITIVE: "des"}[case]
    if fem:
        return stem + ("e" if case in (NOMINATIVE, ACCUSATIVE) else "er")
    ending = {NOMINATIVE: "er" if kind == "der" else "", ACCUSATIVE: "en", DATIVE: "em", GENITIVE: "es"}[case]
    return ("euer" if stem == "eur" and not ending else stem) + ending


def adjective_form(word: str, kind: str | None, case: str, *, fem: bool) -> str:
    """The adjective in a case of the singular, behind a determiner of this kind or behind none."""
    stem = word[:-1] if word.endswith("e") else word[:-2]
    if fem:
        if case in (NOMINATIVE, ACCUSATIVE):
            return stem + "e"
        return stem + ("en" if kind else "er")
    if case == NOMINATIVE:
        return stem + ("e" if kind in ("article", "der") else "er")
    if kind is None and case == DATIVE:
        return stem + "em"
    return stem + "en"


def noun_form(nominative: str, case: str) -> str:
    """The masculine noun in a case of the singular: weak nouns take -n or -en, others -s or -es in the genitive."""
    if case == NOMINATIVE:
        return nominative
    weak = words.WEAK.get(nominative)
    if weak is None and nominative.endswith("e") and nominative[0].isupper():
        weak = nominative + "n"
    if weak is None and nominative.endswith(words.WEAK_ENDINGS) and len(nominative) > 4:
        weak = nominative + "en"
    if weak is not None:
        return weak
    if case != GENITIVE:
        return nominative
    listed = words.GENITIVES.get(nominative)
    if listed is not None:
        return listed
    if nominative.endswith(("mann", "arzt", "sohn")):
        return nominative + "es"
    return nominative + ("es" if nominative.endswith(("s", "ß", "z", "x")) else "s")
