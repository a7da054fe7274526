"""What the parts of one update count: micro-batches that are accumulated, and processes that train together.

A loss term is a mean over what a batch has of it: predicted words, aligned positions, pairs. The mean of the means of
several parts is another number where the parts have unequally many, and a term on pairs would weigh the less the
smaller the parts are, since one without a pair adds 0. With n_m the number in part m, the update descends

    L  =  sum_m n_m L_m / sum_m n_m  =  mean_m s_m L_m,         s_m = n_m / mean n

which is the term's value on the whole update, however that is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.processes import averaged, count

if TYPE_CHECKING:
    import torch

    from evenhand.contributions import LossTerm
    from evenhand.training_batch import Batch


@dataclass(frozen=True)
class Share:
    """What a term's value on one micro-batch of one process counts."""

    beside: float = 1.0
    """n over its mean over the processes, of this micro-batch alone."""
    part: float = 1.0
    """That mean over the mean of all micro-batches of the update; the same in every process."""

    @property
    def update(self) -> float:
        """s: n over its mean over all micro-batches and processes of the update."""
        return self.beside * self.part


WHOLE = Share()
"""Of a term that does not say how many it is the mean of: each part counts the same."""


def shares(terms: Sequence[LossTerm], batches: Sequence[Batch], device: Any) -> list[dict[str, Share]]:
    """By name of the term, for each micro-batch of an update. All processes have to call it."""
    import torch

    counted = [term for term in terms if term.count is not None]
    if len(batches) * count() < 2 or not counted:
        return [{} for _ in batches]
    here = torch.tensor([[float(term.count(batch)) for batch in batches] for term in counted if term.count])
    means = averaged(here.to(device, copy=True)).cpu()  # over the processes
    found: list[dict[str, Share]] = [{} for _ in batches]
    for k, term in enumerate(counted):
        whole = float(means[k].mean())
        for m, its in enumerate(found):
            mean = float(means[k, m])
            its[term.name] = Share(beside=_over(float(here[k, m]), mean), part=_over(mean, whole))
    return found


def _over(own: float, mean: float) -> float:
    return own / mean if mean else 1.0  # where nobody has any, each value is zero


def at_the_mean(
    rule: Callable[[Mapping[str, torch.Tensor]], torch.Tensor], values: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """What a rule makes of the losses [] of terms: of several processes, of their means over the processes.

    A rule that is not linear makes something else of each process's own losses. So each process descends the rule's
    tangent at the means, and the mean of their gradients is that of the rule.
    """
    import torch

    if count() == 1 or not torch.is_grad_enabled():
        return rule(values)
    whole, slopes = value_and_slopes(rule, {name: averaged(v.detach().float().clone()) for name, v in values.items()})
    tangent = torch.stack([slopes[name] * value.float() for name, value in values.items()]).sum()
    return tangent + (whole - tangent.detach())


def value_and_slopes(
    rule: Callable[[Mapping[str, torch.Tensor]], torch.Tensor], losses: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, float]]:
    """What a rule makes of losses [], and its derivative by each; 0 for those that it does not follow."""
    import torch

    with torch.enable_grad():
        leaves = {name: value.detach().clone().requires_grad_() for name, value in losses.items()}
        whole = rule(leaves)
        grads = torch.autograd.grad(whole, list(leaves.values()), allow_unused=True)
    slopes = {name: float(g) if g is not None else 0.0 for name, g in zip(leaves, grads, strict=True)}
    return whole.detach(), slopes
