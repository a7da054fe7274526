"""Selective updates: which tensors each family has, that only they move, what strength does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from datasets import Dataset
from family_models import packed

from evenhand_sdk import UsageError
from evenhand_standard.architecture.families import FAMILIES, layer_numbers
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from evenhand_standard.architecture.tensor_sets import selected

SHAPE = {"num_hidden_layers": 4, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}
DECODER = {**SHAPE, "num_key_value_heads": 2, "head_dim": 4}
GPT2 = {"n_layer": 4, "n_head": 2, "n_embd": 8}
# type: (extra configuration, tensors: norms, biases, positions, tokens, MLP outputs of the last of four layers)
EXPECTED: dict[str, tuple[dict[str, Any], tuple[int, int, int, int, int]]] = {
    "llama": (DECODER, (9, 0, 0, 1, 1)),
    "mistral": (DECODER, (9, 0, 0, 1, 1)),
    "smollm3": (DECODER, (9, 0, 0, 1, 1)),
    "qwen2": (DECODER, (9, 12, 0, 1, 1)),  # biases of query, key and value
    "qwen3": (DECODER, (17, 0, 0, 1, 1)),  # norms of query and key, too
    "gemma": (DECODER, (9, 0, 0, 1, 1)),
    "gemma2": (DECODER, (17, 0, 0, 1, 1)),  # four norms a layer
    "gemma3_text": (DECODER, (25, 0, 0, 1, 1)),  # six norms a layer
    "gpt2": (GPT2, (18, 4 * 6 + 1, 1, 1, 2)),  # weight and bias each
    "gpt_neox": (SHAPE, (18, 4 * 6 + 1, 0, 1, 2)),
    # Eight biases a layer, one of the embeddings, three of the head.
    "bert": (SHAPE, (20, 4 * 8 + 1 + 3, 1, 1, 2)),
    "roberta": (SHAPE, (20, 4 * 8 + 1 + 3, 1, 1, 2)),
    "xlm-roberta": (SHAPE, (20, 4 * 8 + 1 + 3, 1, 1, 2)),
    "camembert": (SHAPE, (20, 4 * 8 + 1 + 3, 1, 1, 2)),
}
MASKED = ("bert", "roberta", "xlm-roberta", "camembert")
ORDER = ("norms", "biases", "position-embeddings", "token-embeddings", "mlp-output")


def model_of(model_type: str) -> Any:
    config = transformers.AutoConfig.for_model(model_type, vocab_size=32, pad_token_id=0, **EXPECTED[model_type][0])
    auto = transformers.AutoModelForMaskedLM if model_type in MASKED else transformers.AutoModelForCausalLM
    return auto.from_config(config)


def test_every_described_type_is_tested() -> None:
    assert sorted(EXPECTED) == sorted(t for family in FAMILIES for t in family.model_types)
    assert len(EXPECTED) == 14


@pytest.mark.parametrize("model_type", sorted(EXPECTED))
def test_how_many_tensors_each_set_has(model_type: str) -> None:
    model = model_of(model_type)
    found = {}
    for name in ORDER:
        try:
            found[name] = len(selected(model, [name], 0.25))
        except UsageError as error:
            found[name] = 0
            assert str(error).startswith(
                f"option select: a model of type {model_type!r} has no tensors in the set {name!r}\n  it has "
            )
    assert tuple(found.values()) == EXPECTED[model_type][1]
    family = next(f for f in FAMILIES if model_type in f.model_types)
    number = layer_numbers([n for n, _ in model.named_parameters()], family)
    assert set(number.values()) == {0, 1, 2, 3}
    assert selected(model, ["top-layers"], 0.5) == [n for n, k in number.items() if k >= 2]
    attention = selected(model, ["attention"], 0.25)
    assert {number[n] for n in attention} == {0, 1, 2, 3}
    assert not set(attention) & set(selected(model, ["mlp-output"], 1.0))


@pytest.mark.parametrize("head_first", [False, True])
@pytest.mark.parametrize("model_type", MASKED)
def test_the_output_matrix_is_a_token_embedding_only_where_it_is_the_same_tensor(
    model_type: str, head_first: bool
) -> None:
    """With the head first, a shared matrix is listed under the name it has there, as transformers 5 does."""
    body, head = ("bert", "cls.predictions") if model_type == "bert" else ("roberta", "lm_head")
    inside, outside = f"{body}.embeddings.word_embeddings.weight", f"{head}.decoder.weight"
    for tied in (True, False):
        config = model_of(model_type).config
        config.tie_word_embeddings = tied
        model = transformers.AutoModelForMaskedLM.from_config(config)
        if head_first:
            model._modules = dict(reversed(model._modules.items()))
        assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
        listed = {name for name, _ in model.named_parameters()}
        expected = [name for name in (inside, outside) if name in listed][:1] if tied else [inside]
        assert selected(model, ["token-embeddings"], 0.25) == expected


def test_share_of_layers_is_rounded_up() -> None:
    model = model_of("llama")
    late = [selected(model, ["mlp-output"], share) for share in (0.01, 0.25, 0.26, 1.0)]
    assert [len(names) for names in late] == [1, 1, 2, 4]
    assert late[0] == ["model.layers.3.mlp.down_proj.weight"]


def test_sets_are_joined_in_the_order_of_the_model() -> None:
    model = model_of("llama")
    names = selected(model, ["mlp-output", "norms", "top-layers"], 0.25)
    assert len(names) == len(set(names)) == 9 + 9 - 2
    order = [n for n, _ in model.named_parameters()]
    assert names == sorted(names, key=order.index)


def test_floats_of_eight_bits_and_their_scales_are_quantised_weights() -> None:
    """Their scales move in no set either: a code with another scale is another weight."""
    model = model_of("llama")
    down = model.model.layers[3].mlp.down_proj
    down.weight = torch.nn.Parameter(down.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    down.weight_scale_inv = torch.nn.Parameter(torch.ones(1, 1))
    with pytest.raises(UsageError) as caught:
        selected(model, ("mlp-output",), 0.25)
    assert str(caught.value) == (
        "option select: 'model.layers.3.mlp.down_proj.weight' in the set 'mlp-output' is quantised (float8_e4m3fn), "
        "and no training moves it\n"
        "  quantised tensors of the model: 1\n"
        "  load the model without quantisation, or select sets without these tensors, such as norms"
    )
    down.weight = torch.nn.Parameter(torch.zeros(down.weight.shape))
    with pytest.raises(UsageError, match=r"is quantised \(float32 with weight_scale_inv\), and no training moves it"):
        selected(model, ("mlp-output",), 0.25)
    moved = selected(model, ("all",), 0.25)
    assert "model.layers.2.mlp.down_proj.weight" in moved
    assert not [name for name in moved if name.startswith("model.layers.3.mlp.down_proj")]


def test_a_set_with_quantised_weights_is_refused_and_says_so() -> None:
    """In one layer of four, so that there are others in the set that could move."""
    model = model_of("llama")
    down = model.model.layers[3].mlp.down_proj
    down.weight = torch.nn.Parameter(torch.zeros(down.weight.shape, dtype=torch.int8), requires_grad=False)
    with pytest.raises(UsageError) as caught:
        selected(model, ("norms", "mlp-output"), 0.25)
    assert str(caught.value) == (
        "option select: 'model.layers.3.mlp.down_proj.weight' in the set 'mlp-output' is quantised (int8), and no "
        "training moves it\n"
        "  quantised tensors of the model: 1\n"
        "  load the model without quantisation, or select sets without these tensors, such as norms"
    )
    with pytest.raises(UsageError, match="quantised"):
        selected(model, ("top-layers",), 0.25)
    assert selected(model, ("norms",), 0.25) and selected(model, ("all",), 0.25)


def test_a_set_of_layers_that_keep_packed_codes_is_refused_too() -> None:
    model = packed(model_of("llama"))
    with pytest.raises(UsageError) as caught:
        selected(model, ("norms", "mlp-output"), 0.25)
    assert str(caught.value).splitlines()[0] == (
        "option select: 'model.layers.3.mlp.down_proj.weight' in the set 'mlp-output' is quantised (packed codes), and "
        "no training moves it"
    )
    assert len(selected(model, ("norms",), 0.25)) == 9


def test_a_model_whose_layers_are_all_frozen_has_no_late_tensors() -> None:
    model = model_of("llama")
    model.model.layers.requires_grad_(False)
    with pytest.raises(UsageError, match="a model of type 'llama' has no tensors in the set 'top-layers'"):
        selected(model, ("top-layers",), 0.25)
    model.requires_grad_(False)
    with pytest.raises(UsageError) as caught:
        selected(model, ("norms",), 0.25)
    assert str(caught.value) == (
        "weights: every parameter of the model is frozen, so that no training moves it\n"
        "  peft leaves a model so, also behind merge_and_unload()\n"
        "  call model.requires_grad_(True) first"
    )


def test_an_unknown_family_is_refused_by_name() -> None:
    model = transformers.XLNetLMHeadModel(transformers.XLNetConfig(vocab_size=32, d_model=8, n_layer=1, n_head=2))
    with pytest.raises(UsageError) as caught:
        selected(model, ["norms"], 0.25)
    lines = str(caught.value).splitlines()
    assert lines[0] == "model families: nothing is known about the parameter names of models of type 'xlnet'"
    assert lines[2] == "  add a Family with its patterns to evenhand_standard/architecture/families.py"


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("strength", [1.0, 0.25, 0.0])
def test_only_selected_tensors_move_and_strength_interpolates(
    kind: str, strength: float, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=4, learning_rate=1e-2)
    transform = SelectiveUpdate(strength=strength).architecture(run, model)
    names = list(transform.trainable(model))
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    fitted = transform.fit(model)
    data = Dataset.from_dict({"text": ["She said that the engineer was good.", "The town is on a river."] * 4})
    trained, _ = run.services.train(data, trainable=names)
    with torch.no_grad():
        for (_, p), (_, q) in zip(model.named_parameters(), trained.named_parameters(), strict=True):
            p.copy_(q)
    artifact = transform.finish(model)
    assert transform.fold(model) is True
    after = dict(trained.named_parameters())
    for name, p in model.named_parameters():
        if name not in names or strength == 0:
            assert torch.equal(p, start[name]), name
        else:
            assert torch.allclose(p, start[name] + strength * (after[name] - start[name]), atol=1e-7), name
            assert not torch.equal(p, start[name]), name
    assert artifact.meta["tensors"] == fitted.meta["tensors"] == len(names)
    assert artifact.meta["moved tensors"] == (0 if strength == 0 else len(names))
    assert artifact.meta["share"] == pytest.approx(
        sum(start[n].numel() for n in names) / sum(p.numel() for p in model.parameters())
    )


def test_strength_1_leaves_the_trained_weights_bit_identical(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    transform = SelectiveUpdate().architecture(run_of(model, tokenizer), model)
    transform.fit(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.rand_like(p))
    trained = {n: p.detach().clone() for n, p in model.named_parameters()}
    transform.finish(model)
    assert all(torch.equal(p, trained[n]) for n, p in model.named_parameters())


def test_a_resumed_run_that_does_not_fit_again_interpolates_all_the_same(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    transform = SelectiveUpdate(strength=0.0).architecture(run_of(model, tokenizer), model)
    names = transform.trainable(model)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in names:
                p.add_(1.0)
    assert transform.trainable(model) == names  # the host asks again when it proves the step
    transform.finish(model)
    assert all(torch.equal(p, start[n]) for n, p in model.named_parameters())
