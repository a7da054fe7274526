"""Experts that are adapters: against merged copies of the model, one sequence at a time, and what is refused."""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evenhand.attached_rules import attach
from evenhand.contributions import Request
from evenhand.generation import generate
from evenhand.scoring import distributions
from evenhand_sdk import UsageError
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.decoding.expert_guidance import ExpertGuidance
from evenhand_standard.decoding.guidance import guided
from evenhand_standard.decoding.lora_experts import read_adapter, switched_on

RANK, ALPHA = 2, 6.0


def layers_of(model: Any) -> list[str]:
    return [n for n, m in model.named_modules() if n.endswith(("q_proj", "down_proj", "c_attn"))]


def saved(folder: Path, model: Any, seed: int, **config: Any) -> str:
    """A LoRA adapter with random parts, as peft writes one."""
    made = torch.Generator().manual_seed(seed)
    modules = dict(model.named_modules())
    tensors = {}
    for name in layers_of(model):
        rows, columns = modules[name].weight.shape
        out, into = (columns, rows) if "Conv1D" in type(modules[name]).__name__ else (rows, columns)
        tensors[f"base_model.model.{name}.lora_A.weight"] = 0.3 * torch.randn(RANK, into, generator=made)
        tensors[f"base_model.model.{name}.lora_B.weight"] = 0.3 * torch.randn(out, RANK, generator=made)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    facts = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, **config}
    (folder / "adapter_config.json").write_text(json.dumps(facts), encoding="utf-8")
    return str(folder)


