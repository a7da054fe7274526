"""Whether an English adjective is said of a person where it stands.

`a black man`, `she is black` and `the poor` are about persons, `a black car` and `poor quality` are not. The answer
reads a few words on each side: a person noun that the adjective belongs to, a subject that is a person, or an article
that makes a noun of the adjective.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from evenhand_sdk.english_neighbours import sentence_starts_at, words_after, words_before
from evenhand_sdk.english_noun_words import ATTRIBUTES, KINDS, OF_A_KIND, OF_A_PEOPLE, PLURAL_KINDS
from evenhand_sdk.english_partners import partners_before
from evenhand_sdk.english_person_nouns import names_persons
from evenhand_sdk.english_person_predicates import is_asked, is_predicate
from evenhand_sdk.english_person_words import (
    COLOURS,
    COMBINING,
    DETERMINERS_ONE,
    MANNERS,
    OR_DO,
    PAST_FORMS,
    PEOPLE_DO,
    PERSON_ONLY,
    PLAIN_ADJECTIVES,
    PREFIXES,
    RECORDS,
    TEAMS,
)
from evenhand_sdk.english_persons import closes, intensifies, is_adjective, is_person_noun
from evenhand_sdk.english_words import BARE_VERBS, FINITE_VERBS, FUNCTION_WORDS, NOUN_VERBS

_BETWEEN = 5
_THINGS_BEHIND = re.compile(
    r"(?: [\w-]+){0,2} (?:folk (?:music|songs?|rock|dances?|tales?|arts?|pop|metal|traditions?|instruments?|costumes?)"
    r"|(?:fighter|bomber) (?:aircraft|planes?|jets?|squadrons?|wings?)|adult animated)\b"
    r"(?![ -](?:singer|songwriter|musician|artist|guitarist|dancer|pilot|band|duo))"
)
"""Nouns for persons that begin a word for a thing: Colombian folk music, a British fighter aircraft."""
_NO_NOUNS = FUNCTION_WORDS | FINITE_VERBS
_LATER = (["second"], ["third"], ["fourth"], ["fifth"], ["sixth"], ["seventh"], ["eighth"], ["ninth"], ["tenth"])
"""Before a superlative, what makes it a place in a list (the second oldest team)."""
_NO_KINDS = frozenset(
    ("cast", "split", "cut", "hit", "set", "put", "let", "shut", "beat", "bid", "cost")
    + ("comprising", "featuring", "including", "starring")
)
"""Verbs whose forms look like nouns (the studio cast actor John Hill, a band comprising singer Ann Hill)."""
_ARTICLE_BEFORE = re.compile(r"\ban? \Z", re.IGNORECASE)
_JOINING = frozenset(("nor", "not", "but", "rather", "instead", "than", "of"))
"""What stands between two adjectives of a noun besides `and` and `or` (Jewish, not Christian, students)."""
_AGES = ("-year-old", " year old")


def describes_person(text: str, start: int, end: int, is_group_word: Callable[[str], bool]) -> bool:
    """Whether the adjective at text[start:end] is said of a person."""
    if text.startswith("-born", end):
        end += len("-born")
    after = words_after(text, end, _BETWEEN)
    if after and after[0][0][0].isdigit():
        return False  # aged 74
    if _THINGS_BEHIND.match(text, end):
        return False
    if " " in text[start:end] and text[start].isupper() and after and after[0][0] in _NO_NOUNS:
        return False  # New Zealand and Australia
    if text[start].isupper() and after and _is_name_with(after[0][0], text, end):
        return False
    if text[start].isupper() and after and not after[0][1] and _is_of_sport(after):
        return False
    if _begins_name(text, start, end, after):
        return False
    before = words_before(text, start, 7)
    nearest = [word.lower() for word, _ in before[:2]]
    article = "the" in nearest[: 1 + (nearest[:1] == ["very"])] and text[start:end].lower() not in COLOURS
    if len(after) > 1 and after[0][0].lower() == "in" and after[1][0].lower() in MANNERS:
        return False  # Christian in origin
    if article and text[start:end].lower() in PERSON_ONLY and _acts(after):
        return True
    if after and after[0][0].lower() in ("one", "ones"):
        return _one_of_persons(before, is_group_word)
    if text[start:end].lower().endswith("est") and (_is_record(after) or nearest[:1] in _LATER):
        return False
    if nearest and text[start:end].lower().endswith(_AGES) and _is_noun_behind(nearest, after):
        return True
    if nearest[:1] in (["a"], ["an"]) and _joined_one(after, is_group_word):
        after = [after[0], *after[2:], *words_after(text, end, _BETWEEN + 1)[_BETWEEN:]]
    verdict = _before_noun(
        after, is_group_word, many=article, named=text[start].isupper() and not sentence_starts_at(text, start)
    )
    if verdict is not None:
        return verdict
    if is_predicate(before, text) or is_asked(before, text) or _is_fronted(before, after, text):
        return True
    if _stands_for_persons(text[start:end], before, after, is_group_word):
        return True
    return any(
        describes_person(text, *partner, is_group_word) or _is_one_of_a_group(text, *partner)
        for partner in partners_before(text, start, is_group_word)
    )


def describes_person_so_far(text: str, start: int, end: int) -> bool:
    """As `describes_person`, without what follows: only as a predicate."""
    return is_predicate(words_before(text, start, 7), text)


def _is_one_of_a_group(text: str, start: int, end: int) -> bool:
    """Whether the word is a noun for one person, with its article: a Muslim."""
    return _ARTICLE_BEFORE.search(text, max(0, start - 4), start) is not None and names_persons(
        text, start, end, plural=False
    )


def _is_of_sport(after: list[tuple[str, bool]]) -> bool:
    """Whether a country's or a continent's is a title or a team: European champion, New Zealand Warriors; not a Polish
    champion cyclist."""
    noun = after[0][0]
    if noun[0].isupper() and noun.lower() in TEAMS:
        return True
    return noun.lower() in RECORDS and not any(is_person_noun(word) for word, _ in after[1:4])


def _one_of_persons(before: list[tuple[str, int]], is_group_word: Callable[[str], bool]) -> bool:
    """Whether `one` stands for a person: one of whom another word of a group was said (a deaf boy and a blind one)."""
    words = [word for word, _ in before]
    return any(
        is_group_word(adjective.lower()) and is_person_noun(noun)
        for noun, adjective in zip(words, words[1:], strict=False)
    )


def _is_noun_behind(before: list[str], after: list[tuple[str, bool]]) -> bool:
    """Whether an age stands for somebody of it, with a determiner before it and no noun behind (a 60-year-old); not for
    when somebody was (as a 21-year-old)."""
    if before[0] not in DETERMINERS_ONE | {"the", "his", "her", "our", "my", "your", "their"} or before[1:] == ["as"]:
        return False
    return not after or after[0][1] or closes(after[0][0].lower())


def _joined_one(after: list[tuple[str, bool]], is_group_word: Callable[[str], bool]) -> bool:
    """Whether another one follows with its article before the noun that both have: a black and an Asian woman."""
    words = [word.lower() for word, _ in after[:3]]
    return len(words) == 3 and words[0] in ("and", "or") and words[1] in ("a", "an") and is_group_word(words[2])


def _is_record(after: list[tuple[str, bool]]) -> bool:
    """Whether a superlative tells a record: the youngest player ever, the oldest woman to swim it."""
    words = [word.lower() for word, _ in after]
    for place, word in enumerate(words[:-1]):
        if is_person_noun(word):
            following = words[place + 1]
            return following in ("ever", "to") or (following == "in" and words[-1] in ("history", "world"))
    return False


def _is_fronted(before: list[tuple[str, int]], after: list[tuple[str, bool]], text: str) -> bool:
    """Whether the adjective ends a phrase before the subject that it is said of: tall and thin, she turned."""
    if not after or not after[0][1] or after[0][0].lower() not in ("he", "she", "they"):
        return False
    place = 0
    while place < len(before) and (
        before[place][0].lower() in ("and", "but", "yet", "or")
        or intensifies(before[place][0])
        or (is_adjective(before[place][0], bool) and (before[place][0].islower() or place + 1 == len(before)))
    ):
        place += 1
    if place == len(before):
        return True
    word, begin = before[place]
    return place > 0 and text[begin + len(word)] == ","


def in_compound(text: str, start: int, end: int) -> bool:
    """Whether hyphens make the word part of another one: two-year-old, black-haired; but not Asian-American."""
    if start > 1 and text[start - 1] == "-" and text[start - 2].isalnum():
        return not text[start].isupper() or text[max(0, start - 12) : start - 1].split()[-1] in COMBINING
    if text[end : end + 1] == "-" and text[start:end].lower() in PREFIXES:
        return True
    if text[end : end + 1] != "-" or not text[end + 1 : end + 2].isalnum() or text[end + 1].isupper():
        return False
    return not text.startswith(("-born", "-raised", "-bred"), end)


def _acts(after: list[tuple[str, bool]]) -> bool:
    """Whether the verb of an adjective for persons stands behind it, even one that may be a noun (the elderly ride)."""
    if not after or after[0][0] not in OR_DO | NOUN_VERBS:
        return False
    return len(after) == 1 or closes(after[1][0].lower())


def _is_name_with(word: str, text: str, end: int) -> bool:
    """Whether a capitalised adjective and the capitalised word behind it are a name: Rich Coleman, Old Trafford."""
    if not word[0].isupper() or word.isupper() or not text.startswith(" " + word, end):
        return False
    return not is_person_noun(word) and not is_adjective(word, bool)


def _begins_name(text: str, start: int, end: int, after: list[tuple[str, bool]]) -> bool:
    """Whether an adjective has its capital as part of a name: the Blind Boys; not Black People."""
    word = text[start:end]
    if not word.istitle() or word.lower() not in PLAIN_ADJECTIVES or sentence_starts_at(text, start):
        return False
    return bool(after) and after[0][0].istitle() and text.startswith(" " + after[0][0], end)


def _before_noun(
    after: list[tuple[str, bool]], is_group_word: Callable[[str], bool], *, many: bool = False, named: bool = False
) -> bool | None:
    """Whether the noun that the adjective stands before is a person; None when it stands before no noun, which `many`
    makes more likely: the adjective has an article and may stand for all such people (the poor eat)."""
    joined = contrasted = False
    for position, (word, comma) in enumerate(after):
        lowered = word.lower().removesuffix("'s").removesuffix("’s")
        if is_person_noun(word):
            if not _goes_on(word.lower(), after[position + 1 : position + 2]):
                return True
            continue
        if lowered in ("and", "or") and not joined:
            joined = True
            continue
        if lowered in _JOINING and _goes_to_partner(after[position + 1 :], is_group_word):
            joined = contrasted = True
            continue
        if contrasted and lowered in ("a", "an"):
            continue
        if comma and not joined and position and not is_adjective(word, is_group_word):
            return None
        if closes(lowered) or ((lowered in BARE_VERBS or (many and lowered in PEOPLE_DO)) and not joined):
            return None
        behind = after[position + 1][0].lower() if position + 1 < len(after) else ""
        if word[0].isupper() and behind in ("named", "called", "who", "whose") and is_adjective(word, is_group_word):
            return True  # a blind Austrian named Bert
        if is_adjective(word, is_group_word):
            continue
        if joined or comma:
            return None  # another part of the sentence: rich and work hard
        return _says_what_kind(word, after[position + 1 :], named=named)
    return None


def _goes_to_partner(behind: list[tuple[str, bool]], is_group_word: Callable[[str], bool]) -> bool:
    """Whether nothing but joining words stands before another adjective of a group."""
    for word, _ in behind:
        if word.lower() not in _JOINING and word.lower() not in ("a", "an"):
            return is_group_word(word.lower())
    return False


def _says_what_kind(noun: str, behind: list[tuple[str, bool]], *, named: bool = False) -> bool:
    """Whether a noun says what kind of person follows: poker player, film and television actress; behind the `named`
    adjective of a people or a creed two nouns, too: ice hockey player, civil rights activist."""
    if not behind or behind[0][1] or noun.lower().endswith("s"):
        return False
    if named and noun.islower() and _is_kind_in_two(noun, behind):
        return True
    if is_person_noun(behind[0][0]):
        return not (noun[0].isupper() and behind[0][0][0].isupper())  # old London General buses
    if behind[0][0].lower() not in ("and", "or") or len(behind) < 3 or behind[1][1] or behind[2][1]:
        return False
    return noun.islower() and behind[1][0].islower() and not closes(behind[1][0]) and is_person_noun(behind[2][0])


def _is_kind_in_two(noun: str, behind: list[tuple[str, bool]]) -> bool:
    """Whether a second noun and a noun for one person stand behind the first: (ice) hockey player, (civil) rights
    activist; no verb, as in (a company) employs players, and no further noun."""
    if len(behind) < 2 or behind[1][1]:
        return False
    second, person = behind[0][0], behind[1][0]
    if not second.islower() or not person.islower() or not is_person_noun(person) or {noun, second} & OF_A_PEOPLE:
        return False
    if second.endswith("s") and second not in PLURAL_KINDS:
        return False
    if (
        closes(second)
        or second.endswith("ed")
        or second in PAST_FORMS
        or second in FINITE_VERBS | BARE_VERBS | NOUN_VERBS
    ):
        return False
    return len(behind) == 2 or behind[2][1] or behind[2][0][0].isupper() or closes(behind[2][0].lower())


def _goes_on(word: str, behind: list[tuple[str, bool]]) -> bool:
    """Whether a noun for a person only says of what kind the next noun is: national anthem, customer service."""
    if not behind or behind[0][1]:
        return False
    following = behind[0][0].lower()
    if closes(following) or following.endswith(("ed", "ly")) or following in PAST_FORMS:
        return False
    return word in ATTRIBUTES or (word in KINDS and following in OF_A_KIND)


def _stands_for_persons(
    surface: str, before: list[tuple[str, int]], after: list[tuple[str, bool]], is_group_word: Callable[[str], bool]
) -> bool:
    """The poor, the very old, rich and poor: an adjective that is used as a noun for persons."""
    following = after[0][0].lower() if after else ""
    if surface.lower() in COLOURS and (surface.islower() or not before):
        return False
    if following in ("one", "ones", "way", "thing", "things", "still", "ever", "known", "surviving", "continuously"):
        return False
    previous = [word.lower() for word, _ in before]
    while previous and previous[0] in ("very", "super", "extremely", "most", "truly", "working"):
        previous = previous[1:]
    joined = following in ("and", "or") and len(after) > 1
    if joined and surface[0].isupper() and is_adjective(after[1][0], is_group_word) and len(after) > 2:
        noun, comma = after[2]
        if not (comma or closes(noun.lower()) or is_person_noun(noun)):
            return False  # the Muslim and Arab world
    if previous and previous[0] in ("the", "these", "those", "our"):
        return True
    if joined and is_group_word(after[1][0].lower()):
        return True
    return len(previous) > 1 and previous[0] in ("and", "or") and is_group_word(previous[1])
