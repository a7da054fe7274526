"""Fuse adapters by attention, so that several debiasing adapters and a task adapter act as one.

    alpha = softmax_n( (Q h) . (K z_n) )         h  ->  h + strength * sum_n alpha_n V z_n

All adapters are frozen; Q, K and V are what the following training moves. V is held near the identity by
`value_regularisation * sum over layers of |V - I|^2`. Without a fairness loss in that training a fusion may
learn to ignore the debiasing adapters, so the attention that each adapter gets is part of the report.

Source: Pfeiffer et al. 2021 (AdapterFusion); Kumar et al. 2023 (DAM) for fusing debiasing adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter, adapter_of, adapter_steps, references
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk import (
    Artifact,
    Bars,
    Fact,
    LossTerm,
    Mitigation,
    ModelTransform,
    Plugin,
    RunContext,
    Section,
    StrengthOptions,
    UsageError,
    hookimpl,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evenhand_adapterfusion.fusion_attention import FusionAttention


class AdapterFusionOptions(StrengthOptions):
    """Options of `adapter-fusion`; `strength` is the factor on the fused change."""

    adapters: tuple[str, ...] = Field(min_length=2, description='Adapter steps, such as "step:gender-adapter".')
    value_regularisation: Annotated[float, Field(ge=0.0)] = Field(
        0.01, description="Weight of the pull of V to the identity; 0 leaves it out."
    )

    @field_validator("adapters")
    @classmethod
    def _references(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        references(value)
        return value


class AdapterFusion(Mitigation):
    """Learns, for every layer and token, how much of each adapter to use."""

    name = "adapter-fusion"
    summary = "Fuses the adapters of earlier steps by attention; trains the fusion and nothing else."
    source = "Pfeiffer et al. 2021, AdapterFusion; Kumar et al. 2023, DAM (modularised bias mitigation)"
    shapes_training = True
    claims = ("adapters",)
    Options = AdapterFusionOptions
    example_options: ClassVar[dict[str, Any]] = {"adapters": ["step:gender-adapter", "step:task"]}
    example_steps: ClassVar[dict[str, Plugin]] = {"gender-adapter": DebiasingAdapter(), "task": TaskAdapter()}

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm | None:
        if self.options.value_regularisation == 0:
            return None
        from evenhand_adapterfusion import fusion_layers

        name = run.step_id
        return LossTerm(
            name="value regularisation",
            fn=lambda batch, outputs: fusion_layers.value_distance(model, name),
            weight=self.options.value_regularisation,
            anchor=True,
        )

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        from evenhand_adapterfusion import bottleneck, fusion_layers
        from evenhand_adapterfusion.base_digest import KEY, base_digest

        name, strength = run.step_id, self.options.strength

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            adapters = [adapter_of(step) for step in adapter_steps(run, self.options.adapters)]
            fusion_layers.add(model, name, adapters, run.seed_for("fusion"))
            if artifact.tensors:
                bottleneck.put(model, artifact.tensors)
                bottleneck.freeze(fusion_layers.modules(model, name))
                bottleneck.say_trained_on(model, name, artifact.meta)

        def finish(model: PreTrainedModel) -> Artifact:
            parts = fusion_layers.modules(model, name)
            fusion_layers.scale(model, name, strength)
            bottleneck.freeze(parts)
            facts = {"evenhand": self.name, "adapters": fusion_layers.members(model, name), KEY: base_digest(model)}
            bottleneck.say_trained_on(model, name, facts)
            return Artifact(tensors=bottleneck.tensors(model, parts), meta=facts)

        def load(model: PreTrainedModel, folder: Path) -> None:
            fusion_layers.load(
                model, name, [adapter_of(step) for step in adapter_steps(run, self.options.adapters)], folder
            )

        return ModelTransform(
            apply=apply,
            revert=lambda model: fusion_layers.remove(model, name),
            trainable=lambda model: bottleneck.parameter_names(model, fusion_layers.modules(model, name)),
            finish=finish,
            fold=lambda model: False,  # attention between adapters is no linear map
            save=lambda model, folder: fusion_layers.save(model, name, folder),
            load=load,
            portable=False,
        )

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section:
        from evenhand_adapterfusion import fusion_layers
        from evenhand_adapterfusion.fusion_attention import fusion_attention

        if not fusion_layers.modules(model, run.step_id):
            raise UsageError("the model has no fusion of this step", where=f"step {run.step_id!r}")
        found = fusion_attention(model, run.step_id, run.tokenizer)
        debiasing = [adapter_of(step) for step in adapter_steps(run, self.options.adapters) if step.plugin.debiases]  # type: ignore[attr-defined]
        return section(found, debiasing)


def section(found: FusionAttention, debiasing: list[str]) -> Section:
    """Says in words and bars how much of the fusion's attention each adapter gets."""
    even = 1 / len(found.adapters)
    attention = dict(zip(found.adapters, found.attention.tolist(), strict=True))
    contribution = dict(zip(found.adapters, found.contribution.tolist(), strict=True))
    ignored = [n for n in debiasing if min(attention[n], contribution[n]) < even / 2]
    text = (
        f"Attention of the fusion on each adapter, mean over all tokens of eight sentences and over "
        f"{len(found.layers)} fusion layers; an even share would be {100 * even:.0f} %. The second figure also counts "
        "how much an adapter has to say: its share in the length of what the fusion adds."
    )
    if ignored:
        text += (
            f" The fusion makes little use of {' and '.join(ignored)}: less than half an even share. "
            "A fairness term in the training of the fusion, or more weight on it, is the usual remedy."
        )
    facts = [Fact(label=f"attention on {n}", value=round(a, 4)) for n, a in attention.items()]
    facts.append(Fact(label="debiasing adapters that are hardly used", value=", ".join(ignored) or "none"))
    labels = list(found.adapters)
    return Section(
        title="What the fusion listens to",
        text=text,
        facts=facts,
        figures=[
            Bars(labels=labels, values=[attention[n] for n in labels], caption="Share of the attention"),
            Bars(labels=labels, values=[contribution[n] for n in labels], caption="Share of what is added"),
        ],
    )
