"""The degradations that a run must beat: each is its formula, and can be taken back bit by bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from evenhand_sdk import Artifact
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_sdk.tiny import CAUSAL_FAMILIES, MASKED_FAMILIES, tiny_causal, tiny_masked
from evenhand_standard.controls.random_directions import RandomDirections, directions, erased, layers
from evenhand_standard.controls.random_heads import RandomHeads, kept_shares, output_projections, without_heads
from evenhand_standard.controls.temperature import Temperature, flattened
from evenhand_standard.controls.unigram_mix import UnigramMix, log_unigrams, mixed
from evenhand_standard.controls.weight_noise import WeightNoise
from evenhand_standard.controls.weight_rounding import WeightRounding, rounded

ALL = [WeightNoise, WeightRounding, RandomHeads, RandomDirections, Temperature, UnigramMix]


@pytest.mark.parametrize("plugin", ALL, ids=lambda p: p.name)
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


@pytest.mark.parametrize("plugin", [Temperature, UnigramMix], ids=lambda p: p.name)
def test_what_changes_distributions_does_so_for_both_kinds_of_models(
    plugin: Any, tiny: Callable[..., Any], run_of: Callable[..., Any]
) -> None:
    """Next-token distributions, or those at masks: the same change."""
    assert set(plugin.kinds) == {"causal", "masked"}
    made = []
    for kind in ("causal", "masked"):
        model, tokenizer = tiny(kind)
        rule = plugin(plugin.Options(strength=0.25)).decoding(run=run_of(model, tokenizer, kind), model=model)
        logits = torch.randn(2, model.get_input_embeddings().num_embeddings)
        if kind == "causal":
            assert rule.mask_logits is None
            made.append((rule.next_logits(None, logits, []), logits, tokenizer))
        else:
            assert rule.next_logits is None
            made.append((rule.mask_logits(None, logits, [], torch.tensor([1, 2])), logits, tokenizer))
    for found, logits, tokenizer in made:
        expected = 0.75 * logits
        if plugin is UnigramMix:
            expected = mixed(logits, log_unigrams(tokenizer, builtin_lines("everyday"), logits.shape[1]), 0.25)
        assert torch.allclose(found, expected)


def test_unigrams_count_tokens_and_one_more_of_each() -> None:
    def tokenizer(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [int(word) for word in text.split()]}

    assert log_unigrams(tokenizer, ["0 0 2", "2 0"], 4).exp().tolist() == pytest.approx([4 / 9, 1 / 9, 3 / 9, 1 / 9])


# ------------------------------------------------------------------------------------------------------ random heads
def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor([[7, 40, 90, 200, 311, 5]])).logits
    return found


def family(name: str) -> Any:
    return tiny_causal(name) if name in CAUSAL_FAMILIES else tiny_masked(name)


def applied(plugin: Any, model: Any, run: Any) -> Any:
    """The transform of a control, applied."""
    transform = plugin.architecture(run=run, model=model)
    transform.apply(model, transform.fit(model) if transform.fit else Artifact())
    return transform


def test_heads_are_kept_by_hand() -> None:
    kept = kept_shares(8, 0.3, seed=1)  # 2.4 heads: two are gone, and 0.4 of a third
    assert sorted(kept.tolist()) == pytest.approx([0, 0, 0.6, 1, 1, 1, 1, 1])
    more = kept_shares(8, 0.7, seed=1)
    assert bool((more <= kept).all()), "a larger strength takes more of the same order"
    assert kept_shares(8, 1.0, seed=1).tolist() == [0.0] * 8
    assert kept_shares(64, 0.5, seed=1).tolist() != kept_shares(64, 0.5, seed=2).tolist()


def test_an_output_projection_loses_the_inputs_of_its_heads() -> None:
    weight, kept = torch.arange(1.0, 9.0).reshape(2, 4), torch.tensor([0.0, 0.5])
    assert without_heads(weight, kept, transposed=False).tolist() == [[0, 0, 1.5, 2], [0, 0, 3.5, 4]]
    assert without_heads(weight.T, kept, transposed=True).tolist() == [[0, 0], [0, 0], [1.5, 3.5], [2, 4]]


@pytest.mark.parametrize("name", [*CAUSAL_FAMILIES, *MASKED_FAMILIES])
def test_a_head_that_is_taken_away_writes_nothing(name: str, run_of: Callable[..., Any]) -> None:
    """The same as if the head's part of what reaches the output projection were 0, in every family."""
    model, tokenizer = family(name)
    kind = "causal" if name in CAUSAL_FAMILIES else "masked"
    run = run_of(model, tokenizer, kind)
    outputs, heads = output_projections(model), model.config.num_attention_heads
    assert len(outputs) == model.config.num_hidden_layers == 2
    kept = kept_shares(2 * heads, 0.4, run.seed_for("heads")).float().reshape(2, heads)
    handles = []
    for k, place in enumerate(outputs):
        owner = model.get_submodule(place.removesuffix(".weight"))

        def silenced(module: Any, given: Any, share: torch.Tensor = kept[k]) -> Any:
            states = given[0]
            parts = states.reshape(*states.shape[:-1], heads, -1) * share[:, None]
            return (parts.reshape(states.shape),)

        handles.append(owner.register_forward_pre_hook(silenced))
    expected = logits_of(model)
    for handle in handles:
        handle.remove()
    before = logits_of(model)
    transform = applied(RandomHeads(strength=0.4), model, run)
    assert torch.allclose(logits_of(model), expected, atol=1e-4)
    assert not torch.allclose(expected, before, atol=1e-2)
    transform.revert(model)
    assert torch.equal(logits_of(model), before)


