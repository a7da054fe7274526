"""What every data technique needs: rows in batches, a fate for each, provenance, a quarantine, and an account.

    work = RowWork(run, self.options)

    def each(row):
        if not sensible(row.text):
            raise CannotProcess("no sense in it")
        return Fate(text=Made(better(row.text))) if row.draw(seed) < self.options.strength else Fate()

    return work.transform(lambda rows: work.rewrite(rows, one_by_one(each)))

At strength 0 such a transform gives the very rows that it got.


A `Dataset` goes through `Dataset.map`: in batches, in several processes if asked, and cached by `datasets` under a
fingerprint that names everything the result depends on. An `IterableDataset` streams: rows are read once, in order,
by one reader, and never held, and the account is complete when the stream has been read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.context import RunContext
from evenhand.contributions import DataTransform
from evenhand.plugin import Options
from evenhand.progress import progress
from evenhand.row_account import Example, RowAccount
from evenhand_sdk.row_batches import FATE, OWN, ROW, WHY, Batch, Declared, features_of
from evenhand_sdk.row_fates import (
    AXIS,
    FIXED,
    GROUP,
    ORIGIN,
    STEP,
    CannotProcess,
    Fate,
    Fates,
    Made,
    Row,
    RowOptions,
    draw_of,
    one_by_one,
    token_counts,
)
from evenhand_sdk.row_ledger import STAYING, Ledger, Places
from evenhand_sdk.stream_readers import demand_one_reader

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = [
    "AXIS", "FIXED", "GROUP", "ORIGIN", "STEP", "CannotProcess", "Example", "Fate", "Fates", "Made", "Row",
    "RowAccount", "RowOptions", "RowWork", "draw_of", "one_by_one", "token_counts",
]  # fmt: skip

BATCH = 1000
"""Rows that are worked on together."""


class RowWork:
    """The work of one step on the rows, and the account of it.

    `depends` names, as JSON, what the result depends on beside rows, options, seed, tokenizer and code, such as the
    digests of axis packs.
    """

    def __init__(
        self, run: RunContext, options: Options, *, title: str = "Preparing rows", depends: Any = None
    ) -> None:
        self.run, self.options, self.title, self.depends = run, options, title, depends
        self._account: Callable[[], RowAccount | None] = lambda: None

    def account(self) -> RowAccount | None:
        """What became of the rows; of a stream, of those that were read so far. None when nothing was counted."""
        return self._account()

    def transform(
        self,
        change: Callable[[Any], Any],
        *,
        facts: Mapping[str, Any] | None = None,
        account: Callable[[], RowAccount | None] | None = None,
        idle: Callable[[], str] | None = None,
    ) -> DataTransform:
        """What the hook `data` returns: rows go through `change`, and at strength 0 they are left as they are.

        `facts` may be filled by `change`; `account` is given where rows are made from no row of the data; `idle` says
        why rows came out as they went in.
        """

        def fn(rows: Any) -> Any:
            if getattr(self.options, "strength", 1.0) == 0:
                return self.untouched(rows)
            if not _is_whole(rows) or rows.format["type"] is None:
                return change(rows)
            return _formatted_as(change(rows.with_format(None)), rows)

        told = {} if facts is None else facts
        return DataTransform(fn=fn, facts=told, account=account or self.account, idle=idle)

    def untouched(self, rows: Any) -> Any:
        """The very same rows, for strength 0."""
        if _is_whole(rows):
            read = len(rows)
            self._account = lambda: RowAccount(read=read, kept=read)
        return rows

    def rewrite(
        self,
        rows: Any,
        fates: Fates,
        *,
        columns: Declared | None = None,
        choose: Callable[[Mapping[str, Sequence[Any]]], Iterable[int]] | None = None,
    ) -> Any:
        """The rows after each met its fate, with provenance columns; a `Dataset` for one, else a stream.

        `columns` are new ones: name -> (type of `datasets.Value`, value of rows whose fate gives none). Names that
        begin with `evenhand:` are for `choose` and vanish. `choose` gets them over all rows and additions in order,
        with `evenhand:fate` and `evenhand:row`, and gives the places of additions that are left out after all; a
        stream cannot be looked at as a whole and takes none.
        """
        declared = dict(columns or {})
        if _is_whole(rows):
            return self._mapped(rows, fates, declared, choose)
        if choose is not None:
            raise TypeError("a stream is read once: what needs a whole pass needs a streaming rule")
        return self._streamed(rows, fates, declared)

    # --------------------------------------------------------------------------------------------- data sets
    def _mapped(self, rows: Dataset, fates: Fates, declared: Declared, choose: Any) -> Dataset:
        limit = getattr(self.options, "max_characters", None)
        batch = Batch(fates, dict(declared), self.run.step_id, limit)
        processes = min(getattr(self.options, "workers", 1), max(1, len(rows)))
        how: dict[str, Any] = {
            "batched": True,
            "batch_size": BATCH,
            "with_indices": True,
            "features": features_of(rows, declared),
        }
        how |= {"remove_columns": rows.column_names, "new_fingerprint": self._fingerprint(rows, fates, declared)}
        with progress(self.title, total=len(rows), unit="rows") as bar, quiet():
            if not len(rows):  # `datasets` would call nothing and add no column
                decided = _empty(how["features"])
            elif processes > 1:
                decided = rows.map(batch, num_proc=processes, **how)
            else:
                decided = rows.map(_showing(batch, bar), **how)
        own = [name for name in decided.column_names if name.startswith(OWN)]
        ledger = Ledger(self.run.folder)
        left_out = set(choose(_as_lists(decided.select_columns(own)))) if choose else set()
        kept, places = [], Places()
        for number, (fate, why, row) in enumerate(_triples(decided.select_columns([FATE, WHY, ROW]))):
            if number in left_out and fate == "added":
                continue
            ledger.count(fate, why)
            if fate == "quarantined":
                ledger.refuse(row, why, rows[row]["text"], decided[number][ORIGIN])
            elif fate != "kept":
                places.note(fate, (number, row, why))
            if fate in STAYING:
                kept.append(number)
        for number, row, why in places.chosen():
            ledger.show(rows[row]["text"], decided[number]["text"], why)
        ledger.write()
        self._account = ledger.account
        out = decided if len(kept) == len(decided) else decided.select(kept)
        return out.remove_columns(own)

    def _fingerprint(self, rows: Dataset, fates: Fates, declared: Mapping[str, Any]) -> str:
        import sys

        from evenhand.cache import digest_of
        from evenhand.measuring import package_digest
        from evenhand.tokenizer_identity import tokenizer_fingerprint

        packages = {"evenhand", "evenhand_sdk", getattr(fates, "__module__", "").partition(".")[0]}
        packages.add(type(self.options).__module__.partition(".")[0])
        told = digest_of(
            {
                "rows": rows._fingerprint,
                "step": self.run.step_id,
                "seed": self.run.seed,
                "options": self.options.model_dump(mode="json", exclude={"workers"}),
                "tokenizer": tokenizer_fingerprint(self.run.tokenizer),
                "code": {name: package_digest(name) for name in sorted(packages) if name in sys.modules},
                "columns": sorted(declared),
                "depends": self.depends,
            }
        )
        return told[:32]

    # ------------------------------------------------------------------------------------------------ streams
    def _streamed(self, rows: IterableDataset, fates: Fates, declared: Declared) -> IterableDataset:
        batch = Batch(fates, dict(declared), self.run.step_id, getattr(self.options, "max_characters", None))
        ledger = Ledger(self.run.folder)
        self._account = ledger.account
        shards = rows.n_shards

        def passed(given: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
            demand_one_reader(shards)
            if numbers[0] == 0:
                ledger.begin()
            found = batch(given, numbers)
            kept = []
            for k, (fate, why, row) in enumerate(zip(found[FATE], found[WHY], found[ROW], strict=True)):
                before = given["text"][row - numbers[0]]
                ledger.count(fate, why)
                if fate == "quarantined":
                    ledger.refuse(row, why, before, found[ORIGIN][k])
                elif fate != "kept":
                    ledger.show(before, found["text"][k], why)
                if fate in STAYING:
                    kept.append(k)
            ledger.write()
            return {name: [values[k] for k in kept] for name, values in found.items() if not name.startswith(OWN)}

        known = None if rows.features is None else features_of(rows, declared)
        if known is not None:
            known = type(known)({name: value for name, value in known.items() if not name.startswith(OWN)})
        return rows.map(passed, batched=True, batch_size=BATCH, with_indices=True, features=known)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, `datasets` shows no progress bars of its own beside ours."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _showing(batch: Batch, bar: Any) -> Callable[..., dict[str, list[Any]]]:
    def shown(given: Mapping[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        found = batch(given, numbers)
        bar.advance(len(numbers))
        return found

    return shown


def _is_whole(rows: Any) -> bool:
    from datasets import Dataset

    return isinstance(rows, Dataset)


def _empty(features: Any) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({name: [] for name in features}, features=features)


def _formatted_as(rows: Dataset, given: Dataset) -> Dataset:
    """The rows in the format (torch, numpy) that a user gave the data, in all columns or in those that were named."""
    how = given.format
    columns = None if set(how["columns"]) == set(given.column_names) else how["columns"]
    return rows.with_format(how["type"], columns, how["output_all_columns"], **how["format_kwargs"])


def _triples(decided: Dataset) -> Iterator[tuple[str, str, int]]:
    for part in decided.iter(batch_size=10 * BATCH):
        yield from zip(part[FATE], part[WHY], part[ROW], strict=True)


def _as_lists(rows: Dataset) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in rows.column_names}
    for part in rows.iter(batch_size=10 * BATCH):
        for name, column in found.items():
            column += part[name]
    return found
