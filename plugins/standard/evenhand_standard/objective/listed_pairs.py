"""Pairs of continuations that the pair bank has labels for, as rows: what techniques that unlearn stereotypes share.

The data get the beginnings of sentences of the bank's training split; two columns hold the stereotypical continuation
and the other one, and are empty in all other rows. Language modelling sees neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from evenhand_sdk import (
    AxisName,
    Batch,
    DataTransform,
    Locale,
    Outputs,
    Pairing,
    RowAccount,
    RunContext,
    load_axis,
)
from evenhand_sdk.axis_options import loaded_for_options
from evenhand_sdk.data_rows import Made, RowOptions, RowWork
from evenhand_standard.data.preference_sets import Comparison, banked
from evenhand_standard.data.whole_corpus import demand_whole, with_own
from evenhand_standard.objective.pair_parity import forward_kl, mean_in_chunks, nothing

if TYPE_CHECKING:
    import torch
    from datasets import Dataset


class ListedPairOptions(RowOptions):
    """What a technique on labelled pairs lets a recipe say about them."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    limit: Annotated[int, Field(ge=1)] = Field(800, description="Most pairs.")

    @model_validator(mode="after")
    def _has_labels(self) -> ListedPairOptions:
        from evenhand_standard.pair_bank import knows

        axis = loaded_for_options(self.axis, self.locale)
        if not knows(axis):
            raise ValueError(
                f"the pair bank says of no pair of the axis {self.axis!r} which side is stereotypical; it does of "
                "English packs with the groups female and male"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class ListedPairs:
    """The columns of one technique, and what fills and reads them."""

    key: str
    """Of the pairing under which both texts are read."""
    stereotype: str
    """Column of the stereotypical continuation."""
    other: str
    """Column of the other one."""
    note: str
    """What is done, with places {stereotype} and {other}; for the examples of the report."""

    @property
    def columns(self) -> dict[str, tuple[str, Any]]:
        """Both columns, as text that is empty where nothing is said."""
        return {self.stereotype: ("string", ""), self.other: ("string", "")}

    @property
    def pairing(self) -> Pairing:
        """The stereotypical text and the other one, read as they are."""
        return Pairing(key=self.key, pair=lambda text: [], of_row=self.both_texts, aligned=False)

    def data(self, run: RunContext, o: ListedPairOptions, name: str) -> DataTransform:
        """The rows, then those of the pairs."""
        work = RowWork(run, o)
        facts: dict[str, Any] = {}
        accounts: list[RowAccount] = []

        def fn(rows: Dataset) -> Dataset:
            accounts.clear()
            if o.strength == 0:
                return work.untouched(rows)
            demand_whole(rows, name)
            found = [c for c in banked(load_axis(o.axis, o.locale), run.seed_for("order")) if c.stereotype][: o.limit]
            facts["pairs"] = len(found)
            made = [self.as_row(item) for item in found]
            out, account = with_own(work, rows, made, self.columns, fixed=True)
            accounts.append(account)
            return out

        return DataTransform(fn=fn, facts=facts, account=lambda: accounts[0] if accounts else work.account())

    def as_row(self, item: Comparison) -> Made:
        """The beginning of both sentences as a row, with the stereotypical continuation and the other one."""
        first = item.stereotype == item.groups[0]
        s, a = (item.first, item.second) if first else (item.second, item.first)
        note = self.note.format(stereotype=s, other=a)
        columns = {self.stereotype: s, self.other: a}
        return Made(text=item.prompt, axis=item.axis, group=item.stereotype, note=note, columns=columns)

    def both_texts(self, row: Mapping[str, Any]) -> Sequence[str]:
        """The stereotypical text and the other one; none for a row that is no pair."""
        s, a = row[self.stereotype], row[self.other]
        return [row["text"] + s, row["text"] + a] if s and a and s != a else []


class Unrelated:
    """The mean of KL(p0 || p) [] in nat over the predicted tokens of rows in which a column is empty."""

    def __init__(self, column: str) -> None:
        self.column = column

    def kept(self, batch: Batch) -> torch.Tensor:
        """[B, T] the positions whose predictions are compared."""
        import torch

        plain = torch.tensor([not value for value in batch.columns[self.column]], device=batch.labels.device)
        return torch.nn.functional.pad((batch.labels != -100)[:, 1:], (0, 1)) & plain[:, None]

    def count(self, batch: Batch) -> float:
        return float(self.kept(batch).sum())

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        assert outputs.reference is not None
        kept = self.kept(batch)
        if not bool(kept.any()):
            return nothing(outputs)
        return mean_in_chunks(forward_kl, outputs.reference.logits()[kept], outputs.logits[kept])
