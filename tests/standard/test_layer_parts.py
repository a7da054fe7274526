"""The description of model families, read off what the models compute."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from family_models import MASKED, TYPES, attentions, family_model, packed, tokens

from evenhand_sdk import UsageError
from evenhand_standard.architecture.families import FAMILIES, family_of
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of


def test_every_described_type_has_a_model() -> None:
    assert sorted(TYPES) == sorted(t for family in FAMILIES for t in family.model_types)
    assert len(TYPES) == 14


@pytest.mark.parametrize("model_type", TYPES)
def test_layers_heads_and_groups(model_type: str) -> None:
    layers = layers_of(family_model(model_type))
    assert [layer.number for layer in layers] == [0, 1, 2]
    grouped = model_type not in (*MASKED, "gpt2", "gpt_neox")
    assert {(layer.heads, layer.groups) for layer in layers} == {(4, 2 if grouped else 4)}
    assert [layers[0].group_of(h) for h in range(4)] == ([0, 0, 1, 1] if grouped else [0, 1, 2, 3])
    assert (layers[0].query_norm is not None) == (model_type in ("qwen3", "gemma3_text"))
    assert len(layers[0].attention_in) == (1 if model_type in ("gpt2", "gpt_neox") else 3)
    assert len(layers[0].feed_forward_in) == (2 if grouped else 1)


@pytest.mark.parametrize("model_type", TYPES)
def test_with_one_token_the_attention_is_the_output_of_the_value(model_type: str) -> None:
    """Attention to itself has probability 1, so W_o (W_v x + b_v) + b_o, the value heads repeated by group."""
    model, seen = family_model(model_type), {}
    for layer in layers_of(model):
        layer.value.module.register_forward_hook(lambda m, args, out, k=layer.number: seen.update({(k, "x"): args[0]}))
        layer.output.module.register_forward_hook(lambda m, args, out, k=layer.number: seen.update({(k, "y"): out}))
    with torch.no_grad():
        model(input_ids=tokens(3, 1))
    for layer in layers_of(model):
        value = seen[layer.number, "x"] @ layer.value.weight().T
        if layer.value.bias() is not None:
            value = value + layer.value.bias()
        heads = [value[..., layer.group_of(h) * layer.head_size :][..., : layer.head_size] for h in range(layer.heads)]
        expected = torch.cat(heads, -1) @ layer.output.weight().T
        if layer.output.bias() is not None:
            expected = expected + layer.output.bias()
        assert torch.allclose(seen[layer.number, "y"], expected, atol=1e-5)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("part", ["query", "key"])
def test_without_queries_or_keys_attention_is_even(model_type: str, part: str) -> None:
    model = family_model(model_type)
    layer = layers_of(model)[1]
    matrix = getattr(layer, part)
    matrix.write(torch.zeros_like(matrix.weight()), None if matrix.bias() is None else torch.zeros_like(matrix.bias()))
    before, here = attentions(family_model(model_type), tokens()), attentions(model, tokens())
    even = torch.ones(7, 7) if model_type in MASKED else torch.ones(7, 7).tril()
    assert torch.allclose(here[1], (even / even.sum(-1, keepdim=True)).expand_as(here[1]), atol=1e-6)
    assert torch.equal(here[0], before[0])
    assert not torch.allclose(before[1], here[1], atol=1e-2)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_feed_forward_maps_and_the_norms(model_type: str) -> None:
    """The output map is the last thing in the feed-forward block; without it and the attention a layer adds nothing."""
    model, seen = family_model(model_type), []
    layer = layers_of(model)[0]
    for matrix in (layer.feed_forward_out, layer.output):
        matrix.write(torch.zeros_like(matrix.weight()))
        if matrix.bias() is not None:
            matrix.write(bias=torch.zeros_like(matrix.bias()))
    layer.module.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    read = []
    for matrix in layer.feed_forward_in:
        matrix.module.register_forward_hook(lambda m, args, out: read.append(args[0]))
    with torch.no_grad():
        model(input_ids=tokens())
        [(before, after)] = seen
        after = after[0] if isinstance(after, tuple) else after
        assert all(torch.equal(x, read[0]) for x in read) and len(read) == len(layer.feed_forward_in)
        if model_type in MASKED:
            once = layer.attention_norm(before)
            assert torch.allclose(read[0], once, atol=1e-5)
            assert torch.allclose(after, layer.feed_forward_norm(once), atol=1e-5)
        else:
            assert torch.allclose(read[0], layer.feed_forward_norm(before), atol=1e-5)
            assert torch.allclose(after, before, atol=1e-6)


def test_the_offset_of_the_norms_is_that_of_the_model() -> None:
    """With the weight -offset, a normalisation gives zero (and its bias)."""
    for model_type in TYPES:
        model = family_model(model_type)
        norm, offset = layers_of(model)[0].attention_norm, family_of(model).paths.norm_offset
        with torch.no_grad():
            norm.weight.fill_(-offset)
            bias = getattr(norm, "bias", None)
            assert torch.equal(norm(torch.randn(2, 32)), torch.zeros(2, 32) if bias is None else bias.expand(2, 32))


@pytest.mark.parametrize("model_type", TYPES)
def test_a_setting_gives_the_modules_a_bias_that_are_named_and_no_others(model_type: str) -> None:
    plain = family_model(model_type)
    paths = family_of(plain).paths
    has = [name for name in paths.bias_switches if hasattr(plain.config, name)]
    expected = {"llama": 2, "smollm3": 2, "qwen3": 1, "gemma": 1, "gemma2": 1, "gemma3_text": 1, "gpt_neox": 1}
    assert len(has) == expected.get(model_type, 0)
    for switch in has:
        without, with_bias = (
            {n for n, _ in family_model(model_type, **{switch: on}).named_parameters()} for on in (False, True)
        )
        added = {f".{k}.{path}.bias" for k in range(3) for path in paths.bias_switches[switch]}
        assert {"." + n.partition("layers.")[2] for n in with_bias - without} == added
        assert without <= with_bias


def test_a_matrix_is_written_in_place_and_beside_others() -> None:
    for model_type in ("gpt2", "gpt_neox", "llama"):
        model = family_model(model_type)
        layer, twin = layers_of(model)[2], layers_of(copy.deepcopy(model))[2]
        weight = torch.arange(32.0 * 32).view(32, 32)
        layer.query.write(weight)
        assert torch.equal(layer.query.weight(), weight)
        assert torch.equal(layer.key.weight(), twin.key.weight())
        assert torch.equal(layer.value.weight(), twin.value.weight())
        assert layer.query.bias() is None or torch.equal(layer.query.bias(), twin.query.bias())


def test_shares_of_the_depth() -> None:
    layers: Any = list(range(30))
    assert chosen_layers(layers, 1 / 3, 2 / 3) == list(range(10, 20))
    assert chosen_layers(layers, 0.0, 1.0) == layers
    assert chosen_layers(layers, 1.0, 1.0) == [29]
    assert chosen_layers(layers[:2], 1 / 3, 2 / 3) == [0, 1]
    assert chosen_layers(layers[:1], 0.5, 0.5) == [0]


# ------------------------------------------------------------------------------------------------ what is refused
def test_an_unknown_family_is_refused_by_name() -> None:
    model = transformers.XLNetLMHeadModel(transformers.XLNetConfig(vocab_size=32, d_model=8, n_layer=1, n_head=2))
    with pytest.raises(UsageError) as caught:
        layers_of(model)
    lines = str(caught.value).splitlines()
    assert lines[0] == "model families: nothing is known about the parameter names of models of type 'xlnet'"
    assert lines[2] == "  add a Family with its patterns to evenhand_standard/architecture/families.py"


class OwnTensor(torch.Tensor):
    """Stands for the classes by which libraries keep codes that say that they are floats."""

    def dequantize(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_codes_of_eight_bits_are_no_plain_matrix(dtype: torch.dtype) -> None:
    model = family_model("llama")
    projection = model.model.layers[1].mlp.down_proj
    projection.weight = torch.nn.Parameter(projection.weight.detach().to(dtype), requires_grad=False)
    with pytest.raises(UsageError) as caught:
        layers_of(model)
    assert str(caught.value) == (
        "model families: the weights of mlp.down_proj in layer 1 are no plain matrix, but Linear of "
        f"{str(dtype).removeprefix('torch.')}\n"
        "  load the model without quantisation and without wrapped layers"
    )


@pytest.mark.parametrize("kept", ["parameter", "buffer", "attribute"])
def test_a_scale_beside_a_matrix_says_that_it_is_none(kept: str) -> None:
    model = family_model("llama")
    projection = model.model.layers[2].self_attn.o_proj
    scale = torch.ones(1, 1)
    if kept == "buffer":
        projection.register_buffer("weight_scale_inv", scale)
    else:
        projection.weight_scale_inv = torch.nn.Parameter(scale) if kept == "parameter" else scale
    with pytest.raises(UsageError) as caught:
        layers_of(model)
    assert str(caught.value).splitlines()[0] == (
        "model families: the weights of self_attn.o_proj in layer 2 are no plain matrix, but Linear of float32 with "
        "weight_scale_inv"
    )


def test_a_tensor_of_a_class_that_keeps_codes_is_refused_by_its_name() -> None:
    model = family_model("llama")
    projection = model.model.layers[0].self_attn.v_proj
    own = projection.weight.detach().as_subclass(OwnTensor)
    projection.weight = torch.nn.Parameter(own)
    with pytest.raises(UsageError) as caught:
        layers_of(model)
    assert str(caught.value).splitlines()[0] == (
        "model families: the weights of self_attn.v_proj in layer 0 are no plain matrix, but Linear of OwnTensor"
    )


def test_layers_that_keep_packed_codes_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        layers_of(packed(family_model("llama")))
    assert str(caught.value).splitlines()[0] == (
        "model families: the weights of self_attn.q_proj in layer 0 are no plain matrix, but PackedLinear of packed"
        " codes"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_four_number_formats_are_plain(dtype: torch.dtype) -> None:
    assert layers_of(family_model("llama").to(dtype))[0].output.weight().dtype == dtype


def test_quantised_weights_and_missing_parts_are_refused() -> None:
    model = family_model("llama")
    projection = model.model.layers[1].self_attn.q_proj
    projection.weight = torch.nn.Parameter(torch.zeros(32, 32, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(UsageError) as caught:
        layers_of(model)
    assert str(caught.value) == (
        "model families: the weights of self_attn.q_proj in layer 1 are no plain matrix, but Linear of uint8\n"
        "  load the model without quantisation and without wrapped layers"
    )
    model = family_model("llama")
    del model.model.layers[2].mlp.up_proj
    with pytest.raises(UsageError, match=r"layer 2 has no 'mlp.up_proj', which models of type 'llama' have"):
        layers_of(model)
    model = family_model("llama")
    model.model.layers[0].self_attn.o_proj = torch.nn.Linear(24, 32)
    with pytest.raises(UsageError, match="the output projection of layer 0 reads 24 columns, not 4 heads of 8"):
        layers_of(model)
