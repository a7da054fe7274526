"""An adapter begins as the identity, is all that moves, can be weakened, saved, and taken back without a trace."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from small_host import FAMILIES

from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.base_digest import base_digest
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk import Artifact, ModelShape, UsageError


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby", "parallel"])
@pytest.mark.parametrize("family", [*FAMILIES, "qwen2", "gemma3"])
def test_an_untrained_adapter_is_the_identity(host: Any, family: str, placement: str) -> None:
    import torch

    run = host(family)
    before = run.logits()
    run.step(DebiasingAdapter, "gender", placement=placement, reduction=4)
    assert torch.equal(run.logits(), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_adapter_and_nothing_else(host: Any, family: str) -> None:
    import torch

    run = host(family)
    transform = run.step(DebiasingAdapter, "gender", reduction=4)
    before, names = run.weights(), set(transform.trainable(run.model))
    base = dict(run.base.named_parameters())
    assert names == set(before) - set(base)
    artifact = run.train()["gender"]
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    assert moved == names == set(artifact.tensors)
    assert all(torch.equal(p, base[n]) for n, p in run.weights().items() if n in base)
    assert not torch.equal(run.logits(), run.logits(run.base))
    told = {"evenhand": "debiasing-adapter", "adapter": "gender", "axis": None}
    assert artifact.meta == {**told, "base_digest": base_digest(run.base)}


def test_the_parameters_are_those_of_the_formula(host: Any) -> None:
    """Two layers, H = 32, reduction 4: LN 2 * 32, W_down 32 * 8 + 8, W_up 8 * 32 + 32; houlsby has it twice."""
    for placement, places in (("pfeiffer", 2), ("houlsby", 4), ("parallel", 2)):
        run = host()
        transform = run.step(DebiasingAdapter, "gender", placement=placement, reduction=4)
        names = set(transform.trainable(run.model))
        count = sum(p.numel() for n, p in run.model.named_parameters() if n in names)
        assert count == places * (64 + 264 + 288)


def test_the_output_is_the_formula(host: Any) -> None:
    """h + s * W_up gelu(W_down LN(x)), where x is h plus the residual stream that the layer will add."""
    import torch

    run = host()
    run.step(DebiasingAdapter, "gender", reduction=4, strength=0.5)
    run.learn()
    layer = run.model.model.layers[0]
    part = layer.output_adapters.adapters["gender"]
    seen: dict[str, Any] = {}

    def remember(name: str, what: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            seen[name] = inputs[0] if what == "input" else output

        return hook

    handles = [
        part.adapter_down.register_forward_hook(remember("x", "input")),
        layer.post_attention_layernorm.register_forward_hook(remember("residual", "input")),
        layer.register_forward_hook(remember("out", "output")),
    ]
    run.logits()
    for handle in handles:
        handle.remove()
    norm, down, _ = part.adapter_down
    x = seen["x"]
    z = part.adapter_up(torch.nn.functional.gelu(down(norm(x))))
    assert torch.allclose(seen["out"], x + 0.5 * z, atol=1e-5)  # x is already h plus residual


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby", "parallel"])
def test_at_strength_0_the_trained_adapter_is_the_identity(host: Any, family: str, placement: str) -> None:
    import torch

    run = host(family)
    before = run.logits()
    run.step(DebiasingAdapter, "gender", strength=0.0, reduction=4, placement=placement)
    artifact = run.learn()["gender"]
    assert float(max(t.abs().max() for n, t in artifact.tensors.items() if "adapter_up" in n)) > 0
    assert torch.equal(run.logits(), before)


def anatomy_of(model: Any) -> list[Any]:
    """Every module: its name, class, attributes (but the mark of the trainer's), and number of hooks."""
    return [
        (
            name,
            type(module),
            sorted(set(vars(module)) - {"_is_accelerate_prepared"}),
            {key: len(value) for key, value in vars(module).items() if "hooks" in key and value},
        )
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3"])
def test_revert_leaves_no_trace(host: Any, family: str) -> None:
    import torch

    run = host(family)
    before, anatomy = run.logits(), anatomy_of(run.model)
    tied = copy.copy(type(run.model)._tied_weights_keys)
    transform = run.step(DebiasingAdapter, "gender", placement="houlsby")
    run.learn()
    transform.revert(run.model)
    assert torch.equal(run.logits(), before)
    assert anatomy_of(run.model) == anatomy
    assert list(run.model.state_dict()) == list(run.base.state_dict())
    assert type(run.model)._tied_weights_keys == tied


@pytest.mark.parametrize("family", FAMILIES)
def test_revert_after_a_training_in_mixed_precision(host: Any, family: str) -> None:
    """Such a training leaves a wrapper around the forward pass of the class, which revert takes back."""
    import torch

    run = host(family)
    transform = run.step(DebiasingAdapter, "gender")
    run.train(precision="bf16")
    transform.revert(run.model)
    assert torch.equal(run.logits(), run.logits(run.base))


def test_revert_keeps_what_happened_to_the_weights_meanwhile(host: Any) -> None:
    """GPT-2's projections are wrapped by the library; the wrapped ones come back with the weights of now."""
    import torch

    run = host("gpt2")
    transform = run.step(DebiasingAdapter, "gender")
    moved = torch.nn.Parameter(torch.ones_like(run.model.transformer.h[0].attn.c_attn.weight))
    run.model.transformer.h[0].attn.c_attn.weight = moved
    transform.revert(run.model)
    assert run.model.transformer.h[0].attn.c_attn.weight is moved


@pytest.mark.parametrize("family", FAMILIES)
def test_save_and_load_give_the_same_logits(host: Any, family: str, tmp_path: Any) -> None:
    import torch

    run = host(family)
    transform = run.step(DebiasingAdapter, "gender", strength=0.5, axis="gender", reduction=4)
    run.learn()
    trained = run.logits()
    transform.save(run.model, tmp_path)
    interface = ["adapter_interface.json"] if family == "llama" else []
    files = ["adapter.safetensors", "adapter_config.json", *interface]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == files
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["config"]["scaling"] == 0.5
    assert (config["axis"], config["evenhand"]) == ("gender", "debiasing-adapter")
    fresh = copy.deepcopy(run.base)
    transform.load(fresh, tmp_path)
    assert torch.equal(run.logits(fresh), trained)
    assert not any(p.requires_grad for n, p in fresh.named_parameters() if ".adapters." in n)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_adapter_of_another_base_is_refused_before_anything_is_changed(host: Any, dtype: str, tmp_path: Any) -> None:
    import torch

    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    transform.save(run.model, tmp_path)
    same = copy.deepcopy(run.base).to(getattr(torch, dtype))  # loaded in a shorter format, it is the same base
    transform.load(same, tmp_path)
    other = copy.deepcopy(run.base)
    with torch.no_grad():
        next(p for n, p in other.named_parameters() if n.endswith("norm.weight"))[3] *= 1.5
    other = other.to(getattr(torch, dtype))
    names = list(other.state_dict())
    with pytest.raises(UsageError) as caught:
        transform.load(other, tmp_path)
    assert "the adapter 'gender' was trained for another base model" in str(caught.value)
    assert list(other.state_dict()) == names


def vary_norms(*models: Any) -> None:
    """Give every vector of the models, so also every norm, weights of its own: at ones all norms would be the same."""
    import torch

    for model in models:
        noise = torch.Generator().manual_seed(7)
        for _, p in sorted(model.named_parameters()):
            if p.ndim == 1:
                p.data.add_(0.3 * torch.randn(p.shape, generator=noise))


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby", "parallel"])
@pytest.mark.parametrize("family", [*FAMILIES, "qwen2", "gemma3"])
def test_the_saved_adapter_is_one_of_the_library(host: Any, family: str, placement: str, tmp_path: Any) -> None:
    """Whoever has `adapters` alone can use it, under a name of their own."""
    import adapters
    import torch

    run = host(family)
    vary_norms(run.model, run.base)
    transform = run.step(DebiasingAdapter, "gender", placement=placement)
    run.learn()
    transform.save(run.model, tmp_path)
    other = copy.deepcopy(run.base)
    adapters.init(other)
    other.load_adapter(str(tmp_path), load_as="mine", with_head=False, use_safetensors=True, set_active=True)
    other.eval()
    assert torch.equal(run.logits(other), run.logits())


def saved(host: Any, folder: Any) -> Any:
    """A small Llama whose adapter `gender` has learned and lies in a folder."""
    run = host("llama")
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    folder.mkdir()
    transform.save(run.model, folder)
    return run


def test_a_saved_adapter_is_put_onto_a_model_from_a_folder_and_from_a_hub(
    host: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    """The same outputs, its own name, and a past; of a hub nothing but the adapter's files is asked for."""
    import huggingface_hub
    import torch

    from evenhand_adapterfusion import active, load_adapter

    run = saved(host, tmp_path / "saved")
    model = copy.deepcopy(run.base)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert load_adapter(model, tmp_path / "saved") == "gender" and active(model) == ("gender",)
    assert torch.equal(run.logits(model), run.logits())
    ids = torch.tensor([[5, 9, 14, 30]])
    how = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(ids, **how), run.model.generate(ids, **how))
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
    asked: list[Any] = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **how: asked.append((name, how)) or str(tmp_path / "saved")
    )
    assert load_adapter(copy.deepcopy(run.base), "somebody/gender", name="mine", offline=True) == "mine"
    files = ["adapter_config.json", "adapter.safetensors"]
    assert asked == [("somebody/gender", {"revision": None, "local_files_only": True, "allow_patterns": files})]


def test_what_is_no_adapter_or_one_of_another_base_is_refused_by_its_place(host: Any, tmp_path: Any) -> None:
    from evenhand_adapterfusion import available, load_adapter

    run = saved(host, tmp_path / "saved")
    model = copy.deepcopy(run.base)
    with pytest.raises(UsageError) as error:
        load_adapter(model, "no such folder")
    assert str(error.value) == "no such folder: there is no such folder\n  give a folder, or owner/name of the hub"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no adapter_config.json"):
        load_adapter(model, tmp_path / "empty")
    (tmp_path / "saved" / "adapter.safetensors").rename(tmp_path / "saved" / "pytorch_adapter.bin")
    with pytest.raises(UsageError, match="there is no adapter.safetensors"):
        load_adapter(model, tmp_path / "saved")
    (tmp_path / "saved" / "pytorch_adapter.bin").rename(tmp_path / "saved" / "adapter.safetensors")
    with pytest.raises(UsageError, match="the adapter could not be fetched from the hub"):
        load_adapter(model, "somebody/nothing", offline=True)
    next(model.parameters()).data.add_(1.0)
    with pytest.raises(UsageError, match="was trained for another base model"):
        load_adapter(model, tmp_path / "saved")
    assert available(model) == ()


def test_an_artifact_puts_the_trained_adapter_back(host: Any) -> None:
    import torch

    run = host()
    transform = run.step(DebiasingAdapter, "gender", strength=0.5)
    artifact = run.learn()["gender"]
    trained = run.logits()
    transform.revert(run.model)
    transform.apply(run.model, artifact)
    assert torch.equal(run.logits(), trained)


def test_the_same_seed_gives_the_same_adapter_and_draws_nothing_from_the_global_state(host: Any) -> None:
    import torch

    found = []
    for k in range(2):
        run = host()
        torch.manual_seed(k)
        state = torch.random.get_rng_state()
        run.step(DebiasingAdapter, "gender")
        assert torch.equal(torch.random.get_rng_state(), state)
        found.append(run.weights())
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])
    other = host()
    other.step(DebiasingAdapter, "religion", name="gender")
    assert any(not torch.equal(p, found[0][n]) for n, p in other.weights().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bfloat16_model_gets_bfloat16_adapters(host: Any, family: str, tmp_path: Any) -> None:
    import torch

    run = host(family)
    run.model.to(torch.bfloat16)
    run.base.to(torch.bfloat16)
    before = run.logits()
    transform = run.step(DebiasingAdapter, "gender", reduction=4)
    assert {p.dtype for p in run.model.parameters()} == {torch.bfloat16}
    assert torch.equal(run.logits(), before)
    run.train()
    assert not torch.equal(run.logits(), before)
    transform.save(run.model, tmp_path)
    transform.load(run.base, tmp_path)
    assert torch.equal(run.logits(run.base), run.logits())
    transform.revert(run.model)
    assert torch.equal(run.logits(), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_deep_copy_has_its_own_adapters(host: Any, family: str) -> None:
    import torch

    run = host(family)
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    trained, twin = run.logits(), copy.deepcopy(run.model)
    transform.revert(run.model)
    assert torch.equal(run.logits(twin), trained)
    transform.revert(twin)
    assert torch.equal(run.logits(twin), run.logits(run.base))


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gemma3"])
def test_generation_sees_its_past(host: Any, family: str) -> None:
    """The library's own Llama classes lose the key-value cache: the second forward pass would forget the first."""
    import torch

    run = host(family)
    run.step(DebiasingAdapter, "gender")
    run.learn()
    ids = run.tokenizer("The nurse said that she was good", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        first = run.model(input_ids=ids[:, :-1], use_cache=True)
        second = run.model(input_ids=ids[:, -1:], past_key_values=first.past_key_values, use_cache=True)
        whole = run.model(input_ids=ids)
    assert first.past_key_values.get_seq_length() == ids.shape[1]
    assert torch.allclose(second.logits[:, -1], whole.logits[:, -1], atol=1e-4)


# ------------------------------------------------------------------------------------------- several adapters
def test_a_later_adapter_leaves_the_earlier_one_alone(host: Any) -> None:
    import torch

    run = host()
    run.step(DebiasingAdapter, "gender")
    run.train()
    one = run.logits()
    second = run.step(DebiasingAdapter, "religion")
    assert torch.equal(run.logits(), one)  # stacked on top, and still the identity
    before = run.weights()
    run.train()
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    assert moved == set(second.trainable(run.model))
    second.revert(run.model)
    assert torch.equal(run.logits(), one)


def test_finished_adapters_are_frozen_in_a_training_that_selects_nothing(host: Any) -> None:
    import torch

    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    run.train()
    before = run.weights()
    run.train()
    adapter = set(transform.trainable(run.model))
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    assert moved == set(before) - adapter


@pytest.mark.parametrize("kind", ["weight-interpolation", "task-vector-negation", "selective-update"])
def test_finished_adapters_stay_in_a_training_that_lets_all_weights_move(host: Any, kind: str) -> None:
    import torch

    from evenhand.discovery import discover, load

    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    run.train()
    before = run.weights()
    adapter = set(transform.trainable(run.model))
    options = {"selective-update": {"select": ("all",)}, "task-vector-negation": {"text": "recipe"}}.get(kind, {})
    later = run.step(load(discover().find(kind)), "later", **options)
    assert not adapter & set(later.trainable(run.model))
    run.train()
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    assert moved and moved <= set(before) - adapter


def test_earlier_adapters_can_be_off_meanwhile(host: Any) -> None:
    import torch

    run = host()
    run.step(DebiasingAdapter, "gender")
    run.learn()
    run.step(DebiasingAdapter, "religion", earlier="off")
    assert torch.equal(run.logits(), run.logits(run.base))
    run.learn()
    assert [*run.model.active_adapters] == ["gender", "religion"]


def test_the_first_of_two_adapters_can_be_reverted(host: Any) -> None:
    import torch

    run = host()
    first = run.step(DebiasingAdapter, "gender", earlier="off")
    run.learn()
    run.step(TaskAdapter, "task")
    run.learn()
    first.revert(run.model)
    assert [*run.model.active_adapters] == ["task"]
    run.transforms["task"].revert(run.model)
    assert torch.equal(run.logits(), run.logits(run.base))


def test_a_task_adapter_trains_alone_by_default() -> None:
    assert TaskAdapter().options.earlier == "off"
    assert DebiasingAdapter().options.earlier == "stacked"
    assert "axis" not in TaskAdapter.Options.model_fields


# ------------------------------------------------------------------------------------------------- refusals
def test_a_name_is_given_once(host: Any) -> None:
    run = host()
    run.step(DebiasingAdapter, "gender")
    second = run.declare(DebiasingAdapter, "other", name="gender")
    with pytest.raises(UsageError) as error:
        second.apply(run.model, Artifact())
    assert str(error.value) == "the model already has an adapter 'gender'\n  give this step another `id` or `name`"


def test_a_name_that_torch_uses_is_refused(host: Any) -> None:
    run = host()
    with pytest.raises(UsageError) as error:
        run.step(DebiasingAdapter, "train")
    assert str(error.value) == ("'train' is a word of torch, no adapter can be called so\n  set another `id` or `name`")
    assert anatomy_of(run.model) == anatomy_of(run.base)


def test_a_parallel_adapter_stands_alone(host: Any) -> None:
    import torch

    run = host()
    run.step(DebiasingAdapter, "gender")
    run.learn()
    one = run.logits()
    with pytest.raises(UsageError) as error:
        run.step(DebiasingAdapter, "religion", placement="parallel")
    assert str(error.value) == (
        "a parallel adapter cannot be active together with another adapter\n  adapters: gender, religion\n"
        '  use placement = "pfeiffer" or "houlsby" for all of them'
    )
    assert torch.equal(run.logits(), one)


def test_a_parallel_adapter_beside_another_is_told_before_either_is_made() -> None:
    shape = ModelShape(model_type="llama")
    first, parallel = DebiasingAdapter(), DebiasingAdapter(placement="parallel")
    fusion = AdapterFusion(adapters=["step:a", "step:b"])
    expected = [
        "a parallel adapter cannot be active together with another adapter; "
        'use placement = "pfeiffer" or "houlsby" for all of them'
    ]
    assert parallel.unfit(shape, [first]) == first.unfit(shape, [parallel]) == expected
    assert not parallel.unfit(shape, []) and not first.unfit(shape, [first])
    assert not parallel.unfit(shape, [first, fusion])


def test_an_architecture_that_the_library_does_not_know_is_refused_and_left_as_it_was(host: Any) -> None:
    import torch
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    config = GPTNeoConfig(vocab_size=50, hidden_size=16, num_layers=1, num_heads=2, attention_types=[[["global"], 1]])
    run = host()
    run.model = GPTNeoForCausalLM(config).eval()
    ids = torch.arange(5)[None]
    with torch.no_grad():
        before = run.model(ids).logits
    with pytest.raises(UsageError, match="^models of the type 'gpt_neo' cannot take adapters"):
        run.step(DebiasingAdapter, "gender")
    assert type(run.model) is GPTNeoForCausalLM
    with torch.no_grad():
        assert torch.equal(run.model(ids).logits, before)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_quantised_weights_that_the_library_stumbles_over_are_refused_and_left_as_they_were(
    family: str, host: Any, monkeypatch: Any
) -> None:
    import adapters
    import torch

    run = host(family)
    layer = next(m for m in run.model.modules() if isinstance(m, torch.nn.Linear))
    layer.weight = torch.nn.Parameter(torch.zeros(layer.weight.shape, dtype=torch.int8), requires_grad=False)
    before = anatomy_of(run.model)
    if family == "bert":  # nothing is computed when a masked model is prepared
        whole = adapters.init

        def stumbling(*args: Any, **options: Any) -> None:
            whole(*args, **options)
            raise TypeError("cannot assign 'weight'")

        monkeypatch.setattr(adapters, "init", stumbling)
    with pytest.raises(UsageError) as caught:
        run.step(DebiasingAdapter, "gender")
    name = {"llama": "model.layers.0.self_attn.q_proj", "bert": "bert.encoder.layer.0.attention.self.query"}[family]
    assert str(caught.value) == (
        f"the weights of {name} are quantised, in a form that takes no adapters\n"
        "  they are kept by torch.nn.modules.linear.Linear\n  load the model without quantisation"
    )
    assert anatomy_of(run.model) == before


def test_a_model_whose_cache_would_be_lost_is_refused(host: Any, monkeypatch: Any) -> None:
    """Llama with the library's own classes is such a model."""
    from transformers import LlamaForCausalLM

    from evenhand_adapterfusion import preparation

    run = host()
    monkeypatch.setattr(preparation, "HOOKED", ())
    with pytest.raises(UsageError, match="^models of the type 'llama' cannot take adapters"):
        run.step(DebiasingAdapter, "gender")
    assert type(run.model) is LlamaForCausalLM
    assert anatomy_of(run.model) == anatomy_of(run.base)


def test_a_model_that_somebody_else_prepared_must_have_its_cache_too(host: Any) -> None:
    import adapters

    run = host()
    adapters.init(run.model)
    before = anatomy_of(run.model)
    with pytest.raises(UsageError) as error:
        run.step(DebiasingAdapter, "gender")
    assert str(error.value) == (
        "a model of the type 'llama': this model was prepared by `adapters.init` and loses its key-value cache: text "
        "would forget its past\n  load the model anew and leave out `adapters.init`; it is prepared here in another way"
    )
    assert anatomy_of(run.model) == before
    other = host("gpt2")
    adapters.init(other.model)
    other.step(DebiasingAdapter, "gender")
    assert other.model.active_adapters is not None


def test_an_empty_folder_is_no_adapter(host: Any, tmp_path: Any) -> None:
    run = host()
    transform = run.declare(DebiasingAdapter, "gender")
    with pytest.raises(UsageError) as error:
        transform.load(run.model, tmp_path)
    assert str(error.value) == f"{tmp_path}: there is no adapter in this folder"


def test_an_adapter_cannot_be_folded(host: Any) -> None:
    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    assert transform.fold(run.model) is False
    assert transform.portable is False
