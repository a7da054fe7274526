"""Erasers of linear concepts: x -> x - s L R (x - mu), and three ways to find L and R.

    LEACE             L R = S_xz (S_zx S_xx^-1 S_xz)^+ S_zx S_xx^-1
    INLP              L R = projection on all directions that classifiers found, each behind the ones before
    SentenceDebias    L R = projection on the first principal components of what differs within tuples

The first is Belrose et al.'s P with W = S_xx^(-1/2), written without square roots: W^+ U U^T W with
U U^T = W S_xz (S_zx W^2 S_xz)^+ S_zx W. What it leaves has Cov(r(X), Z) = 0, so no linear classifier beats a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand_sdk import UsageError
from evenhand_standard.architecture.live_hooks import Beside
from evenhand_standard.architecture.moments import Moments, shrunk

if TYPE_CHECKING:
    import torch

NEGLIGIBLE = 1e-10
"""Eigenvalues below this share of the largest count as zero."""

NOTHING = 1e-10
"""A share of a label's variance below this is rounding."""


@dataclass(frozen=True)
class Eraser:
    """L [H, k], R [k, H] and mu [H] in float32; R L is the identity, so L R is a projection of rank k."""

    left: torch.Tensor
    right: torch.Tensor
    mean: torch.Tensor | None
    """None for a projection through the origin."""
    _beside: dict[str, Beside] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def rank(self) -> int:
        return int(self.left.shape[1])

    def __call__(self, states: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """States [..., H] with that share of the concept taken out; computed in float32, given in their own format."""
        import torch

        x = states.to(torch.float32)
        if self.mean is not None:
            x = x - self._near("mean", self.mean, x)
        with torch.autocast(x.device.type, enabled=False):  # which would multiply in bf16
            taken = (x @ self._near("right", self.right, x).T) @ self._near("left", self.left, x).T
        return (states.to(torch.float32) - strength * taken).to(states.dtype)

    def _near(self, name: str, tensor: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        return self._beside.setdefault(name, Beside(tensor)).like(states, tensor.dtype)

    def folded(
        self, weight: torch.Tensor, bias: torch.Tensor | None, strength: float
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """W and b of y = W r(x) + b [O, H], [O]: W - s W L R and b + s W L R mu.

        Without a bias, the shift is given alone, None where it is zero.
        """
        import torch

        wide = weight.to("cpu", torch.float64)
        mixed = wide @ self.left.double() @ self.right.double()
        shift = None if self.mean is None else strength * mixed @ self.mean.double()
        if bias is not None and shift is not None:
            shift = bias.to("cpu", torch.float64) + shift
        return (wide - strength * mixed).to(weight), bias if shift is None else shift.to(weight)

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        """For an artifact."""
        found = {f"{prefix}.left": self.left, f"{prefix}.right": self.right}
        return found if self.mean is None else {**found, f"{prefix}.mean": self.mean}

    @classmethod
    def read(cls, tensors: Mapping[str, torch.Tensor], prefix: str) -> Eraser:
        """The counterpart of `tensors`."""
        return cls(tensors[f"{prefix}.left"], tensors[f"{prefix}.right"], tensors.get(f"{prefix}.mean"))


def leace(moments: Moments, shrinkage: float = 1e-3, *, shift: bool = True) -> Eraser:
    """The least change in the metric of the states after which no linear classifier finds the class.

    Without the shift the mean is erased, too: then no bias is needed, and the change is not the least one.
    Source: Belrose et al. 2023, theorem 4.2. Its rank is 0 where the classes do not differ, as behind another eraser.
    """
    import torch

    cross = moments.cross_covariance()
    solved = torch.linalg.solve(shrunk(moments.covariance(), shrinkage), cross)
    values, vectors = torch.linalg.eigh(cross.T @ solved)
    kept = values > max(NEGLIGIBLE * float(values.max()), NOTHING)
    basis = vectors[:, kept] * values[kept].rsqrt()
    mean = moments.mean.float() if shift else None
    return Eraser((cross @ basis).float().contiguous(), (solved @ basis).T.float().contiguous(), mean)


def projection(directions: torch.Tensor) -> Eraser:
    """Takes out the span of orthonormal directions [k, H]."""
    import torch

    found = directions.float().contiguous()
    return Eraser(found.T.clone(memory_format=torch.contiguous_format), found, None)  # two tensors when they are saved


def nullspace_directions(moments: Moments, rounds: int, shrinkage: float = 1e-3) -> torch.Tensor:
    """Orthonormal directions [k, H] of up to so many rounds: the ridge classifier's, in what the rounds before left.

    Least squares needs nothing but moments, so the states stream once. It ends early when no direction tells the
    classes apart. Raises UsageError for more directions than the states have.
    """
    import torch

    width, each = moments.width, max(1, int((moments.counts.sum(0) > 0).sum()) - 1)
    if rounds * each > width:
        raise UsageError(
            f"{rounds} rounds of {each} directions are more than the width of the states, {width}",
            where="erasure",
            do=f"take at most {width // each} rounds",
        )
    covariance, cross = moments.covariance(), moments.cross_covariance()
    ridge = shrinkage * covariance.trace() / width * torch.eye(width, dtype=torch.float64)
    found = torch.zeros(0, width, dtype=torch.float64)
    strongest = float(torch.linalg.matrix_norm(cross))
    for _ in range(rounds):
        left = torch.eye(width, dtype=torch.float64) - found.T @ found
        seen = left @ cross
        if float(torch.linalg.matrix_norm(seen)) <= 1e-9 * strongest:
            break
        weights = torch.linalg.solve(left @ covariance @ left + ridge, seen)
        bases, sizes, _ = torch.linalg.svd(left @ weights, full_matrices=False)
        new = bases[:, sizes > 1e-8 * sizes.max()].T
        new = new - (new @ found.T) @ found  # rounding must not let a direction come back
        found = torch.cat([found, torch.linalg.qr(new.T)[0].T])
    return found


def principal_directions(products: torch.Tensor, components: int) -> torch.Tensor:
    """The first eigenvectors [k, H] of a matrix of second moments, the strongest first, each with a fixed sign.

    Raises UsageError for more components than there are directions with any variance.
    """
    import torch

    values, vectors = torch.linalg.eigh(products)
    rank = int((values > NEGLIGIBLE * values.max().clamp_min(1e-30)).sum())
    if components > rank:
        raise UsageError(
            f"{components} components are more than the {rank} directions in which the sentences of a pair differ",
            where="erasure",
            do="take fewer components, or more pairs",
        )
    chosen = vectors.T.flip(0)[:components]
    largest = chosen.gather(1, chosen.abs().argmax(1, keepdim=True))
    return chosen * largest.sign()
