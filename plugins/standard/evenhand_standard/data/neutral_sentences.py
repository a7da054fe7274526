"""Which words of a text speak of anyone, not of someone, and what they become without a gender.

A pronoun is generic when its sentence, or the one before, has a generic antecedent in front of it (every driver,
anyone, whoever; a driver in a sentence with must, should, if or another mark of a rule), and no certain person: no
name, no gendered noun. `he or she` is generic by itself. A noun of a role (policeman, waitress) is generic behind a,
any, every, each and no, or as a bare plural. What the rules cannot decide or repair stays, with the reason.

Sources: Sun et al. 2021 (They, them, theirs), Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from evenhand_sdk import Axis, group_words
from evenhand_sdk.axes import WordTuple
from evenhand_sdk.english_grammar import possessive_case, repaired_article
from evenhand_sdk.english_words import PREPOSITIONS
from evenhand_standard.data.neutral_doubles import without_doubles
from evenhand_standard.data.neutral_words import (
    AGREEMENT,
    ANYONE,
    GENDERED,
    NAMED,
    NO_ANTECEDENT,
    NO_NAME,
    NOT_VERBS,
    PARTIAL,
    PAST,
    PERSONS,
    QUANTIFIERS,
    RULE_WORDS,
    TWO_GROUPS,
)
from evenhand_standard.data.plural_agreement import agreeing, applied

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
PARAGRAPH_END = re.compile(r"\n\s*")
SENTENCE_END = re.compile(r"(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bMrs\.)(?<!\bSt\.)(?<=[.!?])[\"'”’)]*\s+")
QUOTE = re.compile(r"[\"“”«»‘]|(?<!\w)'|''")
"""In a sentence with direct speech, the pronoun outside of it is somebody."""
SEPARATE = re.compile(r",\s*(?:so|and|but)\b", re.IGNORECASE)
CONDITIONS = frozenset(["if", "when", "whenever", "unless", "whoever", "should"])
BEHIND = 2
"""Words behind a pronoun that may be the mark of a rule: he must, she will usually."""


@dataclass(frozen=True)
class Rewriting:
    """A text with its generic words made neutral."""

    text: str
    edits: int
    left: Counter[str] = field(default_factory=Counter)
    """Why sentences with gendered words stay as they are, and how many."""


@dataclass(frozen=True)
class _Gendered:
    start: int
    end: int
    group: str
    row: WordTuple


@dataclass(frozen=True)
class _Sentence:
    """A sentence after rewriting."""

    plain: str
    """With nothing but its doubles (he or she) made neutral."""
    text: str
    doubles: int
    edits: int
    reason: str
    """Why generic words may be left; empty when none is."""
    pronouns: int
    """Pronouns that are no doubles."""
    carries: bool
    """Whether its generic antecedent reaches the next sentence."""


def neutralised(text: str, axis: Axis) -> Rewriting:
    """The text in which generic gendered words have the neutral words of the axis, verbs and articles repaired.

    In one paragraph, all pronouns are rewritten or none, so that nobody is they in one sentence and he in the next.
    """
    left: Counter[str] = Counter()
    pieces: list[str] = []
    edits = 0
    for paragraph, gap in _split(text, PARAGRAPH_END):
        parts = _split(paragraph, SENTENCE_END)
        sentences: list[_Sentence] = []
        for sentence, _ in parts:
            sentences.append(_sentence(sentence, axis, carried=bool(sentences) and sentences[-1].carries))
        undo = any(s.reason and s.pronouns for s in sentences)
        for found, (_, space) in zip(sentences, parts, strict=True):
            kept = undo and found.pronouns
            pieces += [found.plain if kept else found.text, space]
            edits += found.doubles + (0 if kept else found.edits)
            if reason := found.reason or (PARTIAL if kept else ""):
                left[reason] += 1
        pieces.append(gap)
    return Rewriting("".join(pieces), edits, left)


def _split(text: str, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """The parts of a text, each with what separates it from the next."""
    found, place = [], 0
    for match in pattern.finditer(text):
        found.append((text[place : match.start()], match[0]))
        place = match.end()
    return [*found, (text[place:], "")]


def _sentence(sentence: str, axis: Axis, *, carried: bool) -> _Sentence:
    plain, doubles = without_doubles(sentence, axis)
    words = _gendered(plain, axis)
    pronouns = [w for w in words if w.row.pos == "pronoun"]
    roles = [w for w in words if is_role(w.row)]
    others = len(words) - len(pronouns) - len(roles)

    def done(text: str = plain, edits: int = 0, reason: str = "", *, carries: bool = False) -> _Sentence:
        return _Sentence(plain, text, doubles, edits, reason, len(pronouns), carries)

    if not words:
        generic = _antecedent(plain, len(plain), axis)
        return done(carries=generic == "quantified" or (generic is not None and bool(_marks(plain) & RULE_WORDS)))
    if reason := _refusal(plain, pronouns, others, axis, carried=carried):
        return done(reason=reason)
    changes: list[tuple[int, int, str]] = []
    for pronoun in pronouns:
        changes.append((pronoun.start, pronoun.end, _neutral(plain, pronoun)))
        if pronoun.row.case == "subject":
            verbs = agreeing(plain, pronoun.start, pronoun.end)
            if verbs is None:
                return done(reason=AGREEMENT)
            changes += [edit for edit in verbs if edit not in changes]
    generic_roles = [w for w in roles if _generic_noun(plain, w)]
    for role in generic_roles:
        new = _neutral(plain, role)
        changes += [*_article(plain, role, new), (role.start, role.end, new)]
    edits = len(pronouns) + len(generic_roles)
    reason = NO_ANTECEDENT if len(generic_roles) < len(roles) else ""
    return done(applied(plain, changes), edits, reason, carries=bool(edits))


def _refusal(plain: str, pronouns: list[_Gendered], others: int, axis: Axis, *, carried: bool) -> str:
    """Why the gendered words of a sentence must stay; empty when they speak of anyone."""
    if _named(plain, axis):
        return NAMED
    if others:
        return GENDERED
    if not pronouns:
        return ""
    if len({w.group for w in pronouns}) > 1:
        return TWO_GROUPS
    antecedent = _antecedent(plain, pronouns[0].start, axis)
    if SEPARATE.search(plain[: pronouns[0].start]):
        return NO_ANTECEDENT  # no one is there, so he walks
    if antecedent != "quantified" and not ((antecedent or carried) and _is_rule(plain, pronouns)):
        return NO_ANTECEDENT
    objects = [w for w in pronouns if w.row.case == "object"]
    if objects and not _marks(plain[: objects[0].start]) & CONDITIONS:
        return NO_ANTECEDENT  # nobody would care about him: he may be anybody else
    return NO_ANTECEDENT if QUOTE.search(plain) else ""


def _marks(text: str) -> frozenset[str]:
    return frozenset(m[0].lower() for m in WORD.finditer(text))


def _antecedent(sentence: str, before: int, axis: Axis) -> str | None:
    """`quantified` (every driver, anyone), `indefinite` (a driver), or None, in front of a place.

    At most two words may stand between the determiner and the noun.
    """
    words = [m[0].lower() for m in WORD.finditer(sentence[:before])]
    found = None
    for k, word in enumerate(words):
        if k and words[k - 1] in PREPOSITIONS:
            continue  # to the astonishment of everyone, she ...: it is somebody else
        if word in ANYONE or (word == "no" and words[k + 1 : k + 2] == ["one"]):
            return "quantified"
        if (word in QUANTIFIERS or word in ("a", "an")) and _persons(axis) & set(words[k + 1 : k + 4]):
            if word in QUANTIFIERS:
                return "quantified"
            found = "indefinite"
    return found


@lru_cache(maxsize=16)
def _persons(axis: Axis) -> frozenset[str]:
    from evenhand_standard.pair_bank import SPLITS, occupations

    work = {name.split()[-1] for split in SPLITS for name in occupations(split)}
    roles = {word.lower() for row in axis.tuples if is_role(row) and row.number != "plural" for word in row.words}
    return PERSONS | work | roles


def _is_rule(sentence: str, pronouns: list[_Gendered]) -> bool:
    """Whether a sentence says what is so in general: nothing in the past, and a mark of a rule before the first pronoun
    or right behind it."""
    words = list(WORD.finditer(sentence))
    if any(m[0].lower() in PAST for m in words):
        return False
    for pronoun in pronouns:
        following = WORD.search(sentence, pronoun.end)
        if pronoun.row.case == "subject" and following and following[0].lower().endswith("ed"):
            return False
    first = pronouns[0]
    behind = [m for m in words if m.start() >= first.end][:BEHIND]
    return any(m[0].lower() in RULE_WORDS for m in [*(m for m in words if m.end() <= first.start), *behind])


def _named(sentence: str, axis: Axis) -> bool:
    """Whether a first name of the axis, or a capitalised word inside the sentence, may name somebody."""
    if any((sentence[w.start : w.end].lower(), w.group) not in _rows(axis) for w in group_words(sentence, axis)):
        return True
    if sentence.isupper():
        return False
    words = list(WORD.finditer(sentence))
    return any(m[0][0].isupper() and m[0].lower() not in NO_NAME for m in words[1:])


def _generic_noun(sentence: str, word: _Gendered) -> bool:
    """Behind any, every, each and no; behind a at the beginning of a rule or of what is so now, as a bare plural is."""
    before = [m[0].lower() for m in WORD.finditer(sentence[: word.start])]
    if word.row.number != "plural" and before and before[-1] in QUANTIFIERS:
        return True
    if before != ([] if word.row.number == "plural" else ["a"]) and before != ["an"]:
        return False
    words = [m[0].lower() for m in WORD.finditer(sentence[word.end :])]
    if not words or PAST & set(words) or words[0].endswith("ed"):
        return False
    return (
        word.row.number == "plural" or words[0] in RULE_WORDS or (words[0].endswith("s") and words[0] not in NOT_VERBS)
    )


def is_role(row: WordTuple) -> bool:
    """A noun of work or standing with a neutral word, made with -man, -woman or -ess (waitress, not mother)."""
    if row.pos != "noun" or row.neutral in (None, "person", "people"):
        return False  # a lady is no role
    endings = ("woman", "women", "man", "men", "ess", "esses")
    stems = [word[: -len(e)] for word in row.words for e in endings if word.endswith(e)]
    return any(len(stem) > 2 and not stem.endswith("-") for stem in stems) and any(len(w) > 6 for w in row.words)


def _neutral(sentence: str, word: _Gendered) -> str:
    old, new = sentence[word.start : word.end], word.row.neutral or ""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _article(sentence: str, word: _Gendered, new: str) -> list[tuple[int, int, str]]:
    found = re.search(r"\b(an?)\s$", sentence[: word.start], re.IGNORECASE)
    if found is None:
        return []
    old = sentence[word.start : word.end]
    article = repaired_article(found[1], old, new)
    return [(found.start(1), found.end(1), article)] if article != found[1] else []


def _gendered(sentence: str, axis: Axis) -> list[_Gendered]:
    """The group words that are not exempt, each with its row; names are no part of the rows and give none."""
    rows = _rows(axis)
    found = []
    for word in group_words(sentence, axis):
        candidates = rows.get((sentence[word.start : word.end].lower(), word.group), ())
        if word.exempt or not candidates:
            continue
        row = candidates[0]
        if len(candidates) > 1:
            case, _ = possessive_case(sentence, word.start, word.end)
            row = next((r for r in candidates if r.case == case), row)
        found.append(_Gendered(word.start, word.end, word.group, row))
    return found


@lru_cache(maxsize=16)
def _rows(axis: Axis) -> dict[tuple[str, str], tuple[WordTuple, ...]]:
    found: dict[tuple[str, str], tuple[WordTuple, ...]] = {}
    for row in axis.tuples:
        for group, word in zip(axis.groups, row.words, strict=True):
            if group in row.sources:
                key = (word.lower(), group)
                found[key] = (*found.get(key, ()), row)
    return found
