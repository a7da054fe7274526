"""Means and covariances of labelled hidden states, added up in float64 while they stream by.

Memory is one H x H matrix, whatever the number of states. With strata, all covariances are *within* strata: what
the stratum explains of states and labels has been taken out of both (conditional erasure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def wide(states: torch.Tensor) -> torch.Tensor:
    """States in float64, where they are, or on the CPU where their device knows no float64."""
    import torch

    return states.to("cpu" if states.device.type == "mps" else states.device, torch.float64)


class Moments:
    """Sums over states x [H] with a class each, from which covariances are made.

    Sums are taken around the mean of the first batch, so that nothing cancels, and on the device of the states.
    What is made of them is on the CPU.
    """

    def __init__(self, width: int, classes: int, strata: int = 1) -> None:
        import torch

        self.width = width
        self._shape = (strata, classes)
        self._counts = torch.zeros(strata * classes, dtype=torch.float64)
        self._summed = torch.zeros(strata * classes, width, dtype=torch.float64)
        self._multiplied = torch.zeros(width, width, dtype=torch.float64)
        self._origin: torch.Tensor | None = None

    def update(self, states: torch.Tensor, classes: torch.Tensor, strata: torch.Tensor | None = None) -> None:
        """Add states [n, H] with classes [n] and, where they are told apart, strata [n]."""
        import torch

        if not len(states):
            return
        x = wide(states.detach())
        if self._origin is None:
            self._origin = x.mean(0)
            self._counts, self._summed, self._multiplied = (
                t.to(x.device) for t in (self._counts, self._summed, self._multiplied)
            )
        x = x - self._origin
        kind = classes if strata is None else strata * self._shape[1] + classes
        # A product adds up in the same order each time, which an indexed sum on an accelerator does not.
        of = torch.nn.functional.one_hot(kind.to(x.device), len(self._counts)).to(x.dtype)
        self._summed += of.T @ x
        self._counts += of.sum(0)
        self._multiplied.addmm_(x.T, x)

    @property
    def counts(self) -> torch.Tensor:
        """How many states [strata, classes] were seen."""
        return self._counts.cpu().view(self._shape)

    @property
    def _sums(self) -> torch.Tensor:
        return self._summed.cpu().view(*self._shape, self.width)

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> torch.Tensor:
        """The mean state [H]."""
        assert self._origin is not None
        return self._origin.cpu() + self._sums.sum((0, 1)) / self.counts.sum()

    def covariance(self) -> torch.Tensor:
        """Cov(X) within strata [H, H]."""
        means, sizes = self._means()
        centred = self._multiplied.cpu() - (means * sizes[:, None]).T @ means
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
