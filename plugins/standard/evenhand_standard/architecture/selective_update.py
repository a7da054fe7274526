"""Selective parameter updates: the training moves a few chosen tensors, and all others stay bit-identical.

With theta0 the selected tensors before the training and theta after it, the step leaves

    theta(s) = theta0 + s (theta - theta0)

in the model, s being its strength: 1 is as trained, 0 is theta0 itself, bit by bit.

Tensors are chosen by what they do in the model (norms, biases, ...), or by gradients: see `gradient_choice`. The set
`lora` lets a low-rank change of every matrix move instead (`low_rank`), which is scaled by s and merged.

Sources: Gira, Zhang and Lee 2022 (layer norms and embeddings of GPT-2); Ben Zaken et al. 2022 (biases only);
Wortsman et al. 2022 (interpolation between the weights before and after).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    AxisName,
    Bars,
    Fact,
    Locale,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    Section,
    StrengthOptions,
    TrainingStart,
    hookimpl,
    load_axis,
)
from evenhand_sdk.storage import digest_of
from evenhand_standard.architecture.families import described, undescribed
from evenhand_standard.architecture.gradient_choice import SHOWN, Chosen, choose, read, write
from evenhand_standard.architecture.low_rank import LoraSettings, misfits
from evenhand_standard.architecture.low_rank_training import through_lora
from evenhand_standard.architecture.tensor_sets import TensorSet, selected, size

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel


class SelectiveUpdateOptions(StrengthOptions):
    """Options of `selective-update`; `strength` is how far the selected tensors go from before to after."""

    select: Annotated[tuple[TensorSet, ...], Field(min_length=1)] = Field(
        ("norms", "mlp-output"), description="Sets of tensors that may move, joined."
    )
    layers: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.25, description="Share of the layers, the last ones, for mlp-output and top-layers."
    )
    choose: Literal["sets", "gradients"] = Field(
        "sets",
        description="All tensors of the sets, or those of them with the best gradients (then of all by default).",
    )
    percent: Annotated[float, Field(gt=0.0, le=100.0)] = Field(
        5.0, description="gradients: best tensors are taken until they hold this share of all parameters, in per cent."
    )
    axes: tuple[AxisName, ...] = Field(
        (), description="gradients: axes whose gap between groups is measured; gender when none is named."
    )
    locale: Locale = "en"
    names: bool = Field(True, description="gradients: first names belong to groups, too.")
    texts: Annotated[int, Field(ge=1)] = Field(
        128, description="gradients: most texts for the gap of each axis, and most rows for the language."
    )

    @model_validator(mode="before")
    @classmethod
    def _by_gradients(cls, given: Any) -> Any:
        """What is chosen from by gradients, and for which axis: in the record, not only in the code."""
        if not isinstance(given, dict):
            return given
        # A recipe is validated strictly, and past this point a list no longer passes for a tuple.
        found = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        if found.get("choose") == "gradients":
            found = {"select": ("all",), **found, "axes": found.get("axes") or ("gender",)}
        return found

    @model_validator(mode="after")
    def _axes_are_for_gradients(self) -> SelectiveUpdateOptions:
        if self.axes and self.choose == "sets":
            raise ValueError('axes decide nothing when tensors are chosen by sets; set choose = "gradients"')
        return self

    @model_validator(mode="after")
    def _lora_is_no_choice(self) -> SelectiveUpdateOptions:
        if "lora" in self.select and self.choose == "gradients":
            raise ValueError("LoRA begins at zero, so that its gradients choose nothing; leave it out of select")
        if "lora" in self.select and "all" in self.select:
            raise ValueError("LoRA beside weights that all move changes nothing; select one of them")
        return self


class SelectiveUpdate(Mitigation):
    """Lets the next training move chosen tensors only."""

    name = "selective-update"
    summary = "Lets the training move a few chosen tensors, norms and late feed-forward outputs by default."
    source = "Gira, Zhang and Lee 2022, Debiasing pre-trained language models via efficient fine-tuning"
    shapes_training = True
    claims = ("weights",)
    Options = SelectiveUpdateOptions

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        select = self.options.select
        found = misfits(LoraSettings(), shape) if "lora" in select else []
        family = described(shape.model_type)
        if family is None and "all" not in select:
            return found or undescribed(shape)
        if family is not None and "position-embeddings" in select and family.position_embeddings is None:
            found.append(f"a model of type {shape.model_type!r} has no learned positions; leave them out of select")
        return found

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options
        before: dict[str, torch.Tensor] = {}
        choice = GradientChoice(run, o) if o.choose == "gradients" else None
        sets = tuple(name for name in o.select if name != "lora")
        lora = through_lora(run, LoraSettings(), o.strength) if "lora" in o.select else None

        def names_of(model: PreTrainedModel) -> list[str]:
            names = selected(model, sets, o.layers) if sets else []
            return names if choice is None else choice.among(model, names)

        def fit(model: PreTrainedModel) -> Artifact | None:
            if choice is not None:
                return None  # what the training learns from is not known yet
            return Artifact(meta={**facts(), **size(model, set(weights(model)))})

        def start(begun: TrainingStart) -> None:
            assert choice is not None
            before.clear()
            choice.start(begun)

        def weights(model: PreTrainedModel) -> list[str]:
            names = names_of(model)
            if not before:  # a resumed run does not fit again, but it asks for the names before it trains
                chosen = set(names)
                before.update({n: p.detach().clone() for n, p in model.named_parameters() if n in chosen})
            return names

        def trainable(model: PreTrainedModel) -> list[str]:
            low_rank = list(lora.trainable(model)) if lora is not None and lora.trainable else []
            return [*weights(model), *low_rank]

        def finish(model: PreTrainedModel) -> Artifact:
            moved = interpolate(model, before, o.strength)
            found = {**facts(), "strength": o.strength, "moved tensors": moved, **size(model, before.keys())}
            before.clear()
            merged = lora.finish(model) if lora is not None and lora.finish else None
            return Artifact(
                tensors=merged.tensors if merged else {}, meta={**found, "lora": merged.meta} if merged else found
            )

        def facts() -> dict[str, Any]:
            known: dict[str, Any] = {"select": list(o.select), "layers": o.layers}
            return known if choice is None else {**known, "choose": o.choose, "scores": choice.scores}

        return ModelTransform(
            fit=fit,
            apply=lora.apply if lora is not None else None,
            revert=lora.revert if lora is not None else None,
            on_start=start if choice is not None else lora.on_start if lora is not None else None,
            trainable=trainable,
            selection=None if choice is None else choice.told,
            finish=finish,
            fold=lora.fold if lora is not None else lambda model: True,  # the weights are where they belong already
        )

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        found = read(run.folder) if self.options.choose == "gradients" else None
        if found is None:
            return None
        labels, values = list(found.scores), list(found.scores.values())
        return Section(
            title="Which tensors were allowed to move",
            text=(
                f"The {len(labels)} of {found.candidates} tensors through which the gap between groups changes most "
                f"for what it costs the language: {100 * found.share:.2f} % of all parameters. A score is the norm "
                f"of the gradient of the gap over that of the language-modelling loss, {found.measured_on}."
            ),
            facts=[Fact(label=name, value=round(score, 4)) for name, score in found.scores.items()],
            figures=[Bars(labels=labels[:SHOWN], values=values[:SHOWN], caption="The highest scores.")],
        )


class GradientChoice:
    """The choice by gradients of one step: made when its training begins, and kept for a run that is resumed."""

    def __init__(self, run: RunContext, options: SelectiveUpdateOptions) -> None:
        self.run, self.options = run, options
        self.found: Chosen | None = None
        self._rows: Dataset | None = None

    def start(self, begun: TrainingStart) -> None:
        """The rows are known from now on; a choice that was made without them is made again."""
        self._rows, self.found = begun.rows, None

    def among(self, model: PreTrainedModel, names: Sequence[str]) -> list[str]:
        """Those of the names that may move, in their order."""
        if self.found is None:
            self.found = self._made(model, names)
        return [name for name in names if name in self.found.scores]

    def told(self) -> str:
        return self.found.told() if self.found is not None else ""

    @property
    def scores(self) -> dict[str, float]:
        return dict(self.found.scores) if self.found is not None else {}

    def _made(self, model: PreTrainedModel, names: Sequence[str]) -> Chosen:
        o, run = self.options, self.run
        axes = [load_axis(name, o.locale) for name in dict.fromkeys(o.axes)]
        texts = [] if self._rows is None else list(self._rows["text"])
        key = digest_of([o.model_dump(mode="json"), list(names), texts, run.seed, _marks(model)])
        kept = read(run.folder, key)
        if kept is None:
            kept = choose(
                run, model, names, axes=axes, names=o.names, percent=o.percent, texts=o.texts, rows=self._rows
            )
            write(run.folder, key, kept)
        return kept


def _marks(model: PreTrainedModel) -> list[Any]:
    """What tells these weights from others."""
    return [[name, float(p.detach().double().sum())] for name, p in model.named_parameters()]


def interpolate(model: PreTrainedModel, before: dict[str, torch.Tensor], strength: float) -> int:
    """Set each tensor to theta0 + s (theta - theta0); gives how many now differ from theta0."""
    import torch

    moved = 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in before:
                continue
            start = before[name].to(parameter.device)
            if strength == 0.0:
                parameter.copy_(start)
            elif strength < 1.0:
                parameter.copy_(torch.lerp(start.float(), parameter.float(), strength))
            moved += not torch.equal(parameter, start)
    return moved
