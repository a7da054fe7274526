"""What is put onto a model from a folder: plain bottleneck adapters that are whole, or nothing at all."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from test_debiasing_adapter import vary_norms

from evenhand_adapterfusion import available, load_adapter
from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk import UsageError

PLAIN = "what the library calls seq_bn, double_seq_bn and par_bn can be put onto a model"


def of_the_library(model: Any, folder: Path, kind: str) -> Path:
    """An adapter of this kind that has learned, saved by the library alone."""
    import adapters
    import torch

    made = copy.deepcopy(model)
    adapters.init(made)
    made.add_adapter("theirs", config=kind)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if "theirs" in name:
                p.add_(0.2 * torch.randn(p.shape, generator=noise))
    made.save_adapter(str(folder), "theirs", with_head=False, use_safetensors=True)
    return folder


def state(model: Any) -> list[Any]:
    """Modules with their classes and hooks, and parameters with their marks: what must stay as it was."""
    return [
        [(n, type(m), len(m._forward_hooks), sorted(vars(m))) for n, m in model.named_modules()],
        [(n, id(p), p.requires_grad) for n, p in model.named_parameters()],
    ]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "bert", "roberta"])
def test_an_adapter_of_another_kind_is_refused_by_name(host: Any, family: str, tmp_path: Path) -> None:
    """Its matrices have no place here: it would be on and do nothing."""
    run = host(family)
    before = state(run.model)
    folder = of_the_library(run.model, tmp_path / "lora", "lora")
    with pytest.raises(UsageError) as error:
        load_adapter(run.model, folder)
    assert str(error.value) == (
        f"{folder}: this is no plain bottleneck adapter but one of the kind 'lora'\n  {PLAIN}\n"
        "  use the library `adapters` itself for this one"
    )
    assert state(run.model) == before


def with_settings(folder: Path, **settings: Any) -> Path:
    """The same files, with other settings told in them."""
    told = json.loads((folder / "adapter_config.json").read_text())
    told["config"].update(settings)
    (folder / "adapter_config.json").write_text(json.dumps(told))
    return folder


def test_a_bottleneck_with_more_than_two_linear_maps_is_refused(host: Any, tmp_path: Path) -> None:
    run = host("bert")
    folder = of_the_library(run.model, tmp_path / "saved", "seq_bn_inv")
    with pytest.raises(UsageError, match="no plain bottleneck adapter but has an invertible part at the embeddings"):
        load_adapter(run.model, folder)
    with_settings(folder, inv_adapter=None, phm_layer=True)
    with pytest.raises(UsageError, match="no plain bottleneck adapter but has hypercomplex layers"):
        load_adapter(run.model, folder)


def test_an_adapter_that_has_no_part_in_any_layer_is_refused(host: Any, tmp_path: Path) -> None:
    run = host("bert")
    before = state(run.model)
    folder = with_settings(of_the_library(run.model, tmp_path / "saved", "seq_bn"), leave_out=[0, 1])
    with pytest.raises(UsageError) as error:
        load_adapter(run.model, folder)
    assert str(error.value) == f"{folder}: this adapter has no part in any layer of this model"
    assert state(run.model) == before


@pytest.mark.parametrize("kind", ["seq_bn", "double_seq_bn", "par_bn"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "gpt2", "bert", "roberta"])
def test_an_adapter_of_the_library_gives_here_what_it_gives_there(
    host: Any, family: str, kind: str, tmp_path: Path
) -> None:
    """Gemma 3 with seq_bn is the one that could not, and is refused by name."""
    import adapters
    import torch

    run = host(family)
    vary_norms(run.model)
    before = state(run.model)
    folder = of_the_library(run.model, tmp_path / "saved", kind)
    there = copy.deepcopy(run.model)
    adapters.init(there)
    there.load_adapter(str(folder), with_head=False, use_safetensors=True, set_active=True)
    there.eval()
    if (family, kind) == ("gemma3", "seq_bn"):
        with pytest.raises(UsageError) as error:
            load_adapter(run.model, folder)
        assert str(error.value) == (
            f"{folder}: this adapter reads what norms of the model made (`original_ln_before`)\n"
            "  in models of the type 'gemma3_text' the library takes those of the last layer in all layers\n"
            "  train it with original_ln_before=False, or use the library `adapters` itself"
        )
        assert state(run.model) == before
        return
    load_adapter(run.model, folder)
    torch.testing.assert_close(run.logits(), run.logits(there), rtol=0, atol=1e-5)
    assert not torch.allclose(run.logits(), run.logits(run.base), atol=1e-2)


def test_an_adapter_for_gemma_3_from_before_acts_as_it_did(host: Any, tmp_path: Path) -> None:
    """The toolkit trained such adapters without the norms that its files named."""
    import torch

    run = host("gemma3")
    vary_norms(run.model, run.base)
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    transform.save(run.model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["config"]["original_ln_before"] is False
    load_adapter(run.base, with_settings(tmp_path, original_ln_before=True))
    for part in run.model.model.layers:  # the feed-forward part's output and the residual stream, as for other models
        part.output_adapters.adapters["gender"].original_ln_before = True
    assert torch.equal(run.logits(run.base), run.logits())


# ------------------------------------------------------------------------------------------- damaged and unfit
def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garble(file: Path) -> None:
    file.write_bytes(b"hello")


def lose(file: Path) -> None:
    rewrite(file, lambda name, tensor: {} if name.endswith((".adapter_up.bias", ".key.bias")) else {name: tensor})


def widen(file: Path) -> None:
    rewrite(file, lambda name, tensor: {name: tensor.repeat(2, *[1] * (tensor.ndim - 1))})


def spoil(file: Path) -> None:
    rewrite(file, lambda name, tensor: {name: tensor * float("nan")})


def add_a_layer(file: Path) -> None:
    rewrite(file, lambda name, tensor: {name: tensor, name.replace("layers.1.", "layers.2."): tensor.clone()})


def rewrite(file: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    save_file({k: v for name, t in load_file(file).items() for k, v in change(name, t).items()}, file)


DAMAGES = [
    (cut, "FILE is damaged"),
    (garble, "FILE is damaged"),
    (lose, "the saved tensors have no 'layers.0.output_adapters."),
    (widen, "a saved tensor does not fit this model: it is "),
    (spoil, "FILE has numbers that are not finite"),
    (add_a_layer, "this model has no place for the saved tensor 'model.layers.2.output_adapters."),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_or_unfit_adapter_is_told_and_the_model_is_as_it_was(
    host: Any, tmp_path: Path, damage: Any, message: str
) -> None:
    """Also where another adapter is on; and a whole one can be put on afterwards."""
    import torch

    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    transform.save(run.model, tmp_path / "whole")
    transform.save(run.model, tmp_path / "bad")
    damage(tmp_path / "bad" / "adapter.safetensors")
    for model, name in ((copy.deepcopy(run.base), ""), (copy.deepcopy(run.model), "second")):
        before, logits, had = state(model), run.logits(model), available(model)
        with pytest.raises(UsageError) as error:
            load_adapter(model, tmp_path / "bad", name=name)
        assert f"bad: {message.replace('FILE', 'adapter.safetensors')}" in str(error.value)
        assert state(model) == before and available(model) == had
        assert torch.equal(run.logits(model), logits)
        assert load_adapter(model, tmp_path / "whole", name=name) == (name or "gender")


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_or_unfit_fusion_is_told_and_the_model_is_as_it_was(
    host: Any, tmp_path: Path, damage: Any, message: str
) -> None:
    import torch

    run = host()
    for name in ("gender", "task"):
        run.step(DebiasingAdapter, name)
        run.learn()
    model = copy.deepcopy(run.model)
    transform = run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:task"])
    run.learn()
    transform.save(run.model, tmp_path)
    file = tmp_path / "model_adapter_fusion.safetensors"
    whole = file.read_bytes()
    damage(file)
    before, logits = state(model), run.logits(model)
    with pytest.raises(UsageError) as error:
        transform.load(model, tmp_path)
    assert f"{tmp_path}: {message.replace('FILE', file.name)}" in str(error.value)
    assert state(model) == before and torch.equal(run.logits(model), logits)
    file.write_bytes(whole)
    transform.load(model, tmp_path)
    assert torch.equal(run.logits(model), run.logits())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "adapter_config.json cannot be read\n  Expecting property name enclosed in double quotes"),
        ("[]", "adapter_config.json is no table of settings"),
        ('{"config": {}}', "adapter_config.json does not say the name\n  a text under `name`"),
        ('{"name": "gender"}', "adapter_config.json has no settings\n  a table under `config`"),
        (
            '{"name": "a.b", "config": {}}',
            "no adapter can be called 'a.b'\n  a name has the letters A to Z and a to z, digits, - and _\n"
            "  set another `id` or `name`",
        ),
        (
            '{"name": "x", "config": {"reduction_factor": 16}}',
            "the library `adapters` cannot build this on this model\n  TypeError: ",
        ),
    ],
)
def test_settings_that_say_too_little_are_told(host: Any, tmp_path: Path, told: str, message: str) -> None:
    run = host()
    before = state(run.model)
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    transform.save(run.model, tmp_path)
    transform.revert(run.model)
    (tmp_path / "adapter_config.json").write_text(told)
    with pytest.raises(UsageError) as error:
        load_adapter(run.model, tmp_path)
    assert message in str(error.value)
    assert state(run.model) == before
