"""Counterfactual data substitution: documents are swapped in place, each with probability 1/2.

For each document d and axis with k groups, fixed draws give a pairing of the groups, s_d: g -> partner of g (of an
odd number of groups one stays alone), and u(d) in [0, 1). A text x of d whose first group word is of group g becomes

    x'  =  cf(x, s_d(g))   if u(d) < strength * p,   else x

where cf exchanges the two groups. p is such that at strength 1 each of the k groups is equally likely, which of two
is 1/2; the corpus keeps its size, and since one pairing holds for all of d, who is one person stays one person.
Where a text that is a document by itself has no counterfactual towards the partner, since the pack lacks a word, one
of those it has is drawn, so that the m groups it can be about are equally likely. Several axes are drawn apart and
swapped one after another.

Source: Hall Maudslay et al. 2019 (CDS).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    Counterfactual,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    counterfactuals,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, draw_of, one_by_one
from evenhand_standard.data.group_words import GROUP_COLUMNS, counting, first_group, words_by_group
from evenhand_standard.data.whole_corpus import demand_column

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Probability = Annotated[float, Field(gt=0.0, le=1.0)]


class CounterfactualSubstitutionOptions(RowOptions):
    """Options of `counterfactual-substitution`; `strength` scales the probability of a swap."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    probability: Probability | None = Field(
        None,
        description="That a text which names a group is swapped; by default (k - 1) / k of an axis with k groups, "
        "which makes each group equally likely: 1/2 of two.",
    )
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Swaps that the engine is less sure of are not made: 0.8 leaves out what it guesses."
    )
    document: str | None = Field(
        None,
        description="Column that names the document of a row; its rows are swapped alike. Without it each row is one, "
        "as is a row that names none.",
    )


class CounterfactualSubstitution(Mitigation):
    """Exchanges the groups in a random half of the documents, in place."""

    name = "counterfactual-substitution"
    summary = "Swaps the groups in each document with probability 1/2, so that the corpus keeps its size."
    source = "Hall Maudslay et al. 2019, It's all in the name (CDS)"
    Options = CounterfactualSubstitutionOptions

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        o = self.options
        facts: dict[str, Any] = {}
        axes = [load_axis(name, o.locale) for name in o.axes]
        work = RowWork(run, o, title="Swapping groups", depends=[axis.digest for axis in axes])

        swap = swap_of(axes, o, run.seed_for("documents"))
        return work.transform(lambda rows: substituted(rows, work, axes, swap, facts, o.document), facts=facts)


def substituted(
    rows: Any,
    work: RowWork,
    axes: Sequence[Axis],
    swap: Callable[[Row], Fate],
    facts: dict[str, Any],
    document: str | None,
) -> Any:
    """The rows after each document met its fate; facts are those of a data set, a stream has none."""
    if document is not None:
        demand_column(rows, document, "the name of the document that a row belongs to")
    fates = one_by_one(swap)
    if not hasattr(rows, "select"):
        return work.rewrite(rows, fates)
    words: dict[str, Any] = {}

    def choose(columns: Mapping[str, Sequence[Any]]) -> list[int]:
        words.update(words_by_group(columns, axes))
        return []

    out = work.rewrite(rows, counting(fates, axes, len(rows)), columns=GROUP_COLUMNS, choose=choose)
    account = work.account()
    assert account is not None
    facts["share of rows swapped"] = account.changed / max(1, account.read)
    facts.update(words)
    return out


def swap_of(axes: Sequence[Axis], options: CounterfactualSubstitutionOptions, seed: int) -> Callable[[Row], Fate]:
    """The fate of one row under the draws of its document."""

    def swap(row: Row) -> Fate:
        text, moved = row.text, []
        for axis in axes:
            name = f"{seed}/{axis.name}/{document_of(row, options.document)}"
            if draw_of(f"{name}/swap") >= options.strength * chance(len(axis.groups), options.probability):
                continue
            source = first_group(text, axis, names=options.names)
            target = partners(axis.groups, name).get(source)
            if target is None:
                continue
            found = sure_ones(text, axis, options, target)
            if not found and not names_document(row, options.document):
                found = drawn_instead(text, axis, options, name)
            if found:
                text = found[0].text
                moved.append((axis.name, found[0].group))
        if not moved:
            return Fate()
        axis_name, group = moved[0] if len(moved) == 1 else ("", "")
        note = ", ".join(f"{axis} towards {target}" for axis, target in moved)
        return Fate(text=Made(text=text, axis=axis_name, group=group, note=note))

    return swap


def sure_ones(
    text: str, axis: Axis, options: CounterfactualSubstitutionOptions, target: str | None = None
) -> list[Counterfactual]:
    """The counterfactuals, towards one group or all others, that the pack has words for and that are sure enough."""
    found = counterfactuals(text, axis, target, names=options.names)
    return [one for one in found if one.confidence >= options.min_confidence]


def drawn_instead(text: str, axis: Axis, options: CounterfactualSubstitutionOptions, name: str) -> list[Counterfactual]:
    """One of the counterfactuals there are, for a text that has none towards the partner of its group, or nothing.

    Of m groups that the text can be about, its own included, each is then as likely as the others, 1/m at strength 1;
    with a `probability` that is set its own is left out of the draw, so that this is how often the text is swapped.
    """
    found = sure_ones(text, axis, options)
    place = int(draw_of(f"{name}/instead") * (len(found) + (options.probability is None)))
    return found[place : place + 1]


def chance(k: int, probability: float | None) -> float:
    """That a document draws a swap at strength 1, so that a text is swapped with `probability`, or all groups are
    equally likely.

    Of an odd number of groups one has no partner, in each with probability 1/k, and is not swapped.
    """
    wanted = (k - 1) / k if probability is None else probability
    return min(1.0, wanted * k / (k - 1)) if k % 2 else wanted


def partners(groups: Sequence[str], name: str) -> dict[str, str]:
    """Group -> the group that it is exchanged with: a pairing drawn by a name, each group with each other equally
    often."""
    order = sorted(groups, key=lambda group: draw_of(f"{name}/{group}"))
    pairs = list(zip(order[::2], order[1::2], strict=False))
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}


def document_of(row: Row, column: str | None) -> str:
    """What is swapped as a whole: the value of the column, or the row itself, as of a row that has no value there."""
    if column is None or not names_document(row, column):
        return f"{row.origin}/{row.text}"
    return f"document {row.columns[column]}"


def names_document(row: Row, column: str | None) -> bool:
    """Whether the row is a part of a document, whose other rows know nothing of what its words are."""
    return column is not None and str("" if row.columns[column] is None else row.columns[column]).strip() != ""
