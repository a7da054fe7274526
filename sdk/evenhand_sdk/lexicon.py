"""An axis compiled for search: a table of its words by their first part, and the phrases that must not change.

Both are found by looking up the parts of a text in a table, so the cost does not grow with the number of words, and a
text without any of them is recognised at once. Patterns for phrases are compiled when a text first needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from evenhand_sdk.axes import Axis, WordTuple
from evenhand_sdk.grammar import Grammar, grammar_of
from evenhand_sdk.protected_phrases import Guarded, Phrase, guarded, person, protecting
from evenhand_sdk.word_parts import parts


class Entry(NamedTuple):
    """What a recognised surface word means: its group and the rows it may stand in (several when grammar decides)."""

    group: int
    rows: tuple[WordTuple, ...]
    listed: str
    """The word as the pack writes it."""
    is_name: bool = False
    context: str | None = None
    of_groups: bool = False
    """It may be an adjective or a plural noun, which may speak of a group as a group."""
    cases: tuple[str, ...] = ()
    """Those of the rows, where grammar must tell them apart."""

    @property
    def row_of_groups(self) -> WordTuple:
        """The row in which the word speaks of a group, where it has one."""
        return next((row for row in self.rows if _is_of_groups(row)), self.rows[0])


class Form(NamedTuple):
    """One way in which an entry is written, in lower case."""

    text: str
    entry: Entry
    one_part: bool
    """Without a space, hyphen or apostrophe inside."""
    several_parts: bool


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The compiled form of one axis, with the grammar of its locale."""

    entries: dict[str, Entry]
    forms: dict[str, tuple[Form, ...]]
    """First part of a word -> the words that begin so, the longest first."""
    heads: frozenset[str]
    """The keys of `forms`."""
    phrases: dict[str, tuple[Phrase, ...]]
    """A part that every match must contain -> the phrases with it; `stem*` for parts that only begin so; "" for any."""
    people: Mapping[str, Sequence[str]]
    """The same for names of people whom a general reader knows; they become phrases on first use."""
    anchors: frozenset[str]
    stems: dict[str, tuple[str, ...]]
    """First characters of a part -> the keys `stem*` that may match it."""
    stem_heads: frozenset[str]
    """The keys of `stems`."""
    stem_length: int
    """How many characters the keys of `stems` have."""
    persons: bool
    """Whether any phrase protects a person."""
    grammar: Grammar
    groups: int
    _patterns: dict[str, tuple[Guarded, ...]] = field(default_factory=dict)

    def is_group_word(self, word: str) -> bool:
        """Whether the lower-case word is a word of one of the groups, and no name."""
        entry = self.entries.get(word)
        return entry is not None and not entry.is_name

    def is_name(self, word: str) -> bool:
        """Whether the lower-case word is a first name of the pack."""
        entry = self.entries.get(word)
        return entry is not None and entry.is_name

    def patterns(self, anchor: str) -> tuple[Guarded, ...]:
        """The phrases with this anchor as patterns, compiled on first use."""
        found = self._patterns.get(anchor)
        if found is None:
            names = (person(name, anchor) for name in self.people.get(anchor, ()))
            found = guarded([*self.phrases.get(anchor, ()), *names])
            self._patterns[anchor] = found
        return found


