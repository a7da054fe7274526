"""Terms that compare a text with its counterfactuals, one for each axis: what they share but for the loss itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Axes, Axis, Locale, LossTerm, Pairing, RunContext, StrengthOptions, counterfactuals, load_axis

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class AxisPairOptions(StrengthOptions):
    """Which counterfactuals there are, and how much a training holds on to the other words."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="First names belong to groups, too.")
    retention: Annotated[float, Field(ge=0.0)] = Field(
        0.1, description="Weight of KL(untouched || trained) on ungrouped words."
    )


def pairing_of(axis: Axis, *, names: bool) -> Pairing:
    """A text with its counterfactuals on an axis; all terms with the same axis share one computation."""
    return Pairing(
        key=f"counterfactual/{axis.digest}/{'names' if names else 'words'}",
        pair=lambda text: [c.text for c in counterfactuals(text, axis, names=names)],
        bins=axis.bins(names=names),
    )


def labelled(name: str, axis: Axis, axes: Sequence[Axis]) -> str:
    """The name of a term, with its axis where there are several."""
    return name if len(axes) == 1 else f"{name} ({axis.name})"


def terms_on_pairs(
    run: RunContext, model: PreTrainedModel, o: AxisPairOptions, make: Callable[[Pairing, str], LossTerm], name: str
) -> list[LossTerm]:
    """make(pairing, name) for each axis, and the term that holds on to the untouched model; none at strength 0."""
    from evenhand_standard.objective.retention_term import retention_terms

    if o.strength == 0:
        return []
    axes = [load_axis(axis, o.locale) for axis in o.axes]
    terms = [make(pairing_of(axis, names=o.names), labelled(name, axis, axes)) for axis in axes]
    return terms + retention_terms(run, model, axes, names=o.names, weight=o.strength * o.retention)
