"""Names intervention: first names are swapped with partners of like frequency and like tie to their group.

A swap of Mary to a rare name, or of a name that only women bear to one that many women bear, changes more than the
group. Names are therefore paired by

    cost(n, m) = | log f(n) - log f(m) | + c | g(n) - g(m) |        (name_pairs.py)

and texts are swapped, words and names together, so that a person stays one: in place, each document with probability
strength / 2, or as counterfactuals that are added. Without counts there is no cost and nothing to assign: the step
refuses, unless `counts = "pack"` asks for the pairs of the axis pack, with which it does what substitution does.

Source: Hall Maudslay et al. 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from evenhand_sdk import (
    Axis,
    AxisName,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    UsageError,
    beside_recipe,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.data_rows import RowOptions, RowWork
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentationOptions, added_counterfactuals
from evenhand_standard.data.counterfactual_substitution import (
    CounterfactualSubstitutionOptions,
    substituted,
    swap_of,
)
from evenhand_standard.data.name_counts import CENSUS, CENSUS_FILES, census_counts, read_counts
from evenhand_standard.data.name_pairs import Paired, with_counted_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel


PACK = "pack"
"""`counts` for the pairs of the axis pack, which knows none."""


def _there(counts: str | None) -> str | None:
    if counts not in (None, CENSUS, PACK) and not Path(str(counts)).is_file():
        raise ValueError(f"there is no file {counts!r}; write {CENSUS}, or the path of a CSV file")
    return counts


class NamesInterventionOptions(RowOptions):
    """Options of `names-intervention`; `strength` scales the probability or the share of swapped texts."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    counts: Annotated[str | None, beside_recipe(CENSUS, PACK), AfterValidator(_there)] = Field(
        None,
        description="Required: census:us-1990, a CSV file of names with their bearers (the columns name, group and "
        "count, or name and one for each group), or `pack` for the pairs of the axis pack, aligned by rough frequency.",
    )
    mode: Literal["substitute", "augment"] = Field(
        "substitute", description="Swap documents in place with probability 1/2, or add the swapped texts."
    )
    document: str | None = Field(None, description="substitute: column that names the document of a row.")
    max_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.5, description="augment: most that added tokens may be of all tokens."
    )
    weight: float = Field(1.0, ge=0.0, description="c: what a difference of tie counts beside one of log frequency.")
    most: int = Field(2500, ge=1, description="Names of each group that are paired, the most frequent ones.")
    least_tie: float = Field(
        0.5, ge=0.0, le=1.0, description="Names with a weaker tie to one group are left alone, such as Robin."
    )
    exclude: tuple[str, ...] = Field((), description="Further names to leave alone.")

    @model_validator(mode="after")
    def _names_are_counted(self) -> NamesInterventionOptions:
        if self.counts is None:
            raise ValueError(
                f'names no counts, by which names are paired: set counts = "{CENSUS}" or the path of a CSV file; with '
                f'counts = "{PACK}" the pairs are those of the axis pack, and the step does what '
                "counterfactual-substitution and -augmentation do"
            )
        return self


class NamesIntervention(Mitigation):
    """Swaps groups with first names that are paired by frequency and by their tie to a group."""

    name = "names-intervention"
    summary = "Swaps first names with partners of equal frequency and equal tie to their group, words included."
    source = "Hall Maudslay et al. 2019, It's all in the name (names intervention)"
    Options = NamesInterventionOptions
    example_options: Mapping[str, Any] = {"counts": PACK}

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        return tuple(CENSUS_FILES.values()) if options.counts == CENSUS else ()

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        o = self.options
        facts: dict[str, Any] = {}
        work = RowWork(run, o, title="Swapping groups and names")

        def swapped(rows: Any) -> Any:
            axis, paired = self.paired_axis(run.data_folder)
            work.depends = axis.digest
            out = self._swapped(rows, work, axis, run, facts)
            facts.update(_told(axis, paired, Path(o.counts or PACK).name))
            return out

        return work.transform(swapped, facts=facts)

    def paired_axis(self, folder: str | None = None) -> tuple[Axis, Paired | None]:
        """The axis with the names that are swapped, and how they were paired; None for those of the pack.

        `folder` has the published files, if the census is asked for.
        """
        o = self.options
        axis = load_axis(o.axis, o.locale)
        if o.counts in (None, PACK):
            if not axis.names:
                raise UsageError(f"the pack of {o.axis!r} has no names", where="names-intervention", do="set `counts`")
            return axis, None
        is_census = o.counts == CENSUS
        counts = census_counts(axis.groups, folder) if is_census else read_counts(Path(str(o.counts)), axis.groups)
        return with_counted_names(axis, counts, weight=o.weight, most=o.most, least_tie=o.least_tie, exclude=o.exclude)

    def _swapped(self, rows: Any, work: RowWork, axis: Axis, run: RunContext, facts: dict[str, Any]) -> Any:
        o = self.options
        common: dict[str, Any] = {"axes": (o.axis,), "locale": o.locale, "strength": o.strength}
        common["max_characters"] = o.max_characters
        if o.mode == "augment":
            how = CounterfactualAugmentationOptions(**common, max_share=o.max_share)
            return added_counterfactuals(rows, work, [axis], how, run, facts)
        swapping = CounterfactualSubstitutionOptions(**common, document=o.document)
        return substituted(rows, work, [axis], swap_of([axis], swapping, run.seed_for("documents")), facts, o.document)


def _told(axis: Axis, paired: Paired | None, counts: str) -> dict[str, Any]:
    """What the report says of the names."""
    facts: dict[str, Any] = {"pairs of names": len(axis.names), "some pairs": _some(axis.names)}
    if paired is None:
        return {**facts, "names from": "the axis pack, aligned by rough frequency; the swap is that of substitution"}
    facts |= {"names from": counts, "mean cost of a pair": paired.cost}
    return {**facts, "names without a partner": paired.unpaired, "names left out": dict(paired.left_out)}


def _some(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [" / ".join(filter(None, row)) for row in rows[:5]]