# ------------------------------------------------------------------------------------------------- random directions
def test_directions_are_orthonormal_but_for_the_last_and_grow_from_the_same_beginning() -> None:
    basis = directions(12, 0.3, seed=4).double()  # 3.6 of 12: three whole, and 0.6 of a fourth
    assert torch.allclose(basis.T @ basis, torch.diag(torch.tensor([1, 1, 1, 0.6])).double(), atol=1e-6)
    more = directions(12, 0.5, seed=4)
    assert torch.allclose(more[:, :3], basis[:, :3].float(), atol=1e-6)
    assert directions(12, 1.0, seed=4).shape == (12, 12)
    assert not torch.allclose(directions(12, 0.3, seed=5), basis.float(), atol=0.1)


def test_erasure_leaves_nothing_along_a_direction_and_a_part_along_the_last() -> None:
    states = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    basis = directions(12, 0.3, seed=4)
    units = basis / basis.norm(dim=0)
    left = erased(states, basis) @ units
    assert left[..., :3].abs().max() < 1e-5
    assert torch.allclose(left[..., 3], 0.4 * (states @ units)[..., 3], atol=1e-5)
    others = torch.linalg.qr(torch.cat([units, torch.eye(12)], dim=1))[0][:, 4:]
    assert torch.allclose(erased(states, basis) @ others, states @ others, atol=1e-5)
    assert erased(states, directions(12, 1.0, seed=4)).abs().max() < 1e-5


@pytest.mark.parametrize("name", [*CAUSAL_FAMILIES, *MASKED_FAMILIES])
def test_the_stream_has_no_part_along_the_directions_behind_any_layer(name: str, run_of: Callable[..., Any]) -> None:
    model, tokenizer = family(name)
    run = run_of(model, tokenizer, "causal" if name in CAUSAL_FAMILIES else "masked")
    before = logits_of(model)
    transform = applied(RandomDirections(strength=0.25), model, run)
    assert len(layers(model)) == 2
    basis = directions(32, 0.25, run.seed_for("directions"))
    seen = []
    handles = [
        layer.register_forward_hook(lambda m, g, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for layer in layers(model)
    ]
    changed = logits_of(model)
    for handle in handles:
        handle.remove()
    assert len(seen) == 2 and all((states @ basis).abs().max() < 1e-4 < states.abs().max() for states in seen)
    assert not torch.allclose(changed, before, atol=1e-2)
    transform.revert(model)
    assert torch.equal(logits_of(model), before)
