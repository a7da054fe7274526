"""Healthy data diet: the texts that teach most stay, and the counterfactuals in which the group matters most join.

A copy of the model is trained for a few updates on the texts as they are; at that early point

    perf(x)   =  mean loss of a token of x                            (what is still to be learnt from it)
    GE(x, x~) =  mean distance of folded next-word distributions      (how much the group matters)     early_scores.py

Of n texts the round((1 - s (1 - keep_factual)) n) with the highest perf stay, of m counterfactuals
round(s keep_counterfactual m) are added, by GE; s is `strength`. The highest `trim` of either score is never chosen
as long as others are left: broken texts and wrong swaps have the highest scores. `selection = "random"` keeps as many
of each at random: the baseline that a diet has to beat.

Source: Zayed et al. 2023 for classifiers; perf and GE of a language model are this project's transfer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    UsageError,
    counterfactuals,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import ORIGIN, Fate, Made, Row, RowOptions, RowWork, one_by_one, token_counts
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.early_scores import group_effects, kept_scores, mean_token_losses
from evenhand_standard.data.whole_corpus import demand_whole, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]
EARLY = 0.05
"""Share of the training's updates after which the scores are taken."""


class HealthyDataDietOptions(RowOptions):
    """Options of `healthy-data-diet`; `strength` goes from all texts and no counterfactual to the chosen shares."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    keep_factual: Share = Field(0.5, description="Share of the texts that stays.")
    keep_counterfactual: Share = Field(0.5, description="Share of the counterfactuals that is added.")
    band: Literal["high", "middle"] = Field(
        "high", description="Which counterfactuals: of high GE, or near its median."
    )
    trim: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.01, description="Highest share of either score that is left out first."
    )
    early_steps: int | None = Field(
        None,
        ge=0,
        description="Updates of the copy before it scores; by default 5 % of those of the training, 0: none.",
    )
    selection: Literal["scores", "random"] = Field(
        "scores", description="By scores, or as many at random: the baseline, which trains and scores nothing."
    )


class HealthyDataDiet(Mitigation):
    """Keeps the texts and counterfactuals from which an early model learns most."""

    name = "healthy-data-diet"
    summary = "Keeps the texts that an early model finds hard, and adds the counterfactuals that matter to it."
    source = "Zayed et al. 2023, Deep learning on a healthy data diet"
    kinds = ("causal",)
    Options = HealthyDataDietOptions

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        o = self.options
        facts: dict[str, Any] = {}
        axes = [load_axis(name, o.locale) for name in o.axes]
        work = RowWork(run, o, title="Choosing texts")

        def chosen_from(rows: Any) -> Any:
            demand_whole(rows, "healthy-data-diet")
            pool = pool_of(rows, axes, o)
            if o.selection == "random":
                chosen = at_random(pool, o, run.seed_for("random"))
            else:
                chosen = by_scores(pool, axes, o, run, rows, facts)
            facts.update(_told(pool, chosen))
            work.depends = digest_of([sorted(chosen.texts), [[c.number, c.made.text] for c in chosen.counterfactuals]])
            return work.rewrite(rows, one_by_one(chosen.fate))

        return work.transform(chosen_from, facts=facts)


# --------------------------------------------------------------------------------------------------------------- pool
@dataclass(frozen=True)
class Candidate:
    """A counterfactual that may be added behind row `number`, whose text is `before`."""

    number: int
    origin: int
    before: str
    made: Made


@dataclass(frozen=True)
class Pool:
    """What can be chosen from: row number -> text, and the counterfactuals."""

    texts: dict[int, str]
    origins: dict[int, int]
    candidates: list[Candidate]


@dataclass(frozen=True)
class Chosen:
    """The rows that stay, why the others do not, and the counterfactuals that are added."""

    texts: frozenset[int]
    reasons: dict[int, str]
    counterfactuals: list[Candidate]

    def fate(self, row: Row) -> Fate:
        """What becomes of a row."""
        added = [c.made for c in self._by_row.get(row.number, [])]
        return Fate(added=added, dropped="" if row.number in self.texts else self.reasons[row.number])

    @cached_property
    def _by_row(self) -> dict[int, list[Candidate]]:
        found: dict[int, list[Candidate]] = {}
        for candidate in self.counterfactuals:
            found.setdefault(candidate.number, []).append(candidate)
        return found


def pool_of(rows: Dataset, axes: Sequence[Axis], options: HealthyDataDietOptions) -> Pool:
    """Every text that can be worked on, and every counterfactual of it."""
    texts: dict[int, str] = {}
    origins: dict[int, int] = {}
    candidates: list[Candidate] = []
    given = rows[ORIGIN] if ORIGIN in rows.column_names else range(len(rows))
    fits = worked_on(rows, options.max_characters)
    for number, (text, origin, fit) in enumerate(zip(rows["text"], given, fits, strict=True)):
        if not fit:
            continue
        texts[number], origins[number] = text, origin
        for axis in axes:
            for other in counterfactuals(text, axis, names=options.names):
                made = Made(text=other.text, axis=axis.name, group=other.group)
                candidates.append(Candidate(number, origin, text, made))
    return Pool(texts, origins, candidates)


# ------------------------------------------------------------------------------------------------------------- choice
def kept_numbers(n: int, m: int, options: HealthyDataDietOptions) -> tuple[int, int]:
    """How many of n texts stay and how many of m counterfactuals are added; at least one where the share is not 0."""
    s = options.strength
    share = (1 - s) + s * options.keep_factual  # in this form the chosen share itself at strength 1
    return _rounded(share * n), _rounded(s * options.keep_counterfactual * m)


def _rounded(number: float) -> int:
    return max(1, round(number)) if number > 0 else 0


def highest(scores: Sequence[float], count: int, trim: float) -> list[int]:
    """The places of the `count` highest scores below the highest share `trim`, which are taken last; nan never is."""
    order = sorted((k for k, score in enumerate(scores) if not math.isnan(score)), key=lambda k: (-scores[k], k))
    cut = min(math.floor(trim * len(order)), max(0, len(order) - count))
    return order[cut : cut + count]


def middle(scores: Sequence[float], count: int, trim: float) -> list[int]:
    """The places of `count` scores around the median of what lies below the highest share `trim`."""
    order = sorted((k for k, score in enumerate(scores) if not math.isnan(score)), key=lambda k: (-scores[k], k))
    rest = order[min(math.floor(trim * len(order)), max(0, len(order) - count)) :]
    start = max(0, (len(rest) - count) // 2)
    return rest[start : start + count]


def at_random(pool: Pool, options: HealthyDataDietOptions, seed: int) -> Chosen:
    """As many as the scores would keep, by draws of single texts."""
    n, m = kept_numbers(len(pool.texts), len(pool.candidates), options)
    numbers = sorted(pool.texts, key=lambda k: Row(k, pool.texts[k], pool.origins[k]).draw(seed))
    drawn = sorted(
        range(len(pool.candidates)),
        key=lambda k: Row(k, pool.candidates[k].made.text, pool.candidates[k].origin).draw(seed, "counterfactual"),
    )[:m]
    reasons = dict.fromkeys(numbers[n:], "not drawn")
    return Chosen(frozenset(numbers[:n]), reasons, [pool.candidates[k] for k in sorted(drawn)])


def by_scores(
    pool: Pool,
    axes: Sequence[Axis],
    options: HealthyDataDietOptions,
    run: RunContext,
    rows: Dataset,
    facts: dict[str, Any],
) -> Chosen:
    """The texts by perf and the counterfactuals by GE of an early model."""
    if not pool.texts:
        raise UsageError("no row has a text to score", where="healthy-data-diet")
    steps = options.early_steps
    if steps is None:
        steps = max(1, round(EARLY * updates(run, [pool.texts[k] for k in sorted(pool.texts)])))
    early = run.services.model
    if steps:
        learnt = rows.select(sorted(pool.texts))
        early, _ = run.services.train(learnt, max_steps=steps, name="early", title="Training an early copy")
    numbers = sorted(pool.texts)
    texts = [pool.texts[k] for k in numbers]
    pairs = [(c.before, c.made.text) for c in pool.candidates]
    words = [bin for axis in axes for bin in axis.bins(names=options.names)]
    perf = kept_scores(run, early, ["perf", digest_of(texts)], lambda: mean_token_losses(run, early, texts))
    effects = kept_scores(
        run, early, ["GE", digest_of(pairs), digest_of(words)], lambda: group_effects(run, early, pairs, words)
    )
    n, m = kept_numbers(len(texts), len(pairs), options)
    best = highest(perf, n, options.trim)
    pick = highest if options.band == "high" else middle
    picked = pick(effects, m, options.trim)
    floor = min((perf[k] for k in best), default=math.inf)
    staying = frozenset(numbers[k] for k in best)
    reasons = {number: _reason(perf[k], floor) for k, number in enumerate(numbers) if number not in staying}
    facts["updates before the scores"] = steps
    facts["mean loss of a token: all texts"] = _mean(perf)
    facts["mean loss of a token: kept texts"] = _mean([perf[k] for k in best])
    facts["mean group effect: all counterfactuals"] = _mean(effects)
    facts["mean group effect: added counterfactuals"] = _mean([effects[k] for k in picked])
    facts["counterfactuals without a position to compare"] = sum(math.isnan(effect) for effect in effects)
    return Chosen(staying, reasons, [pool.candidates[k] for k in sorted(picked)])


def updates(run: RunContext, texts: Sequence[str]) -> int:
    """How many updates the recipe's training makes on the texts: a dose in tokens is read in whole rows."""
    settings = run.services.settings
    if settings.max_tokens is None:
        return int(settings.max_steps)
    row = sum(min(n, settings.max_length) for n in token_counts(run.tokenizer, texts)) / len(texts)
    return max(1, round(settings.max_tokens / (settings.batch_size * settings.gradient_accumulation * max(1.0, row))))


def _reason(score: float, floor: float) -> str:
    if math.isnan(score):
        return "nothing to predict in it"
    return "among the highest losses, where broken texts are" if score > floor else "little left to learn from it"


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _told(pool: Pool, chosen: Chosen) -> dict[str, Any]:
    added = Counter(f"{c.made.axis}: {c.made.group}" for c in chosen.counterfactuals)
    return {
        "texts kept": f"{len(chosen.texts):,} of {len(pool.texts):,}",
        "counterfactuals added": f"{len(chosen.counterfactuals):,} of {len(pool.candidates):,}",
        "counterfactuals added, by group": dict(sorted(added.items())),
    }
