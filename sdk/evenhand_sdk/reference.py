"""Who is who, as far as a swap needs it: the words that belong to a person who must stay as he or she is.

A real person, or one about whom the text states a fact of biology, keeps the group in the whole text. Mentions are
joined into persons: a name with the same name, a noun with the same noun, a pronoun with its likeliest antecedent of
the same group (the first one of the sentence, then the first one of the sentence before, then the last one at all).
Everything that is said of a person who has one exempt mention stays; others are swapped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from evenhand_sdk.exempt_spans import Exempt, Span
from evenhand_sdk.grammar import Grammar
from evenhand_sdk.word_search import Found


@dataclass(slots=True)
class _Person:
    """Somebody in the text; the group is unknown until a word or pronoun tells it."""

    group: int | None
    fixed: bool
    real: bool = False
    words: list[int] = field(default_factory=list)
    """Positions in the list of words that was found."""
    spans: list[Span] = field(default_factory=list)
    """Where the person is mentioned, by a word or by a phrase."""
    first_in: dict[int, int] = field(default_factory=dict)
    """Sentence -> where the person is first mentioned in it."""


@dataclass(frozen=True, slots=True)
class _Mention:
    start: int
    end: int
    word: int | None
    """Position in the list of words; none for a phrase that names a real person."""
    fixed: bool


def kept_with_their_person(text: str, words: Sequence[Found], exempt: Exempt, grammar: Grammar) -> set[int]:
    """Positions of the words that stay because the person whom they mean has an exempt mention."""
    persons: list[_Person] = []
    by_key: dict[str, _Person] = {}
    last: dict[int, _Person] = {}
    bounds = [0, *(match.end() for match in grammar.sentence_end.finditer(text))]
    before: tuple[_Person, Found | None] | None = None
    for mention in _mentions(text, words, exempt):
        sentence = bisect_right(bounds, mention.start)
        word = None if mention.word is None else words[mention.word]
        if word is not None and word.entry.rows[0].pos == "pronoun":
            person = _owner_beside(text, word, before, grammar)
            person = person or _antecedent(text, word, sentence, persons, last, grammar)
            if person is None:
                person = _new(persons, word.entry.group, fixed=False)
        else:
            key = text[mention.start : mention.end].lower()
            group = word.entry.group if word else _group_of(mention, words)
            person = by_key.get(key) if word is None or _repeats(text, word) else None
            if before and _same(text, before, mention, word, group, grammar):
                person = by_key[key] = _one(before[0], person, group)
            if person is None:
                person = by_key[key] = _new(persons, group, fixed=False)
            if word is None or _relative_of_real(text, word, persons, exempt.persons, grammar):
                person.real = person.fixed = True
        person.fixed |= mention.fixed
        person.spans.append((mention.start, mention.end))
        person.first_in.setdefault(sentence, mention.start)
        before = person, word
        if mention.word is not None:
            person.words.append(mention.word)
        if person.group is not None and (word is None or word.entry.rows[0].number != "plural"):
            last[person.group] = person
    _join_forward(text, words, persons, bounds, grammar)
    return {word for person in persons if person.fixed for word in person.words}


def _mentions(text: str, words: Sequence[Found], exempt: Exempt) -> list[_Mention]:
    """Group words and phrases that name real persons, in order; words inside such a phrase are part of it."""
    phrases = sorted(set(exempt.persons))
    found = [_Mention(start, end, None, fixed=True) for start, end in phrases]
    for position, word in enumerate(words):
        if not _touches(word, phrases) and not _touches(word, exempt.things):
            found.append(_Mention(word.start, word.end, position, fixed=_touches(word, exempt.facts)))
    return sorted(found, key=lambda mention: mention.start)


def _touches(word: Found, spans: Sequence[Span]) -> bool:
    return any(start < word.end and word.start < end for start, end in spans)


def _new(persons: list[_Person], group: int | None, *, fixed: bool) -> _Person:
    persons.append(_Person(group, fixed))
    return persons[-1]


def _repeats(text: str, word: Found) -> bool:
    """Whether a second mention means the same person: a name does, and so does a noun unless `a` or `an` is new."""
    return word.entry.is_name or not text[max(0, word.start - 3) : word.start].lower().endswith((" a ", "an "))


def _same(
    text: str,
    before: tuple[_Person, Found | None],
    mention: _Mention,
    word: Found | None,
    group: int | None,
    grammar: Grammar,
) -> bool:
    """Whether a noun or a phrase means the person who was mentioned last: by apposition, or as a predicate."""
    person, earlier = before
    if person.group is not None and group is not None and person.group != group:
        return False
    end = person.spans[-1][1]
    if word is not None:
        return not word.entry.is_name and grammar.says_who(text, end, mention.start)
    if earlier is None or earlier.entry.rows[0].pos == "pronoun" or earlier.entry.rows[0].number == "plural":
        return False
    between = text[end : mention.start]
    return between == ", " or (between == " " and grammar.possessor(text, earlier.start) is not None)


def _one(person: _Person, other: _Person | None, group: int | None) -> _Person:
    """The two mentions as one person; when the second was known already, the first is as exempt as that one."""
    if other is not None and other is not person:
        person.fixed, person.real = person.fixed or other.fixed, person.real or other.real
    if person.group is None:
        person.group = group
    return person


def _group_of(mention: _Mention, words: Sequence[Found]) -> int | None:
    """The group that a phrase names itself (Queen Anne); none for one that tells nothing (President Lincoln)."""
    groups = [word.entry.group for word in words if mention.start <= word.start < mention.end]
    return groups[0] if groups else None


def _owner_beside(
    text: str, word: Found, before: tuple[_Person, Found | None] | None, grammar: Grammar
) -> _Person | None:
    """The real person right before the owner of somebody else: Conrad III, his wife; Guy II and his brother."""
    if before is None or not before[0].real or before[0].group not in (word.entry.group, None):
        return None
    if text[before[0].spans[-1][1] : word.start] not in (", ", " and ", " with ") or _is_object(text, word, grammar):
        return None
    before[0].group = word.entry.group
    return before[0]


def _antecedent(
    text: str, word: Found, sentence: int, persons: list[_Person], last: dict[int, _Person], grammar: Grammar
) -> _Person | None:
    """The likeliest person of the pronoun's group, or one whose group is not known yet and who now gets it."""
    group = word.entry.group
    here = [p for p in persons if sentence in p.first_in and p.group in (group, None)]
    if _is_object(text, word, grammar):
        subject = min((p for p in persons if sentence in p.first_in), key=lambda p: p.first_in[sentence], default=None)
        here = [p for p in here if p is not subject]  # she does not see herself without saying so
        before = [p for p in persons if p is not subject and p.group in (group, None) and sentence - 1 in p.first_in]
    else:
        before = [p for p in persons if p.group in (group, None) and sentence - 1 in p.first_in]
    same = [p for p in here if p.group == group] or here
    if same:
        chosen = min(same, key=lambda p: p.first_in[sentence])
    elif before:
        chosen = min(before, key=lambda p: (p.group is None, p.first_in[sentence - 1]))
    elif group in last:
        chosen = last[group]
    else:
        unknown = [p for p in persons if p.group is None]
        if not unknown:
            return None
        chosen = unknown[-1]
    chosen.group = group
    return chosen


