"""Counterfactual data augmentation, two-sided: every chosen text stays, and its counterfactuals are added.

With E the rows that name a group on any axis, the training set becomes

    S  union  { cf(x, t) : x in E', t another group },      E' a share `strength` of E

E' begins a fixed random order of E, so a smaller strength takes a subset of what a larger one takes. Rows are
never dropped to keep the share of added tokens under `max_share`; fewer are augmented instead.

Source: Lu et al. 2020.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    StrengthOptions,
    counterfactuals,
    group_words,
    hookimpl,
    load_axis,
    progress,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

ORIGIN, AXIS, GROUP = "evenhand_origin", "evenhand_axis", "evenhand_group"
"""Provenance columns: the row that a text was made from, and on which axis, towards which group. An untouched
row is its own origin and has neither axis nor group."""


class CounterfactualAugmentationOptions(StrengthOptions):
    """Options of `counterfactual-augmentation`; `strength` is the share of eligible rows to augment."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    max_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.5, description="Most that added tokens may be of all tokens."
    )
    keep_untouched: bool = Field(True, description="Keep rows that name no group.")


class CounterfactualAugmentation(Mitigation):
    """Adds, to the texts that name a group, the same texts with the groups exchanged."""

    name = "counterfactual-augmentation"
    summary = "Adds the counterfactual of every text that names a group, and keeps the original."
    source = "Lu et al. 2020, Gender bias in neural natural language processing (CDA)"
    Options = CounterfactualAugmentationOptions

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        facts: dict[str, Any] = {}

        def fn(rows: Dataset) -> Dataset:
            if o.strength == 0:
                return rows
            axes = [load_axis(name, o.locale) for name in o.axes]
            out, found = augmented(rows, axes, o, tokenizer=run.tokenizer, seed=run.seed_for("rows"))
            facts.update(found)
            return out

        return DataTransform(fn=fn, facts=facts)


@dataclass(frozen=True)
class Addition:
    """A text to add, made from row `origin`."""

    origin: int
    text: str
    axis: str
    group: str


def augmented(
    rows: Dataset,
    axes: Sequence[Axis],
    options: CounterfactualAugmentationOptions,
    *,
    tokenizer: Any,
    seed: int,
) -> tuple[Dataset, dict[str, Any]]:
    """The rows, then the additions in the order of their origins, with provenance columns; and counts."""
    texts = list(rows["text"])
    candidates: dict[int, list[Addition]] = {}
    with progress("Swapping groups", total=len(texts), unit="texts") as bar:
        for k, text in enumerate(texts):
            made = [
                Addition(k, other.text, axis.name, other.group)
                for axis in axes
                for other in counterfactuals(text, axis, names=options.names)
            ]
            if made:
                candidates[k] = made
            bar.advance(1)
    kept = list(range(len(texts))) if options.keep_untouched else sorted(candidates)
    wanted = shuffled(candidates, seed)[: math.ceil(options.strength * len(candidates))]
    before = sum(_token_counts(tokenizer, [texts[k] for k in kept]))
    limit = before * options.max_share / (1 - options.max_share)
    chosen, added_tokens = _within(limit, wanted, candidates, tokenizer)
    additions = [addition for k in sorted(chosen) for addition in candidates[k]]
    facts = {
        "rows in": len(texts),
        "rows that name a group": len(candidates),
        "rows augmented": len(chosen),
        "rows not augmented because of max_share": len(wanted) - len(chosen),
        "rows without a group dropped": len(texts) - len(kept),
        "rows out": len(kept) + len(additions),
        "share of added tokens": added_tokens / max(1, before + added_tokens),
        "group words before": {axis.name: _group_counts(texts, axis) for axis in axes},
        "group words after": {
            axis.name: _group_counts([texts[k] for k in kept] + [a.text for a in additions], axis) for axis in axes
        },
    }
    return _assembled(rows, kept, additions), facts


def shuffled(numbers: Iterable[int], seed: int) -> list[int]:
    """A fixed random order; which of two rows comes first does not depend on any other."""
    return sorted(numbers, key=lambda k: hashlib.sha256(f"{seed}/{k}".encode()).digest())


def _within(
    limit: float, wanted: Sequence[int], candidates: dict[int, list[Addition]], tokenizer: Any
) -> tuple[list[int], int]:
    """The rows, in order, whose additions still fit under `limit` tokens; and how many tokens they add."""
    lengths = iter(_token_counts(tokenizer, [a.text for k in wanted for a in candidates[k]]))
    chosen, total = [], 0
    for k in wanted:
        size = sum(next(lengths) for _ in candidates[k])
        if total + size <= limit:
            chosen.append(k)
            total += size
    return chosen, total


def _token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    if not texts:
        return []
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def _group_counts(texts: Sequence[str], axis: Axis) -> dict[str, int]:
    counts: Counter[str] = Counter(word.group for text in texts for word in group_words(text, axis))
    return {group: counts[group] for group in axis.groups}


def _assembled(rows: Dataset, kept: Sequence[int], additions: Sequence[Addition]) -> Dataset:
    from datasets import concatenate_datasets

    rows = _with_provenance(rows)
    untouched = rows if len(kept) == len(rows) else rows.select(kept)
    if not additions:
        return untouched
    origins = list(rows[ORIGIN])
    made = rows.select([a.origin for a in additions])
    replaced = {
        "text": [a.text for a in additions],
        ORIGIN: [origins[a.origin] for a in additions],
        AXIS: [a.axis for a in additions],
        GROUP: [a.group for a in additions],
    }
    for column, values in replaced.items():
        made = made.remove_columns(column).add_column(column, values, feature=rows.features[column])
    made = made.select_columns(rows.column_names)
    return concatenate_datasets([untouched, made])


def _with_provenance(rows: Dataset) -> Dataset:
    """An earlier augmentation has left the columns already: then they stay as they are."""
    from datasets import Value

    if ORIGIN in rows.column_names:
        return rows
    rows = rows.add_column(ORIGIN, list(range(len(rows))), feature=Value("int64"))
    for column in (AXIS, GROUP):
        rows = rows.add_column(column, [""] * len(rows), feature=Value("string"))
    return rows
