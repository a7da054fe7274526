"""Whether an English word names a person where it stands, and in which reading.

`a black man`, `she is black` and `the poor` are about persons, `a black car` and `poor quality` are not. The answer
reads a few words on each side: a person noun that an adjective belongs to, a subject that is a person, or an article
that makes a noun of the adjective.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from evenhand_sdk.english_neighbours import sentence_starts_at, words_after, words_before
from evenhand_sdk.english_person_words import (
    ABSTRACT_ENDINGS,
    ADJECTIVE_ENDINGS,
    ADJECTIVES,
    ADVERBS,
    ATTRIBUTES,
    AUXILIARIES,
    COLOURS,
    COMBINING,
    COMING,
    CONTRACTED,
    DESCRIBING,
    DETERMINERS_MANY,
    DETERMINERS_ONE,
    GROWING,
    KINDS,
    LINKING,
    MANNERS,
    NOT_ADJECTIVES,
    NOT_PERSONS,
    OF_A_KIND,
    OR_DO,
    PAST_FORMS,
    PEOPLE_DO,
    PERSON_ENDINGS,
    PERSON_NOUNS,
    PERSON_ONLY,
    PERSON_PRONOUNS,
    PLAIN_ADJECTIVES,
    PREFIXES,
    REPORTED,
)
from evenhand_sdk.english_words import (
    BARE_VERBS,
    FINITE_VERBS,
    FUNCTION_WORDS,
    NOUN_VERBS,
    OPENERS,
    PLURAL_VERBS,
    PREPOSITIONS,
)

SURE, LIKELY, GUESS = 0.97, 0.9, 0.7
_BETWEEN = 5


def describes_person(text: str, start: int, end: int, is_group_word: Callable[[str], bool]) -> bool:
    """Whether the adjective at text[start:end] is said of a person."""
    if text.startswith("-born", end):
        end += len("-born")
    after = words_after(text, end, _BETWEEN)
    if after and after[0][0][0].isdigit():
        return False  # aged 74
    if text[start].isupper() and after and _is_name_with(after[0][0], text, end):
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
    verdict = _before_noun(after, is_group_word, many=article)
    if verdict is not None:
        return verdict
    if is_predicate(before):
        return True
    return _stands_for_persons(text[start:end], before, after, is_group_word)


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
    return len(after) == 1 or _closes(after[1][0].lower())


def _is_name_with(word: str, text: str, end: int) -> bool:
    """Whether a capitalised adjective and the capitalised word behind it are a name: Rich Coleman, Old Trafford."""
    if not word[0].isupper() or word.isupper() or not text.startswith(" " + word, end):
        return False
    return not is_person_noun(word) and not _adjective(word, bool)


def _begins_name(text: str, start: int, end: int, after: list[tuple[str, bool]]) -> bool:
    """Whether an adjective has its capital as part of a name: the Blind Boys; not Black People."""
    word = text[start:end]
    if not word.istitle() or word.lower() not in PLAIN_ADJECTIVES or sentence_starts_at(text, start):
        return False
    return bool(after) and after[0][0].istitle() and text.startswith(" " + after[0][0], end)


def describes_person_so_far(text: str, start: int, end: int) -> bool:
    """As `describes_person`, without what follows: only as a predicate."""
    return is_predicate(words_before(text, start, 7))


def _before_noun(
    after: list[tuple[str, bool]], is_group_word: Callable[[str], bool], *, many: bool = False
) -> bool | None:
    """Whether the noun that the adjective stands before is a person; None when it stands before no noun, which `many`
    makes more likely: the adjective has an article and may stand for all such people (the poor eat)."""
    joined = False
    for position, (word, comma) in enumerate(after):
        lowered = word.lower().removesuffix("'s").removesuffix("’s")
        if is_person_noun(word):
            if not _goes_on(word.lower(), after[position + 1 : position + 2]):
                return True
            continue
        if lowered in ("and", "or") and not joined:
            joined = True
            continue
        if comma and not joined and position and not _adjective(word, is_group_word):
            return None
        if _closes(lowered) or ((lowered in BARE_VERBS or (many and lowered in PEOPLE_DO)) and not joined):
            return None
        behind = after[position + 1][0].lower() if position + 1 < len(after) else ""
        if word[0].isupper() and behind in ("named", "called", "who", "whose") and _adjective(word, is_group_word):
            return True  # a blind Austrian named Bert
        if _adjective(word, is_group_word):
            continue
        if joined or comma:
            return None  # another part of the sentence: rich and work hard
        who = after[position + 1 : position + 2]  # a noun that says what kind of person: poker player
        return bool(who) and not who[0][1] and lowered[-1] != "s" and is_person_noun(who[0][0])
    return None


def _goes_on(word: str, behind: list[tuple[str, bool]]) -> bool:
    """Whether a noun for a person only says of what kind the next noun is: national anthem, customer service."""
    if not behind or behind[0][1]:
        return False
    following = behind[0][0].lower()
    if _closes(following) or following.endswith(("ed", "ly")) or following in PAST_FORMS:
        return False
    return word in ATTRIBUTES or (word in KINDS and following in OF_A_KIND)


def is_predicate(before: list[tuple[str, int]]) -> bool:
    """Whether an adjective behind these words (nearest first) is said of a person by a verb such as be or seem."""
    position = 0
    while position < len(before) and _intensifies(before[position][0]):
        position += 1
    if position >= len(before):
        return False
    if before[position][0].lower() in ("and", "but", "yet") and position + 1 < len(before):
        joined = before[position + 1][0]
        return _adjective(joined, bool) and not joined[0].isupper() and is_predicate(before[position + 2 :])
    verb = before[position][0].lower().replace("’", "'")
    nearer = before[position + 1][0].lower() if position + 1 < len(before) else ""
    if (verb == "up" and nearer in GROWING) or (verb == "out" and nearer in COMING):
        return True
    if verb == "as" and nearer in DESCRIBING:
        return True
    if verb in CONTRACTED:
        return True
    if verb not in LINKING:
        return False
    if verb in ("identify", "identifies", "identified", "identifying", "born", "raised", "dying", "died", "dies"):
        return True
    rest = before[position + 1 :]
    while rest and (
        rest[0][0].lower() in AUXILIARIES or _intensifies(rest[0][0]) or rest[0][0].lower() in LINKING | REPORTED
    ):
        rest = rest[1:]
    if not rest:
        return False
    return _is_person_subject([word for word, _ in rest])


def _is_person_subject(words: list[str]) -> bool:
    """Whether the subject that ends the clause so far is a person: nearest word first."""
    nearest = words[0]
    if is_person_noun(nearest) or nearest.lower().replace("’", "'") in PERSON_PRONOUNS | CONTRACTED:
        return True
    if nearest[0].isupper() and nearest.lower() not in FUNCTION_WORDS and not nearest.endswith(ABSTRACT_ENDINGS):
        return True
    for position, word in enumerate(words[:4]):
        if word.lower() in PREPOSITIONS or word.lower() in ("who", "that"):
            return position + 1 < len(words) and is_person_noun(words[position + 1])
    return False


def _intensifies(word: str) -> bool:
    lowered = word.lower()
    return lowered in ADVERBS or (lowered.endswith("ly") and len(lowered) > 4)


def _stands_for_persons(
    surface: str, before: list[tuple[str, int]], after: list[tuple[str, bool]], is_group_word: Callable[[str], bool]
) -> bool:
    """The poor, the very old, rich and poor: an adjective that is used as a noun for persons."""
    following = after[0][0].lower() if after else ""
    if surface.lower() in COLOURS and surface.islower():
        return False
    if following in ("one", "ones", "way", "thing", "things", "still", "ever", "known", "surviving", "continuously"):
        return False
    previous = [word.lower() for word, _ in before]
    while previous and previous[0] in ("very", "super", "extremely", "most", "truly", "working"):
        previous = previous[1:]
    if previous and previous[0] in ("the", "these", "those", "our"):
        return True
    if following in ("and", "or") and len(after) > 1 and is_group_word(after[1][0].lower()):
        return True
    return len(previous) > 1 and previous[0] in ("and", "or") and is_group_word(previous[1])


def is_person_noun(word: str) -> bool:
    """Whether the word, singular or plural, names a person or a group of persons."""
    lowered = word.lower().replace("’", "'")
    if lowered.endswith("'s"):
        lowered = lowered[:-2]
    if lowered in PERSON_NOUNS:
        return True
    if lowered in NOT_PERSONS:
        return False
    if lowered.endswith("s") and lowered[:-1] in PERSON_NOUNS:
        return True
    if lowered.endswith(("ses", "xes", "ches", "shes", "oes")) and lowered[:-2] in PERSON_NOUNS:
        return True
    if lowered.endswith("ies") and lowered[:-3] + "y" in PERSON_NOUNS:
        return True
    if "-" in lowered and lowered.rsplit("-", 1)[1] in PERSON_NOUNS:
        return True
    if lowered.endswith(PERSON_ENDINGS) and len(lowered) > 6 and not _surname(word):
        return True
    return word[:1].isupper() and lowered.endswith(("ans", "ims", "ics", "ews", "ians", "ists", "ese's", "ites"))


def _surname(word: str) -> bool:
    """Coleman and Newman are surnames, Englishman and FIREMAN are not."""
    return word[0].isupper() and not word.isupper() and word.endswith("man") and not word.endswith(("shman", "chman"))


def _adjective(word: str, is_group_word: Callable[[str], bool]) -> bool:
    lowered = word.lower()
    if lowered in ADJECTIVES or "-" in word or lowered.isdigit():
        return True
    if is_group_word is not bool and is_group_word(lowered):
        return True
    if word[:1].isupper() and not _surname(word) and lowered.endswith(("an", "ish", "ese", "i", "ic", "im", "ch")):
        return True
    return lowered not in NOT_ADJECTIVES and lowered.endswith(ADJECTIVE_ENDINGS) and len(lowered) > 4


def names_persons(text: str, start: int, end: int, *, plural: bool) -> bool:
    """Whether the noun at text[start:end] stands for persons: behind a determiner, or in the plural by itself."""
    if text.startswith(":", end):
        return False  # the name of a language, before a word of it
    after = words_after(text, end, 2)
    before = words_before(text, start, 3)
    following = _behind(after)
    inflected = plural and text[start:end].lower().endswith("s")
    if following and not (inflected or _closes(following) or after[0][1] or _verb_behind(text, end, plural=plural)):
        return not plural and is_person_noun(after[0][0])
    if plural:
        if before and before[0][0].lower() in ("a", "an", "this", "that", "one"):
            return False
        return not (following == "of" and before and before[0][0].lower() == "the") and not (
            before and before[0][0].lower() in ("egg", "dress", "tooth", "teeth", "snow", "paint")
        )
    words = [word.lower() for word, _ in before]
    if any(word in DETERMINERS_ONE or word == "the" for word in words[:2]):
        return True
    return bool(words) and words[0] in ("as", "fellow", "no")


def is_origin(text: str, start: int) -> bool:
    """Whether the country at `start` is where a person is from: a man from Chile, she is from Chile, she comes from."""
    words = [word for word, _ in words_before(text, start, 3)]
    if words and words[0].lower() == "the":
        words = words[1:]
    if len(words) < 2 or words[0].lower() != "from":
        return False
    who = words[1]
    return is_person_noun(who) or who.lower() in LINKING or who.lower() in PERSON_PRONOUNS


def is_state(text: str, start: int, end: int) -> bool:
    """Whether the noun says what somebody has or is in: her wealth, they live in poverty; not a source of wealth."""
    after = words_after(text, end, 1)
    if after and not after[0][1] and not _closes(after[0][0].lower()):
        return False  # unemployment relief
    before = [word for word, _ in words_before(text, start, 2)]
    if not before:
        return False
    nearest = before[0].lower().replace("’", "'")
    if nearest.endswith("'s"):
        return before[0][0].isupper() or is_person_noun(before[0])
    return nearest in ("his", "her", "their", "my", "your", "our", "in", "into", "from")


def adjective_or_noun(
    text: str, start: int, end: int, options: Collection[tuple[str, str | None]]
) -> tuple[tuple[str, str | None], float]:
    """Which of an adjective, a singular and a plural noun the word at text[start:end] is."""
    after = words_after(text, end, 2)
    following = _behind(after)
    singular, plural, adjective = ("noun", "singular"), ("noun", "plural"), ("adjective", None)

    def pick(*wanted: tuple[str, str | None], certainty: float) -> tuple[tuple[str, str | None], float]:
        found = next((one for one in wanted if one in options), next(iter(options)))
        return found, certainty

    owner = text[end : end + 1] in ("'", "’")
    ends = owner or not following or _closes(following) or after[0][1]
    if text.startswith("-", end) or not (ends or _verb_behind(text, end, plural=singular not in options)):
        return pick(adjective, singular, plural, certainty=LIKELY)
    many = following in PLURAL_VERBS
    for position, (word, _) in enumerate(words_before(text, start, 4)):
        lowered = word.lower()
        if lowered == "the":
            return pick(*((plural, singular) if many or singular not in options else (singular, plural)),
                        adjective, certainty=GUESS)  # fmt: skip
        if lowered in DETERMINERS_MANY and not (lowered == "fellow" and position):
            return pick(plural, singular, adjective, certainty=LIKELY)
        if lowered in DETERMINERS_ONE:
            return pick(singular, plural, adjective, certainty=LIKELY)
        if lowered in LINKING or lowered in CONTRACTED:
            return pick(adjective, singular, plural, certainty=LIKELY)
        if lowered in FUNCTION_WORDS:
            break
    if many:
        return pick(plural, singular, adjective, certainty=LIKELY)
    if plural in options and singular not in options:
        return pick(plural, adjective, certainty=GUESS)
    return pick(adjective, singular, plural, certainty=GUESS)


def _verb_behind(text: str, end: int, *, plural: bool) -> bool:
    """Whether the word behind a noun is its verb: in s behind a singular, in ed before the end of the clause."""
    after = words_after(text, end, 2)
    word = after[0][0].lower()
    closed = len(after) < 2 or _closes(after[1][0].lower()) or after[1][1]
    if word.endswith("ed") and not word.endswith("eed"):
        return closed or after[1][0].lower().endswith("ly")
    if plural:
        if word in OR_DO and len(after) > 1 and after[1][0].lower() in OPENERS:
            return True
        return word in BARE_VERBS or word in NOUN_VERBS or word in PEOPLE_DO
    return word.endswith("s") and not word.endswith(("ss", "us")) and not is_person_noun(word)


def _behind(after: list[tuple[str, bool]]) -> str:
    """The word behind a noun in lower case; `by` where a place begins with an adjective (the Swiss next door)."""
    words = [word.lower() for word, _ in after]
    return "by" if words[:2] in (["next", "door"], ["next", "to"]) else (words[0] if words else "")


def _closes(word: str) -> bool:
    """Whether a noun phrase has ended before this word."""
    return word in FUNCTION_WORDS or word in FINITE_VERBS or word in ("of", "alike", "according", "per")