def _is_object(text: str, word: Found, grammar: Grammar) -> bool:
    cases = word.entry.cases
    if not cases:
        return word.entry.rows[0].case == "object"
    return grammar.case(text, word.start, word.end, cases)[0] == "object"


def _relative_of_real(text: str, word: Found, persons: list[_Person], named: Sequence[Span], grammar: Grammar) -> bool:
    """Whether the word is a relative of a real person: her husband, Marie Curie's daughter, the son of Guy II."""
    behind = grammar.owner_behind(text, word.start, word.end)
    if behind is not None and any(behind[0] <= start <= behind[1] for start, _ in named):
        return True
    owner = grammar.possessor(text, word.start)
    if owner is None:
        return False
    return any(start <= owner[0] < end for person in persons if person.real for start, end in person.spans)


def _join_forward(
    text: str, words: Sequence[Found], persons: list[_Person], bounds: Sequence[int], grammar: Grammar
) -> None:
    """A pronoun before anybody of its group was named may mean the next one in its sentence (When she came, Ann)."""
    for person in persons:
        if person.fixed or not person.words or len(person.first_in) != 1:
            continue
        first = words[person.words[0]]
        if first.entry.rows[0].pos != "pronoun":
            continue
        ((sentence, place),) = person.first_in.items()
        later = [
            other
            for other in persons
            if other is not person
            and other.fixed
            and other.group in (person.group, None)
            and other.first_in.get(sentence, -1) > place
            and grammar.refers_ahead(text, bounds[sentence - 1], place, other.first_in[sentence])
        ]
        person.fixed = bool(later)
