"""The erasers' formulas against the definition, the whitened form, the published package and plain loops."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError
from evenhand_standard.architecture.eraser import (
    Eraser,
    leace,
    nullspace_directions,
    principal_directions,
    projection,
)
from evenhand_standard.architecture.moments import Moments, shrunk
from evenhand_standard.controls.random_directions import erased


def drawn(rows: int = 400, width: int = 12, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, classes, (rows,), generator=draw)
    mixed = torch.randn(rows, width, generator=draw) @ torch.randn(width, width, generator=draw)
    return mixed + 2 * torch.randn(classes, width, generator=draw)[kind] + 5, kind


def moments_of(x: torch.Tensor, kind: torch.Tensor, classes: int = 3, batch: int = 37) -> Moments:
    found = Moments(x.shape[1], classes)
    for start in range(0, len(x), batch):
        found.update(x[start : start + batch], kind[start : start + batch])
    return found


def cross(x: torch.Tensor, kind: torch.Tensor, classes: int = 3) -> torch.Tensor:
    z = torch.nn.functional.one_hot(kind, classes).double()
    x = x.double()
    return (x - x.mean(0)).T @ (z - z.mean(0)) / len(x)


@pytest.mark.parametrize("form", ["leace", "random directions"])
def test_what_is_taken_out_is_not_rounded_by_autocast(form: str) -> None:
    """A few dimensions of hidden states are a thousand times as large as the others: in bf16 their rounding alone is
    larger than those."""
    draw = torch.Generator().manual_seed(1)
    states = torch.randn(6, 12, generator=draw)
    states[:, 3] *= 1000
    left, right = torch.randn(12, 2, generator=draw), torch.randn(2, 12, generator=draw)
    acting: Any = Eraser(left, torch.linalg.solve(right @ left, right), torch.randn(12, generator=draw))
    if form == "random directions":
        acting = functools.partial(erased, basis=torch.linalg.qr(left)[0])
    plain = acting(states)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(acting(states), plain)


def test_moments_of_batches_are_those_of_all() -> None:
    x, kind = drawn()
    found = moments_of(x, kind)
    wide = x.double()
    assert found.count == 400
    assert torch.allclose(found.mean, wide.mean(0), atol=1e-12)
    assert torch.allclose(found.covariance(), (wide - wide.mean(0)).T @ (wide - wide.mean(0)) / 400, atol=1e-10)
    assert torch.allclose(found.cross_covariance(), cross(x, kind), atol=1e-12)


def test_moments_within_strata_take_the_stratum_out_of_both() -> None:
    x, kind = drawn()
    stratum = (x[:, 0] > 5).long() + (kind == 1).long()
    found = Moments(12, 3, 3)
    found.update(x[:100], kind[:100], stratum[:100])
    found.update(x[100:], kind[100:], stratum[100:])
    z, wide = torch.nn.functional.one_hot(kind, 3).double(), x.double().clone()
    for s in range(3):
        wide[stratum == s] -= wide[stratum == s].mean(0)
        z[stratum == s] -= z[stratum == s].mean(0)
    assert torch.allclose(found.covariance(), wide.T @ wide / 400, atol=1e-10)
    assert torch.allclose(found.cross_covariance(), wide.T @ z / 400, atol=1e-12)


def test_after_leace_no_state_is_correlated_with_a_class_and_the_mean_stays() -> None:
    x, kind = drawn()
    eraser = leace(moments_of(x, kind), 1e-3)
    erased = eraser(x)
    assert eraser.rank == 2  # of three classes
    assert float(cross(erased, kind).abs().max()) < 1e-5 < 0.1 < float(cross(x, kind).abs().max())
    assert torch.allclose(erased.mean(0), x.mean(0), atol=1e-4)
    assert torch.allclose(eraser(erased), erased, atol=1e-4)
    for strength in (0.0, 0.3):
        assert torch.allclose(eraser(x, strength), x + strength * (erased - x), atol=1e-5)


@pytest.mark.parametrize("shrinkage", [1e-9, 1e-3])
def test_leace_is_the_whitened_projection_of_the_paper(shrinkage: float) -> None:
    x, kind = drawn()
    values, vectors = torch.linalg.eigh(shrunk(moments_of(x, kind).covariance(), shrinkage))
    whiten = vectors @ (values.rsqrt()[:, None] * vectors.T)
    restore = vectors @ (values.sqrt()[:, None] * vectors.T)
    basis, sizes, _ = torch.linalg.svd(whiten @ cross(x, kind), full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes.max()]
    expected = restore @ basis @ basis.T @ whiten
    eraser = leace(moments_of(x, kind), shrinkage)
    assert torch.allclose(eraser.left.double() @ eraser.right.double(), expected, atol=1e-5)


PUBLISHED = [
    [0.5400913897, 0.3360217630, 0.4501446811, -0.1366203134],
    [0.2580905274, 0.1757640408, 0.2095281199, -0.1548750820],
    [0.3655207131, 0.1665405691, 0.3270062262, 0.2665211544],
    [0.0209965732, -0.1501343930, 0.0774460740, 0.9571383433],
]
"""`eraser.P` of concept-erasure 0.2.4, `LeaceFitter.fit(x, one_hot, svd_tol=1e-6, shrinkage=False,
constrain_cov_trace=False)` in float64, for the states of `fixed`."""
PUBLISHED_STATES = [
    [1.9009020094, 0.4692694183, -0.1299294036, 0.3323556875],
    [1.1548966527, 0.1394191186, -0.7415507133, 0.0171706996],
    [1.7685800977, 0.5709372974, -0.8802334747, -1.4442965126],
]
"""What it makes of the first three."""


def fixed() -> tuple[torch.Tensor, torch.Tensor]:
    """30 states of width 4 in three classes, by a formula and no generator."""
    kind = [(n * n + n // 5) % 3 for n in range(30)]
    rows = [
        [((n * n * 7 + n * 13 * k + k * k * 5) % 23) / 7 - k + (1.5 if k == kind[n] else 0.0) for k in range(4)]
        for n in range(30)
    ]
    return torch.tensor(rows, dtype=torch.float64), torch.tensor(kind)


def test_leace_is_that_of_the_published_package() -> None:
    x, kind = fixed()
    eraser = leace(moments_of(x, kind), 1e-12)
    left, right = eraser.left.double(), eraser.right.double()
    assert torch.allclose(torch.eye(4) - left @ right, torch.tensor(PUBLISHED, dtype=torch.float64), atol=1e-5)
    found = eraser(x[:3].float()).double()
    assert torch.allclose(found, torch.tensor(PUBLISHED_STATES, dtype=torch.float64), atol=1e-5)


def test_leace_without_shift_erases_as_well_and_moves_the_mean() -> None:
    x, kind = drawn()
    eraser = leace(moments_of(x, kind), shift=False)
    assert eraser.mean is None
    assert float(cross(eraser(x), kind).abs().max()) < 1e-5
    assert not torch.allclose(eraser(x).mean(0), x.mean(0), atol=0.1)


def test_folded_into_a_matrix_it_is_the_same_map() -> None:
    x, kind = drawn()
    eraser = leace(moments_of(x, kind))
    draw = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(5, 12, generator=draw), torch.randn(5, generator=draw)
    for b in (bias, None):
        new, shift = eraser.folded(weight, b, 0.6)
        expected = eraser(x, 0.6) @ weight.T + (0 if b is None else b)
        assert torch.allclose(x @ new.T + shift, expected, atol=1e-4)


def test_where_the_classes_do_not_differ_nothing_is_erased() -> None:
    x = torch.ones(10, 4) * torch.arange(10.0)[:, None]
    same, kind = torch.cat([x, x]), torch.tensor([0] * 10 + [1] * 10)
    eraser = leace(moments_of(same, kind, 2))
    assert eraser.rank == 0 and torch.equal(eraser(same), same)
    y, groups = drawn()
    again = leace(moments_of(leace(moments_of(y, groups))(y), groups))
    assert again.rank == 0, "rounding is not taken for a difference"


def test_inlp_is_ridge_regression_round_by_round_on_projected_states() -> None:
    x, kind = drawn(classes=2)
    found = nullspace_directions(moments_of(x, kind, 2), 3, 1e-3)
    wide, z = x.double() - x.double().mean(0), torch.nn.functional.one_hot(kind, 2).double()
    z = z - z.mean(0)
    ridge = 1e-3 * (wide**2).sum() / len(x) / 12
    kept = torch.eye(12, dtype=torch.float64)
    for k in range(3):
        seen = wide @ kept
        w = torch.linalg.solve(seen.T @ seen / 400 + ridge * torch.eye(12), seen.T @ z / 400)[:, 0]
        w = w / w.norm()
        assert abs(float(w @ found[k])) == pytest.approx(1.0, abs=1e-8)
        kept = kept @ (torch.eye(12, dtype=torch.float64) - torch.outer(w, w))
    assert torch.allclose(found @ found.T, torch.eye(3, dtype=torch.float64), atol=1e-10)
    erased = projection(found)(x).double()
    assert torch.allclose(erased @ found.T, torch.zeros(400, 3, dtype=torch.float64), atol=1e-4)
    with pytest.raises(UsageError) as caught:
        nullspace_directions(moments_of(x, kind, 2), 13)
    assert str(caught.value) == (
        "erasure: 13 rounds of 1 directions are more than the width of the states, 12\n  take at most 12 rounds"
    )


def test_principal_directions_are_the_strongest_and_no_more_than_there_are() -> None:
    products = torch.diag(torch.tensor([1.0, 4.0, 0.0, 2.0], dtype=torch.float64))
    assert torch.equal(principal_directions(products, 2), torch.eye(4, dtype=torch.float64)[[1, 3]])
    with pytest.raises(UsageError, match="4 components are more than the 3 directions"):
        principal_directions(products, 4)


def test_an_eraser_survives_as_tensors() -> None:
    x, kind = drawn()
    eraser = leace(moments_of(x, kind))
    again = Eraser.read(eraser.tensors("3.residual"), "3.residual")
    assert torch.equal(again(x), eraser(x))
