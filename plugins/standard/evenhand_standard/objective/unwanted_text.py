"""Unwanted text: the model unlearns texts that a scorer or a column marks, as toxic, private or immoral, by NPO.

What an axis pack says nothing about needs a term of its own beside the terms on axes. A marked text is cut into its
first words x and the rest c. Language modelling reads x alone, and the training adds

    strength * weight    * mean  -(2/b) log sigma( -b [ log p(c|x) - log p0(c|x) ] )           NPO
    strength * unrelated * mean  KL( p0(. | x_<t) || p(. | x_<t) ) on texts that are not marked

The penalty fades as c becomes less likely than it was, so that a training does not run away as one that ascends the
loss of c would. Texts are marked in the training data, or come from a file of unwanted ones.

Filters of toxic text hit texts by and about minorities first, and so would this: the marks are held to the same guard
as those of `bias-filter`, and of the published tweets those with features of a dialect are left out.

Sources: Zhang et al. 2024 (NPO); Davidson et al. 2017 (the tweets that were labelled as hateful).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from evenhand_sdk import (
    Batch,
    DataTransform,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    PathOption,
    RowAccount,
    RunContext,
    UsageError,
    beside_recipe,
    hookimpl,
)
from evenhand_sdk.benchmark_data import KnownFile, read_rows
from evenhand_sdk.data_rows import FIXED, Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.bias_filter import GUARD
from evenhand_standard.data.keep_rates import DIALECT, NONE, disparities, groups_of, keep_rates
from evenhand_standard.data.whole_corpus import demand_column, demand_whole, with_own, worked_on
from evenhand_standard.objective.continuation_likelihoods import UntouchedLikelihoods, differing_rows, row_and_other
from evenhand_standard.objective.listed_pairs import Unrelated
from evenhand_standard.objective.pair_parity import nothing
from evenhand_standard.objective.unlearning import npo

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
TWEETS, COLUMN = "hateful-tweets", "column:"
HATEFUL = "0"
"""The label of hate speech, in the file of tweets."""
FEWEST_WORDS = 4
MIN_TEXTS = 20
"""Texts from which a group is judged."""


class UnwantedTextOptions(RowOptions):
    """Options of `unwanted-text`; `strength` scales both terms."""

    about: str = Field("toxicity", pattern=r"^[\w -]+$", description="What the term is called, as toxicity or privacy.")
    by: str = Field(
        "toxicity",
        description="What marks texts of the training data: toxicity, hurtlex, vader, opinion-lexicon, "
        "transformers:PATH#LABEL, or column:NAME; empty for nothing.",
    )
    above: float = Field(0.5, description="Score from which a text is marked; of sentiment, minus the polarity.")
    texts: Annotated[str, beside_recipe(TWEETS)] = Field(
        "", description="Unwanted texts besides: hateful-tweets (published, with labels), or a file with one a line."
    )
    limit: Annotated[int, Field(ge=1)] = Field(400, description="Most texts of those besides.")
    prompt: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.3, description="Share of a text's words that is read as x."
    )
    beta: Annotated[float, Field(gt=0.0)] = Field(0.1, description="Of NPO; near 0 it is gradient ascent.")
    weight: NotNegative = Field(0.5, description="Weight of negative preference optimisation.")
    unrelated: NotNegative = Field(0.2, description="Weight of KL(untouched || trained) on texts that are not marked.")
    min_keep_ratio: Annotated[float, Field(ge=GUARD, le=1.0)] = Field(
        GUARD, description="Least ratio of two groups' shares of unmarked texts; it can be raised, not lowered."
    )
    data: PathOption | None = Field(None, description="Folder of the published files.")

    @model_validator(mode="after")
    def _something_to_unlearn(self) -> UnwantedTextOptions:
        if not self.by and not self.texts:
            raise ValueError("nothing is unwanted: say what marks texts, or give texts")
        return self

    @property
    def column(self) -> str:
        """Where the rest of a marked text stands; empty in rows that are not marked."""
        return f"evenhand_unwanted_{self.about.replace(' ', '_')}"


class UnwantedText(Mitigation):
    """Unlearns texts that are marked as toxic, private or unwanted otherwise."""

    name = "unwanted-text"
    summary = "Unlearns texts that a scorer or a column marks, such as toxic or private ones, beside terms on axes."
    source = "Zhang et al. 2024, Negative preference optimization; marks held to the guard of bias-filter"
    kinds = ("causal",)
    Options = UnwantedTextOptions
    example_options: Mapping[str, Any] = {"by": "vader", "above": 0.3}
    example_columns: Mapping[str, Sequence[Any]] = {
        "evenhand_unwanted_toxicity": [" is what nobody wants to read.", ""]
    }

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        from evenhand_standard.text_scorers import files_of

        return (*files_of(options.by), *(files_of("toxicity") if options.texts == TWEETS else ()))

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        from evenhand_standard.text_scorers import models_of

        return models_of(by=options.by)

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o, title="Marking unwanted texts")
        facts: dict[str, Any] = {}
        accounts: list[RowAccount] = []

        def marked(rows: Dataset) -> Dataset:
            accounts.clear()
            if o.strength == 0:
                return work.untouched(rows)
            demand_whole(rows, self.name)
            flags, said = marks(rows, o, run)
            besides = [made for text in given_texts(o, run) if (made := cut(text, o))][: o.limit]
            facts.update({"texts marked": len(flags), "texts besides": len(besides), **said})
            work.depends = digest_of(sorted(flags))

            def each(row: Row) -> Fate:
                made = cut(row.text, o) if row.number in flags else None
                return Fate(text=replace(made, columns={**made.columns, FIXED: run.step_id})) if made else Fate()

            out, account = with_own(work, rows, besides, {o.column: ("string", "")}, fates=one_by_one(each), fixed=True)
            accounts.append(account)
            return out

        return DataTransform(fn=marked, facts=facts, account=lambda: accounts[0] if accounts else work.account())

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        pairing = Pairing(key=o.column, pair=lambda text: [], of_row=whole_text(o.column), aligned=False)
        needs = Needs(columns=(o.column,), counterfactual=pairing, reference=True)
        fn, count = unlearnt(o.column, o.beta), differing_rows(o.column)
        terms = [LossTerm(name=o.about, fn=fn, count=count, weight=o.strength * o.weight, needs=needs)]
        if o.unrelated > 0:
            kl, name = Unrelated(o.column), f"beside {o.about}"
            how: dict[str, Any] = {"weight": o.strength * o.unrelated, "needs": needs, "anchor": True}
            terms.append(LossTerm(name=name, fn=kl, count=kl.count, **how))
        return terms


# ------------------------------------------------------------------------------------------------------------ the term
def whole_text(column: str) -> Callable[[Mapping[str, Any]], Sequence[str]]:
    """A marked row's whole text; none for the others."""
    return lambda row: [row["text"] + row[column]] if row[column] else []


