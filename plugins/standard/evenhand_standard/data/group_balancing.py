"""Group balancing: texts are weighted or drawn so that which group they are about and what they say are independent.

`reweigh`, for a text of group g and concept c, n texts in all:

    w(g, c)  =  clip( a (p(g) p(c) / p(g, c))^s ),   in [5^-s, 5^s],   s = `strength`         (Kamiran and Calders)

`temperature`, over groups alone, which get the shares q:

    q(g)  ~  n_g ^ tau',    tau' = 1 - strength (1 - tau),    w(g) = q(g) / p(g)

Weights are scaled, by a, to a mean of 1; texts without a group have weight 1 and take no part. The effective sample
size (sum w)^2 / sum w^2 of the texts that take part is reported, and below 30 % of them the step refuses. `resample`
takes a text floor(w) times and once more with probability w - floor(w); `weigh` multiplies its loss by w, scaled to a
mean of 1 over the rows of the training.

Sources: Kamiran and Calders 2012; sampling by temperature as in Arivazhagan et al. 2019.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Axis,
    AxisName,
    DataTransform,
    Locale,
    LossTerm,
    Mitigation,
    Needs,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.cell_weights import Cell, cell_weights, effective_size
from evenhand_standard.data.group_words import dominant_group
from evenhand_standard.data.passes import Passes
from evenhand_standard.data.row_weights import WEIGHT, WeightedExcess
from evenhand_standard.data.whole_corpus import columns_of, demand_column, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

LEAST_SHARE = 0.3
"""Effective sample size, as a share of the texts that take part, below which weights say more about few of them than
about all."""


class GroupBalancingOptions(RowOptions):
    """Options of `group-balancing`; `strength` is the power of the weights, or how far tau goes from 1."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    names: bool = Field(True, description="First names count as words of their group.")
    group: str | None = Field(
        None, description="Column with the group of each text; by default the group of the axis whose words prevail."
    )
    method: Literal["reweigh", "temperature"] = Field(
        "reweigh", description="Make group and concept independent, or draw groups by temperature."
    )
    concept: str = Field(
        "sentiment",
        pattern=r"^(sentiment|column:.+)$",
        description="reweigh: `sentiment` (thirds of the texts by polarity), or column:NAME.",
    )
    tau: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.5, description="temperature: 1 keeps the shares of the groups, 0 makes them equal."
    )
    clip: Annotated[float, Field(ge=1.0)] = Field(
        5.0, description="reweigh: weights lie between 1/clip and clip, at strength 1."
    )
    apply: Literal["resample", "weigh"] = Field("resample", description="Draw texts by weight, or weigh their loss.")


class GroupBalancing(Mitigation):
    """Weights or draws texts so that no group goes with a topic, a label or a sentiment."""

    name = "group-balancing"
    summary = "Weighs or draws texts so that which group they are about says nothing of what they say."
    source = "Kamiran and Calders 2012, Data preprocessing techniques for classification without discrimination"
    Options = GroupBalancingOptions

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        o = self.options
        facts: dict[str, Any] = {}
        idle: list[str] = []
        axis = load_axis(o.axis, o.locale)
        work = RowWork(run, o, title="Balancing groups", depends=axis.digest)

        def balanced(rows: Any) -> Any:
            demand_columns(rows, o)
            if not hasattr(rows, "select"):
                return work.rewrite(rows, _as_they_come(axis, o, run.seed_for("copies")), columns=_column(o))
            return _balanced(rows, work, axis, o, run.seed_for("copies"), facts, idle)

        return work.transform(balanced, facts=facts, idle=lambda: "".join(idle))

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm | None:
        if self.options.strength == 0 or self.options.apply != "weigh":
            return None
        term = WeightedExcess(run.kind)
        return LossTerm(
            name="weights of rows",
            fn=term,
            count=term.count,
            on_start=term.on_start,
            weight=run.services.settings.language_modelling,
            needs=Needs(columns=(WEIGHT,)),
        )


