"""Means and covariances of labelled hidden states, added up in float64 while they stream by.

Memory is one H x H matrix, whatever the number of states. With strata, all covariances are *within* strata: what
the stratum explains of states and labels has been taken out of both (conditional erasure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Moments:
    """Sums over states x [H] with a class each, from which covariances are made.

    Sums are taken around the mean of the first batch, so that nothing cancels.
    """

    def __init__(self, width: int, classes: int, strata: int = 1) -> None:
        import torch

        self.width = width
        self.counts = torch.zeros(strata, classes, dtype=torch.float64)
        self._sums = torch.zeros(strata, classes, width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)
        self._origin: torch.Tensor | None = None

    def update(self, states: torch.Tensor, classes: torch.Tensor, strata: torch.Tensor | None = None) -> None:
        """Add states [n, H] with classes [n] and, where they are told apart, strata [n]."""
        import torch

        if not len(states):
            return
        x = states.detach().to("cpu", torch.float64)
        if self._origin is None:
            self._origin = x.mean(0)
        x = x - self._origin
        kind = classes if strata is None else strata * self.counts.shape[1] + classes
        self._sums.view(-1, self.width).index_add_(0, kind, x)
        self.counts.view(-1).index_add_(0, kind, torch.ones(len(x), dtype=torch.float64))
        self._products.addmm_(x.T, x)

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> torch.Tensor:
        """The mean state [H]."""
        assert self._origin is not None
        return self._origin + self._sums.sum((0, 1)) / self.counts.sum()

    def covariance(self) -> torch.Tensor:
        """Cov(X) within strata [H, H]."""
        means, sizes = self._means()
        centred = self._products - (means * sizes[:, None]).T @ means
        return centred / self.counts.sum()

    def cross_covariance(self) -> torch.Tensor:
        """Cov(X, Z) within strata [H, classes], Z being one-hot."""
        means, _ = self._means()
        return (self._sums - self.counts[:, :, None] * means[:, None]).sum(0).T / self.counts.sum()

    def _means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean [strata, H] of each stratum around the origin, and its size."""
        sizes = self.counts.sum(1)
        return self._sums.sum(1) / sizes.clamp_min(1.0)[:, None], sizes


def shrunk(covariance: torch.Tensor, amount: float) -> torch.Tensor:
    """(1 - a) S + a tr(S) / H I: invertible for a > 0, with the same trace."""
    import torch

    width = len(covariance)
    ridge = torch.eye(width, dtype=covariance.dtype) * covariance.trace() / width
    return (1.0 - amount) * covariance + amount * ridge
