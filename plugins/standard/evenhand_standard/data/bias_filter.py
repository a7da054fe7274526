"""Filtering of training text by what it teaches, with a guard for those whom filters remove first.

A text is flagged by any of

    classifier   c(d) >= above                        the project's small ones, or a transformer that the user names
    trigger      the `trigger_share` of texts with the highest  mean over phrases t of log p0(t | d)
    influence    the `influence_share` of texts with the highest  - < grad L(d), grad JSgap >  above 0: learning from
                 them draws the model's predictions for two groups apart (gap_influence.py)

and its weight becomes 1 - strength: flagged texts leave with probability `strength`, in a fixed random order. The
configuration is refused when the keep-rates of two groups, or of a dialect and the rest, differ by more than 4 to 5.

Sources: Ngo et al. 2021 (trigger likelihood); Pruthi et al. 2020 (influence by gradients); whom filters hit: Dodge et
al. 2021, Welbl et al. 2021, Xu et al. 2021.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Material,
    Mitigation,
    PathOption,
    RunContext,
    UsageError,
    WrongModelKind,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.data_rows import Fate, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.keep_rates import (
    NONE,
    Disparity,
    KeepRate,
    disparities,
    groups_by_packs,
    groups_of,
    keep_rates,
)
from evenhand_standard.data.whole_corpus import demand_column, demand_whole, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

TRIGGER = "makes trigger phrases likely"
INFLUENCE = "draws groups apart when it is learnt from"
CLASSIFIER = "flagged by the classifier"
GUARD = 0.8
"""The four-fifths rule."""


class BiasFilterOptions(RowOptions):
    """Options of `bias-filter`; `strength` is how much of a flagged text's weight is taken, 1 leaves it out."""

    classifier: str | None = Field(
        "toxicity",
        description="toxicity, hurtlex, vader, opinion-lexicon or transformers:PATH#LABEL; none to do without.",
    )
    above: float = Field(0.5, description="Score from which the classifier flags; of sentiment, minus the polarity.")
    triggers: Literal["packaged"] | tuple[str, ...] = Field(
        (), description="Biased phrases that no text should make likely: own ones, or the packaged list."
    )
    trigger_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.05, description="Share of texts, those that make the phrases likeliest, to flag."
    )
    context_tokens: Annotated[int, Field(ge=8)] = Field(256, description="Tokens of a text before a trigger phrase.")
    influence: Literal["off", "cosine", "dot"] = Field(
        "off", description="Flag by influence on the gap between groups: by the cosine of gradients, or their product."
    )
    influence_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.05, description="Share of texts, those that widen the gap most, to flag."
    )
    influence_pairs: Annotated[int, Field(ge=1)] = Field(
        64, description="Pairs of sentences of each axis on which the gap is measured."
    )
    axes: Axes = Field(
        ("gender",), description="Axis packs whose groups are guarded beside the identity terms, and whose gap counts."
    )
    locale: Locale = "en"
    group_columns: tuple[str, ...] = Field(
        (), description="Columns with the group or dialect of a text, judged beside the rule about words."
    )
    min_keep_ratio: Annotated[float, Field(ge=GUARD, le=1.0)] = Field(
        GUARD, description="Least ratio of two groups' keep-rates; it can be raised, not lowered."
    )
    min_texts: Annotated[int, Field(ge=5, le=200)] = Field(20, description="Texts from which a group is judged.")
    data: PathOption | None = Field(None, description="Folder of the published files that a classifier reads.")

    @model_validator(mode="after")
    def _something_to_judge_by(self) -> BiasFilterOptions:
        if self.classifier is None and not self.triggers and self.influence == "off":
            raise ValueError("nothing to filter by: name a classifier, or triggers, or an influence")
        return self


