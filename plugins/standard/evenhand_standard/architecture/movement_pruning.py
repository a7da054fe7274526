"""Movement pruning of attention heads with the losses of a run: scores are trained, weights stay as they are.

    gate_h = 1 where sigmoid(S_h) > tau(t), else 0;   backwards as if it were sigmoid(S_h)
    tau(t) = tau (1 - (1 - t / T)^3)

The training that follows moves the scores S alone, by whatever losses it has (a fairness term with its retention, the
language), plus the mean of sigmoid(S), which shuts heads that nothing speaks for. Heads that are shut at the end go,
and are folded into the output projections; the scores leave the model.

Sources: Joniak and Aizawa 2022, Gender biases and where to find them; Sanh et al. 2020, Movement pruning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import Artifact, LossTerm, Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl
from evenhand_standard.architecture.head_gates import LiveGates, shut
from evenhand_standard.architecture.layer_parts import Layer, layers_of
from evenhand_standard.architecture.live_hooks import Hooks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class MovementPruningOptions(StrengthOptions):
    """Options of `movement-pruning`; `strength` is the share of its output that a pruned head loses."""

    threshold: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.1, description="tau at the end: heads whose sigmoid(S) is not above it go. Scores begin at 0, 0.5."
    )
    penalty: Annotated[float, Field(ge=0.0)] = Field(1.0, description="Weight of the mean of sigmoid(S) in the loss.")


class MovementPruning(Mitigation):
    """Learns which attention heads a fair model can do without."""

    name = "movement-pruning"
    summary = "Trains a score for each attention head by the losses of the run, and takes away those that end below."
    source = "Joniak and Aizawa 2022, Gender biases and where to find them; Sanh et al. 2020, Movement pruning"
    shapes_training = True
    controls = ("random-heads",)
    Options = MovementPruningOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm | None:
        o, scores = self.options, Scores(run.step_id)
        if not o.penalty or not o.strength:
            return None
        return LossTerm(
            name="open heads", fn=lambda batch, outputs: scores.open_share(model), weight=o.penalty, anchor=True
        )

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        o, scores, live = self.options, Scores(run.step_id), LiveGates(run.step_id)
        if not o.strength:
            return None  # then nothing is pruned, and all may learn

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if "kept" in artifact.tensors:
                live.put(model, shut(artifact.tensors["kept"], o.strength))
            else:
                scores.put(model)

        def finish(model: PreTrainedModel) -> Artifact:
            found = scores.read(model)
            kept = (found.sigmoid() > o.threshold).float()
            scores.take(model)
            live.put(model, shut(kept, o.strength))
            gone = [[int(k), int(h)] for k, h in (kept == 0).nonzero()]
            if not gone:
                run.logger.warning("no score of a head fell below the threshold: nothing is pruned")
            return Artifact(tensors={"kept": kept, "scores": found}, meta={"pruned": gone, "heads": int(kept.numel())})

        def revert(model: PreTrainedModel) -> None:
            scores.take(model)
            live.take(model)

        return ModelTransform(
            apply=apply,
            revert=revert,
            trainable=scores.names,
            on_step=lambda step, total: scores.set_threshold(model, scheduled(o.threshold, step, total)),
            finish=finish,
            fold=live.fold,
        )


def scheduled(threshold: float, step: int, total: int) -> float:
    """tau at a step: 0 at the first, rising fast and then slowly to its end."""
    done = min(1.0, step / max(1, total - 1))
    return threshold * (1.0 - (1.0 - done) ** 3)


class Scores:
    """The scores of one step, kept by the output projections of a model, so that a copy has its own."""

    def __init__(self, step: str) -> None:
        self.name = "evenhand_scores_" + re.sub(r"\W", "_", step)
        self.hooks = Hooks()

    def put(self, model: PreTrainedModel) -> None:
        """Scores of 0 for all heads, and their gates, from now on."""
        import torch

        for layer in layers_of(model):
            module = layer.output.module
            module.register_parameter(
                self.name, torch.nn.Parameter(torch.zeros(layer.heads, device=module.weight.device))
            )
            setattr(module, self._threshold, 0.0)
            self.hooks.handles.append(module.register_forward_pre_hook(self._gating(layer)))

    def _gating(self, layer: Layer) -> Any:
        name, size, threshold = self.name, layer.head_size, self._threshold

        def gate(owner: Any, args: Any) -> Any:
            soft = getattr(owner, name).sigmoid()
            hard = (soft > getattr(owner, threshold)).to(soft)
            gates = hard + soft - soft.detach()  # the value of the one, the gradient of the other
            return (args[0] * gates.to(args[0]).repeat_interleave(size), *args[1:])

        return gate

    @property
    def _threshold(self) -> str:
        return f"{self.name}_threshold"

    def _modules(self, model: PreTrainedModel) -> list[Any]:
        found = [layer.output.module for layer in layers_of(model)]
        return [module for module in found if hasattr(module, self.name)]

    def names(self, model: PreTrainedModel) -> list[str]:
        """Names of the scores among the model's parameters."""
        return [name for name, _ in model.named_parameters() if name.rpartition(".")[2] == self.name]

    def read(self, model: PreTrainedModel) -> torch.Tensor:
        """S [layers, heads]."""
        import torch

        return torch.stack([getattr(module, self.name).detach().cpu().float() for module in self._modules(model)])

    def open_share(self, model: PreTrainedModel) -> torch.Tensor:
        """The mean of sigmoid(S) []; 0 for a model without scores of this step."""
        import torch

        found = [getattr(module, self.name).sigmoid() for module in self._modules(model)]
        return torch.stack(found).mean() if found else torch.zeros((), device=model.device)

    def set_threshold(self, model: PreTrainedModel, value: float) -> None:
        """tau from now on."""
        for module in self._modules(model):
            setattr(module, self._threshold, value)

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        for module in self._modules(model):
            delattr(module, self.name)
            delattr(module, self._threshold)
