"""What the engine asks of a language: one small interface, and the grammar of each locale.

The engine finds group words, exchanges them and keeps persons apart; whatever depends on the language it asks here. A
locale without a grammar of its own gets `Plain`: its words are swapped, and nothing around them is repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from evenhand.errors import UsageError
from evenhand_sdk.axes import WordTuple, near_match

Reading = tuple[str, str | None]
"""Part of speech and number."""
Span = tuple[int, int]
Located = tuple[int, int, WordTuple]
"""The place of a group word in a text, and its first row."""


class Replacement(NamedTuple):
    """text[start:end] becomes `after`."""

    start: int
    end: int
    after: str
    certainty: float = 1.0
    """How sure the change is, in (0, 1]; one that changes nothing says that something could not be decided."""


class Swap(NamedTuple):
    """A group word that is about to be exchanged: text[start:end] becomes `after`."""

    start: int
    end: int
    before: str
    after: str
    row: WordTuple
    source: int
    """Index of the group that the word belongs to."""
    target: int
    free: int
    """Where the text begins that no earlier replacement has taken: repairs must not reach before it."""
    groups: tuple[str, ...] = ()
    """The groups of the axis: a language with grammatical gender agrees where they are female and male."""


class Grammar(Protocol):
    """The decisions that a language makes; spans are characters with an exclusive end."""

    cases_told_apart: Collection[frozenset[str]]
    """Sets of cases that one surface word may have, between which `case` decides (her: object or determiner)."""
    sentence_end: re.Pattern[str]
    """Matches between two sentences: the mark with the white space behind it, or line breaks."""
    small_words: Collection[str]
    """Words that stay in lower case in the title of a work."""
    pronouns_after_hyphen: bool
    """Whether a pronoun behind a hyphen is a word of its own (est-elle), not part of a compound (he-goat)."""
    nouns_and_adjectives: Collection[str]
    """Words in lower case that packs list as nouns for one person and that are adjectives, too (a female, female
    voters)."""
    agrees: bool
    """Whether articles, adjectives or participles change with the gender of a noun (la lectrice, le lecteur)."""

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        """Which of the cases the pronoun has, and how sure that is, in (0, 1]."""

    def case_so_far(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        """As `case`, from text[:end] alone: for text that is still being written."""

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        """Whether the word is an adjective, a singular or a plural noun, and how sure that is."""

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        """Whether the word describes or names a person, says where one is from, or what one has or is in: for rows with
        the `context` person, origin or state."""

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        """As `names_person`, from text[:end] alone."""

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        """Whether a listed first name is one here, and no surname (Lloyd George)."""

    def is_first_name_so_far(self, text: str, start: int, end: int) -> bool:
        """As `is_first_name`, from text[:end] alone."""

    def bears_surname(self, text: str, end: int) -> bool:
        """Whether a surname follows the first name that ends here (Mary Hill)."""

    any_person: Collection[str]
    """Nouns in lower case that say no more of a person than the sex, so that a name right behind them may be another's
    (the woman Einstein met); behind others (actress, congressman) it is theirs."""

    @property
    def well_known(self) -> Mapping[str, Sequence[str]]:
        """Names of people whom a general reader knows, by one of their parts in lower case; for every axis of the
        language that has first names."""

    rank_words: frozenset[str]
    """Words in lower case, without one of which `rulers` finds nobody."""
    beings: Collection[str]
    """Phrases that must stay and mean somebody to whom pronouns refer, in lower case (queen bee)."""

    def rulers(self, text: str) -> tuple[Sequence[Span], Sequence[Span]]:
        """The phrases that name somebody by rank and place, or by number (Duke of Aosta, Guy II), and the ranks that a
        sentence gives to somebody (she became queen of Castile)."""

    ship_words: frozenset[str]
    """Words in lower case, without one of which `ships` finds none."""
    ship_pronouns: frozenset[str]
    """The pronouns, in lower case, that a ship has as a person has (she)."""

    def ships(self, text: str, pronouns: Sequence[Span], *, woman: bool) -> Sequence[Span]:
        """Those of the `pronouns` that mean a ship; `woman` says whether the text names somebody whom they may mean."""

    def owner_behind(self, text: str, start: int, end: int) -> Span | None:
        """Between which places the owner of a noun for a relative begins that follows it (the son of late Guy II)."""

    def is_namesake(self, text: str, start: int) -> bool:
        """Whether a well-known name is given here as that of somebody else (a man named Lincoln)."""

    def is_of_the_writer(self, text: str, start: int) -> bool:
        """Whether the first name at `start` is said to be that of somebody of the writer's (my uncle Michael)."""

    def named_as_ruler(self, text: str, start: int, end: int) -> tuple[int, int] | None:
        """The span of a first name whose bearer is known to history by how the name goes on (Edward IV)."""

    def in_name_of_thing(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        """Whether a word with a capital is part of the name of a thing or place (George Street, Women's Institute)."""

    def possessor(self, text: str, start: int) -> tuple[int, int] | None:
        """The span of the word that owns what stands at `start`: the `her` or the `Curie's` of her (old) brother."""

    def says_who(self, text: str, end: int, start: int) -> bool:
        """Whether the noun at `start` says who the person is that was mentioned up to `end` (Ann was a tall woman)."""

    def names_whom(self, text: str, end: int, start: int, *, many: bool) -> bool:
        """Whether the name at `start` says who the noun means that ends at `end` (his wife Mary), or one of the `many`
        (her sons, Tom and Jack)."""

    def is_also_called(self, text: str, end: int, start: int) -> bool:
        """Whether the name at `start` is another one of the person named up to `end` (Pee Wee King, born Julius)."""

    def is_title(self, text: str, start: int, end: int) -> bool:
        """Whether a title in capital letters is one, and no short form of something else (MR SMITH; not an MS in
        law)."""

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        """Whether a noun for a person says nothing of one: as part of a compound (man-made), or for all of mankind."""

    def group_facts(self, text: str, words: Sequence[Located], told: Sequence[Span]) -> Sequence[Span]:
        """What must stay because it is a fact about a group as a group (a law, a share, a count): spans of words, or of
        sentences; `told` are the sentences of which the pack says that they state one."""

    def are_joined(self, text: str, end: int, start: int) -> bool:
        """Whether two words, of which one ends and the next begins there, are said of persons together (black and
        white)."""

    def are_partners(self, text: str, end: int, start: int) -> bool:
        """Whether two words, of which one ends and the next begins there, are said or denied of the same person
        (Jewish, not Christian), so that what one needs around it is there for the other one."""

    def is_mere_topic(self, text: str, start: int) -> bool:
        """Whether the fact named at `start` is only what somebody writes or knows about, and holds of nobody here."""

    def refers_ahead(self, text: str, sentence: int, pronoun: int, name: int) -> bool:
        """Whether the pronoun may mean the person named later (When she came, Ann smiled); all three are places."""

    def begins_sentence(self, text: str, start: int) -> bool:
        """Whether the word at `start` is the first of a sentence, and has its capital for that."""

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        """What else must change with the word: articles, possessive endings, agreement.

        A replacement of the word's own span wins over the row: an inflected form (des Lehrers), or another word.
        """


class Plain:
    """No grammar: every word means what its first row says, and nothing around it changes."""

    cases_told_apart: Collection[frozenset[str]] = ()
    sentence_end = re.compile(r"[.!?。！？]+[\"'”’»)\]]*\s+|\n+")
    small_words: Collection[str] = ()
    pronouns_after_hyphen = False
    nouns_and_adjectives: Collection[str] = ()
    agrees = False
    any_person: Collection[str] = frozenset()
    rank_words: frozenset[str] = frozenset()
    beings: Collection[str] = frozenset()
    ship_words: frozenset[str] = frozenset()
    ship_pronouns: frozenset[str] = frozenset()

    @property
    def well_known(self) -> Mapping[str, Sequence[str]]:
        return {}

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        return next(iter(options)), 0.5

    case_so_far = case

    def reading(self, text: str, start: int, end: int, options: Collection[Reading]) -> tuple[Reading, float]:
        return next(iter(options)), 0.5

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        return False  # without a list of person nouns nothing can be told, and a wrong swap is worse than none

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        return False

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        return True

    def is_first_name_so_far(self, text: str, start: int, end: int) -> bool:
        return True

    def bears_surname(self, text: str, end: int) -> bool:
        return text[end : end + 1] == " " and text[end + 1 : end + 2].isupper()

    def ships(self, text: str, pronouns: Sequence[Span], *, woman: bool) -> Sequence[Span]:
        return ()

    def rulers(self, text: str) -> tuple[Sequence[Span], Sequence[Span]]:
        return (), ()

    def owner_behind(self, text: str, start: int, end: int) -> Span | None:
        return None

    def is_namesake(self, text: str, start: int) -> bool:
        return False

    def is_of_the_writer(self, text: str, start: int) -> bool:
        return False

    def named_as_ruler(self, text: str, start: int, end: int) -> tuple[int, int] | None:
        return None

    def in_name_of_thing(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        return False

    def possessor(self, text: str, start: int) -> tuple[int, int] | None:
        return None

    def says_who(self, text: str, end: int, start: int) -> bool:
        return False

    def names_whom(self, text: str, end: int, start: int, *, many: bool) -> bool:
        return False

    def is_also_called(self, text: str, end: int, start: int) -> bool:
        return False

    def is_title(self, text: str, start: int, end: int) -> bool:
        return True

    def in_fixed_compound(self, text: str, start: int, end: int) -> bool:
        return False

    def group_facts(self, text: str, words: Sequence[Located], told: Sequence[Span]) -> Sequence[Span]:
        return [(start, end) for start, end, _ in words if any(begin <= start < stop for begin, stop in told)]

    def are_joined(self, text: str, end: int, start: int) -> bool:
        return False

    def are_partners(self, text: str, end: int, start: int) -> bool:
        return False

    def is_mere_topic(self, text: str, start: int) -> bool:
        return False

    def refers_ahead(self, text: str, sentence: int, pronoun: int, name: int) -> bool:
        return False

    def begins_sentence(self, text: str, start: int) -> bool:
        before = text[max(0, start - 40) : start].rstrip(" \t\"“”‘’'(*_[#>-–—«»¿¡")
        return not before or before[-1] in ".!?:\n…。！？"

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        return ()


def _english() -> Grammar:
    from evenhand_sdk.english_grammar import English

    return English()


def _french() -> Grammar:
    from evenhand_sdk.french_grammar import French

    return French()


def _spanish() -> Grammar:
    from evenhand_sdk.spanish_grammar import Spanish

    return Spanish()


def _german() -> Grammar:
    from evenhand_sdk.german_grammar import German

    return German()


def _spacy_english() -> Grammar:
    from evenhand_sdk.spacy_grammar import SpacyEnglish

    return SpacyEnglish()


GRAMMARS: dict[str, Callable[[], Grammar]] = {"en": _english, "fr": _french, "es": _spanish, "de": _german}
"""Language -> its grammar; a new language is one class and one line here."""
OTHER_GRAMMARS: dict[str, dict[str, Callable[[], Grammar]]] = {"spacy": {"en": _spacy_english}}
"""Name of a grammar that needs more than rules -> the languages that it has."""


@lru_cache(maxsize=32)
def grammar_of(locale: str, name: str | None = None) -> Grammar:
    """The grammar of a locale; `name` asks for another one than the rules: `spacy`.

    Raises UsageError for an unknown name, for a language that the named grammar does not have, and where what it needs
    is not installed.
    """
    language = locale.split("-")[0].lower()
    if name is None:
        return GRAMMARS.get(language, Plain)()
    if name not in OTHER_GRAMMARS:
        known = sorted(OTHER_GRAMMARS)
        raise UsageError(
            f"there is no grammar {name!r}",
            known=f"there are the rules of the locale (the default) and {', '.join(known)}{near_match(name, known)}",
        )
    makers = OTHER_GRAMMARS[name]
    if language not in makers:
        raise UsageError(f"the grammar {name!r} has no language {language!r}", known=f"it has {', '.join(makers)}")
    return makers[language]()
