"""LoRA: gradients and updates by hand and by `peft`, merging, what stays, the folder, company, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import TYPES, family_model
from torch.func import functional_call

import evenhand
from evenhand.model_shape import ModelShape, shape_of
from evenhand_sdk import Artifact, DigestMismatch, UsageError
from evenhand_sdk.testing import contributions, place, train
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked
from evenhand_standard.architecture.attention_steering import AttentionSteering
from evenhand_standard.architecture.dropout import Dropout
from evenhand_standard.architecture.leace import Leace
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.architecture.low_rank import PARTS, LiveLora, LoraSettings, is_lora, largest, misfits, pairs_of
from evenhand_standard.architecture.movement_pruning import MovementPruning
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from evenhand_standard.architecture.task_vector_negation import TaskVectorNegation
from evenhand_standard.architecture.weight_interpolation import WeightInterpolation
from evenhand_standard.decoding.lora_experts import read_adapter, switched_on

FAMILIES = ("llama", "gpt2", "bert")
SCALE = 32 / 16


def model_of(family: str) -> tuple[Any, Any, str]:
    if family == "bert":
        return *tiny_masked(), "masked"
    return *tiny_causal(family), "causal"


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if not is_lora(name)}


def outputs(model: Any, tokenizer: Any) -> torch.Tensor:
    return model(**tokenizer("The nurse said that she was good", return_tensors="pt")).logits


def transposed(model: Any, path: str) -> bool:
    return "Conv1D" in type(model.get_submodule(path)).__name__


def trained(plugin: Any, family: str, run_of: Any, **settings: Any) -> tuple[Any, ...]:
    """The model behind the step, its weights before, the artifact, the run, and the transform."""
    model, tokenizer, kind = model_of(family)
    run = run_of(model, tokenizer, kind, **{"learning_rate": 3e-2, "max_steps": 4, **settings})
    before = weights(model)
    [placed] = place(contributions(plugin, "architecture", run), run)
    return model, before, placed.artifact, run, placed.transform


# ------------------------------------------------------------------------------------------------------ by hand
@pytest.mark.parametrize("family", FAMILIES)
def test_two_updates_are_those_of_a_hand_made_lora(family: str) -> None:
    """In float64: W + (alpha / r) B A put into the weights themselves, and AdamW written out."""
    model, tokenizer, _ = model_of(family)
    model.double()
    plain = copy.deepcopy(model)
    live = LiveLora("step", LoraSettings())
    live.put(model, seed=3)
    ours = dict(model.named_parameters())
    mine = {name.removesuffix(f".{live.key}.weight"): ours[name] for name in live.names(model)}
    hand = {name: p.detach().clone().requires_grad_() for name, p in mine.items()}
    assert len(mine) == 2 * len(live.places(model)) and all(bool((p == 0).all()) for n, p in hand.items() if "_B" in n)
    ids = tokenizer("My sister is a carpenter and he likes her", return_tensors="pt")["input_ids"]

    def by_hand() -> torch.Tensor:
        changed = {}
        for path, (a, b) in pairs_of(hand):
            delta = SCALE * (b @ a)
            changed[f"{path}.weight"] = plain.get_parameter(f"{path}.weight") + (
                delta.T if transposed(plain, path) else delta
            )
        return functional_call(plain, changed, kwargs={"input_ids": ids, "labels": ids}).loss

    rate, first, second, tiny = 1e-2, 0.9, 0.999, 1e-8
    optimizer = torch.optim.AdamW(mine.values(), lr=rate, betas=(first, second), eps=tiny, weight_decay=0.0)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in hand.items()}
    for step in (1, 2):
        loss, wanted = model(input_ids=ids, labels=ids).loss, by_hand()
        assert torch.allclose(loss, wanted, atol=1e-12)
        optimizer.zero_grad()
        loss.backward()
        gradients = dict(zip(hand, torch.autograd.grad(wanted, list(hand.values())), strict=True))
        for name, gradient in gradients.items():
            assert torch.allclose(mine[name].grad, gradient, atol=1e-12), name
            m, v = moments[name]
            m.mul_(first).add_((1 - first) * gradient)
            v.mul_(second).add_((1 - second) * gradient.square())
            with torch.no_grad():
                hand[name] -= rate * (m / (1 - first**step)) / ((v / (1 - second**step)).sqrt() + tiny)
        optimizer.step()
    assert any(bool((p != 0).any()) for n, p in mine.items() if "_B" in n)
    # Where a gradient is nothing but rounding, AdamW makes a whole step of it: those entries say nothing.
    for name in hand:
        told = moments[name][1] > 1e-20
        assert torch.allclose(mine[name][told], hand[name][told], atol=1e-8), name


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_computes_the_same_and_reads_the_folder(family: str, run_of: Any) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    model, _, artifact, run, _ = trained(Lora(), family, run_of)
    base, tokenizer, _ = model_of(family)
    found = PeftModel.from_pretrained(copy.deepcopy(base), run.folder / "adapter")
    assert float((outputs(found, tokenizer) - outputs(model, tokenizer)).detach().abs().max()) < 1e-4
    assert float((outputs(found, tokenizer) - outputs(base, tokenizer)).detach().abs().max()) > 1e-3
    loaded = {n for n, _ in found.named_parameters() if "lora_" in n}
    assert len(loaded) == len(artifact.tensors)
    # Its own layers, with the same matrices, in float64: same outputs, same gradients.
    base.double()
    ours = copy.deepcopy(base)
    live = LiveLora("step", LoraSettings())
    live.put(ours, seed=0)
    names = sorted({path.rpartition(".")[2] for path in live.places(ours)})
    fan = any(transposed(base, path) for path in live.places(ours))
    theirs = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=names, fan_in_fan_out=fan))
    pairs = [n for n, _ in ours.named_parameters() if is_lora(n)]
    with torch.no_grad():
        for name in pairs:
            ours.get_parameter(name).copy_(torch.randn_like(ours.get_parameter(name)) * 0.1)
            twin = name.replace(live.key, "default")
            theirs.get_parameter(f"base_model.model.{twin}").copy_(ours.get_parameter(name))
    one, two = outputs(ours, tokenizer), outputs(theirs, tokenizer)
    assert torch.allclose(one, two, atol=1e-10)
    one.square().sum().backward()
    two.square().sum().backward()
    for name in pairs:
        twin = f"base_model.model.{name.replace(live.key, 'default')}"
        assert torch.allclose(ours.get_parameter(name).grad, theirs.get_parameter(twin).grad, rtol=1e-8, atol=1e-8)


def test_the_first_matrices_are_as_wide_as_those_of_peft() -> None:
    from peft import LoraConfig, get_peft_model

    base, _ = tiny_causal("llama")
    ours = copy.deepcopy(base)
    LiveLora("step", LoraSettings()).put(ours, seed=0)
    theirs = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj"]))
    name = "model.layers.0.self_attn.q_proj.lora_A"
    a, b = (
        ours.get_parameter(f"{name}.step_step.weight"),
        theirs.get_parameter(f"base_model.model.{name}.default.weight"),
    )
    bound = a.shape[1] ** -0.5
    for found in (a, b):
        assert 0.9 * bound < float(found.detach().abs().max()) <= bound


# ------------------------------------------------------------------------------------------- training and merging
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
def test_a_training_moves_lora_alone_and_its_product_is_merged(family: str, strength: float, run_of: Any) -> None:
    model, before, artifact, run, transform = trained(Lora(strength=strength), family, run_of)
    pairs = dict(pairs_of(artifact.tensors))
    assert {name for name, _ in model.named_parameters()} == set(before), "nothing of it is left in the model"
    assert any(bool((b != 0).any()) for _, b in pairs.values())
    for name, found in weights(model).items():
        path = name.removesuffix(".weight")
        if path not in pairs or strength == 0.0:
            assert torch.equal(found, before[name]), name
            continue
        a, b = pairs[path]
        change = strength * SCALE * (b.double() @ a.double())
        wanted = before[name].double() + (change.T if transposed(model, path) else change)
        assert torch.equal(found, wanted.float()), name
    assert artifact.meta["parameters"] == sum(t.numel() for t in artifact.tensors.values())
    assert artifact.meta["merging"] < 1e-4
    merged = outputs(model, run.tokenizer)
    assert transform.fold(model) and torch.equal(outputs(model, run.tokenizer), merged)


def test_taken_back_the_model_is_as_before_to_the_bit(run_of: Any) -> None:
    model, before, artifact, run, transform = trained(Lora(), "llama", run_of)
    behind = outputs(model, run.tokenizer)
    transform.revert(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    [fresh] = contributions(Lora(), "architecture", run)
    fresh.apply(model, artifact)
    assert torch.equal(outputs(model, run.tokenizer), behind)


def test_only_the_chosen_matrices_of_the_last_layers(tiny: Any, run_of: Any) -> None:
    model, _ = tiny()
    depth = model.config.num_hidden_layers
    assert depth == 2
    live = LiveLora("step", LoraSettings(targets=("query", "output"), layers=0.5))
    assert list(live.places(model)) == ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.o_proj"]
    assert len(LiveLora("step", LoraSettings()).places(model)) == 7 * depth
    gpt2 = tiny_causal("gpt2")[0]
    assert list(LiveLora("step", LoraSettings()).places(gpt2))[:4] == [
        f"transformer.h.0.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]


def test_dropout_acts_while_it_trains_only(tiny: Any) -> None:
    model, tokenizer = tiny()
    live = LiveLora("step", LoraSettings(dropout=0.5))
    live.put(model, seed=0)
    with torch.no_grad():
        for name in live.names(model):
            model.get_parameter(name).fill_(0.1)
    assert torch.equal(outputs(model, tokenizer), outputs(model, tokenizer))
    model.train()
    assert not torch.equal(outputs(model, tokenizer), outputs(model, tokenizer))


def test_in_bfloat16_its_matrices_are_float32(tiny: Any) -> None:
    model, tokenizer = tiny()
    model.to(torch.bfloat16)
    live = LiveLora("step", LoraSettings())
    live.put(model, seed=0)
    assert {model.get_parameter(name).dtype for name in live.names(model)} == {torch.float32}
    assert outputs(model, tokenizer).dtype == torch.bfloat16


# ---------------------------------------------------------------------------------------------------- in company
def test_it_is_a_change_of_the_weight_whatever_hooks_stand_around(tiny: Any) -> None:
    """A hook in front, put there before, and one behind, before and after it: merged, the outputs are the same."""
    model, tokenizer = tiny()
    model.double()
    module = model.model.layers[0].mlp.down_proj
    module.register_forward_pre_hook(lambda m, args: (args[0] * 0.5,))
    module.register_forward_hook(lambda m, args, out: out.tanh())
    live = LiveLora("step", LoraSettings())
    live.put(model, seed=0)
    module.register_forward_hook(lambda m, args, out: out * 3.0)
    with torch.no_grad():
        for name in live.names(model):
            model.get_parameter(name).normal_(std=0.3)
    wanted = outputs(model, tokenizer)
    found = live.tensors(model)
    live.detach(model)
    assert not torch.allclose(outputs(model, tokenizer), wanted, atol=1e-3)
    live.merge(model, found)
    assert torch.allclose(outputs(model, tokenizer), wanted, atol=1e-10)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_a_copy_of_the_model_has_lora_of_its_own(family: str) -> None:
    model, tokenizer, _ = model_of(family)
    before = outputs(model, tokenizer)
    live = LiveLora("step", LoraSettings())
    live.put(model, seed=0)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name in live.names(twin):
            twin.get_parameter(name).fill_(0.3)
    assert torch.equal(outputs(model, tokenizer), before)
    assert not torch.equal(outputs(twin, tokenizer), before)


@pytest.mark.parametrize(
    "other", [Dropout(), Leace(form="after-norm", positions="all"), MovementPruning(), SelectiveUpdate()]
)
@pytest.mark.parametrize("first", [True, False])
def test_another_step_in_the_same_training(other: Any, first: bool, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, learning_rate=1e-2)
    ours, theirs = contributions(Lora(), "architecture", run), contributions(other, "architecture", run)
    placed = place([*ours, *theirs] if first else [*theirs, *ours], run)
    wanted = outputs(model, tokenizer)
    for one in placed:
        one.transform.fold(model)
    assert not any(is_lora(name) for name, _ in model.named_parameters())
    assert float((outputs(model, tokenizer) - wanted).detach().abs().max()) < 1e-4


def test_selected_norms_move_beside_lora_and_its_matrices_stay_its_own(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, learning_rate=1e-2)
    before = weights(model)
    [lora], [norms] = (
        contributions(plugin, "architecture", run) for plugin in (Lora(), SelectiveUpdate(select=("attention",)))
    )
    lora.apply(model, Artifact())
    assert not any(is_lora(name) for name in norms.trainable(model))
    train(run, transforms=[lora, norms])
    moved = {name for name, p in weights(model).items() if not torch.equal(p, before[name])}
    assert moved and all(".self_attn." in name for name in moved)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("other", [WeightInterpolation(), TaskVectorNegation()])
def test_a_step_that_moves_all_weights_is_refused_beside_it(first: bool, other: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    ours, theirs = contributions(Lora(), "architecture", run), contributions(other, "architecture", run)
    with pytest.raises(UsageError, match="LoRA and a step that moves all weights cannot share a training"):
        place([*ours, *theirs] if first else [*theirs, *ours], run)


# ------------------------------------------------------------------------------------------------ sets and vectors
@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_the_set_lora_of_selective_update(strength: float, run_of: Any) -> None:
    plugin = SelectiveUpdate(select=("lora", "norms"), strength=strength)
    model, before, artifact, _, _ = trained(plugin, "llama", run_of)
    pairs = dict(pairs_of(artifact.tensors))
    assert len(pairs) == 14 and artifact.meta["lora"]["rank"] == 16
    for name, found in weights(model).items():
        path = name.removesuffix(".weight")
        if path in pairs:
            a, b = pairs[path]
            wanted = before[name].double() + strength * SCALE * (b.double() @ a.double())
            assert torch.equal(found, wanted.float() if strength else before[name]), name
        else:
            assert torch.equal(found, before[name]) == ("norm" not in name or strength == 0.0), name


def test_the_set_lora_alone_moves_no_weight_of_its_own(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    [transform] = contributions(SelectiveUpdate(select=("lora",)), "architecture", run)
    transform.apply(model, transform.fit(model))
    assert all(is_lora(name) for name in transform.trainable(model))
    transform.revert(model)
    for options, told in (
        ({"select": ("lora", "all")}, "changes nothing"),
        ({"select": ("lora",), "choose": "gradients"}, "its gradients choose nothing"),
    ):
        with pytest.raises(UsageError, match=told):
            SelectiveUpdate(**options)


@pytest.mark.parametrize("keep", [1.0, 0.2])
@pytest.mark.parametrize("strength", [1.0, 0.0])
def test_negation_of_what_lora_learnt(keep: float, strength: float, run_of: Any) -> None:
    plugin = TaskVectorNegation(through="lora", amount=0.5, keep=keep, strength=strength)
    model, before, artifact, run, _ = trained(plugin, "llama", run_of)
    pairs = dict(pairs_of(artifact.tensors))
    for name, found in weights(model).items():
        path = name.removesuffix(".weight")
        if path not in pairs or not strength:
            assert torch.equal(found, before[name])
            continue
        a, b = pairs[path]
        change = -0.5 * SCALE * (b.double() @ a.double())
        if keep < 1.0:
            bar = change.abs().flatten().sort(descending=True).values[round(keep * change.numel()) - 1]
            change = torch.where(change.abs() >= bar, change, 0.0)
        assert torch.equal(found, (before[name].double() + change).float()), name
    config = json.loads((run.folder / "adapter" / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 32.0, "the folder holds what was learnt, for anti-experts"


def test_the_largest_entries_by_hand() -> None:
    change = torch.tensor([[0.1, -1.0], [0.5, 0.2]])
    assert torch.equal(largest(change, 0.5), torch.tensor([[0.0, -1.0], [0.5, 0.0]]))
    assert torch.equal(largest(change, 0.01), torch.tensor([[0.0, -1.0], [0.0, 0.0]]))


# ----------------------------------------------------------------------------------------------------- the folder
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_guidance_by_experts_reads_the_folder(family: str, strength: float, run_of: Any) -> None:
    model, _, _, run, _ = trained(Lora(strength=strength), family, run_of)
    base, tokenizer, _ = model_of(family)
    adapter = read_adapter(str(run.folder / "adapter"), base)
    with switched_on(base, adapter), torch.no_grad():
        found = outputs(base, tokenizer)
    assert float((found - outputs(model, tokenizer)).abs().max()) < 1e-4
    half = copy.deepcopy(base).to(torch.bfloat16)
    assert read_adapter(str(run.folder / "adapter"), half).scale == pytest.approx(2.0 * strength)


def test_a_folder_that_is_damaged_or_of_another_model_is_refused(run_of: Any) -> None:
    model, _, _, run, _ = trained(Lora(), "llama", run_of)
    place = run.folder / "adapter"
    with pytest.raises(UsageError, match="trained beside other weights"):
        read_adapter(str(place), model)  # which has it in its weights
    with pytest.raises(UsageError, match="trained beside other weights"):
        read_adapter(str(place), tiny_causal("llama", seed=1)[0])
    payload = bytearray((place / "adapter_model.safetensors").read_bytes())
    payload[-1] ^= 1
    (place / "adapter_model.safetensors").write_bytes(payload)
    with pytest.raises(DigestMismatch, match="it is damaged"):
        read_adapter(str(place), tiny_causal("llama")[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"layers": 0.5}, {"targets": ("feed-forward",)}])
def test_the_folder_names_these_modules_and_no_others(family: str, options: dict[str, Any], run_of: Any) -> None:
    model, _, artifact, run, _ = trained(Lora(**options), family, run_of, max_steps=1)
    config = json.loads((run.folder / "adapter" / "adapter_config.json").read_text())
    meant = {
        name
        for name, _ in model.named_modules()
        if any(name == target or name.endswith(f".{target}") for target in config["target_modules"])
    }
    assert meant == {path for path, _ in pairs_of(artifact.tensors)}
    assert config["task_type"] == (None if family == "bert" else "CAUSAL_LM")


# -------------------------------------------------------------------------------------------------------- refused
def test_what_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)

    def put(plugin: Any, target: Any) -> None:
        [transform] = contributions(plugin, "architecture", run)
        transform.apply(target, Artifact())

    before = weights(model)
    with pytest.raises(UsageError, match="the rank 999 is above the width of model.layers.0.self_attn.q_proj"):
        put(Lora(rank=999), model)
    assert {name for name, _ in model.named_parameters()} == set(before)
    with pytest.raises(UsageError, match="attn.c_attn keeps query, key and value in one matrix"):
        put(Lora(targets=("query",)), tiny_causal("gpt2")[0])
    model.config.model_type = "unheard"
    with pytest.raises(UsageError, match="nothing is known about the parameter names of models of type 'unheard'"):
        put(Lora(), model)


def test_an_artifact_of_another_model_is_refused_before_anything_changes(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    before = weights(model)
    [transform] = contributions(Lora(), "architecture", run_of(model, tokenizer))
    wrong = {"model.layers.0.self_attn.q_proj.lora_A": torch.ones(16, 7)}
    wrong["model.layers.0.self_attn.q_proj.lora_B"] = torch.ones(9, 16)
    with pytest.raises(UsageError, match=r"is for a matrix of \(9, 7\)"):
        transform.apply(model, Artifact(tensors=wrong))
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


# ---------------------------------------------------------------------------------------------------------- runs
def recipe(folder: Path, family: str) -> dict[str, Any]:
    text = folder / "text.txt"
    text.write_text("The nurse asked her friend.\nThe doctor told his son.\n" * 6, encoding="utf-8")
    return {
        "model": {"name": str(save_tiny(folder / "model", family=family))},
        "data": {"train": str(text)},
        "training": {"max_steps": 4, "batch_size": 4, "learning_rate": 1e-2, "warmup": 0.0, "save_every": 1},
        "benchmarks": [{"use": "pair-gap", "limit": 8}],
        "steps": [{"use": "pair-parity", "axes": ["gender"]}, {"use": "lora"}],
    }


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_run_leaves_a_plain_model_that_can_be_published(family: str, tmp_path: Path, own_cache: Any) -> None:
    import transformers

    given = recipe(tmp_path, family)
    run = evenhand.run(given, output=tmp_path / "runs")
    step = next(entry for entry in run.record["steps"] if entry["use"] == "lora")
    assert step["state"] == "folded" and run.record["portability"]["plain_transformers"]
    told = [event["text"] for event in run.record["events"] if "LoRA merged" in event["text"]]
    assert len(told) == 1
    sections = [section["title"] for section in run.record["sections"]]
    assert "What LoRA has trained" in sections
    folder = evenhand.export(run.folder, tmp_path / "published")
    auto = transformers.AutoModelForMaskedLM if family == "bert" else transformers.AutoModelForCausalLM
    published, tokenizer = auto.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    model = evenhand.load(run.folder).model
    assert torch.equal(outputs(published, tokenizer), outputs(model, tokenizer))
    # The adapter on the untouched model is that model, too.
    base = auto.from_pretrained(given["model"]["name"])
    adapter = read_adapter(str(run.folder / ".state" / "steps" / "lora" / "adapter"), base)
    with switched_on(base, adapter), torch.no_grad():
        assert float((outputs(base, tokenizer) - outputs(model, tokenizer)).abs().max()) < 1e-4


def test_a_stopped_run_goes_on_to_the_same_model(
    tmp_path: Path, own_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand.run_callback import RunCallback

    given = recipe(tmp_path, "llama")
    whole = evenhand.run(given, output=tmp_path / "whole")
    plain = RunCallback.on_step_begin

    def stops(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == 2:
            raise KeyboardInterrupt
        plain(self, args, state, control, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(RunCallback, "on_step_begin", stops)
        with pytest.raises(KeyboardInterrupt):
            evenhand.run(given, output=tmp_path / "broken")
    again = evenhand.run(given, output=tmp_path / "broken", resume=True)
    one, two = (evenhand.load(run.folder).model.state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_in_a_training_of_your_own(tiny: Any) -> None:
    model, tokenizer = tiny()
    before = weights(model)
    handle = evenhand.apply(model, tokenizer, [Lora()])
    moving = [p for p in model.parameters() if p.requires_grad]
    assert handle.trainable and all(is_lora(name) for name in handle.trainable) and len(moving) == len(handle.trainable)
    optimizer = torch.optim.AdamW(moving, lr=1e-2)
    ids = tokenizer("The nurse said that she was good", return_tensors="pt")["input_ids"]
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    behind = outputs(model, tokenizer).detach()
    handle.finish()
    assert handle.fold() == []
    assert float((outputs(model, tokenizer) - behind).detach().abs().max()) < 1e-4
    assert {name for name, _ in model.named_parameters()} == set(before)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_what_moved_a_merged_matrix_since_stays_when_lora_is_taken_back(family: str, run_of: Any) -> None:
    model, before, artifact, _, transform = trained(Lora(), family, run_of)
    path = next(pairs_of(artifact.tensors))[0]
    with torch.no_grad():
        model.get_submodule(path).weight[0].add_(1.0)
    transform.revert(model)
    after, moved = weights(model), f"{path}.weight"
    before[moved][0] += 1.0
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items() if name != moved)
    torch.testing.assert_close(after[moved], before[moved], atol=1e-6, rtol=0)


@pytest.mark.parametrize("targets", [PARTS, ("output",), ("feed-forward",), ("query", "key", "value")], ids=str)
@pytest.mark.parametrize("model_type", TYPES)
def test_the_configuration_tells_which_ranks_the_matrices_have_room_for(
    model_type: str, targets: Any, run_of: Any
) -> None:
    """As the matrices themselves do, when they are there."""
    model = family_model(model_type)
    shape = shape_of(model.config.to_dict())
    places = LiveLora("lora", LoraSettings(targets=targets)).places(model)
    room = min(min(matrix.module.weight.shape) for matrix in places.values())
    assert misfits(LoraSettings(rank=room, targets=targets), shape) == []
    [told] = misfits(LoraSettings(rank=room + 1, targets=targets), shape)
    assert told.startswith(f"the rank {room + 1} is above the width of ")
    assert told.endswith(f", which is {room}; lower `rank`")


def test_parts_in_one_matrix_and_unknown_types_are_told_by_the_configuration_too() -> None:
    assert Lora(targets=("query",)).unfit(ModelShape(model_type="gpt2"), ()) == [
        "attn.c_attn keeps query, key and value in one matrix; name all three in `targets`, or none"
    ]
    assert Lora(rank=10**6).unfit(ModelShape(model_type="llama"), ()) == []
    for plugin in (
        Lora(),
        Leace(),
        Dropout(),
        MovementPruning(),
        SelectiveUpdate(),
        TaskVectorNegation(),
        AttentionSteering(),
    ):
        [told] = plugin.unfit(ModelShape(model_type="opt"), ())
        assert told.startswith(
            "nothing is known about the layers of models of type 'opt'; described are llama, mistral"
        )
        assert told.endswith("; add a Family with its patterns to evenhand_standard/architecture/families.py")
    for plugin in (
        WeightInterpolation(),
        SelectiveUpdate(select=("all",)),
        Dropout(strength=0.0),
        AttentionSteering(strength=0.0),
    ):
        assert list(plugin.unfit(ModelShape(model_type="opt"), ())) == []
