"""The straight line through the weights before and behind a training, and where on it a model stops.

    theta(a) = theta0 + a T(theta - theta0)

a in (0, 1) stops between the two, a below 0 goes the other way. T keeps the largest entries of each tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Artifact, ModelTransform, UsageError
from evenhand_standard.architecture.low_rank import present
from evenhand_standard.architecture.plain_weights import demand_plain
from evenhand_standard.architecture.selective_update import interpolate
from evenhand_standard.architecture.tensor_sets import size

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def along(
    amount: float, names_of: Callable[[PreTrainedModel], Sequence[str]], *, keep: float = 1.0, facts: dict[str, Any]
) -> ModelTransform:
    """The transform that lets the next training move these tensors, then puts them at `amount` of the way."""
    before: dict[str, torch.Tensor] = {}

    def trainable(model: PreTrainedModel) -> list[str]:
        if present(model):
            raise UsageError(
                "LoRA and a step that moves all weights cannot share a training: the weights would move, too",
                do='give `lora` a smaller strength, or set through = "lora" where the other step has it',
            )
        demand_plain(model, "load the model without quantisation, or train what is plain alone with `selective-update`")
        names = list(names_of(model))
        if not before:  # a resumed run does not fit again, but it asks for the names before it trains
            chosen = set(names)
            before.update({n: p.detach().clone() for n, p in model.named_parameters() if n in chosen})
        return names

    def finish(model: PreTrainedModel) -> Artifact:
        way = distance(model, before)
        if keep < 1.0:
            trim(model, before, keep)
        moved = interpolate(model, before, amount)
        found = {**facts, "amount": amount, "length of the way": way, "moved tensors": moved}
        found |= size(model, before.keys())
        before.clear()
        return Artifact(meta=found)

    return ModelTransform(trainable=trainable, finish=finish, fold=lambda model: True)  # the weights are in place


def distance(model: PreTrainedModel, before: dict[str, torch.Tensor]) -> float:
    """The Euclidean length of theta - theta0."""
    total = 0.0
    for name, parameter in model.named_parameters():
        if name in before:
            total += float((parameter.detach().float() - before[name].to(parameter.device).float()).square().sum())
    return total**0.5


def trim(model: PreTrainedModel, before: dict[str, torch.Tensor], keep: float) -> None:
    """Put all but the given share of each tensor, the entries that moved furthest, back to theta0.

    Source: Yadav et al. 2023, TIES-merging (trim by magnitude).
    """
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in before:
                continue
            start = before[name].to(parameter.device)
            moved = (parameter.float() - start.float()).abs().flatten()
            count = max(1, round(keep * moved.numel()))
            chosen = torch.zeros_like(moved, dtype=torch.bool)
            chosen[moved.topk(count).indices] = True
            parameter.copy_(torch.where(chosen.view(parameter.shape), parameter, start))