@lru_cache(maxsize=64)
def compiled(axis: Axis, grammar: str | None = None) -> Lexicon:
    """The lexicon of an axis, compiled on first use; `grammar` names another grammar than the rules."""
    rules = grammar_of(axis.locale, grammar)
    entries = _entries(axis, rules)
    forms: dict[str, list[Form]] = {}
    for word, entry in entries.items():
        folded = word.replace("’", "'")
        for spelled in {folded, folded.replace("ß", "ss")}:  # ss in capitals, and in Switzerland
            found = parts(spelled) or [spelled]
            one = found == [spelled]
            forms.setdefault(found[0], []).append(Form(spelled, entry, one, not one))
    phrases: dict[str, list[Phrase]] = {}
    for exemption in axis.do_not_flip:
        for phrase in exemption.phrases:
            for variant in _swapped(phrase, axis, entries):
                anchor, made = protecting(variant, exemption.scope, forms)
                phrases.setdefault(anchor, []).append(made)
    people = rules.well_known if axis.names else {}
    if not axis.names:
        for name in _named_like_groups(rules, forms):
            anchor, made = protecting(name, "phrase", forms)
            phrases.setdefault(anchor, []).append(made)
    stems = [anchor[:-1] for anchor in phrases if anchor.endswith("*")]
    length = min(map(len, stems), default=0)
    by_head: dict[str, tuple[str, ...]] = {}
    for stem in stems:
        by_head[stem[:length]] = (*by_head.get(stem[:length], ()), f"{stem}*")
    return Lexicon(
        entries=entries,
        forms={head: tuple(sorted(found, key=lambda f: -len(f.text))) for head, found in forms.items()},
        heads=frozenset(forms),
        phrases={anchor: tuple(found) for anchor, found in phrases.items()},
        people=people,
        anchors=frozenset(anchor for anchor in phrases if anchor and not anchor.endswith("*")).union(people),
        stems=by_head,
        stem_heads=frozenset(by_head),
        stem_length=length,
        persons=any(exemption.scope == "person" for exemption in axis.do_not_flip),
        grammar=rules,
        groups=len(axis.groups),
    )


def _named_like_groups(rules: Grammar, forms: Mapping[str, Sequence[Form]]) -> list[str]:
    """Well-known people in whose name there is a group's word: Islam Karimov has no other name in another religion."""
    known = {name for names in rules.well_known.values() for name in names}
    return sorted(n for n in known if any(part[0].isupper() and part.lower() in forms for part in parts(n)))


def _entries(axis: Axis, grammar: Grammar) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for row in axis.tuples:
        for group, word in enumerate(row.words):
            if word and axis.groups[group] in row.sources:
                known = entries.get(word.lower())
                rows = (*known.rows, row) if known else (row,)
                context = row.context if known is None else known.context and row.context
                cases = tuple(row.case for row in rows if row.case) if known else ()
                many = any(map(_is_of_groups, rows)) or word.lower() in grammar.nouns_and_adjectives
                entries[word.lower()] = Entry(group, rows, known.listed if known else word, False, context, many, cases)
    for names in axis.names:
        for group, name in enumerate(names):
            if name:
                sure = axis.certainty_of_name(name)
                row = WordTuple(names, None, "name", "singular", None, axis.groups, capitalised=True, certainty=sure)
                entries[name.lower()] = Entry(group, (row,), name, is_name=True)
    return entries


def _is_of_groups(row: WordTuple) -> bool:
    return row.pos == "adjective" or (row.pos == "noun" and row.number == "plural")


def _swapped(phrase: str, axis: Axis, entries: dict[str, Entry]) -> Iterator[str]:
    """The phrase and its swapped forms: exempting both keeps a swap reversible (Queen Anne, and King Anne). A word that
    does not come back makes none: `he was retired` stays, and `he was young` is exchanged as ever.
    """
    yield phrase
    parts = re.split(r"([^\w*{}]+)", phrase)
    known = [entries.get(part.lower()) for part in parts]
    present = sorted({entry.group for entry in known if entry})
    if len(axis.groups) > 2 and "{Name}" in phrase:
        return  # Jack Black, of race, must not make of every Asian behind a capital somebody's surname
    for source in present:
        for target in range(len(axis.groups)):
            if target == source or (target in present and target < source):
                continue
            other = {source: target, target: source}
            swapped = [
                _like(part, _both_ways(entry, axis, other[entry.group]) or part)
                if entry and entry.group in other
                else part
                for part, entry in zip(parts, known, strict=True)
            ]
            if swapped != parts:
                yield "".join(swapped)


def _both_ways(entry: Entry, axis: Axis, group: int) -> str | None:
    """The word of another group, where an entry has one row whose word for that group is exchanged, too."""
    row = entry.rows[0]
    return row.words[group] if len(entry.rows) == 1 and axis.groups[group] in row.sources else None


def _like(model: str, word: str) -> str:
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
