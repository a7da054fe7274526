"""Neutralisation of training text: generic he and she, policeman and waitress become they, police officer, server.

    x -> n(x)   for a share `strength` of the texts with a generic gendered word

Only generic reference is rewritten, and only what the rules can repair in whole (`neutral_sentences.py`).

Sources: Sun et al. 2021 (They, them, theirs), Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from evenhand_sdk import (
    Axis,
    AxisName,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    Strength,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_standard.data.neutral_sentences import neutralised
from evenhand_standard.data.whole_corpus import workable

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel


class NeutralRewritingOptions(RowOptions):
    """Options of `neutral-rewriting`."""

    strength: Strength = Field(
        ...,
        description="Share of the texts with a generic gendered word to rewrite; there is no default, see the page.",
    )
    axis: AxisName = "gender"
    locale: Locale = "en"

    @field_validator("locale")
    @classmethod
    def _english(cls, locale: str) -> str:
        if locale.partition("-")[0] != "en":
            raise ValueError(f"the rules of neutral rewriting are those of English; there are none for {locale!r}")
        return locale


class NeutralRewriting(Mitigation):
    """Replaces generic gendered words by neutral ones, with the verbs that belong to them."""

    name = "neutral-rewriting"
    summary = "Rewrites generic he, she, policeman and waitress to they, police officer and server, by rule."
    source = "Sun et al. 2021; Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter); own rules"
    Options = NeutralRewritingOptions
    example_options: Mapping[str, Any] = {"strength": 1.0}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        axis = load_axis(o.axis, o.locale)
        work = RowWork(run, o, title="Rewriting to neutral", depends=axis.digest)
        facts: dict[str, Any] = {}
        seed = run.seed_for("rows")

        def each(row: Row) -> Fate:
            found = neutralised(row.text, axis)
            if not found.edits or row.draw(seed) >= o.strength:
                return Fate()
            return Fate(text=Made(text=found.text, axis=axis.name, note=f"{_words(found.edits)} made neutral"))

        def rewritten(rows: Any) -> Any:
            if hasattr(rows, "select"):
                facts["sentences left as they are"] = reasons_left(rows, axis, o.max_characters)
            return work.rewrite(rows, one_by_one(each))

        return work.transform(rewritten, facts=facts)


def _words(count: int) -> str:
    return f"{count} word{'s' * (count != 1)}"


def reasons_left(rows: Dataset, axis: Axis, longest: int) -> dict[str, int]:
    """Why sentences with gendered words stay, and how many do, the most frequent reason first."""
    left: Counter[str] = Counter()
    with progress("Reading sentences", total=len(rows), unit="rows") as bar:
        for text in rows["text"]:
            if workable(text, longest):
                left.update(neutralised(text, axis).left)
            bar.advance(1)
    return dict(left.most_common())
