"""Movement pruning of attention heads with the losses of a run: scores are trained, weights stay as they are.

    gate_h = 0 where S_h is among the lowest and below 0, else 1;   backwards as if it were sigmoid(S_h)
    how many are among the lowest(t) = share (1 - (1 - t / T)^3) of all heads

The training that follows moves the scores S alone, by whatever losses it has (a fairness term with its retention, the
language), plus a small multiple of the sum of sigmoid(S), which shuts heads that nothing speaks for. Heads that are
shut at the end go, and are folded into the output projections; the scores leave the model. With `cut = "threshold"`
heads go whose sigmoid(S) is not above tau(t) = tau (1 - (1 - t / T)^3), however many they are.

Sources: Joniak and Aizawa 2022, Gender biases and where to find them; Sanh et al. 2020, Movement pruning (which has
both cuts, and calls the second one soft).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    LossTerm,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    StrengthOptions,
    TrainingStart,
    UsageError,
    hookimpl,
)
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.head_gates import LiveGates, shut
from evenhand_standard.architecture.layer_parts import Layer, layers_of
from evenhand_standard.architecture.live_hooks import Hooks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


FLOOR = -100.0
"""A score whose sigmoid is nothing: what is not above it is shut at every threshold."""


class MovementPruningOptions(StrengthOptions):
    """Options of `movement-pruning`; `strength` is the share of its output that a pruned head loses."""

    cut: Literal["share", "threshold"] = Field(
        "share", description="Heads with the lowest scores go, as far as they are below 0; or all below a threshold."
    )
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.05, description="share: of all heads, how many may go.")
    threshold: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.1, description="threshold: heads whose sigmoid(S) is not above it go. Scores begin at 0, 0.5."
    )
    penalty: Annotated[float, Field(ge=0.0)] = Field(
        1e-4, description="Weight of sigmoid(S) of each head in the loss; well below what the losses say about a head."
    )

    @model_validator(mode="after")
    def _of_one_cut(self) -> MovementPruningOptions:
        fields = type(self).model_fields
        other = "threshold" if self.cut == "share" else "share"
        if getattr(self, other) != fields[other].default:
            raise ValueError(f'{other} decides nothing with cut = "{self.cut}"; set cut = "{other}"')
        return self


class MovementPruning(Mitigation):
    """Learns which attention heads a fair model can do without."""

    name = "movement-pruning"
    summary = "Trains a score for each attention head by the losses of the run, and takes away those that end below."
    source = "Joniak and Aizawa 2022, Gender biases and where to find them; Sanh et al. 2020, Movement pruning"
    shapes_training = True
    claims = ("head scores",)
    controls = ("random-heads",)
    Options = MovementPruningOptions

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape) if self.options.strength else ()

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm | None:
        o, scores = self.options, Scores(run.step_id)
        if not o.penalty or not o.strength:
            return None
        return LossTerm(name="open heads", fn=lambda batch, outputs: scores.open(model), weight=o.penalty, anchor=True)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        o, scores, live = self.options, Scores(run.step_id), LiveGates(run.step_id)
        began: list[Any] = []
        if not o.strength:
            return None  # then nothing is pruned, and all may learn

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if "kept" in artifact.tensors:
                live.put(model, shut(artifact.tensors["kept"], o.strength))
            else:
                scores.put(model)

        def start(begun: TrainingStart) -> None:
            began[:] = [begun.settings] if begun.settings is not None else []

        def on_step(step: int, total: int) -> None:
            if not scores.names(model):
                return
            if o.cut == "share":
                scores.set_cut(model, lowest(scores.read(model), scheduled(o.share, step, total)))
                return
            if began:
                settings = began.pop()
                way = reach(settings.learning_rate, settings.warmup, total)
                demand_reach(way, settings.learning_rate, total, o.threshold, f"step {run.step_id!r}")
            scores.set_threshold(model, scheduled(o.threshold, step, total))

        def finish(model: PreTrainedModel) -> Artifact:
            found = scores.read(model)
            kept = found > lowest(found, o.share) if o.cut == "share" else found.sigmoid() > o.threshold
            scores.take(model)
            live.put(model, shut(kept.float(), o.strength))
            gone = [[int(k), int(h)] for k, h in (~kept).nonzero()]
            if not gone:
                below = "0" if o.cut == "share" else "the threshold"
                run.logger.warning("no score of a head fell below %s: nothing is pruned", below)
            meta = {"pruned": gone, "heads": int(kept.numel()), "scores below 0": int((found < 0).sum())}
            return Artifact(tensors={"kept": kept.float(), "scores": found}, meta=meta)

        def revert(model: PreTrainedModel) -> None:
            scores.take(model)
            live.take(model)

        return ModelTransform(
            apply=apply,
            revert=revert,
            on_start=start,
            trainable=scores.names,
            on_step=on_step,
            finish=finish,
            fold=live.fold,
        )


def scheduled(end: float, step: int, total: int) -> float:
    """tau, or the share, at a step: 0 at the first, rising fast and then slowly to its end."""
    done = min(1.0, step / max(1, total - 1))
    return end * (1.0 - (1.0 - done) ** 3)


def lowest(scores: torch.Tensor, share: float) -> float:
    """The score at and below which heads go, so that it is this share of all at most, each of them below 0.

    At least one may go for any share above 0. `FLOOR` where none is below 0.
    """
    ranked = scores.flatten().sort().values
    count = min(max(1, int(share * len(ranked) + 1e-9)) if share else 0, int((ranked < 0).sum()))
    return float(ranked[count - 1]) if count else FLOOR


def reach(learning_rate: float, warmup: float, updates: int) -> float:
    """How far a score can go: the sum of the rates of all updates, since Adam moves a weight by about its rate."""
    first = max(1, int(warmup * updates))
    rates = [
        k / first if k < first else 0.5 * (1.0 + math.cos(math.pi * (k - first) / max(1, updates - first)))
        for k in range(updates)
    ]
    return learning_rate * sum(rates)


def demand_reach(way: float, learning_rate: float, updates: int, threshold: float, where: str) -> None:
    """UsageError, before the first update, where no score that goes so far can come down to the threshold."""
    needed = math.log((1.0 - threshold) / threshold)
    if way < needed:
        enough = learning_rate * needed / way if way else math.inf
        raise UsageError(
            f"no score can reach the threshold {threshold:g}: it is {needed:.2f} below the beginning, and {updates} "
            f"updates at learning_rate = {learning_rate:g} move a score by {way:.2g} at most",
            where=where,
            do=f'set learning_rate to {enough:.2g} or more, take more updates, or set cut = "share"',
        )


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
            setattr(module, self._threshold, FLOOR)
            self.hooks.handles.append(module.register_forward_pre_hook(self._gating(layer)))

    def _gating(self, layer: Layer) -> Any:
        name, size, threshold = self.name, layer.head_size, self._threshold

        def gate(owner: Any, args: Any) -> Any:
            score = getattr(owner, name)
            soft = score.sigmoid()
            hard = (score > getattr(owner, threshold)).to(soft)
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

    def open(self, model: PreTrainedModel) -> torch.Tensor:
        """The sum of sigmoid(S) over all heads []; 0 for a model without scores of this step."""
        import torch

        found = [getattr(module, self.name).sigmoid().sum() for module in self._modules(model)]
        return torch.stack(found).sum() if found else torch.zeros((), device=model.device)

    def set_threshold(self, model: PreTrainedModel, tau: float) -> None:
        """From now on, heads are shut whose sigmoid(S) is not above tau."""
        self.set_cut(model, math.log(tau / (1.0 - tau)) if tau else FLOOR)

    def set_cut(self, model: PreTrainedModel, score: float) -> None:
        """From now on, heads are shut whose S is not above this."""
        for module in self._modules(model):
            setattr(module, self._threshold, score)

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        for module in self._modules(model):
            delattr(module, self.name)
            delattr(module, self._threshold)