# --------------------------------------------------------------------------------------------------------------- rows
def demand_columns(rows: Any, options: GroupBalancingOptions) -> None:
    """UsageError for data without a column that is named, and for rows that an earlier step has weighed."""
    if options.group is not None:
        demand_column(rows, options.group, "the group of each text")
    if options.method == "reweigh" and options.concept.startswith("column:"):
        demand_column(rows, options.concept.removeprefix("column:"), "what each text says")
    if options.apply == "weigh" and WEIGHT in columns_of(rows):
        raise UsageError(
            "an earlier step has weighed these rows, and the loss has one weight for each", where="group-balancing",
            do='set apply = "resample" in one of the two steps',
        )  # fmt: skip


def _balanced(
    rows: Dataset, work: RowWork, axis: Axis, options: GroupBalancingOptions, seed: int, facts: dict[str, Any],
    idle: list[str],
) -> Dataset:  # fmt: skip
    fit = worked_on(rows, options.max_characters)
    cells = _cells(rows, fit, axis, options)
    counts = Counter(cell for cell in cells if cell is not None)
    weights = cell_weights(counts, options)
    part = sum(counts.values())
    size = effective_size(weights, counts) / part if part else 1.0
    facts.update(
        {
            "texts of each group": _margin(counts, 0),
            "texts without a group, of weight 1": sum(fit) - part,
            "largest weight": max(weights.values(), default=1.0),
            "smallest weight": min(weights.values(), default=1.0),
            "effective sample size, as a share of the texts with a group": size,
        }
    )
    if options.method == "reweigh":
        facts["texts of each concept"] = _margin(counts, 1)
    if size < LEAST_SHARE:
        raise UsageError(
            f"weights would leave an effective sample of {100 * size:.0f} % of the {part:,} texts with a group, "
            f"which is below {100 * LEAST_SHARE:.0f} %",
            where="group-balancing", known=f"texts of each group: {dict(_margin(counts, 0))}",
            do="lower `strength` or `clip`, raise `tau`, or add texts of the rare group",
        )  # fmt: skip
    idle[:] = [_why_idle(sum(fit), counts, weights, options)]
    work.depends = digest_of([cells, sorted(weights.items())])  # polarities depend on a scorer of another package
    fates = _fates(lambda row: cells[row.number], weights, options, seed)
    return work.rewrite(rows, fates, columns=_column(options))  # type: ignore[no-any-return]


def _why_idle(
    texts: int, counts: Mapping[Cell, int], weights: Mapping[Cell, float], options: GroupBalancingOptions
) -> str:
    """Why rows may come out as they went in: nothing is to be balanced, or the draw took each text once."""
    part = sum(counts.values())
    groups, concepts = _margin(counts, 0), _margin(counts, 1)
    if not part:
        return f"none of the {texts:,} texts has a group"
    if len(groups) == 1:
        return f"all {part:,} texts with a group are of one group, {next(iter(groups))}"
    if options.method == "reweigh" and len(concepts) == 1:
        return f"all {part:,} texts with a group are of one concept, {next(iter(concepts))}"
    if all(abs(weight - 1) < 1e-9 for weight in weights.values()):
        what = "group and concept are independent" if options.method == "reweigh" else "the groups have their shares"
        return f"{what} already among the {part:,} texts with a group"
    return f"weights lie between {min(weights.values()):.3f} and {max(weights.values()):.3f}: too near to 1 for a draw"


def _fates(
    cell_of: Callable[[Row], Cell | None], weights: Mapping[Cell, float], options: GroupBalancingOptions, seed: int
) -> Any:
    def each(row: Row) -> Fate:
        cell = cell_of(row)
        return _fate(row, cell, 1.0 if cell is None else weights[cell], options, seed)

    return one_by_one(each)


def _fate(row: Row, cell: Cell | None, weight: float, options: GroupBalancingOptions, seed: int) -> Fate:
    if options.apply == "weigh":
        return Fate(columns={WEIGHT: weight})
    copies = int(weight) + (row.draw(seed) < weight - int(weight))
    what = " and ".join(filter(None, cell or ()))
    if not copies:
        return Fate(dropped=f"too many texts of {what}")
    more = Made(text=row.text, axis=options.axis, group=cell[0] if cell else "", note=f"once more: {what}")
    return Fate(added=[more] * (copies - 1))


