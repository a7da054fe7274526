"""From the gradients of several objectives to one direction, through the inner products of the gradients alone.

With gradients g_1 ... g_k in R^D, everything that PCGrad, MGDA and UPGrad decide rests on the k x k matrix G_ij = g_i
. g_j; what they give is a weight for each gradient, and the direction is sum_i c_i g_i. So the k gradients are read
twice, and never stacked into a second [k, D] copy.

The rules themselves are those of torchjd; its weightings take a matrix of inner products. It is an optional extra of
this distribution, and it is small: pure Python, and a solver for quadratic programmes.

PCGrad changes the sum of the gradients, MGDA and UPGrad a mean of them, so the latter two are multiplied by k:
gradients that do not conflict give the plain sum under PCGrad and UPGrad, and learning rates keep their meaning. At
strength s the direction is (1 - s) * sum_i g_i + s * (the rule's).

To MGDA the shortest gradient has the say, and to rules that see equal lengths all have the same. An anchor begins at
zero, where its gradient is made of rounding errors, so there anchors are no objectives: the host adds them as weighted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evenhand_sdk import Aggregator, Effect, UsageError

if TYPE_CHECKING:
    import torch

Rule = Literal["pcgrad", "mgda", "upgrad"]
ALIKE = 0.01
"""Weights nearer to 1 than this are equal."""
NOTHING = 1e-6
"""A gradient of a smaller part of the longest one is of rounding errors."""
EXTRA = "pip install 'evenhand-standard[aggregators]'"


def gramian(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The inner products [k, k] of gradients [D], in float64."""
    import torch

    rows = [[float(torch.dot(a, b)) for b in gradients[: k + 1]] for k, a in enumerate(gradients)]
    return torch.tensor(
        [[rows[max(i, j)][min(i, j)] for j in range(len(rows))] for i in range(len(rows))], dtype=torch.float64
    )


def weighting(rule: Rule) -> Callable[[torch.Tensor], torch.Tensor]:
    """Inner products [k, k] -> weights [k]. Raises UsageError where torchjd is not installed."""
    try:
        from torchjd.aggregation import MGDAWeighting, PCGradWeighting, UPGradWeighting

        found: dict[str, Any] = {
            "pcgrad": PCGradWeighting,
            "mgda": lambda: MGDAWeighting(epsilon=1e-6, max_iters=1000),
            "upgrad": UPGradWeighting,
        }
        return found[rule]()  # type: ignore[no-any-return]
    except ImportError as error:
        raise UsageError(
            f"the aggregator {rule!r} needs {error.name or 'torchjd'}, which is not installed", do=EXTRA
        ) from None


def weights_of(rule: Rule, products: torch.Tensor, *, normalise: bool, weigh: Any = None) -> torch.Tensor:
    """The rule's weights [k] for gradients of these inner products [k, k], none of which is zero.

    With `normalise`, the rule sees gradients of norm 1, and its direction is given their mean norm back.
    """
    import torch

    weigh = weigh or weighting(rule)
    norms = products.diagonal().sqrt()
    scale = 1.0 if rule == "pcgrad" else float(len(products))
    if not normalise:
        return scale * weigh(products)  # type: ignore[no-any-return]
    return scale * norms.mean() * weigh(products / torch.outer(norms, norms)) / norms  # type: ignore[no-any-return]


def aggregator(rule: Rule, *, strength: float, normalise: bool, seed: int) -> Aggregator:
    """One of the rules as an aggregator; `normalise` divides each gradient by its norm before the rule sees it."""
    import torch

    weigh = weighting(rule)
    drawn = [0]
    seen = {"steps": 0, "acted": 0, "most": 1.0, "terms": 0}

    conflicts = rule != "mgda" and not normalise  # then the rule gives the sum where no two gradients conflict

    def note(products: torch.Tensor, weights: Sequence[float]) -> None:
        if conflicts:
            seen["acted"] += bool((products < 0).any())
            return
        seen["acted"] += any(abs(weight - 1) > ALIKE for weight in weights)
        low = min(map(abs, weights))
        seen["most"] = max(seen["most"], max(map(abs, weights)) / low if low else math.inf)

    def effect() -> Effect:
        steps, acted = int(seen["steps"]), int(seen["acted"])
        if seen["terms"] < 2:
            what = "no two loss terms had a gradient in one step"
            return Effect(took=False, what=f"there is nothing to combine: {what}", size=0.0)
        did = "conflicts removed" if conflicts else "weights other than equal"
        more = f", at most {seen['most']:.3g} times another" if not conflicts and math.isfinite(seen["most"]) else ""
        what = f"{did} in {acted:,} of {steps:,} steps{more}"
        called_for = acted > 0 or not conflicts  # where none was met, the plain sum is what the rule gives
        return Effect(took=acted > 0, what=what, size=acted / max(1, steps), called_for=called_for)

    def combine(losses: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> torch.Tensor:
        norms = [float(g.norm()) for g in gradients.values()]
        kept = [g for g, norm in zip(gradients.values(), norms, strict=True) if norm > NOTHING * max(norms)]
        seen["steps"] += 1
        seen["terms"] = max(seen["terms"], len(kept))
        if len(kept) < 2:
            return torch.stack(list(gradients.values())).sum(0)
        with torch.random.fork_rng(devices=[]):  # PCGrad draws an order: the same one in every process and resume
            torch.manual_seed(seed + drawn[0])
            products = gramian(kept)
            weights = weights_of(rule, products, normalise=normalise, weigh=weigh)
        drawn[0] += 1
        note(products, weights.tolist())
        mixed = [1 - strength + strength * float(weight) for weight in weights]
        direction = torch.zeros_like(kept[0])
        for share, gradient in zip(mixed, kept, strict=True):
            direction.add_(gradient, alpha=share)
        return direction

    def load(saved: Mapping[str, Any]) -> None:
        drawn[0] = int(saved["drawn"])
        seen.update(saved.get("seen", {}))

    return Aggregator(
        name=rule,
        combine=combine,
        uses="gradients",
        anchors_apart=rule == "mgda" or normalise,
        effect=effect,
        state_dict=lambda: {"drawn": drawn[0], "seen": dict(seen)},
        load_state_dict=load,
    )
