"""The sum of what several adapters add, without anything to learn.

    h  ->  h + strength * sum_n w_n z_n

z_n is the output of adapter n before the residual is added, w_n its factor. It is the simple way to have several
adapters act at once, weighed by hand; `adapter-fusion` learns to weigh them, for every layer and token.

Source: Pfeiffer et al. 2021 (AdapterFusion, of which this is the case without attention); Ilharco et al. 2023 (task
arithmetic) for adding up what separate trainings changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter, adapter_of, adapter_steps, references
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk import Artifact, Mitigation, ModelTransform, Plugin, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class AdapterSumOptions(StrengthOptions):
    """Options of `adapter-sum`; `strength` is a factor on the whole sum."""

    adapters: tuple[str, ...] = Field(min_length=1, description='Adapter steps, such as "step:gender-adapter".')
    weights: tuple[float, ...] = Field((), description="The factor of each adapter, in their order; 1 if not given.")

    @model_validator(mode="after")
    def _checked(self) -> AdapterSumOptions:
        references(self.adapters)
        if self.weights and len(self.weights) != len(self.adapters):
            raise ValueError(f"{len(self.weights)} weights for {len(self.adapters)} adapters; give one for each")
        return self


class AdapterSum(Mitigation):
    """Adds up the adapters of earlier steps, each times a factor."""

    name = "adapter-sum"
    summary = "Adds up what the adapters of earlier steps add, each times a factor; nothing is trained."
    source = "Pfeiffer et al. 2021, AdapterFusion, without its attention; Ilharco et al. 2023, task arithmetic"
    claims = ("adapters",)
    Options = AdapterSumOptions
    example_options: ClassVar[dict[str, Any]] = {"adapters": ["step:gender-adapter", "step:task"]}
    example_steps: ClassVar[dict[str, Plugin]] = {"gender-adapter": DebiasingAdapter(), "task": TaskAdapter()}

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        from evenhand_adapterfusion import fusion_layers

        name, o = run.step_id, self.options

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            from evenhand_adapterfusion import weighted_sum

            adapters = [adapter_of(step) for step in adapter_steps(run, o.adapters)]
            weights = [o.strength * w for w in o.weights or (1.0,) * len(adapters)]
            weighted_sum.add(model, name, adapters, weights)

        return ModelTransform(
            apply=apply,
            revert=lambda model: fusion_layers.remove(model, name),
            fold=lambda model: False,  # an adapter is not linear, and so is no sum of them
            portable=False,
        )
