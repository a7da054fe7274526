"""The counterfactual engine: the same text with the words of one group replaced by those of another.

For a text whose first group word belongs to group s, the counterfactual towards t exchanges s and t
everywhere, in one pass: words of s become words of t and words of t become words of s. With two groups this
is the swap of counterfactual data augmentation (Lu et al. 2020), and applying it twice gives the text back on
the supported lexicon.

`counterfactuals` reads the whole text. `swap_prefix` is the causal form for decoding: what it does with a
word depends on the text up to the end of that word and on nothing behind it. Whatever depends on the language
is asked of a `Grammar`. A text with decomposed accents is read as if they were composed (`composed_text.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evenhand_sdk.axes import Axis, WordTuple, load_axis
from evenhand_sdk.composed_text import compose
from evenhand_sdk.counterfactual_swap import as_given, swap_groups
from evenhand_sdk.counterfactual_types import Counterfactual, GroupWord
from evenhand_sdk.exempt_spans import NOTHING, exempt_so_far, exempt_spans
from evenhand_sdk.grammar import Grammar
from evenhand_sdk.lexicon import Lexicon, compiled
from evenhand_sdk.reference import kept_with_their_person
from evenhand_sdk.spans import Span, Spans
from evenhand_sdk.word_search import Folded, Found, find, folded


def counterfactuals(
    text: str, axis: Axis | str, target: str | None = None, *, names: bool = True, grammar: str | None = None
) -> list[Counterfactual]:
    """One counterfactual per other group, in the order of `axis.groups`; an empty list when there is nothing to swap.

    `axis` is a pack, or what `load_axis` finds one by. `target` asks for one group only (UsageError if the axis has no
    such group). `names=False` leaves first names as they are. A group for which the pack lacks a word of the text has
    none. Case is kept, articles and endings are repaired, and exempt spans (`do_not_flip`, quoted titles, addresses)
    are left alone, with the pronouns of exempt persons and of ships. `grammar="spacy"` asks spaCy where it is installed
    (UsageError otherwise); the default needs no model. Source: technique 2.2.
    """
    return _counterfactuals(text, _pack(axis), target, names=names, causal=False, grammar=grammar)


def causal_counterfactuals(
    text: str, axis: Axis | str, target: str | None = None, *, names: bool = True
) -> list[Counterfactual]:
    """As `counterfactuals`, but each word is decided from the text up to its own end.

    For every prefix that ends at the end of a word, the counterfactual of the prefix is the prefix of the
    counterfactual, so a growing text never has to be revised. The price: her becomes him only after a verb
    that is mostly said of persons and his otherwise, his always becomes her, a and an are not repaired, words
    of several parts are taken part by part, an exempt phrase counts only once it is complete, and an adjective
    that needs a person as its context counts only behind a verb (she is black), and she is never a ship. The last word
    is taken as complete.
    """
    return _counterfactuals(text, _pack(axis), target, names=names, causal=True, grammar=None)


def swap_prefix(text: str, axis: Axis | str, target: str | None = None, *, names: bool = True) -> str:
    """The text of `causal_counterfactuals` for one target, or `text` itself when there is nothing to swap.

    Without a target it is the first other group in the order of `axis.groups`.
    """
    found = causal_counterfactuals(text, axis, target, names=names)
    return found[0].text if found else text


def group_words(text: str, axis: Axis | str, *, grammar: str | None = None) -> list[GroupWord]:
    """Every group word and first name in the text, in order; exempt ones are marked."""
    axis = _pack(axis)
    if (other := compose(text)) is not None:
        words = group_words(other.text, axis, grammar=grammar)
        return [replace(w, start=other.place(w.start), end=other.place(w.end)) for w in words]
    lexicon = compiled(axis, grammar)
    fold = folded(text)
    found = _in_context(text, find(text, fold, lexicon), fold, lexicon)
    if not found:
        return []
    kept = set(_changeable(text, found, fold, lexicon))
    return [GroupWord(w.start, w.end, axis.groups[w.entry.group], exempt=w not in kept) for w in found]


def _pack(axis: Axis | str) -> Axis:
    return load_axis(axis) if isinstance(axis, str) else axis


def _counterfactuals(
    text: str, axis: Axis, target: str | None, *, names: bool, causal: bool, grammar: str | None
) -> list[Counterfactual]:
    if (other := compose(text)) is not None:
        made = _counterfactuals(other.text, axis, target, names=names, causal=causal, grammar=grammar)
        return [as_given(one, other, causal=causal) for one in made]
    wanted = None if target is None else axis.group_index(target)
    lexicon = compiled(axis, grammar)
    fold = folded(text)
    found = find(text, fold, lexicon, one_part=causal)
    if not names:
        found = [word for word in found if not word.entry.is_name]
    if not found:
        return []
    if causal:
        found = exempt_so_far(text, lexicon, in_context_so_far(text, found, lexicon)[0])
    else:
        found = _changeable(text, _in_context(text, found, fold, lexicon), fold, lexicon)
    if not found:
        return []
    source = found[0].entry.group
    targets = range(len(axis.groups)) if wanted is None else (wanted,)
    rows = [row_of(text, word, lexicon, causal=causal) for word in found]
    swapped = [
        swap_groups(text, found, rows, source, other, axis, lexicon, causal=causal)
        for other in targets
        if other != source
    ]
    return [result for result in swapped if result is not None]


def _in_context(text: str, found: list[Found], fold: Folded, lexicon: Lexicon) -> list[Found]:
    """The words that mean a person where the pack asks for it, no surnames, and no parts of the names of things.

    A name that is a surname somewhere in the text is one where it stands alone, too (Keith Thomas ... Thomas said).
    """
    kept, surnames = persons_and_surnames(text, found, lexicon)
    if not surnames:
        return kept
    alone = [word for word in kept if stands_alone(text, word, lexicon)]
    if not alone:
        return kept
    known = {text[word.start : word.end].lower() for word in outside_of_things(text, surnames, lexicon, fold)}
    again = {word.start for word in alone if text[word.start : word.end].lower() in known}
    return [word for word in kept if word.start not in again]


def persons_and_surnames(text: str, found: Sequence[Found], lexicon: Lexicon) -> tuple[list[Found], list[Found]]:
    """The words that mean a person by what stands around them, and the listed names that are surnames there."""
    grammar = lexicon.grammar
    let = [_counts(text, word, lexicon) for word in found]
    if all(let):
        return list(found), []
    others = [word for word, may in zip(found, let, strict=True) if not may and word.entry.is_name]
    surnames = [word for word in others if not grammar.is_first_name(text, word.start, word.end, lexicon.is_name)]
    if any(let):
        _as_the_partners(text, found, let, grammar)
    return [word for word, may in zip(found, let, strict=True) if may], surnames


def stands_alone(text: str, word: Found, lexicon: Lexicon) -> bool:
    """Whether the word is a first name without a surname."""
    return word.entry.is_name and not lexicon.grammar.bears_surname(text, word.end)


def outside_of_things(text: str, words: Sequence[Found], lexicon: Lexicon, fold: Folded | None = None) -> list[Found]:
    """Those that are no part of what names a thing: a Bloody Mary is no Mary."""
    things = Spans(exempt_spans(text, lexicon, fold).things)
    return [word for word in words if not _inside(word, things)]


def _counts(text: str, word: Found, lexicon: Lexicon) -> bool:
    start, end, entry, _, _ = word
    row = entry.rows[0]
    if row.pos == "pronoun" and entry.context is None:
        return True
    grammar = lexicon.grammar
    if (
        row.pos == "title"
        and row.capitalised
        and word.style == "upper"
        and not word.several_parts
        and not grammar.is_title(text, start, end)
    ):
        return False
    if entry.context is not None:
        row = row_of(text, word, lexicon, causal=False)[0]
        if not grammar.names_person(text, start, end, row, lexicon.is_group_word):
            return False
    elif entry.is_name and not grammar.is_first_name(text, start, end, lexicon.is_name):
        return False
    if row.pos == "noun" and grammar.in_fixed_compound(text, start, end):
        return False
    return not (text[start].isupper() and grammar.in_name_of_thing(text, start, end, row))


def in_context_so_far(
    text: str, found: Sequence[Found], lexicon: Lexicon, surnames: frozenset[str] = frozenset()
) -> tuple[list[Found], frozenset[str]]:
    """The words that mean a person, judged by what stands before, and all names that have been surnames so far."""
    grammar = lexicon.grammar
    kept: list[Found] = []
    before: Found | None = None
    for word in found:
        start, end, entry, _, _ = word
        partner, before = before, word
        if entry.is_name:
            if not grammar.is_first_name_so_far(text, start, end):
                surnames |= {text[start:end].lower()}
            elif text[start:end].lower() not in surnames:
                kept.append(word)
        elif (
            entry.context is None
            or grammar.names_person_so_far(text, start, end, entry.rows[0])
            or (partner and kept[-1:] == [partner] and grammar.are_partners(text, partner.end, start))
        ):
            kept.append(word)
    return kept, surnames


def changeable(text: str, fold: Folded, lexicon: Lexicon, *, names: bool) -> list[Found]:
    """The words of a whole text that are exchanged; `names` says whether first names are."""
    found = find(text, fold, lexicon)
    if not names:
        found = [word for word in found if not word.entry.is_name]
    return _changeable(text, _in_context(text, found, fold, lexicon), fold, lexicon)


def _changeable(text: str, found: list[Found], fold: Folded, lexicon: Lexicon) -> list[Found]:
    """The words outside of exempt spans that do not belong to an exempt person."""
    exempt = exempt_spans(text, lexicon, fold) if found else NOTHING
    rulers = _rulers(text, found, lexicon.grammar) + _ships(text, found, fold, lexicon.grammar)
    ordinal = "irst " in text or "ond " in text or "ird " in text or "rth " in text or "fth " in text
    words = [
        (w.start, w.end, w.entry.row_of_groups)
        for w in found
        if w.entry.of_groups or (ordinal and w.entry.rows[0].pos == "noun")
    ]
    facts = lexicon.grammar.group_facts(text, words, exempt.groups) if words else ()
    if rulers or facts:
        exempt = exempt._replace(persons=[*exempt.persons, *rulers], facts=[*exempt.facts, *facts])
    elif exempt is NOTHING:
        return found
    kept: set[int] = set()
    if exempt.facts or exempt.persons:
        kept = kept_with_their_person(text, found, exempt, lexicon.grammar)
    spans = Spans((*exempt.things, *exempt.facts, *exempt.persons))
    let = [k not in kept and not _inside(word, spans) for k, word in enumerate(found)]
    _as_the_joined(text, found, let, lexicon.grammar)
    return [word for word, may in zip(found, let, strict=True) if may]


def _as_the_partners(text: str, found: Sequence[Found], let: list[bool], grammar: Grammar) -> None:
    """Of two words that need a person and are said of the same one both count or neither does (Jewish, not
    Christian)."""
    for order in (range(1, len(found)), range(len(found) - 1, 0, -1)):
        for k in order:
            one, two = found[k - 1], found[k]
            needing = (one.entry.context or two.entry.context) and _are_adjectives(one, two)
            if needing and let[k - 1] != let[k] and grammar.are_partners(text, one.end, two.start):
                let[k - 1] = let[k] = False


def _as_the_joined(text: str, found: Sequence[Found], let: list[bool], grammar: Grammar) -> None:
    """Adjectives that are said of persons together are exchanged together, or not at all (gay, bisexual and
    straight)."""
    for order in (range(1, len(found)), range(len(found) - 1, 0, -1)):
        for k in order:
            one, two = found[k - 1], found[k]
            if let[k - 1] != let[k] and _are_adjectives(one, two) and grammar.are_joined(text, one.end, two.start):
                let[k - 1] = let[k] = False


def _are_adjectives(one: Found, two: Found) -> bool:
    return one.entry.row_of_groups.pos == two.entry.row_of_groups.pos == "adjective"


def _rulers(text: str, found: Sequence[Found], grammar: Grammar) -> list[Span]:
    """The spans of first names whose bearers history knows."""
    spans = (grammar.named_as_ruler(text, word.start, word.end) for word in found if word.entry.is_name)
    return [span for span in spans if span]


def _ships(text: str, found: Sequence[Found], fold: Folded, grammar: Grammar) -> list[Span]:
    """The spans of pronouns that mean a ship."""
    if grammar.ship_words.isdisjoint(fold.parts):
        return []
    hers = [word for word in found if fold.lower[word.start : word.end] in grammar.ship_pronouns]
    if not hers:
        return []
    group = hers[0].entry.group
    woman = any(word.entry.group == group and word.entry.rows[0].pos != "pronoun" for word in found)
    return list(grammar.ships(text, [(word.start, word.end) for word in hers], woman=woman))


def _inside(word: Found, spans: Spans) -> bool:
    """Whether an exempt span touches the word; an entry of several parts wins over what it contains."""
    if not word.several_parts:
        return spans.touches(word.start, word.end)
    return any(start < word.start or word.end < end for start, end in spans.touching(word.start, word.end))


def row_of(text: str, word: Found, lexicon: Lexicon, *, causal: bool) -> tuple[WordTuple, float]:
    """The row that the word stands in, and how sure that is."""
    rows = word.entry.rows
    if len(rows) == 1:
        return rows[0], rows[0].certainty
    grammar = lexicon.grammar
    cases = word.entry.cases
    if cases:
        decide = grammar.case_so_far if causal else grammar.case
        case, certainty = decide(text, word.start, word.end, cases)
        return next((row for row in rows if row.case == case), rows[0]), certainty
    if causal:
        return rows[0], rows[0].certainty
    readings = {(row.pos, None if row.pos == "adjective" else row.number): row for row in rows}
    reading, certainty = grammar.reading(text, word.start, word.end, list(readings))
    row = readings.get(reading, rows[0])
    return row, min(certainty, row.certainty)
