"""Counterfactual data augmentation, two-sided: every text stays, and the counterfactuals of chosen ones are added.

With E the rows that name a group on any axis and u(x) in [0, 1) a fixed draw of each row, the training set becomes

    S  union  { cf(x, t) : x in E', t another group },      E' = { x in E : u(x) < strength }

so that a smaller strength takes a subset of what a larger one takes. With `targets = "one"` only one t is drawn. Rows
are never dropped to keep the share of added tokens under `max_share`; fewer are augmented instead: of a data set
those with the smallest u(x), of a stream those that find room when they come.

Source: Lu et al. 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    counterfactuals,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import FIXED, Fate, Fates, Made, Row, RowOptions, RowWork, token_counts
from evenhand_standard.data.group_words import FATE, GROUP_COLUMNS, ROW, counting, words_by_group
from evenhand_standard.data.passes import Passes
from evenhand_standard.data.whole_corpus import workable

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

DRAWN, TOKENS = "evenhand:drawn", "evenhand:tokens"
"""Columns by which a data set decides which additions fit: the draw of a row that can be augmented, else 1, and how
many tokens a text has. They are gone afterwards."""
CHOICE_COLUMNS = {DRAWN: ("float64", 1.0), TOKENS: ("int64", 0), **GROUP_COLUMNS}
NOTHING_TO_SWAP = "names no group"
"""Or none that is swapped surely enough."""
SAMPLE = 2000
"""Rows from which it is estimated how many may be augmented at most."""
SPARE = 1.25
"""So much more than the estimate is tried: the exact limit decides in the end."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class CounterfactualAugmentationOptions(RowOptions):
    """Options of `counterfactual-augmentation`; `strength` is the share of eligible rows to augment."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    targets: Literal["all", "one"] = Field(
        "all", description="Add one counterfactual for each other group, or for one of them drawn at random."
    )
    max_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.5, description="Most that added tokens may be of all tokens."
    )
    min_confidence: Share = Field(
        0.0, description="Swaps that the engine is less sure of are not made: 0.8 leaves out what it guesses."
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
        if split != "train":
            return None
        o = self.options
        facts: dict[str, Any] = {}
        axes = [load_axis(name, o.locale) for name in o.axes]
        work = RowWork(run, o, title="Swapping groups", depends=[axis.digest for axis in axes])

        return work.transform(lambda rows: added_counterfactuals(rows, work, axes, o, run, facts), facts=facts)


def added_counterfactuals(
    rows: Any,
    work: RowWork,
    axes: Sequence[Axis],
    options: CounterfactualAugmentationOptions,
    run: RunContext,
    facts: dict[str, Any],
) -> Any:
    """The rows and the counterfactuals that are added to them; facts are those of a data set, a stream has none."""
    augmenter = Augmenter(axes, options, run.tokenizer, run.seed_for("rows"))
    if not hasattr(rows, "select"):
        return work.rewrite(rows, augmenter.as_they_come())
    return _augmented(rows, augmenter, work, facts)


def _augmented(rows: Dataset, augmenter: Augmenter, work: RowWork, facts: dict[str, Any]) -> Dataset:
    """A whole data set: candidates first, then as many of them as `max_share` leaves room for."""
    found: dict[str, Any] = {}

    def choose(columns: Mapping[str, Sequence[Any]]) -> list[int]:
        left_out, told = augmenter.without_room(columns, stays)
        found.update(told, words=words_by_group(columns, augmenter.axes, left_out))
        return left_out

    stays = augmenter.fixed_tokens(rows)
    fates = counting(augmenter.candidates(augmenter.share_to_try(rows)), augmenter.axes, len(rows))
    out = work.rewrite(rows, fates, columns=CHOICE_COLUMNS, choose=choose)
    facts.update(
        {
            "rows augmented": found["rows"],
            "rows not augmented because of max_share": found["eligible"] - found["rows"],
            "share of added tokens": found["tokens"] / max(1, found["before"] + found["tokens"]),
            **found["words"],
        }
    )
    return out


@dataclass
class Augmenter:
    """The counterfactuals of rows under one set of options."""

    axes: Sequence[Axis]
    options: CounterfactualAugmentationOptions
    tokenizer: Any
    seed: int

    def made(self, row: Row) -> list[Made]:
        """The texts that may be added for a row; empty when it names no group."""
        found = []
        for axis in self.axes:
            others = counterfactuals(row.text, axis, names=self.options.names)
            others = [other for other in others if other.confidence >= self.options.min_confidence]
            if self.options.targets == "one" and others:
                others = [others[int(row.draw(self.seed, f"target/{axis.name}") * len(others))]]
            found += [Made(text=other.text, axis=axis.name, group=other.group) for other in others]
        return found

    def _tried(self, row: Row) -> list[Made]:
        """The same, and none for a row whose draw leaves it alone, unless that decides whether the row stays."""
        drawn = row.draw(self.seed) < self.options.strength
        return self.made(row) if drawn or not self.options.keep_untouched else []

    def _own(self, made: Sequence[Made]) -> str:
        """Why the row itself is left out; empty where it stays."""
        return "" if made or self.options.keep_untouched else NOTHING_TO_SWAP

    def candidates(self, share: float) -> Fates:
        """Every addition of the rows whose draw is below `share`, with what is needed to choose among them."""

        def fates(rows: Sequence[Row]) -> list[Fate]:
            made = [self._tried(row) for row in rows]
            drawn = [row.draw(self.seed) for row in rows]
            kept = [row.text for row, found in zip(rows, made, strict=True) if not self._own(found)]
            texts = [m.text for found, u in zip(made, drawn, strict=True) if u < share for m in found]
            sizes = iter(token_counts(self.tokenizer, [*kept, *texts]))
            own = [0 if self._own(found) else next(sizes) for found in made]
            out = []
            for found, u, size in zip(made, drawn, own, strict=True):
                marked = [_marked(m, u, next(sizes)) for m in found] if u < share else []
                told = {DRAWN: u if found else 1.0, TOKENS: size}
                out.append(Fate(added=marked, dropped=self._own(found), columns=told))
            return out

        return fates

    def without_room(self, columns: Mapping[str, Sequence[Any]], stays: int) -> tuple[list[int], dict[str, int]]:
        """The places of additions that go, so that whole rows in the order of their draws fit; and what is left.

        `stays` are tokens beside those of the columns.
        """
        before = stays
        sizes: Counter[int] = Counter()
        drawn: dict[int, float] = {}
        eligible = 0
        for fate, row, u, size in zip(*(columns[name] for name in (FATE, ROW, DRAWN, TOKENS)), strict=True):
            if fate == "added":
                sizes[row] += size
                drawn[row] = u
            else:
                eligible += u < self.options.strength
                before += size
        room = self._room(before)
        chosen, total = set(), 0
        for row in sorted(drawn, key=lambda row: (drawn[row], row)):
            if total + sizes[row] <= room:
                chosen.add(row)
                total += sizes[row]
        places = enumerate(zip(columns[FATE], columns[ROW], strict=True))
        left_out = [k for k, (fate, row) in places if fate == "added" and row not in chosen]
        return left_out, {"rows": len(chosen), "eligible": eligible, "tokens": total, "before": before}

    def as_they_come(self) -> Fates:
        """For a stream: a row is augmented when its additions keep the share under `max_share` at that place."""
        seen = added = 0
        passes = Passes()

        def fates(rows: Sequence[Row]) -> list[Fate]:
            nonlocal seen, added
            if passes.begins(rows):
                seen = added = 0
            made = [self._tried(row) for row in rows]
            own = token_counts(self.tokenizer, [row.text for row in rows])
            sizes = iter(token_counts(self.tokenizer, [m.text for found in made for m in found]))
            out = []
            for row, size, found in zip(rows, own, made, strict=True):
                more = sum(next(sizes) for _ in found)
                seen += 0 if self._own(found) else size
                fits = row.draw(self.seed) < self.options.strength and added + more <= self._room(seen)
                added += more if fits else 0
                out.append(Fate(added=found if fits else (), dropped=self._own(found)))
            return out

        return fates

    def _room(self, before: int) -> float:
        """The most tokens that may be added to so many."""
        return before * self.options.max_share / (1 - self.options.max_share)

    def _fit(self, texts: Iterable[Any]) -> list[str]:
        """Those that do not go to the quarantine: what is not trained on leaves no room for additions."""
        return [text for text in texts if workable(text, self.options.max_characters)]

    def fixed_tokens(self, rows: Dataset) -> int:
        """Tokens of the rows that an earlier step's loss reads as they are: no fate tells of them, and they stay."""
        if FIXED not in rows.column_names:
            return 0
        total = 0
        for part in rows.select_columns(["text", FIXED]).iter(batch_size=1000):
            fixed = [text for text, step in zip(part["text"], part[FIXED], strict=True) if step]
            total += sum(token_counts(self.tokenizer, self._fit(fixed)))
        return total

    def share_to_try(self, rows: Dataset) -> float:
        """A share of the eligible rows that surely suffices, so that not all are made and counted where few may be
        added."""
        if len(rows) < 5 * SAMPLE:
            return self.options.strength
        sampled = rows.select(range(0, len(rows), max(1, len(rows) // SAMPLE)))
        texts = self._fit(sampled["text"])
        more = [m.text for text in texts for m in self.made(Row(0, text, 0))]
        own, extra = sum(token_counts(self.tokenizer, texts)), sum(token_counts(self.tokenizer, more))
        if not extra:
            return self.options.strength
        return min(self.options.strength, SPARE * self._room(own) / extra)


def _marked(made: Made, drawn: float, tokens: int) -> Made:
    return Made(text=made.text, axis=made.axis, group=made.group, columns={DRAWN: drawn, TOKENS: tokens})
