"""An adapter that is trained to debias while the model itself stays as it is.

    h  ->  h + strength * W_up f(W_down LN(h))        W_down: H -> H / reduction,  W_up begins at zero

Only the adapter moves in the training that follows; data and objective steps of the recipe say what it
learns. The untouched model is always one switch away.

Source: Lauscher et al. 2021 (ADELE); placements of Pfeiffer et al. 2020, Houlsby et al. 2019, He et al. 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand_adapterfusion.bottleneck import NAME, Activation, Placement
from evenhand_sdk import (
    Artifact,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    StepHandle,
    StrengthOptions,
    UsageError,
    hookimpl,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Name = Annotated[str, Field(pattern=NAME)]


class BottleneckOptions(StrengthOptions):
    """Options of every adapter step; `strength` is the factor on the trained adapter's output."""

    name: Name | None = Field(None, description="Name of the adapter in the model; the step's id if not given.")
    placement: Placement = Field("pfeiffer", description="After the feed-forward part, after both, or beside it.")
    reduction: Annotated[float, Field(gt=0.0)] = Field(16.0, description="Hidden size over bottleneck size.")
    activation: Activation = Field("gelu", description="Between the two matrices.")
    earlier: Literal["stacked", "off"] = Field(
        "stacked", description="Whether adapters of earlier steps act while this one is trained."
    )


class DebiasingAdapterOptions(BottleneckOptions):
    """Options of `debiasing-adapter`."""

    axis: str | None = Field(None, description="The axis it debiases; kept with the saved adapter.")


class DebiasingAdapter(Mitigation):
    """Trains a small adapter in every layer, and nothing else."""

    name = "debiasing-adapter"
    summary = "Adds a bottleneck adapter to every layer and trains it alone; the model's own weights stay."
    source = "Lauscher et al. 2021, Sustainable modular debiasing of language models (ADELE)"
    shapes_training = True
    claims = ("adapters",)
    Options: ClassVar[type[BottleneckOptions]] = DebiasingAdapterOptions
    debiases: ClassVar[bool] = True
    """False for adapters that are fused with debiasing ones."""

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        beside: list[DebiasingAdapter] = []
        for step in before:
            if isinstance(step, DebiasingAdapter):
                beside.append(step)
            elif hasattr(step.options, "adapters"):
                beside.clear()  # a fusion or a sum: what it leaves active is known when it has acted
        if beside and any(step.options.placement == "parallel" for step in (*beside, self)):
            return [
                "a parallel adapter cannot be active together with another adapter; "
                'use placement = "pfeiffer" or "houlsby" for all of them'
            ]
        return ()

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        from evenhand_adapterfusion import bottleneck
        from evenhand_adapterfusion.base_digest import KEY, base_digest

        o = self.options
        name, seed = o.name or run.step_id, run.seed_for("adapter")

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            bottleneck.add(model, name, bottleneck.adapter_config(o.placement, o.reduction, o.activation), seed)
            if artifact.tensors:
                bottleneck.put(model, artifact.tensors)
                conclude(model)
                bottleneck.say_trained_on(model, name, artifact.meta)
            elif o.earlier == "off":
                bottleneck.alone(model, name)

        def conclude(model: PreTrainedModel) -> None:
            bottleneck.scale(model, name, o.strength)
            bottleneck.freeze(bottleneck.modules(model, name))

        def finish(model: PreTrainedModel) -> Artifact:
            conclude(model)
            if o.earlier == "off":
                bottleneck.switch_back(model, name)
            facts = {**self.facts(name), KEY: base_digest(model)}
            bottleneck.say_trained_on(model, name, facts)
            return Artifact(tensors=bottleneck.tensors(model, bottleneck.modules(model, name)), meta=facts)

        def save(model: PreTrainedModel, folder: Path) -> None:
            bottleneck.save(model, name, folder, self.facts(name))

        return ModelTransform(
            apply=apply,
            revert=lambda model: bottleneck.remove(model, name),
            trainable=lambda model: bottleneck.parameter_names(model, bottleneck.modules(model, name)),
            finish=finish,
            fold=lambda model: False,  # it is not linear
            save=save,
            load=lambda model, folder: bottleneck.load(model, name, folder),
            portable=False,
        )

    def facts(self, name: str) -> dict[str, Any]:
        """What is kept beside the weights."""
        return {"evenhand": self.name, "adapter": name, "axis": getattr(self.options, "axis", None)}


def references(adapters: Sequence[str]) -> None:
    """Raises ValueError unless these are references to steps, each once."""
    for entry in adapters:
        if not entry.startswith("step:"):
            raise ValueError(f"{entry!r} does not refer to a step; write 'step:{entry}'")
    if len(set(adapters)) < len(adapters):
        raise ValueError("an adapter is named twice")


def adapter_steps(run: RunContext, adapters: Sequence[str]) -> list[StepHandle]:
    """The steps whose adapters are meant. Raises UsageError when one of them adds no adapter."""
    steps = [run.step(reference) for reference in adapters]
    for step in steps:
        if not isinstance(step.plugin, DebiasingAdapter):
            raise UsageError(
                f"the step {step.id!r} ({step.plugin.name}) adds no adapter that could be fused",
                where=f"step {run.step_id!r}",
                do="refer to steps that use debiasing-adapter or task-adapter",
            )
    return steps


def adapter_of(step: StepHandle) -> str:
    """The name, in the model, of the adapter that a step adds."""
    return step.plugin.options.name or step.id
