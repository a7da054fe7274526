"""Preference pairs for parity, in both directions, with the weights and margins that put each loss's optimum there.

For each comparison of the pair bank's training split and of the axis packs' templates, two rows are added,

    (prompt, chosen = a, rejected = b)   and the mirror   (prompt, chosen = b, rejected = a)

whose text is prompt + chosen, so that plain language modelling sees both sides, too. `preference_sets.py` derives the
weights and margins. The same pairs are written as JSON lines for trainers outside of the toolkit.

Sources: Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO); techniques 2.6 and D11 of the notes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Mitigation,
    RowAccount,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Made, RowOptions, RowWork
from evenhand_standard.data.continuations import log_likelihoods
from evenhand_standard.data.preference_sets import Comparison, Format, PreferencePair, banked, directions, gridded
from evenhand_standard.data.synthesis_grid import grid
from evenhand_standard.data.whole_corpus import demand_whole, with_own

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

FILE = "preference-pairs.jsonl"
COLUMNS: dict[str, tuple[str, Any]] = {
    "evenhand_prompt": ("string", ""),
    "evenhand_chosen": ("string", ""),
    "evenhand_rejected": ("string", ""),
    "evenhand_weight": ("float64", 0.0),
    "evenhand_margin": ("float64", 0.0),
    "evenhand_format": ("string", ""),
}
"""What a preference objective reads; empty in rows that are no pair."""


class PreferencePairsOptions(RowOptions):
    """Options of `preference-pairs`; `strength` is the share of the comparisons that are added."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    format: Format = Field("dpo", description="The loss that the weights and margins are for.")
    beta: Annotated[float, Field(gt=0.0)] = Field(0.1, description="The beta of DPO.")
    calibrate: bool = Field(
        True, description="Ask the untouched model for its preference, so that the optimum is parity and not that."
    )
    limit: Annotated[int, Field(ge=1)] = Field(400, description="Most comparisons of an axis.")


class PreferencePairs(Mitigation):
    """Adds mirrored preference pairs about groups, calibrated to parity."""

    name = "preference-pairs"
    summary = "Adds preference pairs in both directions, weighted so that the optimum is parity; also as JSON lines."
    source = "Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO); mirrored pairs and their calibration are our own"
    kinds = ("causal",)
    Options = PreferencePairsOptions

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o)
        facts: dict[str, Any] = {}
        told: list[RowAccount] = []

        def enriched(rows: Dataset) -> Dataset:
            told.clear()
            demand_whole(rows, self.name)
            found: list[PreferencePair] = []
            for name in o.axes:
                items = comparisons(load_axis(name, o.locale), o, run.seed_for("order"))
                facts[f"comparisons of {name}"] = len(items)
                found += paired(items, o, run)
            write(found, o.format, run.folder / FILE)
            facts.update({"pairs": len(found), "file": FILE, "format": o.format, "calibrated": o.calibrate})
            made = [as_row(pair, o.format) for pair in found]
            out, account = with_own(work, rows, made, COLUMNS, fixed=True)
            told.append(account)
            return out

        return work.transform(enriched, facts=facts, account=lambda: told[0] if told else work.account())


def comparisons(axis: Axis, o: PreferencePairsOptions, seed: int) -> list[Comparison]:
    """The first share `strength` of at most `limit` comparisons of an axis; UsageError where there is none."""
    bank = banked(axis, seed)
    own = gridded(axis, ((v.template, v.texts) for v in grid(axis, seed)))
    both = zip_longest(bank, own)  # in turn, so that a limit leaves some of each
    items = [item for pair in both for item in pair if item is not None]
    if not items:
        raise UsageError(
            f"there are no pairs for the axis {axis.name!r}",
            where="option axes",
            known="pairs come from the templates of an axis pack, and of gender from the pair bank",
            do="use a pack with [[templates]] whose slot is not the first word",
        )
    return items[: math.ceil(o.strength * min(o.limit, len(items)))]


def paired(items: Sequence[Comparison], o: PreferencePairsOptions, run: RunContext) -> list[PreferencePair]:
    """Both directions of each comparison, by the untouched model's preference where they are to be calibrated."""
    preferences = [0.0] * len(items)
    if o.calibrate and o.format != "zero-margin":
        base = run.services.load_base()
        asked = [(item.prompt, side) for item in items for side in (item.first, item.second)]
        scores = log_likelihoods(run, base, asked)
        preferences = [scores[2 * k] - scores[2 * k + 1] for k in range(len(items))]
    return [
        pair for item, d0 in zip(items, preferences, strict=True) for pair in directions(item, o.format, o.beta, d0)
    ]


def as_row(pair: PreferencePair, form: Format) -> Made:
    """A pair as a row of the data."""
    values = (pair.comparison.prompt, pair.chosen, pair.rejected, pair.weight, pair.margin, form)
    return Made(
        text=pair.text,
        axis=pair.comparison.axis,
        group=pair.chosen_group,
        note=f"{'mirror' if pair.mirror else 'pair'}: rather than{pair.rejected}",
        columns=dict(zip(COLUMNS, values, strict=True)),
    )


def write(pairs: Sequence[PreferencePair], form: Format, path: Path) -> None:
    """JSON lines with `prompt`, `chosen` and `rejected`, as preference trainers read them, and what they may use."""
    with path.open("w", encoding="utf-8") as stream:
        for pair in pairs:
            row = {"prompt": pair.comparison.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            row |= {"weight": pair.weight, "margin": pair.margin, "format": form, "mirror": pair.mirror}
            row |= {"axis": pair.comparison.axis, "group": pair.chosen_group, "stereotype": pair.comparison.stereotype}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
