"""Demographic-aware training: corpora by authors of different groups, mixed by temperature.

    q(g) ~ n_g ^ tau'       tau' = 1 - strength (1 - tau)

The group of an author is read from a column that the data bring with them. It is never inferred from a text or a name,
and the recipe must say on what basis the data may be used (`consent`).

Source: Garimella, Mihalcea and Amarnath 2022 (demographic-aware fine-tuning).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from evenhand_sdk import DataTransform, Mitigation, RunContext, UsageError, hookimpl
from evenhand_sdk.data_rows import ORIGIN, Row, RowOptions, RowWork
from evenhand_standard.data.group_mixture import mixed, mixture, tokens_by_group, told
from evenhand_standard.data.whole_corpus import demand_column, demand_whole, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

NO_GROUP = "the author's group is not stated"


class DemographicMixOptions(RowOptions):
    """Options of `demographic-mix`; `strength` 0 leaves the shares as they are, 1 applies `tau` in full."""

    column: str = Field("author_group", description="Column with the author's group, as the authors stated it.")
    consent: Annotated[str, Field(min_length=10)] = Field(
        ..., description="On what basis the data and the statements may be used; shown in the report."
    )
    tau: Annotated[float, Field(ge=0.0, le=1.0)] = Field(0.5, description="0: the same for each group, 1: as it is.")
    repeats: Annotated[int, Field(ge=1)] = Field(4, description="Most times that a row is taken.")
    min_rows: Annotated[int, Field(ge=1)] = Field(
        20, description="Fewest rows of a group: a smaller one would be learned by heart, and shown to everyone."
    )
    tag: str = Field(
        "",
        description="Put before a text whose author states a group, with {group} in it: a control token. Below "
        "strength 1 before a share of them.",
    )
    unstated: Literal["keep", "drop"] = Field("keep", description="What becomes of rows whose author states no group.")

    @field_validator("tag")
    @classmethod
    def _names_the_group(cls, tag: str) -> str:
        if tag and "{group}" not in tag:
            raise ValueError("must have {group}, as in '[{group}] '")
        return tag

    @field_validator("consent")
    @classmethod
    def _said(cls, consent: str) -> str:
        if not consent.strip():
            raise ValueError("say on what basis the data may be used, such as the section of their data sheet")
        return consent


class DemographicMix(Mitigation):
    """Mixes texts by authors of different groups, as a column of the data states them."""

    name = "demographic-mix"
    summary = "Mixes training texts by their authors' stated group, so that small groups are heard more often."
    source = "Garimella, Mihalcea and Amarnath 2022; sampling by temperature, Arivazhagan et al. 2019"
    Options = DemographicMixOptions
    example_options: Mapping[str, Any] = {"consent": "Synthetic metadata of the conformance checks.", "min_rows": 1}
    example_columns: Mapping[str, Any] = {"author_group": ("north", "north", "south", "north")}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o, title="Mixing by authors")
        facts: dict[str, Any] = {}

        def remixed(rows: Dataset) -> Dataset:
            demand_whole(rows, self.name)
            demand_column(rows, o.column, "the group that authors state")
            texts, values = list(rows["text"]), list(rows[o.column])
            members, left_out = {}, {}
            fits = worked_on(rows, o.max_characters)
            for number, (fit, value) in enumerate(zip(fits, values, strict=True)):
                if not fit:
                    continue
                if value is not None and str(value).strip():
                    members[number] = str(value).strip()
                elif o.unstated == "drop":
                    left_out[number] = NO_GROUP
            found = mixture(members, tau=o.tau, strength=o.strength, repeats=o.repeats, seed=run.seed_for("rows"))
            demand_sizes(found.before, o)
            facts.update(told(found, tokens_by_group(run.tokenizer, texts, members), "author group"))
            facts["rows without a stated group"] = sum(fits) - len(members)
            facts["basis of use"] = o.consent
            tags = tagged(rows, members, o, run.seed_for("tags")) if o.tag else {}
            return mixed(work, rows, found, left_out=left_out, tags=tags)

        return work.transform(remixed, facts=facts)


def tagged(rows: Dataset, members: Mapping[int, str], o: DemographicMixOptions, seed: int) -> dict[int, str]:
    """Row -> its tag: of the share `strength` of the rows with a stated group; a smaller one takes a subset."""
    origins = rows[ORIGIN] if ORIGIN in rows.column_names else range(len(rows))
    texts = rows["text"]
    drawn = (k for k in members if Row(k, texts[k], origins[k]).draw(seed) < o.strength)
    return {k: o.tag.replace("{group}", members[k]) for k in drawn}


def demand_sizes(counts: Mapping[str, int], o: DemographicMixOptions) -> None:
    """UsageError for fewer than two groups, and for groups below `min_rows`."""
    if len(counts) < 2:
        raise UsageError(
            f"the column {o.column!r} names {len(counts)} groups, and a mix needs two",
            where="option column",
            known=f"its groups: {', '.join(counts) or 'none'}",
        )
    if small := [f"{group} ({n})" for group, n in counts.items() if n < o.min_rows]:
        raise UsageError(
            f"groups with fewer than {o.min_rows} rows: {', '.join(small)}",
            where="option min_rows",
            do="leave them out, gather more texts, or lower min_rows where nobody can be recognised",
        )