def _column(options: GroupBalancingOptions) -> dict[str, tuple[str, Any]]:
    return {WEIGHT: ("float64", 1.0)} if options.apply == "weigh" else {}


def _as_they_come(axis: Axis, options: GroupBalancingOptions, seed: int) -> Any:
    """For a stream: a text is weighed by the counts of the texts up to it."""
    if options.method == "reweigh" and options.concept == "sentiment":
        raise UsageError(
            "thirds by polarity are those of all texts, and a stream is read once", where="group-balancing",
            do='name a column with the concept, as in concept = "column:topic", or give it a data set',
        )  # fmt: skip
    counts: Counter[Cell] = Counter()
    passes = Passes()

    def each(row: Row) -> Fate:
        if passes.begins([row]):
            counts.clear()
        group, concept = _group(row.text, row.columns, axis, options), _concept(row.columns, options)
        if not group or concept is None:
            return _fate(row, None, 1.0, options, seed)
        counts[group, concept] += 1
        return _fate(row, (group, concept), cell_weights(counts, options)[group, concept], options, seed)

    return one_by_one(each)


def _cells(rows: Dataset, fit: Sequence[bool], axis: Axis, options: GroupBalancingOptions) -> list[Cell | None]:
    """(group, concept) of each row, or None for one that takes no part, as none does that is not fit."""
    is_fit = iter(fit)
    groups: list[str] = []
    concepts: list[str | None] = []
    for part in rows.iter(batch_size=1000):
        for k, text in enumerate(part["text"]):
            columns = {name: values[k] for name, values in part.items()}
            groups.append(_group(text, columns, axis, options) if next(is_fit) else "")
            concepts.append(_concept(columns, options))
    if options.method == "reweigh" and options.concept == "sentiment":
        concepts = _thirds([str(t) if g else None for t, g in zip(rows["text"], groups, strict=True)])
    pairs = zip(groups, concepts, strict=True)
    return [(group, concept) if group and concept is not None else None for group, concept in pairs]


def _group(text: str, columns: Mapping[str, Any], axis: Axis, options: GroupBalancingOptions) -> str:
    if options.group is not None:
        value = columns.get(options.group)
        return "" if value is None else str(value)
    return dominant_group(text, axis, names=options.names)


def _concept(columns: Mapping[str, Any], options: GroupBalancingOptions) -> str | None:
    """The value of the concept's column; empty where groups alone are balanced."""
    if options.method == "temperature" or options.concept == "sentiment":
        return ""
    value = columns.get(options.concept.removeprefix("column:"))
    return None if value is None else str(value)


def _thirds(texts: Sequence[str | None]) -> list[str | None]:
    """Negative, neutral or positive: thirds of the texts that have a group, by VADER's polarity; None for the others.

    Equal polarities stay together, so that the thirds are of unequal size where many are equal. Those that reach over
    the upper bound are positive, save the two that are the middle: polarity 0, which most plain texts have, and the one
    polarity that fills the middle third.
    """
    from evenhand_standard.text_scorers import scorer

    place = [k for k, text in enumerate(texts) if text is not None]
    if not place:
        return [None] * len(texts)
    scores = scorer("vader").score([str(texts[k]) for k in place])
    order = sorted(scores)
    first, end = len(order) // 3, 2 * len(order) // 3
    low, last, high = order[first], order[max(first, end - 1)], order[end]
    middle = last if last in (low, 0.0) else None
    found: list[str | None] = [None] * len(texts)
    for k, score in zip(place, scores, strict=True):
        found[k] = "negative" if score < low else "neutral" if score < high or score == middle else "positive"
    return found


def _margin(counts: Mapping[Cell, int], side: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for cell, count in counts.items():
        found[cell[side]] += count
    return dict(sorted(found.items()))
