"""A weight in oneDNN's order multiplies as the weight does, and never in the place of one that was changed."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from evenhand import laid_out
from evenhand.fast_products import fast_products
from evenhand.laid_out import AFTER, LaidOut, free_memory


@pytest.fixture(autouse=True)
def few_rows_go_to_onednn(monkeypatch):
    monkeypatch.setattr("evenhand.fast_products.mkl_is_at_home", lambda: True)
    monkeypatch.setattr("evenhand.fast_products.AT_HOME", 0)
    monkeypatch.setattr("evenhand.fast_products.SMALL", 0)


def kept(layer: nn.Module) -> torch.Tensor | None:
    order = laid_out._all_kept.get(layer)
    return None if order is None else order.laid


def used(layers: nn.ModuleList, x: torch.Tensor, times: int) -> torch.Tensor:
    """The last of so many products within one block."""
    with torch.no_grad(), fast_products(layers, "float32", blocks=False):
        for _ in range(times):
            found = layers[0](x)
    return found


@pytest.mark.parametrize(("kind", "width", "out"), [(nn.Linear, 48, 20), (nn.Linear, 7, 5), (Conv1D, 48, 20)])
@pytest.mark.parametrize("shape", [(2,), (4, 1), (9,), (3, 5)])
def test_a_weight_in_order_gives_the_same_product(kind, width, out, shape):
    torch.manual_seed(0)
    layer = nn.Linear(width, out) if kind is nn.Linear else Conv1D(out, width)
    layers = nn.ModuleList([layer])
    x = torch.randn(*shape, width)
    before = used(layers, x, AFTER)
    assert kept(layer) is None
    after = used(layers, x, AFTER + 1)
    assert kept(layer).is_mkldnn
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(after, layer(x), rtol=1e-5, atol=1e-5)


def test_it_is_made_once_for_all_blocks_and_goes_with_the_layer(monkeypatch):
    made = []
    plain = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda *x: made.append(1) or plain(*x))
    layers, x, before = nn.ModuleList([nn.Linear(6, 4)]), torch.randn(4, 6), len(laid_out._all_kept)
    used(layers, x, AFTER + 3)
    used(layers, x, 1)
    assert len(made) == 1 and len(laid_out._all_kept) == before + 1
    del layers
    gc.collect()
    assert len(laid_out._all_kept) == before


CHANGES = {
    "in place": lambda w: w.mul_(2),
    "through .data": lambda w: w.data.mul_(2),
    "a row through .data": lambda w: w.data[3].zero_(),
    "a column through .data": lambda w: w.data[:, 2].zero_(),
    "another tensor": lambda w: setattr(w, "data", torch.ones_like(w)),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("size", [(6, 4), (300, 262), (61, 122), (257, 257)])
def test_a_changed_weight_is_noticed(how, size):
    torch.manual_seed(0)
    layers, x = nn.ModuleList([nn.Linear(*size)]), torch.randn(4, size[0])
    used(layers, x, AFTER + 1)
    assert kept(layers[0]) is not None
    with torch.no_grad():
        CHANGES[how](layers[0].weight)
        wanted = layers[0](x)
    for times in (1, AFTER + 1):
        torch.testing.assert_close(used(layers, x, times), wanted, rtol=1e-5, atol=1e-5)


def test_a_weight_changed_within_a_block_is_noticed_by_its_version():
    layers, x = nn.ModuleList([nn.Linear(6, 4)]), torch.randn(4, 6)
    with torch.no_grad(), fast_products(layers, "float32", blocks=False):
        for _ in range(AFTER + 1):
            layers[0](x)
        layers[0].weight.mul_(3)
        torch.testing.assert_close(layers[0](x), nn.Linear.forward(layers[0], x), rtol=1e-5, atol=1e-6)


def test_without_room_nothing_is_made(monkeypatch):
    layers, x = nn.ModuleList([nn.Linear(6, 4)]), torch.randn(4, 6)
    monkeypatch.setattr(laid_out, "free_memory", lambda: 2 * 6 * 4 * 4 - 1)
    used(layers, x, AFTER + 2)
    assert kept(layers[0]) is None
    monkeypatch.setattr(laid_out, "free_memory", lambda: 2 * 6 * 4 * 4)
    used(layers, x, AFTER + 2)
    assert kept(layers[0]) is not None


def test_a_weight_without_a_version_is_left_alone():
    with torch.inference_mode():
        layer = nn.Linear(6, 4)
        order = LaidOut()
        assert all(order.of(layer, layer.weight) is layer.weight for _ in range(AFTER + 2))


def test_free_memory_is_read_in_bytes_or_taken_for_two_gib(monkeypatch):
    texts = iter(["MemTotal: 9 kB\nMemAvailable:    5 kB\n", "MemTotal: 9 kB\n"])
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: next(texts))
    assert free_memory() == 5 * 1024
    assert free_memory() == 2 * 2**30

    def absent(self: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", absent)
    assert free_memory() == 2 * 2**30