class BiasFilter(Mitigation):
    """Leaves out texts that a classifier flags, that make biased phrases likely or widen the gap; guards groups."""

    name = "bias-filter"
    summary = "Leaves out texts that teach bias, and refuses to hit a group or dialect much harder than others."
    source = "Ngo et al. 2021 (trigger likelihood), Pruthi et al. 2020 (influence); guard after Dodge et al. 2021"
    Options = BiasFilterOptions
    example_options: Mapping[str, Any] = {"classifier": "vader", "above": 0.3}

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        from evenhand_standard.text_scorers import files_of

        return files_of(options.classifier) if options.classifier else ()

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        from evenhand_standard.text_scorers import models_of

        return models_of(classifier=options.classifier)

    def material(self) -> Material | None:
        """The phrases that texts are judged by: a benchmark that has them would be judged by itself."""
        from evenhand_standard.data.trigger_likelihood import PACKAGED

        phrases = PACKAGED if self.options.triggers == "packaged" else self.options.triggers
        return Material(texts={"trigger phrases": phrases}) if phrases else None

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        if run.kind != "causal" and (o.triggers or o.influence != "off"):
            what, option = ("trigger phrases need", "triggers") if o.triggers else ("influence needs", "influence")
            raise WrongModelKind(
                f"{what} a model that continues texts, and this one fills gaps",
                where=f"option {option}",
                do="use a causal model, or filter by the classifier alone",
            )
        work = RowWork(run, o, title="Filtering texts")
        facts: dict[str, Any] = {}

        def filtered(rows: Dataset) -> Dataset:
            demand_whole(rows, self.name)
            flags, told = judged(rows, o, run)
            seed = run.seed_for("rows")
            work.depends = digest_of(sorted(flags.items()))

            def each(row: Row) -> Fate:
                reason = flags.get(row.number, "")
                return Fate(dropped=reason) if reason and row.draw(seed) < o.strength else Fate()

            facts.update(told)
            return work.rewrite(rows, one_by_one(each))  # type: ignore[no-any-return]

        return work.transform(filtered, facts=facts)


def judged(rows: Dataset, o: BiasFilterOptions, run: RunContext) -> tuple[dict[int, str], dict[str, Any]]:
    """The flagged rows with the reason, and what a report says; UsageError when the guard refuses."""
    for column in o.group_columns:
        demand_column(rows, column, "groups of texts")
    numbers = [k for k, fit in enumerate(worked_on(rows, o.max_characters)) if fit]
    texts = [rows[k]["text"] for k in numbers]
    axes = [load_axis(name, o.locale) for name in o.axes]
    flags: dict[int, str] = {}
    facts: dict[str, Any] = {"texts": len(texts)}
    if o.triggers:
        found = _by_triggers(texts, o, run)
        flags |= {numbers[k]: TRIGGER for k in found}
        facts |= {"flagged by trigger likelihood": len(found), **_too_few("trigger_share", o.trigger_share, texts)}
    if o.influence != "off":
        found, told = _by_influence(texts, axes, o, run)
        flags |= {numbers[k]: INFLUENCE for k in found}
        facts |= {"flagged by influence": len(found), **told, **_too_few("influence_share", o.influence_share, texts)}
    if o.classifier:
        found, told = _by_classifier(texts, o, offline=run.offline)
        flags |= {numbers[k]: CLASSIFIER for k in found}
        facts |= {"flagged by the classifier": len(found), "classifier": told}
    facts["flagged"] = len(flags)
    columns = {name: rows[name] for name in o.group_columns}
    members = [
        [
            *groups_of(text),
            *groups_by_packs(text, axes),
            *((name, stated(values[k])) for name, values in columns.items()),
        ]
        for k, text in zip(numbers, texts, strict=True)
    ]
    weights = [1 - o.strength if k in flags else 1.0 for k in numbers]
    rates = keep_rates(members, weights)
    unequal = disparities(rates, at_least=o.min_texts)
    guard(unequal, rates, o.min_keep_ratio)
    return flags, facts | told_rates(rates, unequal, o.min_texts)


def _too_few(option: str, share: float, texts: Sequence[str]) -> dict[str, str]:
    """What a report says where a share of so few texts is none."""
    if math.floor(share * len(texts)):
        return {}
    return {f"none flagged, whatever the scores ({option})": f"{share:g} of {len(texts)} texts is less than one"}


def stated(value: Any) -> str:
    """The group that a column states, or `NONE`."""
    return NONE if value is None or not str(value).strip() else str(value).strip()


