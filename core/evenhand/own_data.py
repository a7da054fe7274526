"""Data sets in code of one's own: rows through the data steps of plugins, and what must be so of rows given."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Kind
from evenhand.data import why_no_text
from evenhand.errors import UsageError
from evenhand.own_code import Given, OwnSteps, foreign_bars_off, seeded
from evenhand.report_numbers import counted

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from transformers import PreTrainedModel

    from evenhand.row_account import RowAccount


def transform_data(
    dataset: Dataset | IterableDataset,
    model: PreTrainedModel,
    tokenizer: Any,
    plugins: Sequence[Given],
    *,
    kind: Kind | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Dataset | IterableDataset:
    """The data set with the plugins' data transforms applied, in order; the one given stays as it is.

    Its column `text` is what the model learns from. What became of the rows is logged (logger `evenhand`, level INFO).
    Rows that a step could not work on are left out with a warning. `folder` keeps, in a folder for each step, those
    rows (`quarantine.jsonl`) and whatever files the step writes; without it they are gone.
    A stream (`IterableDataset`) stays a stream: nothing is read before you read it, and nothing is logged. Two cases
    are other: a step that needs a column, where the stream does not know its columns, looks at the first row for their
    names; and `corpus-audit` reads the stream once to its end. A stream has one reader: workers of a `DataLoader` that
    would divide its shards get a UsageError.
    Raises UsageError for a data set without that column and for a folder with files of an earlier call, and
    PluginFault when a transform fails or its account of the rows does not add up.
    """
    from datasets import Dataset

    from evenhand.compose import fold_data
    from evenhand.report_rows import line
    from evenhand.row_account import as_record
    from evenhand.row_keeping import settled
    from evenhand.row_record import RowRecord

    demand_one_split(dataset)
    whole = isinstance(dataset, Dataset)
    if whole or dataset.column_names is not None:
        require_text(dataset.column_names)
    keep = None if folder is None else Path(folder)
    steps = OwnSteps(model, tokenizer, plugins, kind=kind, seed=seed, folder=keep)
    if keep is not None:
        _demand_empty(keep, [step.id for step, _ in steps.steps])
    rows: Any = dataset
    for step, transform in steps.contributions("data", split="train", model=model):
        with seeded(seed), foreign_bars_off():
            changed = fold_data(rows, [(step, transform)])
        if whole:
            account = settled(step, transform, rows, changed)
            what = line(RowRecord.model_validate(as_record(account, file="", facts={})))
            logging.getLogger("evenhand").info("%s: %s; %s", step.id, what, dict(transform.facts) or "no further facts")
            if account.quarantined:
                warnings.warn(_left_out(step.id, account, keep), stacklevel=2)
        rows = changed
    if not whole:
        rows._evenhand_steps = steps  # their folder, where the quarantine is written, lives as long as the stream
    return rows


def _demand_empty(folder: Path, steps: Sequence[str]) -> None:
    if used := [step for step in steps if (folder / step).is_dir() and any((folder / step).iterdir())]:
        raise UsageError(
            f"the folder {str(folder)!r} has files of an earlier call",
            where="evenhand.transform_data",
            known=f"in {', '.join(used)}",
            do="give another folder, or remove what is in it",
        )


def _left_out(step: str, account: RowAccount, folder: Path | None) -> str:
    n = sum(account.quarantined.values())
    seen = "To see which, give a folder to keep them in: transform_data(..., folder=FOLDER)"
    if folder is not None and account.quarantine is not None:
        seen = f"They are in {account.quarantine}"
    return (
        f"{step}: {n:,} of {counted(account.read, 'row')} cannot be worked on and {'is' if n == 1 else 'are'} left "
        f"out, {'' if n == 1 else 'the first one '}because: {next(iter(account.quarantined))}. {seen}"
    )


def demand_one_split(dataset: Any, *, where: str = "") -> None:
    """Raises UsageError for the splits of a data set in the place of one of them."""
    from datasets import DatasetDict, IterableDatasetDict

    if isinstance(dataset, DatasetDict | IterableDatasetDict):
        raise UsageError(
            f"these are several data sets, the splits of a {type(dataset).__name__}",
            where=where,
            known=f"its splits: {', '.join(map(str, dataset)) or 'none'}",
            do=f"choose one: dataset[{next(iter(dataset), 'train')!r}]",
        )


def require_text(columns: Sequence[str] | None, *, where: str = "") -> None:
    """Raises UsageError unless `text` is among the columns of a data set."""
    if columns is None or "text" not in columns:
        known = f"its columns: {', '.join(columns)}" if columns else ""
        raise UsageError(
            "the data set has no column 'text'",
            where=where,
            known=known,
            do="dataset.rename_column(YOUR_COLUMN, 'text')",
        )


def require_texts(dataset: Any, *, where: str = "") -> None:
    """Raises UsageError for a row of a data set whose `text` is none."""
    for number, value in enumerate(dataset["text"], 1):
        if not isinstance(value, str):
            raise UsageError(
                f"row {number:,} of the data set: {why_no_text(value)}",
                where=where,
                do="dataset.filter(lambda row: isinstance(row['text'], str))",
            )
