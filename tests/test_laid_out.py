"""A weight in oneDNN's order multiplies as the weight does, and never in the place of one that was changed."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers.pytorch_utils import Conv1D

import evenhand
from evenhand import laid_out
from evenhand.contributions import DecodingRule
from evenhand.fast_products import fast_products
from evenhand.laid_out import AFTER, LaidOut, free_memory
from evenhand.rule_processor import RuleProcessor
from evenhand_sdk.tiny import tiny_causal, tiny_sentences


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
    assert torch.equal(after, before)
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


def test_without_room_the_memory_is_looked_at_once_an_answer(monkeypatch):
    looks = []
    monkeypatch.setattr(laid_out, "free_memory", lambda: looks.append(1) or 0)
    layers, x = nn.ModuleList([nn.Linear(6, 4)]), torch.randn(4, 6)
    used(layers, x, AFTER + 20)
    assert looks == [1] and kept(layers[0]) is None
    used(layers, x, AFTER + 20)
    assert looks == [1, 1]


def test_a_weight_without_a_version_is_left_alone():
    with torch.inference_mode():
        layer = nn.Linear(6, 4)
        order = LaidOut()
        assert all(order.of(layer, layer.weight) is layer.weight for _ in range(AFTER + 2))


def test_free_memory_is_the_least_of_what_the_system_and_a_container_leave(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    5 kB\n"}
    v2, v1 = laid_out.LIMITS

    def read(self: Path) -> str:
        if (text := files.get(str(self))) is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert free_memory() == 5 * 1024
    files |= {v2[0]: "max\n", v2[1]: "100\n"}  # a group without a limit
    assert free_memory() == 5 * 1024
    files |= {v2[0]: "1100\n"}
    assert free_memory() == 1000
    files |= {v1[0]: "500\n", v1[1]: "600\n"}
    assert free_memory() == 0
    files.clear()
    assert free_memory() == 2 * 2**30


def test_threads_share_one_order(monkeypatch):
    made = []
    plain = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda *x: made.append(1) or plain(*x))
    layers, x = nn.ModuleList([nn.Linear(64, 48)]), torch.randn(4, 64)
    together = threading.Barrier(4)
    found = []

    def work() -> None:
        together.wait()
        found.append(used(layers, x, AFTER + 5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(found) == 4
    assert all(torch.equal(each, found[0]) for each in found)


def test_blocks_of_one_answer_count_their_products_together():
    layers, x, order = nn.ModuleList([nn.Linear(6, 4)]), torch.randn(4, 6), LaidOut()
    for _ in range(AFTER + 1):
        with torch.no_grad(), fast_products(layers, "float32", blocks=False, order=order):
            layers[0](x)
    assert kept(layers[0]) is not None


def test_beams_have_their_contexts_multiplied_in_order():
    model, tokenizer = tiny_causal()
    rule = DecodingRule(
        name="look", contexts=lambda prefix: [[7, *prefix]], next_logits=lambda ids, logits, contexts: logits
    )
    ids = tokenizer("Rain fell", return_tensors="pt")["input_ids"]
    with RuleProcessor(model, [rule], tokenizer, beams=4) as processor:
        model.generate(ids, num_beams=4, max_new_tokens=AFTER + 4, do_sample=False, logits_processor=[processor],
                       eos_token_id=None, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    assert any(kept(module) is not None for module in model.modules())


def test_a_training_gives_them_up(tmp_path):
    model, tokenizer = tiny_causal()
    layers = nn.ModuleList([next(m for m in model.modules() if type(m) is nn.Linear)])
    used(layers, torch.randn(4, layers[0].in_features), AFTER + 1)
    assert kept(layers[0]) is not None
    data = Dataset.from_dict({"text": tiny_sentences()[:8]})
    evenhand.train(model, tokenizer, data, folder=tmp_path / "t", max_steps=1, batch_size=4)
    assert kept(layers[0]) is None


def test_a_model_on_another_device_gives_them_up():
    layers = nn.ModuleList([nn.Linear(6, 4)])
    used(layers, torch.randn(4, 6), AFTER + 1)
    with fast_products(layers.to("meta"), "float32", blocks=False):
        assert kept(layers[0]) is None
