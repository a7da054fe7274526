"""For steps that must see all rows before they decide about one: what can be worked on, and rows of a step's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Example, RowAccount, UsageError
from evenhand_sdk.data_rows import AXIS, FIXED, GROUP, ORIGIN, STEP, Fate, Fates, Made, RowWork, one_by_one

if TYPE_CHECKING:
    from datasets import Dataset

NO_ORIGIN = -1
"""`evenhand_origin` of a row that was made from no row of the data."""


def demand_whole(rows: Any, step: str) -> None:
    """UsageError for a stream."""
    if not hasattr(rows, "select"):
        raise UsageError(
            f"{step} looks at all rows before it decides about one, and a stream is read once",
            where="data",
            do="give it a data set instead of a stream",
        )


def workable(text: Any, longest: int) -> bool:
    """Whether a value is a text that a step works on; others go to the quarantine when the rows are written."""
    return isinstance(text, str) and bool(text.strip()) and len(text) <= longest


def worked_on(rows: Dataset, longest: int) -> list[bool]:
    """Of each row whether a step works on it: it is workable, and no earlier step's loss reads it as it is."""
    fixed = rows[FIXED] if FIXED in rows.column_names else [""] * len(rows)
    return [workable(text, longest) and not step for text, step in zip(rows["text"], fixed, strict=True)]


def columns_of(rows: Any) -> list[str]:
    """The columns of a data set or a stream; of a stream that does not know them, those of its first row."""
    return list(rows.column_names or next(iter(rows), {}))


def demand_column(rows: Any, column: str, what: str) -> None:
    """UsageError, with what is there, for data without the column that has `what`; a stream without rows passes."""
    known = columns_of(rows)
    if column not in known and (known or hasattr(rows, "select")):
        raise UsageError(
            f"the data have no column {column!r}",
            where="option column",
            known=f"their columns: {', '.join(known)}",
            do=f"name the column that has {what}; it is never guessed from the text",
        )


def with_own(
    work: RowWork,
    rows: Dataset,
    made: Sequence[Made],
    columns: Mapping[str, tuple[str, Any]] | None = None,
    *,
    fates: Fates | None = None,
    fixed: bool = False,
) -> tuple[Dataset, RowAccount]:
    """The rows, after each met its fate if there are some, then texts that were made from none of them, with
    provenance; and the account of both.

    `columns` are new ones: name -> (type of `datasets.Value`, value of the rows that were there). All other columns of
    the new texts are empty. `fixed` ones are passed on as they are by later steps.
    """
    from datasets import Dataset, concatenate_datasets

    declared = {**(columns or {}), **({FIXED: ("string", "")} if fixed else {})}
    kept = work.rewrite(rows, fates or one_by_one(lambda row: Fate()), columns=declared)
    counted = work.account()
    assert counted is not None
    account = replace(counted, added=counted.added + len(made), examples=[*counted.examples, *shown(made)])
    if not made:
        return kept, account
    own = [{ORIGIN: NO_ORIGIN, STEP: work.run.step_id, AXIS: m.axis, GROUP: m.group, "text": m.text} for m in made]
    stays = {FIXED: work.run.step_id} if fixed else {}
    given = [{**row, **stays, **m.columns} for row, m in zip(own, made, strict=True)]
    table = {name: [row.get(name) for row in given] for name in kept.column_names}
    return concatenate_datasets([kept, Dataset.from_dict(table, features=kept.features)]), account


def shown(made: Sequence[Made], count: int = 10) -> list[Example]:
    """Examples of texts that were made from no row, spread over all."""
    some = [made[k * len(made) // count] for k in range(count)] if len(made) > count else list(made)
    return [Example(before="", after=m.text[:600], note=m.note) for m in some]
