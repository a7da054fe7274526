"""LoRA: the training that follows moves two narrow matrices beside each large one, and the model itself stays.

    W  ->  W + strength (alpha / r) B A          A: [r, inputs],  B: [outputs, r],  B begins at zero

Data and objective steps say what it learns. Behind the training it is merged into the weights, so that the result is a
plain model of the same size and speed; the adapter itself is kept as a `peft` folder.

Source: Hu et al. 2022, LoRA: low-rank adaptation of large language models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Fact,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    Section,
    StrengthOptions,
    hookimpl,
)
from evenhand_standard.architecture.low_rank import PARTS, LoraSettings, Part, misfits
from evenhand_standard.architecture.low_rank_training import through_lora
from evenhand_standard.architecture.peft_folder import FACTS, FOLDER

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LoraOptions(StrengthOptions):
    """Options of `lora`; `strength` is the factor on what was trained."""

    rank: Annotated[int, Field(ge=1)] = Field(16, description="Width of the two matrices (r).")
    alpha: Annotated[float, Field(gt=0.0)] = Field(32.0, description="What is trained acts times alpha / rank.")
    targets: Annotated[tuple[Part, ...], Field(min_length=1)] = Field(
        PARTS, description="Beside which matrices of a layer."
    )
    layers: Annotated[float, Field(gt=0.0, le=1.0)] = Field(1.0, description="Share of the layers, the last ones.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="Of the inputs of A, while it trains.")


class Lora(Mitigation):
    """Trains low-rank changes of the weights, and nothing else."""

    name = "lora"
    summary = "Trains low-rank changes beside the matrices of every layer, then merges them into the weights."
    source = "Hu et al. 2022, LoRA: low-rank adaptation of large language models"
    shapes_training = True
    # What goes along the way of a training, or is subtracted behind it, would not reach what LoRA learns beside it.
    claims = ("low-rank changes",)
    Options = LoraOptions

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return misfits(self._settings, shape)

    @property
    def _settings(self) -> LoraSettings:
        o = self.options
        return LoraSettings(rank=o.rank, alpha=o.alpha, dropout=o.dropout, targets=o.targets, layers=o.layers)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        return through_lora(run, self._settings, self.options.strength)

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        place = run.folder / FOLDER / FACTS
        if not place.is_file():
            return None
        found = json.loads(place.read_text(encoding="utf-8"))
        return Section(
            title="What LoRA has trained",
            text=(
                f"{found['parameters']:,} parameters of rank {found['rank']} beside {found['matrices']} matrices, "
                f"{100 * found['share']:.2f} % of those of the model. They are merged into the weights, which "
                f"changed a logit by at most {found['merging']:.2g}. The adapter lies in "
                f".state/steps/{run.step_id}/{FOLDER}, as `peft` reads it."
            ),
            facts=[Fact(label=name, value=found[name]) for name in ("rank", "alpha", "parameters", "factor")],
        )
