"""Neutralisation of training text: generic he and she, policeman and waitress become they, police officer, server.

    x -> n(x)   for a share `strength` of the texts with a generic gendered word

Only generic reference is rewritten, and only what the rules can repair in whole (`neutral_sentences.py`).

Sources: Sun et al. 2021 (They, them, theirs), Vanmassenhove, Emmery and Shterionov 2021 (NeuTral Rewriter).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from evenhand_sdk import (
    AxisName,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    Strength,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_standard.data.neutral_sentences import neutralised

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEFT = "evenhand:left"
"""Column in which a row says why sentences of it stay, as JSON; it is gone afterwards."""


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
            told = {LEFT: json.dumps(found.left) if found.left else ""}
            if not found.edits or row.draw(seed) >= o.strength:
                return Fate(columns=told)
            note = f"{_words(found.edits)} made neutral"
            return Fate(text=Made(text=found.text, axis=axis.name, note=note, columns=told))

        def add_up(columns: Mapping[str, Sequence[Any]]) -> list[int]:
            facts["sentences left as they are"] = reasons_left(columns[LEFT])
            return []

        def rewritten(rows: Any) -> Any:
            choose = add_up if hasattr(rows, "select") else None
            return work.rewrite(rows, one_by_one(each), columns={LEFT: ("string", "")}, choose=choose)

        return work.transform(rewritten, facts=facts)


def _words(count: int) -> str:
    return f"{count} word{'s' * (count != 1)}"


def reasons_left(told: Iterable[str]) -> dict[str, int]:
    """Why sentences with gendered words stay, and how many do, the most frequent reason first; `told` row by row."""
    left: Counter[str] = Counter()
    for reasons in filter(None, told):
        left.update(json.loads(reasons))
    return dict(left.most_common())