def unlearnt(key: str, beta: float) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The mean of NPO [] over the marked texts of a batch; 0 when it has none."""
    untouched = UntouchedLikelihoods()

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        texts = row_and_other(
            batch, outputs, key
        )  # behind the first difference stands the rest, and nothing of the row
        if texts is None:
            return nothing(outputs)
        now = texts.likelihoods()
        return npo(now.other - untouched.of(batch, outputs, texts, now).other, beta)

    return fn


# ------------------------------------------------------------------------------------------------------------ the rows
def cut(text: str, o: UnwantedTextOptions) -> Made | None:
    """The first words of a text, with the rest in the column; None for a text of too few words."""
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return None
    first = min(max(1, round(o.prompt * len(words))), len(words) - 1)
    begin, rest = " ".join(words[:first]), " " + " ".join(words[first:])
    return Made(text=begin, note=f"unlearns the rest, as {o.about}", columns={o.column: rest})


def marks(rows: Dataset, o: UnwantedTextOptions, run: RunContext) -> tuple[set[int], dict[str, Any]]:
    """The numbers of the marked rows, and what a report says; UsageError when the guard refuses."""
    if not o.by:
        return set(), {}
    numbers = [k for k, fit in enumerate(worked_on(rows, o.max_characters)) if fit]
    texts = [rows[k]["text"] for k in numbers]
    said: dict[str, Any] = {}
    if o.by.startswith(COLUMN):
        name = o.by.removeprefix(COLUMN)
        demand_column(rows, name, "what marks each text")
        scores = [float(rows[k][name] or 0.0) for k in numbers]
    else:
        from evenhand_standard.text_scorers import SENTIMENT, scorer

        tool = scorer(o.by, o.data or run.data_folder, offline=run.offline)
        sign = -1 if tool.name in SENTIMENT else 1
        scores = [sign * score for score in tool.score(texts)]
        described = tool.describe()
        said = {"marked by": {key: described[key] for key in ("name", "source", "limits") if key in described}}
    hit = [score >= o.above for score in scores]
    rates = keep_rates([groups_of(text) for text in texts], [float(not h) for h in hit])
    if (unequal := disparities(rates, at_least=MIN_TEXTS)) and (worst := unequal[0]).ratio < o.min_keep_ratio:
        low, high = rates[worst.axis][worst.low], rates[worst.axis][worst.high]
        raise UsageError(
            f"on the axis {worst.axis!r} {100 * low.rate:.1f} % of the {low.texts:,} texts of {worst.low!r} stay "
            f"unmarked and {100 * high.rate:.1f} % of the {high.texts:,} of {worst.high!r}: the ratio "
            f"{worst.ratio:.2f} is below {o.min_keep_ratio:g}",
            where="option min_keep_ratio",
            known="what is said by or about one group would be unlearnt much more than what is about another",
            do="raise `above`, or mark by something else, such as a column",
        )
    return {number for number, h in zip(numbers, hit, strict=True) if h}, said


def given_texts(o: UnwantedTextOptions, run: RunContext) -> list[str]:
    """The unwanted texts besides those of the training data."""
    if o.texts == TWEETS:
        from evenhand_standard.text_scorers.toxicity_classifier import TWEETS as FILE
        from evenhand_standard.text_scorers.toxicity_classifier import normalised

        rows = read_rows(FILE, o.data or run.data_folder)
        found = dict.fromkeys(normalised(row["tweet"]) for row in rows if row["class"] == HATEFUL)
        return [text for text in found if not in_dialect(text)]
    if not o.texts:
        return []
    path = Path(o.texts)
    if not path.is_file():
        raise UsageError(
            f"there is no file {o.texts}",
            where="option texts",
            do="give a text file with one unwanted text a line, or hateful-tweets",
        )
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def in_dialect(text: str) -> bool:
    """Whether a text has features of a dialect that annotators of toxicity are known to misjudge."""
    return any(axis == DIALECT and group != NONE for axis, group in groups_of(text))
