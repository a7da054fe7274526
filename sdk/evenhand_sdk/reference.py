"""Who is who, as far as a swap needs it: the words that belong to a person who must stay as he or she is.

A real person, or one about whom the text states a fact of biology, keeps the group in the whole text. Mentions are
joined into persons: a name with the same name, a noun for one person with the same noun, a pronoun with its likeliest
antecedent of the same group (the first one of the sentence, then the first one of the sentence before, then the last
one at all). Plural nouns and adjectives say of several people what they are; the next mention may mean others.
Everything that is said of a person who has one exempt mention stays; others are swapped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evenhand_sdk.exempt_spans import Exempt
from evenhand_sdk.grammar import Grammar
from evenhand_sdk.spans import Span, Spans
from evenhand_sdk.word_search import Found

_LONGEST_MENTION = 300
"""Characters; an owner stands in no mention that begins further before."""


@dataclass(slots=True)
class _Person:
    """Somebody in the text; the group is unknown until a word or pronoun tells it."""

    group: int | None
    fixed: bool
    real: bool = False
    several: bool = False
    """More than one, whom a plural noun means together."""
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
    there: dict[int, list[_Person]] = {}
    subjects: dict[int, _Person] = {}
    mentioned: list[tuple[Span, _Person]] = []
    named = Spans(exempt.persons)
    starts = [word.start for word in words]
    by_key: dict[str, _Person] = {}
    first_names: dict[str, _Person] = {}
    last: dict[int, _Person] = {}
    bounds = [0, *(match.end() for match in grammar.sentence_end.finditer(text))]
    before: tuple[_Person, Found | None] | None = None
    last_but_one: tuple[_Person, Span] | None = None
    for mention in _mentions(text, words, exempt):
        sentence = bisect_right(bounds, mention.start)
        word = None if mention.word is None else words[mention.word]
        if word is not None and word.entry.rows[0].pos == "pronoun":
            person = _owner_beside(text, word, before, grammar)
            person = person or _antecedent(text, word, sentence, persons, there, subjects.get(sentence), last, grammar)
            if person is None:
                person = _new(persons, word.entry.group, fixed=False)
        else:
            key = text[mention.start : mention.end].lower()
            group = word.entry.group if word else _group_of(mention, words, starts)
            person = by_key.get(key) if word is None or _repeats(text, word) else None
            if person is None and word is not None and word.entry.is_name:  # Joan Crawford, and later Joan
                person = None if grammar.is_of_the_writer(text, mention.start) else first_names.get(key)
            if before and _same(text, before, mention, word, group, grammar):
                person = _one(before[0], person, group)
            relative = word is not None and _relative_of_real(text, word, mentioned, named, grammar)
            if person is None and relative:  # she was Mike Wallace's second wife
                person = _who_is_said(text, last_but_one, mention, group, grammar)
            if person is None:
                person = _new(persons, group, fixed=False)
                person.several = word is not None and word.entry.rows[0].number == "plural"
            if word is None or not word.entry.of_groups:
                by_key[key] = person
            if word is None:
                first_names.setdefault(key.partition(" ")[0], person)
            if word is None or relative:
                person.real = person.fixed = True
        person.fixed |= mention.fixed
        person.spans.append((mention.start, mention.end))
        mentioned.append((person.spans[-1], person))
        if sentence not in person.first_in:
            person.first_in[sentence] = mention.start
            subjects.setdefault(sentence, person)
            if word is None or not word.entry.of_groups:  # he and she are one
                there.setdefault(sentence, []).append(person)
        if word is None and " and " in text[mention.start : mention.end]:  # Adam and Eve are he and she
            partner = _new(persons, None, fixed=True)
            partner.real, partner.spans = True, [person.spans[-1]]
            partner.first_in[sentence] = mention.start
            there[sentence].append(partner)
        last_but_one = (before[0], before[0].spans[-1]) if before else None
        before = person, word
        if mention.word is not None:
            person.words.append(mention.word)
        if person.group is not None and (word is None or not word.entry.of_groups):
            last[person.group] = person
    _join_forward(text, words, persons, there, bounds, grammar)
    _keep_partners(text, words, persons)
    return {word for person in persons if person.fixed for word in person.words}


def _keep_partners(text: str, words: Sequence[Found], persons: Sequence[_Person]) -> None:
    """Somebody whose new name would be that of a person who stays keeps the name, or the two would become one."""
    names = {
        text[words[at].start : words[at].end].lower()
        for person in persons
        if person.fixed
        for at in person.words
        if words[at].entry.is_name
    }
    real = {text[start:end].partition(" ")[0].lower() for p in persons if p.real for start, end in p.spans}
    for person in persons if names or real else ():
        for word in (words[at] for at in person.words):
            if word.entry.is_name:
                own = text[word.start : word.end].lower()
                row = {name.lower() for name in word.entry.rows[0].words}
                person.fixed |= not (names.isdisjoint(row) and real.isdisjoint(row - {own}))


def _mentions(text: str, words: Sequence[Found], exempt: Exempt) -> list[_Mention]:
    """Group words and phrases that name real persons, in order; words inside such a phrase are part of it."""
    phrases, things, facts = Spans(exempt.persons), Spans(exempt.things), Spans(exempt.facts)
    found = [_Mention(start, end, None, fixed=True) for start, end in phrases]
    for position, word in enumerate(words):
        if not phrases.touches(word.start, word.end) and not things.touches(word.start, word.end):
            found.append(_Mention(word.start, word.end, position, fixed=facts.touches(word.start, word.end)))
    return sorted(found, key=lambda mention: mention.start)


def _new(persons: list[_Person], group: int | None, *, fixed: bool) -> _Person:
    persons.append(_Person(group, fixed))
    return persons[-1]


def _repeats(text: str, word: Found) -> bool:
    """Whether a second mention means the same person: a name does, and so does a noun for one unless `a` or `an` is
    new."""
    if word.entry.of_groups:
        return False
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
    if not _may_be(person, group):
        return False
    end = person.spans[-1][1]
    if word is not None and word.entry.is_name:
        return _is_named(text, person, earlier, end, mention.start, grammar)
    if word is not None:
        return grammar.says_who(text, end, mention.start)
    if earlier is None or earlier.entry.rows[0].pos == "pronoun" or earlier.entry.rows[0].number == "plural":
        return False
    between = text[end : mention.start]
    if earlier.entry.is_name and grammar.is_also_called(text, end, mention.start):
        return True
    if between != " ":
        return between == ", "
    return earlier.entry.listed not in grammar.any_person or grammar.possessor(text, earlier.start) is not None


def _is_named(text: str, person: _Person, earlier: Found | None, end: int, start: int, grammar: Grammar) -> bool:
    """Whether a first name says who the real person is, or one of the several, that was mentioned by a noun last."""
    if not person.real or (earlier is not None and earlier.entry.rows[0].pos == "pronoun"):
        return False
    if grammar.is_also_called(text, end, start):
        return True
    if earlier is None or earlier.entry.is_name:  # the second part of a name, or the next one of several
        many = person.several
        return text[end:start] in (" ", "-") or (many and grammar.names_whom(text, end, start, many=True))
    return grammar.names_whom(text, end, start, many=earlier.entry.rows[0].number == "plural")


def _who_is_said(
    text: str, before: tuple[_Person, Span] | None, mention: _Mention, group: int | None, grammar: Grammar
) -> _Person | None:
    """The person before a relative's owner, where the relative says who that is."""
    if before is None or not _may_be(before[0], group) or not grammar.says_who(text, before[1][1], mention.start):
        return None
    before[0].group = group
    return before[0]


