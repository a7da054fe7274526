"""Audit of the training text as a part of its datasheet: who is mentioned, beside which words, under which labels.

The step looks on: it counts the rows that reach the training at its place in the recipe, and changes none. Formulas and
sources are in `corpus_counts.py`. Without a run:

    from evenhand_standard.data.corpus_audit import audit
    for section in audit(texts, [load_axis("gender")]).sections():
        print(section.title, section.facts)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Options,
    Plugin,
    RowAccount,
    RunContext,
    Section,
    UsageError,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_standard.data.audit_sections import axis_section, corpus_section, tables
from evenhand_standard.data.corpus_counts import CorpusCounts
from evenhand_standard.data.whole_corpus import demand_column

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "corpus-audit.json"


class CorpusAuditOptions(Options):
    """Options of `corpus-audit`."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    window: Annotated[int, Field(ge=1)] = Field(
        10, description="Words on each side of a group word that count as near."
    )
    labels: str | None = Field(None, description="Column with classes of the texts, for a table of labels by group.")
    min_count: Annotated[int, Field(ge=1)] = Field(20, description="How often a word must be near groups to be listed.")
    alpha: Annotated[float, Field(gt=0.0)] = Field(
        10.0, description="Pseudo-counts a word of the Dirichlet prior of PMI."
    )
    words: Annotated[int, Field(ge=1, le=50)] = Field(12, description="Words listed for each group.")
    max_characters: Annotated[int, Field(ge=1)] = Field(
        200_000, description="Longer texts are not read; the report says how many there are."
    )


class CorpusAudit(Plugin):
    """Counts the training text by group and writes the datasheet's section about it."""

    name = "corpus-audit"
    summary = "Audits the training text: groups, pronouns, words beside them, labels and duplicates; changes nothing."
    source = "Bordia and Bowman 2019 (co-occurrence bias); Gebru et al. 2021 (datasheets); PMI with a Dirichlet prior"
    Options = CorpusAuditOptions
    looks_on = True

    _audit: Audit | None = None

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        facts: dict[str, Any] = {}

        def fn(rows: Any) -> Any:
            if o.labels is not None:
                demand_column(rows, o.labels, "the classes of the texts")
            axes = [load_axis(name, o.locale) for name in o.axes]
            if o.labels is None:
                found = audit((row["text"] for row in rows), axes, options=o)
            else:
                one, other = tee(rows)  # read in step, so that the rows are read once and none is held
                labels = (row[o.labels] for row in other)
                found = audit((row["text"] for row in one), axes, labels=labels, options=o)
            self._audit = found
            facts.update(found.facts())
            (run.folder / FILE).write_text(json.dumps(found.tables(), ensure_ascii=False, indent=1), encoding="utf-8")
            return rows

        def account() -> RowAccount | None:
            return RowAccount(read=self._audit.read, kept=self._audit.read) if self._audit else None

        return DataTransform(fn=fn, facts=facts, account=account, looks_on=True, files=(FILE,))

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> list[Section]:
        if self._audit is None:
            raise UsageError(
                "no training text has passed this step",
                where=f"step {run.step_id!r}",
                do="give the step text by [data] train; without a run, use evenhand_standard.data.corpus_audit.audit",
            )
        return self._audit.sections()


@dataclass(frozen=True)
class Audit:
    """The counts of a corpus, and what a datasheet says of them."""

    counts: CorpusCounts
    options: CorpusAuditOptions
    read: int
    """Rows; those without text are not counted."""
    too_long: int = 0
    """Rows whose text is longer than `max_characters`, which are not counted either."""

    @property
    def not_read(self) -> str:
        """What the report calls the rows that are too long."""
        return f"rows not read, longer than {self.options.max_characters:,} characters"

    def facts(self) -> dict[str, Any]:
        """In a few words: texts, how many of them name each group, and how many are there twice."""
        n = max(1, self.counts.documents)
        named = {
            f"texts that mention {group}": f"{100 * axis.texts[group] / n:.1f} %"
            for axis in self.counts.axes
            for group in axis.axis.groups
        }
        not_read = {self.not_read: self.too_long} if self.too_long else {}
        twice = {"duplicate texts": f"{100 * self.counts.duplicate_rate:.2f} %"}
        return {"texts": self.counts.documents, **named, **twice, **not_read}

    def sections(self) -> list[Section]:
        """One section for the corpus and one for each axis."""
        made = [axis_section(axis, self.counts, self.options) for axis in self.counts.axes]
        not_read = {self.not_read: self.too_long} if self.too_long else {}
        return [corpus_section(self.counts, self.read, not_read), *made]

    def tables(self) -> dict[str, Any]:
        """All numbers as plain JSON types: more words than the sections list, and the tables in full."""
        return {"rows": self.read, "too long": self.too_long, **tables(self.counts, self.options)}


def audit(
    texts: Iterable[Any],
    axes: Sequence[Axis],
    *,
    labels: Iterable[Any] | None = None,
    options: CorpusAuditOptions | None = None,
) -> Audit:
    """Count texts, which may be a stream; `labels` are their classes, in the same order.

    What is no text, is empty, or is longer than `max_characters`, is read and not counted. Raises ValueError for a
    different number of labels, and UsageError for one text in the place of several.
    """
    if isinstance(texts, str | bytes):
        raise UsageError(
            "one text is given, and its characters would be counted as texts", where="audit", do="write [text]"
        )
    chosen = options or CorpusAuditOptions()
    counts = CorpusCounts.of(axes, window=chosen.window)
    read = too_long = 0
    total = len(texts) if hasattr(texts, "__len__") else None  # type: ignore[arg-type]
    pairs = zip(texts, labels, strict=True) if labels is not None else ((text, None) for text in texts)
    with progress("Auditing the text", total=total, unit="texts") as bar:
        for text, label in pairs:
            read += 1
            if isinstance(text, str) and len(text) > chosen.max_characters:
                too_long += 1
            elif isinstance(text, str) and text.strip():
                counts.add(text, None if label is None else str(label))
            bar.advance(1)
    return Audit(counts, chosen, read, too_long)
