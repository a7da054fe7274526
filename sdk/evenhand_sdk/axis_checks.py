"""Does an axis pack keep its promises? What `toolkit check` runs on a TOML file or on a pack that is installed.

Each check takes an axis and raises `CheckFailed` or `Skipped`, as those of a plugin do; what it returns is a remark on
what passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evenhand.errors import EvenhandError
from evenhand.report_numbers import counted
from evenhand_sdk.axes import Axis, load_axis
from evenhand_sdk.axis_pack_parts import NAME_SLOT, fills
from evenhand_sdk.conformance import Report, Row
from evenhand_sdk.conformance_case import CheckFailed, Skipped
from evenhand_sdk.exempt_spans import exempt_spans
from evenhand_sdk.grammar import GRAMMARS
from evenhand_sdk.lexicon import Lexicon, compiled
from evenhand_sdk.template_filling import agrees, filled, filled_sides, fillings
from evenhand_sdk.word_search import find, folded

_SHOWN = 8
_WITHOUT_SPACES = frozenset(["bo", "ja", "km", "lo", "my", "th", "wuu", "yue", "zh"])
"""Languages that are written without spaces between words."""


def check_axis(name: str, on_result: Callable[[Row], None] | None = None) -> Report:
    """Run all checks on the pack in a TOML file, or on an installed one (`NAME.LOCALE`, or `NAME` for English).

    `on_result` sees each row as soon as it is there. A pack that cannot be read fails the first check with all its
    problems, and the others are not run.
    """
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        if on_result is not None:
            on_result(row)

    title, dot, locale = name.rpartition(".")
    try:
        axis = load_axis(name) if name.endswith(".toml") or not dot else load_axis(title, locale)
    except EvenhandError as error:
        add(Row("readable", "failed", str(error)))
        return Report(name, tuple(rows), kind="axis pack")
    rows_of = f"{counted(len(axis.tuples), 'row')}, {counted(len(axis.names), 'row')} of names"
    add(Row("readable", "passed", f"{len(axis.groups)} groups, {rows_of}"))
    for check, fn in CHECKS.items():
        try:
            remark = fn(axis)
        except CheckFailed as error:
            add(Row(check, "failed", str(error)))
        except Skipped as error:
            add(Row(check, "skipped", str(error)))
        else:
            add(Row(check, "passed", remark or ""))
    return Report(f"{axis.name}.{axis.locale}", tuple(rows), kind="axis pack")


def check_documented(axis: Axis) -> None:
    """Licence, provenance and limits are said in words."""
    missing = [key for key in ("licence", "provenance") if not str(getattr(axis, key)).strip()]
    if not axis.limits:
        missing.append("limits (every pack leaves somebody out)")
    if missing:
        raise CheckFailed(f"empty: {', '.join(missing)}")


def check_grammar(axis: Axis) -> None:
    """The locale has a grammar, or the pack does without one."""
    if axis.locale.split("-")[0] in GRAMMARS:
        return
    asking = sum(row.context is not None for row in axis.tuples)
    if asking:
        asks = f"{counted(asking, 'row')} {'needs' if asking == 1 else 'need'} a person as context"
        raise CheckFailed(f"{asks}, and {axis.locale!r} has no grammar that could tell")
    raise Skipped(f"{axis.locale!r} has no grammar: words are swapped, and nothing around them is repaired")


def check_words_are_found(axis: Axis) -> None:
    """Every word and name that should be recognised in text is, written as in the pack and in upper case."""
    if axis.locale.split("-")[0] in _WITHOUT_SPACES:
        raise CheckFailed(f"{axis.locale!r} is written without spaces, and a word is found only where it stands alone")
    lexicon = compiled(axis)
    lost = []
    for entry in lexicon.entries.values():
        for text in (entry.listed, entry.listed.upper()):
            found = find(text, folded(text), lexicon)
            if len(found) != 1 or (found[0].start, found[0].end) != (0, len(text)):
                lost.append(text)
    _refuse(lost, "not found in a text that consists of them")


def check_swaps_return(axis: Axis) -> None:
    """A word that all groups of its row recognise is what its partner becomes again."""
    entries = compiled(axis).entries
    lost = []
    for row in axis.tuples:
        for group, word in zip(axis.groups, row.words, strict=True):
            if word and group in row.sources:
                entry = entries[word.lower()]
                if axis.groups[entry.group] != group or row not in entry.rows:
                    lost.append(word)
    _refuse(lost, "stand for another group or row than their own")


def check_phrases_protect(axis: Axis) -> str:
    """Every phrase of `do_not_flip` matches itself; a remark tells how many hold no word that could be swapped.

    Those are no mistake: they are how a pack says why a word is in no row. In a pack of one's own they may be a slip.
    """
    if not axis.do_not_flip:
        raise Skipped("the pack protects no phrase")
    lexicon = compiled(axis)
    lost, idle = [], []
    for exemption in axis.do_not_flip:
        for phrase in exemption.phrases:
            text = phrase.replace("{Name}", "Zara").replace("*", "")
            if not any(exempt_spans(text, lexicon)):
                lost.append(phrase)
            elif exemption.scope == "phrase" and not _holds_a_word(phrase, axis, lexicon):
                idle.append(phrase)
    _refuse(lost, "do not match themselves")
    if not idle:
        return ""
    holds = f"{counted(len(idle), 'phrase')} {'holds' if len(idle) == 1 else 'hold'} no word of the pack"
    says = "it says why something is left as it is" if len(idle) == 1 else "they say why something is left as it is"
    return f"{holds}, such as {idle[0]!r}: {says}"


def _holds_a_word(phrase: str, axis: Axis, lexicon: Lexicon) -> bool:
    """Whether a match of the phrase can contain a word of a group: as it stands, by a name, or by its ending."""
    text = phrase.replace("*", "")
    if "{Name}" in text and axis.names:
        return True
    if find(text, folded(text), lexicon):
        return True
    stem = text.lower().split()[-1]
    return phrase.endswith("*") and any(entry.listed.lower().startswith(stem) for entry in lexicon.entries.values())


def check_templates_fill(axis: Axis) -> None:
    """Every template has, for each slot, a row that covers at least two groups."""
    if not axis.templates:
        raise Skipped("the pack has no templates")
    lost = []
    for template in axis.templates:
        for _, theme in template.slots:
            rows: Sequence[tuple[str, ...]] = (
                axis.names
                if theme == NAME_SLOT
                else [row.words for row in axis.tuples if fills(row, theme, template.pos, template.number)]
            )
            if not any(sum(map(bool, words)) > 1 for words in rows):
                lost.append(f"{template.text} ({theme})")
    _refuse(lost, "cannot be filled for two groups")


def check_templates_agree(axis: Axis) -> None:
    """Where words agree with the word in a slot, every filling is what the engine makes of it there and back."""
    if not axis.templates:
        raise Skipped("the pack has no templates")
    if not agrees(axis):
        raise Skipped("no word around a slot changes with it")
    lost = []
    for template in axis.templates:
        for slots in fillings(axis, template):
            if not filled_sides(axis, template.text, slots):
                lost.append(filled(template.text, {slot: words[0] for slot, words in slots.items()}, axis.locale))
    what = "are no sentences that differ in the words of their slots alone and come back from a swap as they were"
    _refuse(lost, what)


def _refuse(lost: Sequence[str], why: str) -> None:
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise CheckFailed(f"{', '.join(repr(word) for word in lost[:_SHOWN])}{more} {why}")


CHECKS: Mapping[str, Callable[[Axis], str | None]] = {
    "documented": check_documented,
    "grammar": check_grammar,
    "words_found": check_words_are_found,
    "swaps_return": check_swaps_return,
    "phrases_protect": check_phrases_protect,
    "templates_fill": check_templates_fill,
    "templates_agree": check_templates_agree,
}
"""Behind `readable`, in the order in which they run."""
