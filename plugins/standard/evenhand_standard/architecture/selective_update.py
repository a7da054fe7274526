"""Selective parameter updates: the training moves a few chosen tensors, and all others stay bit-identical.

With theta0 the selected tensors before the training and theta after it, the step leaves

    theta(s) = theta0 + s (theta - theta0)

in the model, s being its strength: 1 is as trained, 0 is theta0 itself, bit by bit.

Sources: Gira, Zhang and Lee 2022 (layer norms and embeddings of GPT-2); Ben Zaken et al. 2022 (biases only);
Wortsman et al. 2022 (interpolation between the weights before and after).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from evenhand_sdk import (
    Artifact,
    Mitigation,
    ModelTransform,
    RunContext,
    StrengthOptions,
    UsageError,
    hookimpl,
)
from evenhand_standard.architecture.families import Family, family_of, layer_numbers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TensorSet = Literal[
    "norms", "biases", "position-embeddings", "token-embeddings", "mlp-output", "attention", "top-layers"
]


class SelectiveUpdateOptions(StrengthOptions):
    """Options of `selective-update`; `strength` is how far the selected tensors go from before to after."""

    select: Annotated[tuple[TensorSet, ...], Field(min_length=1)] = Field(
        ("norms", "mlp-output"), description="Sets of tensors that may move, joined."
    )
    layers: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.25, description="Share of the layers, the last ones, for mlp-output and top-layers."
    )


class SelectiveUpdate(Mitigation):
    """Lets the next training move chosen tensors only."""

    name = "selective-update"
    summary = "Lets the training move a few chosen tensors, norms and late feed-forward outputs by default."
    source = "Gira, Zhang and Lee 2022, Debiasing pre-trained language models via efficient fine-tuning"
    shapes_training = True
    Options = SelectiveUpdateOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options
        before: dict[str, torch.Tensor] = {}

        def fit(model: PreTrainedModel) -> Artifact:
            chosen = set(trainable(model))
            return Artifact(meta={"select": list(o.select), "layers": o.layers, **size(model, chosen)})

        def trainable(model: PreTrainedModel) -> list[str]:
            names = selected(model, o.select, o.layers)
            if not before:  # a resumed run does not fit again, but it asks for the names before it trains
                chosen = set(names)
                before.update({n: p.detach().clone() for n, p in model.named_parameters() if n in chosen})
            return names

        def finish(model: PreTrainedModel) -> Artifact:
            moved = interpolate(model, before, o.strength)
            facts = {
                "select": list(o.select),
                "layers": o.layers,
                "strength": o.strength,
                "moved tensors": moved,
            }
            artifact = Artifact(meta={**facts, **size(model, before.keys())})
            before.clear()
            return artifact

        return ModelTransform(
            fit=fit,
            trainable=trainable,
            finish=finish,
            fold=lambda model: True,  # the weights are where they belong already
        )


def selected(model: PreTrainedModel, sets: Sequence[TensorSet], layers: float) -> list[str]:
    """Names of the parameters in any of the sets, in the model's order; UsageError for a set without any."""
    family = family_of(model)
    names = [name for name, _ in model.named_parameters()]
    members = {s: _members(s, names, family, layers) for s in SETS}
    for wanted in sets:
        if not members[wanted]:
            raise UsageError(
                f"a model of type {model.config.model_type!r} has no tensors in the set {wanted!r}",
                where="option select",
                known=f"it has {', '.join(s for s, found in members.items() if found)}",
            )
    chosen = {name for wanted in sets for name in members[wanted]}
    return [name for name in names if name in chosen]


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


def size(model: PreTrainedModel, chosen: Sequence[str] | set[str]) -> dict[str, float]:
    """How many tensors and parameters were chosen, and their share of all parameters."""
    total = sum(p.numel() for p in model.parameters())
    count = sum(p.numel() for name, p in model.named_parameters() if name in chosen)
    return {"tensors": len(chosen), "parameters": count, "share": count / total}


def _members(wanted: TensorSet, names: Sequence[str], family: Family, layers: float) -> list[str]:
    number = layer_numbers(names, family)
    depth = max(number.values()) + 1
    late = depth - math.ceil(layers * depth)
    return [name for name in names if SETS[wanted](name, family, number.get(name, -1) >= late)]


def _matching(field: str) -> Callable[[str, Family, bool], bool]:
    def test(name: str, family: Family, late: bool) -> bool:
        pattern = getattr(family, field)
        return pattern is not None and re.search(pattern, name) is not None

    return test


SETS: dict[TensorSet, Callable[[str, Family, bool], bool]] = {
    "norms": _matching("norms"),
    "biases": lambda name, family, late: name.endswith(".bias"),
    "position-embeddings": _matching("position_embeddings"),
    "token-embeddings": _matching("token_embeddings"),
    "mlp-output": lambda name, family, late: late and _matching("mlp_output")(name, family, late),
    "attention": _matching("attention"),
    "top-layers": lambda name, family, late: late,
}
"""Set -> whether a parameter is in it, from its name and whether its layer is among the last ones."""