def _by_classifier(texts: Sequence[str], o: BiasFilterOptions, *, offline: bool) -> tuple[list[int], dict[str, Any]]:
    from evenhand_standard.text_scorers import SENTIMENT, scorer

    tool = scorer(o.classifier or "", o.data, offline=offline)
    sign = -1 if tool.name in SENTIMENT else 1
    found: list[int] = []
    with progress(f"Judging by {tool.name}", total=len(texts), unit="texts") as bar:
        for start in range(0, len(texts), 1000):
            scores = tool.score(texts[start : start + 1000])
            found += [start + k for k, score in enumerate(scores) if sign * score >= o.above]
            bar.advance(len(scores))
    told = tool.describe()
    return found, {key: told[key] for key in ("name", "source", "licence", "limits", "held out") if key in told}


def _by_triggers(texts: Sequence[str], o: BiasFilterOptions, run: RunContext) -> list[int]:
    from evenhand_standard.data.trigger_likelihood import PACKAGED, trigger_likelihoods

    phrases = PACKAGED if o.triggers == "packaged" else o.triggers
    base = run.services.load_base()
    scores = trigger_likelihoods(run, base, texts, phrases, context_tokens=o.context_tokens)
    order = sorted(range(len(texts)), key=lambda k: (-scores[k], k))
    return sorted(order[: math.floor(o.trigger_share * len(texts))])


def _by_influence(
    texts: Sequence[str], axes: Sequence[Axis], o: BiasFilterOptions, run: RunContext
) -> tuple[list[int], dict[str, Any]]:
    from evenhand_standard.data.gap_influence import contributions, gap_gradient, pairs_of

    base = run.services.load_base()
    seed = run.seed_for("pairs")
    pairs = [(axis, pair) for axis in axes for pair in pairs_of(axis, o.influence_pairs, seed)]
    gradient, gap = gap_gradient(run, base, pairs)
    scores = contributions(run, base, texts, gradient, cosine=o.influence == "cosine")
    widening = sorted((k for k, score in enumerate(scores) if score > 0), key=lambda k: (-scores[k], k))
    told = {
        "pairs of the gap": len(pairs),
        "JS gap before, in nat": round(gap, 5),
        "texts that widen the gap": len(widening),
    }
    return sorted(widening[: math.floor(o.influence_share * len(texts))]), told


def guard(unequal: Sequence[Disparity], rates: Mapping[str, Mapping[str, KeepRate]], least: float) -> None:
    """UsageError when the most unequal axis has a keep-rate ratio below `least`."""
    low = [d for d in unequal if d.ratio < least]
    if not low:
        return
    worst = low[0]
    below, above = rates[worst.axis][worst.low], rates[worst.axis][worst.high]
    raise UsageError(
        f"on the axis {worst.axis!r} the filter keeps {100 * below.rate:.1f} % of the {below.texts:,} texts of "
        f"{worst.low!r} and {100 * above.rate:.1f} % of the {above.texts:,} of {worst.high!r}: the ratio "
        f"{worst.ratio:.2f} is below {least:g}",
        where="option min_keep_ratio",
        known="too unequal: " + "; ".join(f"{d.axis}: {d.low} against {d.high}, {d.ratio:.2f}" for d in low),
        do="flag fewer texts (raise `above`, lower `trigger_share`), lower `strength`, or use another classifier",
    )


def told_rates(rates: Mapping[str, Mapping[str, KeepRate]], unequal: Sequence[Disparity], least: int) -> dict[str, Any]:
    """Keep-rates by axis and group, for the report; groups that are too small to be judged say so."""
    found: dict[str, Any] = {}
    if unequal:
        worst = unequal[0]
        found["lowest keep-rate ratio"] = round(worst.ratio, 4)
        found["between"] = f"{worst.low} and {worst.high} ({worst.axis})"
    small = Counter(axis for axis, groups in rates.items() for rate in groups.values() if rate.texts < least)
    found["groups too small to be judged"] = sum(small.values())
    for axis, groups in rates.items():
        if len(groups) < 2:
            continue  # nobody else is mentioned
        found[f"kept by {axis}"] = {
            group: f"{100 * r.rate:.1f} % of {r.texts:,}{'' if r.texts >= least else ' (too few to be judged)'}"
            for group, r in groups.items()
        }
    return found