def _may_be(person: _Person, group: int | None) -> bool:
    """Whether nothing says that the person is of another group."""
    return person.group is None or group is None or person.group == group


def _one(person: _Person, other: _Person | None, group: int | None) -> _Person:
    """The two mentions as one person; when the second was known already, the first is as exempt as that one."""
    if other is not None and other is not person:
        person.fixed, person.real = person.fixed or other.fixed, person.real or other.real
    if person.group is None:
        person.group = group
    return person


def _group_of(mention: _Mention, words: Sequence[Found], starts: Sequence[int]) -> int | None:
    """The group that a phrase names itself (Queen Anne); none for one that tells nothing (President Lincoln)."""
    first = bisect_left(starts, mention.start)
    return words[first].entry.group if first < len(words) and starts[first] < mention.end else None


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
    text: str,
    word: Found,
    sentence: int,
    persons: list[_Person],
    there: Mapping[int, Sequence[_Person]],
    subject: _Person | None,
    last: dict[int, _Person],
    grammar: Grammar,
) -> _Person | None:
    """The likeliest person of the pronoun's group, or one whose group is not known yet and who now gets it; `there`
    are the single persons of each sentence, and `subject` is who was mentioned first in this one."""
    group = word.entry.group
    other = subject if _is_object(text, word, grammar) else None  # she does not see herself without saying so
    for place in (sentence, sentence - 1):
        chosen = _first(there.get(place, ()), group, other) or _first(there.get(place, ()), None, other)
        if chosen is not None:
            chosen.group = group
            return chosen
    if group in last:
        chosen = last[group]
    else:
        unknown = [p for p in persons if p.group is None]
        if not unknown:
            return None
        chosen = unknown[-1]
    chosen.group = group
    return chosen


def _first(persons: Sequence[_Person], group: int | None, other: _Person | None) -> _Person | None:
    """The first one of the group but that other one."""
    return next((person for person in persons if person.group == group and person is not other), None)


def _is_object(text: str, word: Found, grammar: Grammar) -> bool:
    cases = word.entry.cases
    if not cases:
        return word.entry.rows[0].case == "object"
    return grammar.case(text, word.start, word.end, cases)[0] == "object"


def _relative_of_real(
    text: str, word: Found, mentioned: Sequence[tuple[Span, _Person]], named: Spans, grammar: Grammar
) -> bool:
    """Whether the word is a relative of a real person: her husband, Marie Curie's daughter, the son of Guy II."""
    behind = grammar.owner_behind(text, word.start, word.end)
    if behind is not None and named.begin_in(*behind):
        return True
    owner = grammar.possessor(text, word.start)
    if owner is None:
        return False
    for (start, end), person in reversed(mentioned):
        if person.real and (start <= owner[0] < end or text[start:end].endswith(f" {text[slice(*owner)]}")):
            return True  # Henry Ford's wife, and later Ford's wife
        if start < owner[0] - _LONGEST_MENTION:
            break
    return False


def _join_forward(
    text: str,
    words: Sequence[Found],
    persons: list[_Person],
    there: Mapping[int, Sequence[_Person]],
    bounds: Sequence[int],
    grammar: Grammar,
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
            for other in there[sentence]
            if other is not person
            and other.fixed
            and other.group in (person.group, None)
            and other.first_in[sentence] > place
            and grammar.refers_ahead(text, bounds[sentence - 1], place, other.first_in[sentence])
        ]
        person.fixed = bool(later)
