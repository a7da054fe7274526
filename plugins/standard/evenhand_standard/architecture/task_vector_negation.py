"""Task-vector negation: a copy learns from stereotyped sentences, and the model goes the other way.

    theta = theta0 - s a T(theta_biased - theta0)

The training that follows this step reads, in the place of its text, sentences of the pair bank in which an occupation
goes with the group that it is commonly tied to. It moves all weights save for normalisation, as in the publication; or
LoRA beside them, whose product is the task vector then.

Sources: Ilharco et al. 2023, Editing models with task arithmetic; Shirafuji, Takenaka and Taguchi 2025, Bias vector
(norms left out); Yadav et al. 2023 (trimming).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand_sdk import (
    AxisName,
    DataTransform,
    Locale,
    Material,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import NONE, fitting_pairs
from evenhand_standard.architecture.low_rank import LoraSettings, misfits
from evenhand_standard.architecture.low_rank_training import through_lora
from evenhand_standard.architecture.own_parameters import own_parameters
from evenhand_standard.architecture.tensor_sets import selected
from evenhand_standard.architecture.weight_path import along

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TaskVectorNegationOptions(RowOptions):
    """Options of `task-vector-negation`; `strength` times `amount` is how far the model goes the other way."""

    amount: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.3,
        description="Share of the way to the biased model that is gone in the other direction; 0.1 to 0.5 as a rule.",
    )
    keep: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Share of the entries of each tensor that go, those that moved furthest."
    )
    text: Literal["stereotypes", "recipe"] = Field(
        "stereotypes", description="Train on stereotyped sentences of the pair bank, or on the text of the recipe."
    )
    through: Literal["weights", "lora"] = Field(
        "weights", description="Let the copy learn with all weights, or with LoRA (rank 16, alpha 32) alone."
    )
    axis: AxisName = "gender"
    locale: Locale = "en"


class TaskVectorNegation(Mitigation):
    """Learns a bias on purpose, and subtracts what was learnt."""

    name = "task-vector-negation"
    summary = "Trains on stereotyped sentences, then moves the weights the other way."
    source = "Ilharco et al. 2023, Editing models with task arithmetic; Shirafuji et al. 2025, Bias vector"
    shapes_training = True
    # What else is trained beside it would learn the bias, and keep it.
    claims = ("weights", "adapters", "head scores", "low-rank changes")
    Options = TaskVectorNegationOptions
    example_options: ClassVar[Mapping[str, Any]] = {}

    def material(self) -> Material | None:
        o = self.options
        if o.text == "recipe":
            return None
        return Material(texts={"stereotyped sentences it learns from": stereotyped(o.axis, o.locale)})

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return misfits(LoraSettings(), shape) if self.options.through == "lora" else undescribed(shape)

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train" or o.text == "recipe":
            return None
        sentences = stereotyped(o.axis, o.locale)
        work, seed = (
            RowWork(run, o, title="Writing stereotyped sentences", depends=sentences),
            run.seed_for("sentences"),
        )

        def each(row: Row) -> Fate:
            return Fate(text=Made(text=sentences[int(row.draw(seed) * len(sentences))]))

        return work.transform(lambda rows: work.rewrite(rows, one_by_one(each)))

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options
        facts = {"text": o.text, "keep": o.keep}
        if o.through == "lora":
            factor = -o.strength * o.amount
            return through_lora(run, LoraSettings(), factor, keep=o.keep, kept_factor=1.0, facts=facts)

        def names(model: PreTrainedModel) -> list[str]:
            norms = set(selected(model, ("norms",), 1.0))
            return [name for name in own_parameters(model) if name not in norms]

        return along(-o.strength * o.amount, names, keep=o.keep, facts=facts)


def stereotyped(axis: str, locale: str) -> Sequence[str]:
    """Sentences in which an occupation goes with the group it is tied to; UsageError for an axis that has none."""
    pairs = fitting_pairs(load_axis(axis, locale))
    found = [t for pair in pairs for t, g in zip(pair.texts, pair.groups, strict=True) if g == pair.association != NONE]
    if not found:
        raise UsageError(
            f"no occupations are known to be tied to groups of the axis {axis!r} in {locale!r}",
            where="option axis",
            known="the pair bank knows them for gender in English",
            do='set text = "recipe", and name a biased text under [data]',
        )
    return found
