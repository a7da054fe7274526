"""Within `fast_products` a model gives what it gives without, and nothing stays behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evenhand.fast_products import _multiplies_bf16, _Products, fast_products
from evenhand_sdk.tiny import tiny_causal, tiny_masked

FAMILIES = [(tiny_causal, "llama"), (tiny_causal, "gpt2"), (tiny_masked, "bert"), (tiny_masked, "roberta")]
BF16_EXACT = 2.0**-8
"""Relative spacing of bf16 numbers."""
needs_bf16 = pytest.mark.skipif(not _multiplies_bf16(), reason="this processor has no AVX-512, and so no such products")


class Gated(nn.Module):
    """A feed-forward block of the Llama form."""

    def __init__(self, act_fn: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(6, 10, bias=False), nn.Linear(6, 10)
        self.down_proj, self.act_fn = nn.Linear(10, 6), act_fn

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Doubled(nn.SiLU):
    """An activation that is not what its name says."""

    def forward(self, x):
        return 2 * super().forward(x)


Doubled.__name__ = "SiLU"


def patched(model):
    return {name for name, module in model.named_modules() if "forward" in vars(module)}


@pytest.mark.parametrize(("build", "family"), FAMILIES, ids=[family for _, family in FAMILIES])
def test_the_logits_of_a_model_are_those_without(build, family):
    model, tokenizer = build(family)
    model.eval()
    ids = torch.tensor([tokenizer("The nurse said that the engineer was late.")["input_ids"]])
    with torch.no_grad():
        wanted = model(input_ids=ids).logits
        with fast_products(model, "float32"):
            assert patched(model)
            found = model(input_ids=ids).logits
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert patched(model) == set()


def test_a_block_is_a_product_that_ends_in_its_gate():
    block = Gated(nn.SiLU())
    x = torch.randn(2, 3, 6)
    exact = block.double()(x.double())
    block.float()
    with torch.no_grad(), fast_products(block, "float32"):
        assert patched(block) == {"", "gate_proj", "up_proj", "down_proj"}
        assert torch.allclose(block(x).double(), exact, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.ReLU()], ids=["silu", "relu"])
def test_bf16_rounds_once_where_the_plain_block_rounds_three_times(activation):
    torch.manual_seed(0)
    block = Gated(activation)
    x = torch.randn(64, 6)
    with torch.no_grad():
        exact = block.double()(x.double())
        block.float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain = block(x).double()
            with fast_products(block, "bf16"):
                fast = block(x).double()
    assert (fast - exact).abs().mean() <= 1.1 * (plain - exact).abs().mean()
    assert (fast - exact).abs().max() <= 8 * BF16_EXACT * exact.abs().max()


def test_an_activation_that_does_something_else_keeps_its_block():
    block = Gated(Doubled())
    x = torch.randn(4, 6)
    with torch.no_grad():
        wanted = block(x)
        with fast_products(block, "float32"):
            assert patched(block) == {"gate_proj", "up_proj", "down_proj"}
            assert torch.allclose(block(x), wanted, atol=1e-6)


@pytest.mark.parametrize("part", ["gate_proj", "up_proj", "down_proj", "act_fn"])
def test_a_hook_that_comes_while_products_are_exchanged_acts_as_long_as_it_is_there(part):
    """An adapter that a decoding rule switches on in the middle of a measurement, say."""
    block = Gated(nn.SiLU())
    x = torch.randn(2, 3, 6)
    with torch.no_grad():
        plain = block(x)
        handle = getattr(block, part).register_forward_hook(lambda module, args, out: 2 * out)
        doubled = block(x)
        handle.remove()
        with fast_products(block, "float32"):
            assert "forward" in vars(block)
            handle = getattr(block, part).register_forward_hook(lambda module, args, out: 2 * out)
            assert torch.allclose(block(x), doubled, atol=1e-6) and not torch.allclose(doubled, plain, atol=1e-3)
            handle.remove()
            assert torch.allclose(block(x), plain, atol=1e-6)


def test_hooks_on_the_parts_of_a_block_are_still_called():
    block = Gated(nn.SiLU())
    seen = []
    block.up_proj.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    with torch.no_grad(), fast_products(block, "float32"):
        block(torch.randn(4, 6))
    assert seen == [torch.Size([4, 10])]


def test_where_gradients_are_wanted_a_layer_computes_them():
    block = Gated(nn.SiLU())
    x = torch.randn(4, 6)
    with fast_products(block, "float32"):
        block(x).sum().backward()
    assert block.gate_proj.weight.grad is not None
    other = Gated(nn.SiLU())
    other.load_state_dict(block.state_dict())
    other(x).sum().backward()
    assert torch.equal(block.gate_proj.weight.grad, other.gate_proj.weight.grad)


def test_an_input_without_rows_has_an_output_without_rows():
    block = Gated(nn.SiLU())
    with torch.no_grad(), fast_products(block, "float32"):
        assert block(torch.empty(0, 6)).shape == (0, 6)


def test_a_layer_that_somebody_else_exchanged_is_left_alone():
    block = Gated(nn.SiLU())
    block.up_proj.forward = mine = lambda x: torch.zeros(*x.shape[:-1], 10)
    with torch.no_grad(), fast_products(block, "float32"):
        assert torch.allclose(block(torch.randn(4, 6)), block.down_proj.bias.expand(4, 6), atol=1e-6)
    assert vars(block.up_proj)["forward"] is mine


def test_an_error_within_leaves_nothing_behind():
    block = Gated(nn.SiLU())
    with pytest.raises(ZeroDivisionError), fast_products(block, "float32"):
        raise ZeroDivisionError
    assert patched(block) == set()


@pytest.mark.parametrize("precision", ["float16", "float64"])
def test_other_formats_are_left_alone(precision):
    block = Gated(nn.SiLU())
    with fast_products(block, precision):
        assert patched(block) == set()


def test_weights_of_another_format_than_is_measured_in_are_left_alone():
    block = Gated(nn.SiLU()).to(torch.bfloat16)
    with fast_products(block, "float32"):
        assert patched(block) == set()


@needs_bf16
def test_weights_in_bf16_have_products_in_bf16():
    block = Gated(nn.SiLU()).to(torch.bfloat16)
    with torch.no_grad(), fast_products(block, "bfloat16"):
        assert "up_proj" in patched(block)
        assert block(torch.randn(4, 6).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("precision", ["bf16", "bfloat16"])
def test_where_the_processor_has_no_bf16_products_the_librarys_own_remain(precision, monkeypatch):
    """oneDNN refuses them without AVX-512; PyTorch has slow ones."""
    monkeypatch.setattr("evenhand.fast_products._multiplies_bf16", lambda: False)
    block = Gated(nn.SiLU()).to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
    x = torch.randn(4, 6).to(block.up_proj.weight.dtype)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        wanted = block(x)
        with fast_products(block, precision):
            assert patched(block) == set()
            assert torch.equal(block(x), wanted)
    with fast_products(block.float(), "float32"):
        assert "up_proj" in patched(block)


@pytest.mark.parametrize("shape", [(1, 2, 6), (2, 1, 6), (3, 1, 6), (4, 6), (5, 6), (1, 6)])
def test_a_few_rows_are_multiplied_from_the_other_side(shape, monkeypatch):
    from transformers.pytorch_utils import Conv1D

    monkeypatch.setattr("evenhand.fast_products.mkl_is_at_home", lambda: False)

    calls = []
    plain = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: calls.append(a.shape) or plain(a, b))
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(6, 10), nn.Linear(6, 4, bias=False), Conv1D(10, 6)])
    nn.init.normal_(layers[2].bias)
    x = torch.randn(shape)
    exact = [layer.double()(x.double()) for layer in layers]
    layers.float()
    with torch.no_grad(), fast_products(layers, "float32", blocks=False):
        found = [layer(x) for layer in layers]
    for one, other in zip(found, exact, strict=True):
        assert one.is_contiguous()
        torch.testing.assert_close(one, other.float(), rtol=1e-5, atol=1e-6)
    rows = x.numel() // 6
    wide, narrow, turned = (10, 6), (4, 6), (10, 6)
    assert calls == {1: [], 2: [wide, narrow, turned], 3: [wide, turned], 4: [wide, turned], 5: []}[rows]


@pytest.mark.parametrize(("rows", "small", "usual"), [(1, 59, 1), (3, 59, 1), (4, 59, 0), (4, 60, 1)])
def test_where_mkl_is_at_home_up_to_three_rows_in_float32_and_small_layers_are_left_to_it(
    rows, small, usual, monkeypatch
):
    monkeypatch.setattr("evenhand.fast_products.SMALL", small)
    monkeypatch.setattr("evenhand.fast_products.mkl_is_at_home", lambda: True)
    calls = []
    plain = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda *x: calls.append(len(x[0])) or plain(*x))
    layers = nn.ModuleList([nn.Linear(6, 10)])
    x = torch.randn(rows, 6)
    with torch.no_grad():
        wanted = layers[0](x)
        calls.clear()
        with fast_products(layers, "float32", blocks=False):
            found = layers[0](x)
    assert calls == [rows] * usual  # of 6 x 10 weights
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_the_many_rows_of_a_measurement_gain_from_the_activation():
    block = Gated(nn.SiLU())
    with fast_products(block, "float32", blocks=False):
        assert patched(block) == {"gate_proj", "up_proj", "down_proj"}
    with fast_products(block, "float32"):
        assert "" in patched(block)


def test_layers_that_read_the_same_input_share_its_conversion_until_it_changes():
    products = _Products("bf16")
    x = torch.arange(6.0).reshape(2, 3)
    first = products.entering(x)
    assert products.entering(x) is first and first.dtype == torch.bfloat16
    x.add_(1)
    assert torch.equal(products.entering(x), x.bfloat16())
    assert torch.equal(products.entering(x.clone() * 2), (x * 2).bfloat16())
    assert products.entering(first) is first
    with torch.inference_mode():
        unseen = torch.ones(2, 3)
        products.entering(unseen)
        unseen.add_(1)
        assert torch.equal(products.entering(unseen), unseen.bfloat16())


ORDERS = ["abAB", "abBA", "baAB", "baBA", "aAbB", "bBaA"]
"""Two blocks: `a` and `b` are entered, `A` and `B` left."""


@pytest.mark.parametrize("within", [True, False], ids=["within", "apart"])
@pytest.mark.parametrize("formats", [("float32", "bf16"), ("bf16", "float32"), ("float32", "float32")], ids="/".join)
@pytest.mark.parametrize("order", ORDERS)
def test_threads_that_enter_and_leave_in_any_order_compute_what_each_computes_alone(order, formats, within):
    """After each step, each thread and one that is within no block ask the model."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import ExitStack

    model, tokenizer = tiny_causal()
    model.eval()
    ids = torch.tensor([tokenizer("The nurse said that the engineer was late.")["input_ids"]])

    def ask(precision=None):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return model(input_ids=ids).logits

    def alone(precision):
        with fast_products(model, precision, within=within):
            return ask(precision)

    wanted = {name: alone(precision) for name, precision in zip("ab", formats, strict=True)}
    outside = {name: ask(precision) for name, precision in zip("ab", formats, strict=True)}
    plain, inside, blocks = ask(), set(), {name: ExitStack() for name in "ab"}
    exchanging = {name for name, each in zip("ab", formats, strict=True) if each == "float32" or _multiplies_bf16()}
    threads = {name: ThreadPoolExecutor(1) for name in "ab"}
    for step in order:
        name = step.lower()
        block = fast_products(model, formats["ab".index(name)], within=within)
        if step == name:
            threads[name].submit(blocks[name].enter_context, block).result()
            inside.add(name)
        else:
            threads[name].submit(blocks[name].close).result()
            inside.remove(name)
        for each, precision in zip("ab", formats, strict=True):
            found = threads[each].submit(ask, precision).result()
            assert torch.equal(found, (wanted if each in inside else outside)[each])
        assert torch.equal(ask(), plain)
        assert bool(patched(model)) == bool(inside & exchanging)
    for thread in threads.values():
        thread.shutdown()


def test_threads_that_measure_one_model_in_several_formats_leave_it_as_it_was():
    from concurrent.futures import ThreadPoolExecutor

    model, tokenizer = tiny_causal()
    model.eval()
    ids = torch.tensor([tokenizer("The nurse said that the engineer was late.")["input_ids"]])

    def measured(precision):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with torch.no_grad(), fast_products(model, precision, within=False), autocast:
            return model(input_ids=ids).logits

    asked = ["float32", "bf16"] * 20
    wanted = {precision: measured(precision) for precision in asked}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(measured, asked))
    assert all(torch.equal(logits, wanted[precision]) for precision, logits in zip(asked, found, strict=True))
    assert patched(model) == set()


@needs_bf16
def test_a_block_of_another_format_on_another_model_stays_in_force():
    outer, inner = Gated(nn.SiLU()), Gated(nn.SiLU())
    x = torch.randn(8, 6)
    with torch.no_grad(), fast_products(outer, "bf16", within=False):
        wanted = outer(x)
        with fast_products(inner, "float32", within=False):
            assert torch.equal(outer(x), wanted) and wanted.dtype == torch.bfloat16
