"""A logistic probe: P(class 1 | x) = sigmoid(w . x + b), fitted by Newton's method, so that it needs no seed.

Minimised is  mean over classes of mean log-loss + l2 / 2 |w|^2  on standardised inputs, so both classes count equally;
or the mean with weights that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

L2 = 0.01
STEPS = 50


@dataclass(frozen=True)
class Probe:
    """w [H] and b [] in float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """The log-odds [...] of states [..., H]; above 0 is class 1."""
        return states.float() @ self.weight.to(states.device) + self.bias.to(states.device)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For an artifact."""
        return {"probe.weight": self.weight, "probe.bias": self.bias}

    @classmethod
    def read(cls, tensors: Mapping[str, torch.Tensor]) -> Probe:
        """The counterpart of `tensors`."""
        return cls(tensors["probe.weight"], tensors["probe.bias"])


def fit_probe(states: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor | None = None, l2: float = L2) -> Probe:
    """The probe of states [n, H] with labels [n], 0 or 1, both of which must occur; in float64.

    `shares` [n] add up to 1 and say how much each state counts; without them, both classes count half.
    """
    import torch

    x = states.double()
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-8)
    ones = torch.ones(len(x), 1, dtype=torch.float64)
    z = torch.cat([(x - mean) / scale, ones], 1)
    y = labels.double()
    share = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum()) if shares is None else shares.double()
    ridge = l2 * torch.eye(z.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 0.0
    beta = torch.zeros(z.shape[1], dtype=torch.float64)

    def loss(at: torch.Tensor) -> torch.Tensor:
        logits = z @ at
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        return (share * each).sum() + 0.5 * at @ ridge @ at

    for _ in range(STEPS):
        p = torch.sigmoid(z @ beta)
        gradient = z.T @ (share * (p - y)) + ridge @ beta
        if float(gradient.norm()) < 1e-10:
            break
        curvature = (z * (share * p * (1 - p))[:, None]).T @ z + ridge
        curvature[-1, -1] += 1e-12
        move, size = torch.linalg.solve(curvature, gradient), 1.0
        while size > 1e-6 and float(loss(beta - size * move)) > float(loss(beta)):
            size /= 2  # far from the solution a whole step can be too long
        beta = beta - size * move
    weight = beta[:-1] / scale
    return Probe(weight.float(), (beta[-1] - weight @ mean).float())
