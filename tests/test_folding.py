"""Steps are folded into weights, or the model is as it was before."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import evenhand
from evenhand.contributions import Artifact
from evenhand.errors import NotPortable
from evenhand.folding import Placed
from evenhand.kept_tensors import KeptTensors
from evenhand.portable import fold_all
from evenhand.proofs import probe_logits
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.architecture.attention_temperature import AttentionTemperature
from evenhand_standard.architecture.leace import Leace
from own_plugins import Scale


def bf16() -> tuple[Any, Any]:
    model, tokenizer = tiny_causal()
    return copy.deepcopy(model).to(torch.bfloat16), tokenizer


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model: Any, before: dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return list(now) == list(before) and all(torch.equal(now[name], tensor) for name, tensor in before.items())


def test_in_float32_a_fold_that_changes_outputs_is_a_fault_and_the_step_stays_live() -> None:
    model, tokenizer = tiny_causal()
    before, plain = weights(model), probe_logits(model, tokenizer)
    handle = evenhand.apply(model, tokenizer, [Scale(fault="fold")])
    live = probe_logits(model, tokenizer)
    with pytest.raises(NotPortable) as caught:
        handle.fold()
    changed = float((live / 2 - live).abs().max())
    assert str(caught.value) == (
        f"step 'own-scale', plugin 'own-scale', hook `architecture`: folding into the weights changed a logit by "
        f"{changed:.2g}\n  this is a fault of the plugin's `fold`: it must leave the outputs as they are"
    )
    assert same(model, before) and torch.equal(probe_logits(model, tokenizer), live)
    assert repr(handle) == "<own-scale applied to LlamaForCausalLM>"
    handle.revert()
    assert torch.equal(probe_logits(model, tokenizer), plain)


def test_in_a_short_format_a_step_that_the_weights_would_lose_stays_live() -> None:
    """The step takes a 64th of each logit, less than the 4 x 2^-7 of the largest one that bfloat16 may round away."""
    model, tokenizer = bf16()
    before, plain = weights(model), probe_logits(model, tokenizer)
    handle = evenhand.apply(model, tokenizer, [Scale(fault="lost")])
    live = probe_logits(model, tokenizer)
    effect = float((live - plain).abs().max())
    assert 0 < effect < 4 * 2**-7 * float(plain.abs().max())
    with pytest.warns(UserWarning) as told:
        assert handle.fold() == ["own-scale"]
    assert [str(warning.message) for warning in told] == [
        f"own-scale stays live: weights in bfloat16 would not hold what it does, by {effect:.2g} at most, folded a "
        f"logit is off by {effect:.2g}; in float32 it folds"
    ]
    assert same(model, before) and torch.equal(probe_logits(model, tokenizer), live)
    handle.revert()
    assert torch.equal(probe_logits(model, tokenizer), plain)
    assert evenhand.apply(*bf16(), [Scale()]).fold() == []


@pytest.mark.parametrize("plugin", [
    AttentionTemperature(beta=0.8, strength=0.1),
    Leace(pairs=40, form="after-norm", positions="all", strength=0.1),  # which adds biases
], ids=lambda plugin: plugin.name)  # fmt: skip
def test_what_cannot_be_folded_in_a_short_format_leaves_no_trace(plugin: Any) -> None:
    model, tokenizer = bf16()
    before, settings = weights(model), model.config.to_dict()
    handle = evenhand.apply(model, tokenizer, [plugin])
    live = probe_logits(model, tokenizer)
    with pytest.warns(UserWarning, match="stays live: weights in bfloat16"):
        assert handle.fold() == [plugin.name]
    assert same(model, before) and model.config.to_dict() == settings
    assert torch.equal(probe_logits(model, tokenizer), live)
    handle.revert()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_step_behind_one_that_stays_live_is_asked_again_and_not_before_it() -> None:
    """Of two erasures the second is nearest to the matrix. In float32 it goes first; where it stays live, so does the
    first."""
    both = [Leace(pairs=40, form="after-norm", positions="all", strength=strength) for strength in (0.5, 0.1)]
    handle = evenhand.apply(*map(copy.deepcopy, tiny_causal()), both)
    live = probe_logits(handle.model, handle._steps.tokenizer)
    assert handle.fold() == []
    torch.testing.assert_close(probe_logits(handle.model, handle._steps.tokenizer), live, atol=1e-4, rtol=0)
    model, tokenizer = bf16()
    before, handle = weights(model), evenhand.apply(model, tokenizer, both)
    live = probe_logits(model, tokenizer)
    with pytest.warns(UserWarning, match=r"^leace-2 stays live") as told:
        assert handle.fold() == ["leace", "leace-2"]
    assert len(told) == 1 and same(model, before) and torch.equal(probe_logits(model, tokenizer), live)


def test_a_run_keeps_beside_the_model_what_its_weights_would_lose_and_says_so() -> None:
    model, tokenizer = bf16()
    plugin, told, proved = Scale(fault="lost"), [], []
    [transform] = [plugin.architecture(None, model)]
    transform.apply(model, Artifact())
    step: Any = SimpleNamespace(id="scale", use="own-scale", row=None)
    placed = Placed(step=step, transform=transform, artifact=Artifact(), index=0, effect=0.1)
    life: Any = SimpleNamespace(
        loaded=SimpleNamespace(model=model, tokenizer=tokenizer),
        placed=[placed],
        record_proofs=lambda step, found: proved.extend(found),
        manifest=SimpleNamespace(event=lambda stage, text: told.append((stage, text))),
    )
    assert fold_all(life) == [placed] == life.placed and proved == []
    [(stage, text)] = told
    assert stage == "portability" and text.startswith("scale stays live: weights in bfloat16 would not hold what it do")


def test_what_a_fold_wrote_is_put_back_when_it_fails() -> None:
    model, _ = tiny_causal()
    before, tensors = weights(model), dict(model.named_parameters())
    norm, head = model.model.norm, model.lm_head
    with pytest.raises(ZeroDivisionError), torch.no_grad(), KeptTensors(model) as kept:
        norm.weight.mul_(2)
        norm.weight.mul_(3)
        head.weight.data[3:5] = 0
        torch.add(norm.weight, 1, out=model.model.layers[0].input_layernorm.weight)
        model.model.layers[1].input_layernorm.weight.data = torch.ones(32)
        head.bias = torch.nn.Parameter(torch.zeros(3))
        model.config.attention_bias = True
        assert len(kept._copies) == 3  # of what was written, once
        1 / 0  # noqa: B018
    assert same(model, before) and dict(model.named_parameters()).keys() == tensors.keys()
    assert all(parameter is tensors[name] for name, parameter in model.named_parameters())
    assert head.bias is None and model.config.attention_bias is False
