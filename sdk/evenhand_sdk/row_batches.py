"""From batches of columns to batches of columns: each row meets its fate, and texts that are added follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.data import why_no_text
from evenhand.half_surrogates import REASON
from evenhand_sdk.row_fates import AXIS, FIXED, GROUP, ORIGIN, STEP, Fate, Fates, Made, Row

if TYPE_CHECKING:
    from datasets import Dataset, Features, IterableDataset

OWN = "evenhand:"
"""Columns with this prefix live only while a step works."""
FATE, WHY, ROW = OWN + "fate", OWN + "why", OWN + "row"
Declared = Mapping[str, tuple[str, Any]]
"""New columns: name -> (type of `datasets.Value`, value of rows whose fate gives none)."""


class Batch:
    """What `Dataset.map` calls: columns of a batch -> columns with the fate of each row, additions behind it."""

    def __init__(self, fates: Fates, declared: Mapping[str, tuple[str, Any]], step: str, limit: int | None) -> None:
        self.fates, self.declared, self.step, self.limit = fates, declared, step, limit

    def __call__(self, given: Mapping[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        given = provided(given, numbers)
        reasons = [self._unfit(text) for text in given["text"]]
        fixed = given.get(FIXED) or [""] * len(numbers)
        rows = [
            Row(number, given["text"][k], given[ORIGIN][k], {name: values[k] for name, values in given.items()})
            for k, number in enumerate(numbers)
            if not reasons[k] and not fixed[k]
        ]
        fates = list(self.fates(rows))
        if len(fates) != len(rows):
            raise TypeError(f"{len(rows)} rows have {len(fates)} fates; each row needs one")
        found = iter(fates)
        out: dict[str, list[Any]] = {name: [] for name in [*given, *self.declared, FATE, WHY, ROW]}
        for k, number in enumerate(numbers):
            fate = Fate(quarantined=reasons[k]) if reasons[k] else Fate() if fixed[k] else next(found)
            self._put(out, given, k, number, fate)
        return out

    def _unfit(self, text: Any) -> str:
        if reason := why_no_text(text):
            return reason
        if self.limit is not None and len(text) > self.limit:
            return f"longer than {self.limit:,} characters"
        try:
            text.encode()
        except UnicodeEncodeError:
            return REASON
        return ""

    def _put(self, out: dict[str, list[Any]], given: Mapping[str, list[Any]], k: int, number: int, fate: Fate) -> None:
        as_it_was = {name: values[k] for name, values in given.items()}
        if fate.quarantined or fate.dropped:
            state = "quarantined" if fate.quarantined else "dropped"
            told = {} if fate.quarantined else fate.columns
            self._line(out, {**as_it_was, "text": ""}, told, state, fate.quarantined or fate.dropped, number)
        elif fate.text is not None and fate.text.text != as_it_was["text"]:
            values = {**as_it_was, **self._provenance(as_it_was, fate.text)}
            self._line(out, values, fate.text.columns, "changed", _note(fate.text), number)
        else:
            columns = fate.text.columns if fate.text is not None else fate.columns
            self._line(out, as_it_was, columns, "kept", "", number)
        for made in fate.added if not fate.quarantined else ():
            values = {**as_it_was, **self._provenance(as_it_was, made)}
            self._line(out, values, made.columns, "added", _note(made), number)

    def _provenance(self, row: Mapping[str, Any], made: Made) -> dict[str, Any]:
        return {"text": made.text, STEP: self.step, AXIS: made.axis or row[AXIS], GROUP: made.group or row[GROUP]}

    def _line(
        self, out: dict[str, list[Any]], row: Mapping[str, Any], given: Mapping[str, Any], fate: str, why: str, n: int
    ) -> None:
        if unknown := sorted(set(given) - set(self.declared)):
            raise TypeError(f"the column {unknown[0]!r} was not declared to `rewrite`")
        values = {name: default for name, (_, default) in self.declared.items()}
        for name, value in {**values, **row, **given, FATE: fate, WHY: why, ROW: n}.items():
            out[name].append(value)


def _note(made: Made) -> str:
    return made.note or " towards ".join(filter(None, (made.axis, made.group)))


def features_of(rows: Dataset | IterableDataset, declared: Mapping[str, tuple[str, Any]]) -> Features:
    from datasets import Features, Value

    provenance = {ORIGIN: Value("int64"), STEP: Value("string"), AXIS: Value("string"), GROUP: Value("string")}
    found = {**rows.features, "text": Value("string")}
    found |= {name: value for name, value in provenance.items() if name not in found}
    found |= {name: Value(kind) for name, (kind, _) in declared.items()}
    return Features({**found, FATE: Value("string"), WHY: Value("string"), ROW: Value("int64")})


def provided(given: Mapping[str, list[Any]], numbers: Sequence[int]) -> dict[str, list[Any]]:
    """The columns with those of provenance; where an earlier step has left them, as they are."""
    found = dict(given)
    found.setdefault(ORIGIN, list(numbers))
    for name in (STEP, AXIS, GROUP):
        found.setdefault(name, [""] * len(numbers))
    return found