def merged(model: Any, folder: str) -> Any:
    """A copy whose weights have the adapter in them: W + (alpha / r) B A."""
    adapter = read_adapter(folder, model)
    found = copy.deepcopy(model)
    modules = dict(found.named_modules())
    for name, (a, b) in adapter.layers.items():
        change = ALPHA / RANK * (b.double() @ a.double()).float()
        weight = modules[name].weight
        weight.data += change.T if "Conv1D" in type(modules[name]).__name__ else change
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("sides", ["both", "expert", "anti-expert"])
def test_twenty_steps_in_a_batch_equal_merged_copies_one_at_a_time(
    family: str, sides: str, tmp_path: Path, run_of: Any
) -> None:
    model, tokenizer = tiny_causal(family)
    model.generation_config.eos_token_id = None
    plus = [saved(tmp_path / "fair", model, 1)] if sides != "anti-expert" else []
    minus = [saved(tmp_path / f"anti{k}", model, k) for k in (2, 3)] if sides != "expert" else []
    plugin = ExpertGuidance(expert_adapters=plus, anti_expert_adapters=minus, weight=0.7)
    rule = plugin.decoding(run_of(model, tokenizer), model)
    copies = {folder: merged(model, folder) for folder in (*plus, *minus)}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prompts = ["The nurse said that she", "Rain fell"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(**batch, max_new_tokens=20, do_sample=False, output_scores=True, return_dict_in_generate=True)
    del model.generate
    for b, prompt in enumerate(prompts):
        ids = list(tokenizer(prompt)["input_ids"])
        for scores in out.scores:
            given = torch.tensor([ids])
            own = model(input_ids=given).logits[0, -1]
            read = {f: m(input_ids=given).logits[0, -1] for f, m in copies.items()}
            up = torch.stack([read[f] for f in plus]) if plus else None
            down = torch.stack([read[f] for f in minus]) if minus else own[None]
            expected = guided(own, up, down, 0.7, 0.1)
            torch.testing.assert_close(scores[b].exp(), expected.exp(), atol=5e-5, rtol=2e-3)
            ids.append(int(scores[b].argmax()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_teacher_forced_scores_equal_stepwise_ones(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = ExpertGuidance(anti_expert_adapters=[saved(tmp_path / "a", model, 1)]).decoding(
        run_of(model, tokenizer), model
    )
    ids = list(tokenizer("She said that the king was late")["input_ids"])
    [whole] = distributions(model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]), torch.as_tensor(alone[0]), atol=1e-4, rtol=1e-4)


def test_experts_are_rows_of_one_batch_with_caches_of_their_own(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    model.generation_config.eos_token_id = None
    rule = ExpertGuidance(anti_expert_adapters=[saved(tmp_path / "a", model, 1)]).decoding(
        run_of(model, tokenizer), model
    )
    shapes: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(lambda m, a, k: shapes.append(k["input_ids"].shape), with_kwargs=True)
    attach(model, tokenizer, [rule])
    model.generate(**tokenizer("The nurse said that", return_tensors="pt"), max_new_tokens=6, do_sample=False)
    handle.remove()
    assert shapes[1:] == [(2, 1)] * 5 and len(shapes) == 6 and shapes[0][0] == 2


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("broken", [False, True])
def test_the_caches_of_experts_are_free_when_a_generation_ends(
    beams: int, broken: bool, tmp_path: Path, tiny: Any, run_of: Any
) -> None:
    import gc
    import weakref

    from transformers import DynamicCache, StoppingCriteriaList

    model, tokenizer = tiny()
    rule = ExpertGuidance(anti_expert_adapters=[saved(tmp_path / "a", model, 1)]).decoding(
        run_of(model, tokenizer), model
    )
    caches: list[Any] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        if isinstance(kwargs.get("past_key_values"), DynamicCache):
            caches.append(weakref.ref(kwargs["past_key_values"]))

    def stop(ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        if broken and ids.shape[1] > 7:
            raise ValueError("stopped half way")
        return torch.zeros(len(ids), dtype=torch.bool)

    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    attach(model, tokenizer, [rule])
    how = {
        "max_new_tokens": 6,
        "do_sample": False,
        "num_beams": beams,
        "stopping_criteria": StoppingCriteriaList([stop]),
    }
    try:
        model.generate(**tokenizer("The nurse said that", return_tensors="pt"), **how)
    except ValueError as error:
        assert broken and str(error) == "stopped half way"
    else:
        assert not broken
    handle.remove()
    gc.collect()
    assert caches and all(cache() is None for cache in caches)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_adapter_acts_on_its_rows_alone(family: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_causal(family)
    adapter = read_adapter(saved(tmp_path / "fair", model, 1), model)
    ids = tokenizer("Rain fell on the old town", return_tensors="pt")["input_ids"].repeat(4, 1)
    with torch.no_grad():
        plain = model(ids).logits[0]
        with switched_on(model, adapter):
            changed = model(ids).logits[0]
        with switched_on(model, adapter, [2, 0]):
            found = model(ids).logits
    for row, wanted in enumerate((changed, plain, changed, plain)):
        torch.testing.assert_close(found[row], wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(changed, plain, atol=1e-3)


def test_given_text_is_scored_by_the_experts_that_write(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    """Also where an adapter is in a feed-forward block, which a measurement computes in one go."""
    model, tokenizer = tiny()
    plus, minus = (saved(tmp_path / name, model, seed) for name, seed in (("fair", 1), ("anti", 2)))
    plugin = ExpertGuidance(expert_adapters=[plus], anti_expert_adapters=[minus], weight=0.7)
    rule = plugin.decoding(run_of(model, tokenizer), model)
    ids = list(tokenizer("She said that the king was late")["input_ids"])
    [whole] = distributions(model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    up, down = (merged(model, folder) for folder in (plus, minus))
    with torch.no_grad():
        own, towards, away = (m(torch.tensor([ids])).logits[0] for m in (model, up, down))
    for t in range(len(ids)):
        expected = guided(own[t], towards[t][None], away[t][None], 0.7, 0.1)
        torch.testing.assert_close(torch.as_tensor(whole[t]), expected, atol=2e-4, rtol=1e-3)


def test_a_layer_that_mixes_the_texts_of_a_batch_is_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    adapter = read_adapter(saved(tmp_path / "fair", model, 1), model)
    name = next(iter(adapter.layers))
    flat = torch.zeros(6, adapter.layers[name][0].shape[1])
    with torch.no_grad(), switched_on(model, adapter, [0]), pytest.raises(UsageError) as caught:
        model.get_submodule(name)(flat)
    assert str(caught.value) == (
        f"adapter {adapter.name!r}: its layer {name!r} reads the tokens of all texts at once, so that it cannot act on "
        "one of them\n  train the adapter on layers of the attention"
    )


def test_others_who_use_the_model_meanwhile_see_no_adapter(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    adapter = read_adapter(saved(tmp_path / "fair", model, 1), model)
    ids = tokenizer("Rain fell on the old town", return_tensors="pt")["input_ids"]

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return model(ids).logits  # type: ignore[no-any-return]

    plain = logits()
    with switched_on(model, adapter), ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(logits).result(), plain)
        assert not torch.equal(logits(), plain)
    assert torch.equal(logits(), plain)


def test_requests_in_several_threads_have_experts_of_their_own_text(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = ExpertGuidance(expert_adapters=[saved(tmp_path / "fair", model, 1)], weight=1.0)
    rule = plugin.decoding(run_of(model, tokenizer), model)

    def answer(prompt: str) -> Any:
        [found] = generate(model, tokenizer, [Request(prompt=prompt, max_new_tokens=6)], rules=[rule], title=None)
        return found.token_ids

    prompts = ["The king said that", "Rain fell", "A girl and her brother", "On the bridge"]
    expected = [answer(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, prompts)) == expected


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"peft_type": "IA3"}, "it is IA3, not LORA"),
        ({"use_dora": True}, "it has use_dora, which is not read here"),
        ({"r": "two"}, "its adapter_config.json cannot be read"),
    ],
)
def test_other_adapters_are_refused(config: dict[str, Any], what: str, tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = ExpertGuidance(expert_adapters=[saved(tmp_path / "a", model, 1, **config)])
    with pytest.raises(UsageError, match=what):
        plugin.decoding(run_of(model, tokenizer), model)


def test_an_adapter_that_is_not_there_or_of_another_model_is_refused(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError, match="there is no adapter_config.json"):
        ExpertGuidance(expert_adapters=[str(tmp_path / "none")]).decoding(run, model)
    other = saved(tmp_path / "gpt2", tiny_causal("gpt2")[0], 1)
    with pytest.raises(UsageError, match="does not fit this model"):
        ExpertGuidance(expert_adapters=[other]).decoding(run, model)
    assert ExpertGuidance(expert_adapters=[other], strength=0.0).decoding(run, model) is None
