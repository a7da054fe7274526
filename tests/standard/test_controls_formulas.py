"""The degradations that a run must beat: each is its formula, and can be taken back bit by bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from evenhand_sdk import Artifact
from evenhand_standard.controls.temperature import Temperature, flattened
from evenhand_standard.controls.unigram_mix import UnigramMix, log_unigrams, mixed
from evenhand_standard.controls.weight_noise import WeightNoise
from evenhand_standard.controls.weight_rounding import WeightRounding, rounded


@pytest.mark.parametrize("plugin", [WeightNoise, WeightRounding, Temperature, UnigramMix], ids=lambda p: p.name)
def test_strength_0_is_no_step_at_all(plugin: Any, tiny: Callable[..., Any], run_of: Callable[..., Any]) -> None:
    model, tokenizer = tiny()
    made = plugin(plugin.Options(strength=0))
    place = made.architecture if "architecture" in plugin.stages() else made.decoding
    assert place(run=run_of(model, tokenizer), model=model) is None


@pytest.mark.parametrize("plugin", [WeightNoise, WeightRounding], ids=lambda p: p.name)
def test_weights_change_and_come_back_bit_by_bit(
    plugin: Any, tiny: Callable[..., Any], run_of: Callable[..., Any]
) -> None:
    model, tokenizer = tiny()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    transform = plugin(plugin.Options(strength=0.1)).architecture(run=run_of(model, tokenizer), model=model)
    artifact = Artifact()
    transform.apply(model, artifact)
    changed = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    assert changed == {n for n, w in before.items() if w.ndim >= 2}
    transform.revert(model)
    assert all(torch.equal(w, before[n]) for n, w in model.named_parameters())


def test_noise_has_its_share_of_the_spread_and_is_the_same_again(
    tiny: Callable[..., Any], run_of: Callable[..., Any]
) -> None:
    noises = []
    for _ in range(2):
        model, tokenizer = tiny()
        before = model.get_input_embeddings().weight.detach().clone()
        transform = WeightNoise(WeightNoise.Options(strength=0.25)).architecture(
            run=run_of(model, tokenizer), model=model
        )
        transform.apply(model, Artifact())
        noises.append(model.get_input_embeddings().weight.detach() - before)
    assert torch.equal(*noises)
    # over n draws the standard deviation has a relative standard error of 1 / sqrt(2 n)
    error = 1 / math.sqrt(2 * noises[0].numel())
    assert noises[0].std() / (0.25 * before.std()) == pytest.approx(1, abs=4 * error)


def test_rounding_by_hand() -> None:
    weight = torch.tensor([[0.0, 0.3, -1.0], [0.0, 0.0, 0.0], [8.0, 1.0, -2.9]])
    # steps 0.5, none, 4
    expected = torch.tensor([[0.0, 0.5, -1.0], [0.0, 0.0, 0.0], [8.0, 0.0, -4.0]])
    assert torch.equal(rounded(weight, 0.5), expected)


def test_rounding_at_a_127th_is_8_bit_integers() -> None:
    weight = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().amax(1) / 127
    integers = torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros(3, dtype=torch.int32), 0, -127, 127)
    assert torch.allclose(rounded(weight, 1 / 127), integers, atol=1e-6)


def test_temperature_by_hand() -> None:
    logits = torch.tensor([math.log(4.0), 0.0, -math.inf])
    # keep 1/2 is temperature 2: weights 4 and 1 become their roots, 2 and 1
    assert flattened(logits, 0.5).softmax(-1).tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert flattened(logits, 0.0).softmax(-1).tolist() == pytest.approx([1 / 2, 1 / 2, 0])


def test_mixture_by_hand() -> None:
    logits = torch.tensor([[math.log(8.0), math.log(2.0), -math.inf]])  # 0.8, 0.2, impossible
    unigrams = torch.tensor([0.2, 0.5, 0.3]).log()
    found = mixed(logits, unigrams, 0.25).exp()
    assert found[0].tolist() == pytest.approx([0.75 * 0.8 + 0.25 * 0.2, 0.75 * 0.2 + 0.25 * 0.5, 0])
    assert mixed(logits, unigrams, 1.0).exp()[0].tolist() == pytest.approx([0.2, 0.5, 0])


def test_unigrams_count_tokens_and_one_more_of_each() -> None:
    def tokenizer(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [int(word) for word in text.split()]}

    assert log_unigrams(tokenizer, ["0 0 2", "2 0"], 4).exp().tolist() == pytest.approx([4 / 9, 1 / 9, 3 / 9, 1 / 9])
