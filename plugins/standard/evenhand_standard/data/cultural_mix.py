"""Cultural mixes: training text of several locales or dialects, mixed by temperature and by the recipe's weights.

    q(l) ~ w_l n_l ^ tau'       tau' = 1 - strength (1 - tau)

A locale is a BCP 47 tag (en-IN, fr) in a column of the data. A recipe's tag takes all rows whose tag it begins; the
longest one wins. Each row is counted with the axis packs of its own locale, so that the report shows what each locale's
texts say about groups, and which packs stand in for one that is not there. The worst locale must be read, not the mean:
a mean hides opposite directions.

Sources: Arivazhagan et al. 2019 (temperature); CU1 of the technique notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from evenhand_sdk import (
    AxisName,
    DataTransform,
    EvenhandError,
    Mitigation,
    RunContext,
    UsageError,
    group_words,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import RowOptions, RowWork
from evenhand_standard.data.group_mixture import mixed, mixture, tokens_by_group, told
from evenhand_standard.data.whole_corpus import demand_column, demand_whole, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
OTHER = "its locale is not part of the mix"


class CulturalMixOptions(RowOptions):
    """Options of `cultural-mix`; `strength` 0 leaves the shares as they are, 1 applies `tau` and `weights` in full."""

    column: str = Field("locale", description="Column with the locale or dialect of a text, as a BCP 47 tag.")
    locales: tuple[str, ...] = Field(..., min_length=2, description="Locales or dialects to mix: en-IN, en-GB, fr.")
    tau: Annotated[float, Field(ge=0.0, le=1.0)] = Field(0.5, description="0: the same for each locale, 1: as it is.")
    weights: Mapping[str, Annotated[float, Field(ge=0.0)]] = Field(
        {}, description="Locale -> factor of its share; 1 where none is given, 0 leaves it out."
    )
    repeats: Annotated[int, Field(ge=1)] = Field(4, description="Most times that a row is taken.")
    others: Literal["keep", "drop"] = Field("keep", description="What becomes of rows of other locales, or of none.")
    axes: tuple[AxisName, ...] = Field((), description="Axis packs that count group words by locale, for the report.")

    @field_validator("locales")
    @classmethod
    def _tags(cls, locales: tuple[str, ...]) -> tuple[str, ...]:
        for tag in locales:
            if not TAG.fullmatch(tag):
                raise ValueError(f"{tag!r} is no BCP 47 tag such as en, en-IN or pt-BR")
        if len({tag.lower() for tag in locales}) < len(locales):
            raise ValueError("names a locale twice")
        return locales

    @model_validator(mode="after")
    def _weights_of_locales(self) -> CulturalMixOptions:
        if unknown := sorted(set(self.weights) - set(self.locales)):
            raise ValueError(f"weights name {unknown[0]!r}, which is not among the locales {', '.join(self.locales)}")
        if not any(self.weights.get(locale, 1.0) for locale in self.locales):
            raise ValueError("weights leave out every locale: one at least must be above 0")
        return self


class CulturalMix(Mitigation):
    """Mixes texts of several locales or dialects, as a column of the data names them."""

    name = "cultural-mix"
    summary = "Mixes training texts of the locales and dialects that a recipe names, and counts groups by locale."
    source = "Arivazhagan et al. 2019 (sampling by temperature); locales of axis packs, this project"
    Options = CulturalMixOptions
    example_options: Mapping[str, Any] = {"locales": ("en-GB", "en-IN")}
    example_columns: Mapping[str, Any] = {"locale": ("en-GB", "en-GB", "en-IN", "fr")}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o, title="Mixing locales")
        facts: dict[str, Any] = {}

        def remixed(rows: Dataset) -> Dataset:
            demand_whole(rows, self.name)
            demand_column(rows, o.column, "the locale of each text")
            texts, values = list(rows["text"]), list(rows[o.column])
            members, left_out = {}, {}
            fits = worked_on(rows, o.max_characters)
            for number, (fit, value) in enumerate(zip(fits, values, strict=True)):
                if not fit:
                    continue
                if tag := locale_of(value, o.locales):
                    members[number] = tag
                elif o.others == "drop":
                    left_out[number] = OTHER
            if absent := [tag for tag in o.locales if tag not in set(members.values())]:
                raise UsageError(
                    f"the data have no text of {', '.join(absent)}",
                    where=f"column {o.column!r}",
                    known=f"locales there: {', '.join(sorted({str(v) for v in values if v})[:20]) or 'none'}",
                    do="add such texts, or leave the locale out of the mix",
                )
            found = mixture(
                members, tau=o.tau, strength=o.strength, repeats=o.repeats, seed=run.seed_for("rows"),
                weights=o.weights,
            )  # fmt: skip
            facts.update(told(found, tokens_by_group(run.tokenizer, texts, members), "locale"))
            facts["rows of other locales"] = sum(fits) - len(members)
            facts.update(groups_by_locale(texts, members, o))
            return mixed(work, rows, found, left_out=left_out)

        return work.transform(remixed, facts=facts)


def locale_of(value: Any, locales: Sequence[str]) -> str:
    """The longest of the recipe's tags that a row's tag begins with, in whole parts and any case; else empty."""
    if not isinstance(value, str):
        return ""
    parts = value.strip().replace("_", "-").lower().split("-")
    fitting = [tag for tag in locales if parts[: tag.count("-") + 1] == tag.lower().split("-")]
    return max(fitting, key=lambda tag: tag.count("-"), default="")


def groups_by_locale(texts: Sequence[str], members: Mapping[int, str], o: CulturalMixOptions) -> dict[str, Any]:
    """Words of each group by locale, counted by the pack of the locale; where there is none, that is said."""
    facts: dict[str, Any] = {}
    for name in o.axes:
        for tag in o.locales:
            try:
                axis = load_axis(name, tag)
            except EvenhandError as error:
                facts[f"{name} in {tag}"] = f"not counted: {error.what}"
                continue
            counts = dict.fromkeys(axis.groups, 0)
            for number, locale in members.items():
                if locale == tag:
                    for word in group_words(texts[number], axis):
                        counts[word.group] += 1
            facts[f"{name} in {tag}"] = {**counts, "pack": f"{axis.name}.{axis.locale}"}
    return facts
