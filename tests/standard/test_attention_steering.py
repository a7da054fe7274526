"""Attention steering: what attention takes, against values by hand on every family; caches; roles; the search."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from family_models import TYPES, attentions, family_model, tokens

from evenhand_sdk import Request, UsageError, load_axis
from evenhand_standard.architecture import attention_steering as module
from evenhand_standard.architecture.attended_words import LiveAttention, Roles
from evenhand_standard.architecture.attention_steering import FACTORS, AttentionSteering, slopes_of, steepest, using
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PairProbe

ROLES = Roles({"pronouns": torch.tensor([5, 11, 20, 33]), "words": torch.arange(40, 50)})


def outputs(model: Any, ids: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens() if ids is None else ids).logits


def some_tokens() -> torch.Tensor:
    """Rows with tokens of both roles and of none."""
    ids = tokens()
    ids[0, 1], ids[0, 4], ids[1, 0], ids[1, 5] = 11, 41, 49, 5
    return ids


@pytest.mark.parametrize("model_type", TYPES)
def test_what_attention_takes_from_a_token_is_multiplied_by_the_factor_of_its_role(model_type: str) -> None:
    """Probabilities times scaled values, put together by hand, are what the output projection of that layer reads."""
    ids, table = some_tokens(), torch.tensor([[1.0, 1.0], [0.3, 0.0], [1.0, 1.0]])
    model = family_model(model_type)
    layer = layers_of(model)[1]
    seen: dict[str, torch.Tensor] = {}
    layer.value.module.register_forward_hook(lambda m, args, out: seen.update(read=args[0].detach()))
    layer.output.module.register_forward_pre_hook(lambda m, args: seen.update(heads=args[0].detach()))
    before, probabilities = outputs(model, ids), attentions(model, ids)[1]
    untouched = seen["heads"]
    live = LiveAttention("step", FACTORS)
    live.put(model, ROLES, table)
    after = outputs(model, ids)
    bias = layer.value.bias()
    values = seen["read"] @ layer.value.weight().T + (0 if bias is None else bias)
    factors = torch.ones(ids.shape)
    factors[torch.isin(ids, ROLES.tokens["pronouns"])] = 0.3
    factors[torch.isin(ids, ROLES.tokens["words"])] = 0.0
    rows, length = ids.shape
    by_group = (values * factors[..., None]).view(rows, length, layer.groups, layer.head_size)
    by_head = by_group.repeat_interleave(layer.heads // layer.groups, 2)
    expected = torch.einsum("bhij,bjhd->bihd", probabilities, by_head).reshape(rows, length, -1)
    assert torch.allclose(seen["heads"], expected, atol=1e-4)
    assert not torch.allclose(seen["heads"], untouched, atol=1e-2)
    live.take(model)
    assert torch.equal(outputs(model, ids), before) and not torch.allclose(after, before, atol=1e-2)
    assert not [name for name in vars(model) if name.startswith("evenhand")]


def test_texts_without_such_words_and_embeddings_are_left_alone() -> None:
    model = family_model("llama")
    live = LiveAttention("step", FACTORS)
    plain = torch.full((1, 6), 60)
    before = outputs(model, plain), outputs(model, some_tokens())
    live.put(model, ROLES, torch.zeros(3, 2))
    assert torch.equal(outputs(model, plain), before[0])
    assert not torch.equal(outputs(model, some_tokens()), before[1])
    with torch.no_grad():
        embedded = model(inputs_embeds=model.get_input_embeddings()(some_tokens())).logits
    assert torch.equal(embedded, before[1])


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_step_by_step_with_a_cache_is_the_whole_at_once(family: str) -> None:
    model, ids = family_model(family), some_tokens()
    LiveAttention("step", FACTORS).put(model, ROLES, torch.tensor([[0.2, 0.5], [1.0, 0.1], [0.0, 1.0]]))
    whole = outputs(model, ids)
    cache, pieces = None, []
    for t in range(ids.shape[1]):
        with torch.no_grad():
            out = model(input_ids=ids[:, t : t + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        pieces.append(out.logits[:, 0])
    assert torch.allclose(torch.stack(pieces, 1), whole, atol=1e-4)


def test_beams_and_padding_are_as_without_a_cache() -> None:
    model = family_model("llama")
    LiveAttention("step", FACTORS).put(model, ROLES, torch.tensor([[0.2, 0.5], [1.0, 0.1], [0.0, 1.0]]))
    ids = some_tokens()
    ids[0, :2] = 1  # padded on the left
    mask = (ids != 1).long()
    settings: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "num_beams": 3}
    with torch.no_grad():
        found = model.generate(ids, **settings, use_cache=True)
        assert torch.equal(found, model.generate(ids, **settings, use_cache=False))
        alone = model.generate(ids[:1, 2:], **{**settings, "attention_mask": mask[:1, 2:]})
    assert torch.equal(found[0, 2 : alone.shape[1] + 2], alone[0])


def test_strength_goes_from_1_to_the_factors_and_copies_are_switched_by_themselves() -> None:
    ids, table = some_tokens(), torch.tensor([[1.0, 1.0], [0.2, 1.0], [1.0, 0.4]])
    model, half, plain = (family_model("gpt2") for _ in range(3))
    live = LiveAttention("step", FACTORS)
    live.put(model, ROLES, table)
    LiveAttention("step", FACTORS).put(half, ROLES, 1 + 0.5 * (table - 1))
    full, other = outputs(model, ids), copy.deepcopy(model)
    with using(other, 0.5):
        assert torch.equal(outputs(other, ids), outputs(half, ids))
        assert torch.equal(outputs(model, ids), full)
    with using(model, 0.0):
        assert torch.equal(outputs(model, ids), outputs(plain, ids))
        assert torch.equal(outputs(other, ids), full)
    live.take(model)
    assert torch.equal(outputs(model, ids), outputs(plain, ids)) and torch.equal(outputs(other, ids), full)
    with pytest.raises(UsageError) as caught:
        using(plain, 1.0).__enter__()
    assert str(caught.value) == (
        "no attention-steering acts on this model that could be switched\n"
        "  run the step, and load the finished run with evenhand.load"
    )


def test_two_steps_multiply_and_can_be_taken_away_in_any_order() -> None:
    ids = some_tokens()
    model, both, plain = (family_model("llama") for _ in range(3))
    first, second = LiveAttention("a", FACTORS), LiveAttention("b", FACTORS)
    first.put(model, ROLES, torch.full((3, 2), 0.5))
    second.put(model, ROLES, torch.tensor([[0.4, 1.0]] * 3))
    LiveAttention("c", FACTORS).put(both, ROLES, torch.tensor([[0.2, 0.5]] * 3))
    assert torch.allclose(outputs(model, ids), outputs(both, ids), atol=1e-5)
    first.take(model)
    second.take(model)
    assert torch.equal(outputs(model, ids), outputs(plain, ids))


def test_the_roles_of_an_axis(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    axis = load_axis("gender")
    roles = Roles.of(run_of(model, tokenizer), model, axis)
    assert roles.names == ["pronouns", "words"]
    texts = {name: {tokenizer.decode([i]).strip().lower() for i in ids.tolist()} for name, ids in roles.tokens.items()}
    assert {"she", "he", "her", "his", "him"} <= texts["pronouns"]
    assert not texts["pronouns"] & texts["words"]
    assert texts["words"] <= {word.lower() for word in axis.words(names=False)}
    assert "woman" in texts["words"]
    again = Roles.read(roles.tensors())
    assert again.names == roles.names
    assert all(torch.equal(again.tokens[name], roles.tokens[name]) for name in roles.names)


def test_what_cannot_be_steered_is_refused(tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    with pytest.raises(UsageError) as caught:
        LiveAttention("step", FACTORS).put(model, ROLES, torch.ones(7, 2))
    assert str(caught.value) == (
        f"step 'step': the factors are for 7 layers\n  the model has {len(layers_of(model))}\n"
        "  the artifact belongs to another model"
    )
    live = LiveAttention("step", FACTORS)
    live.put(model, ROLES, torch.full((len(layers_of(model)), 2), 0.5))
    model.gradient_checkpointing_enable()
    model.train()
    with pytest.raises(UsageError, match="attention that takes less from some words cannot be trained through with"):
        model(input_ids=torch.tensor([[5, 6]]))
    live.take(model)
    monkeypatch.setattr("evenhand_standard.architecture.attended_words.group_tokens", lambda bins: frozenset())
    with pytest.raises(UsageError) as caught:
        Roles.of(run_of(model, tokenizer), model, load_axis("gender"))
    assert str(caught.value) == (
        "step 'step': no word of the axis 'gender' in 'en' is one token of this tokenizer\n"
        "  take another axis or locale; words of several tokens are not told from others"
    )


# ------------------------------------------------------------------------------------------------------ the search
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_slopes_are_central_differences(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    model.double()
    run, axis = run_of(model, tokenizer, kind), load_axis("gender")
    probe, roles = PairProbe.of(run, model, axis, 6, 4), Roles.of(run, model, axis)
    live = LiveAttention("step", FACTORS)
    slopes = slopes_of(model, probe, live, roles)
    assert slopes.shape == (len(layers_of(model)), 2) and bool(slopes.any())
    for place in ((0, 0), (len(slopes) - 1, 1)):
        gaps = []
        for factor in (0.99, 1.01):
            table = torch.ones(slopes.shape)
            table[place] = factor
            live.put(model, roles, table)
            gaps.append(probe.gap(model))
            live.take(model)
        assert float(slopes[place]) == pytest.approx((gaps[1] - gaps[0]) / 0.02, rel=0.02, abs=2e-6)


def test_the_steepest_places_by_hand() -> None:
    slopes = torch.tensor([[0.5, -1.0], [0.0, 0.75], [0.25, 0.5]])
    assert steepest(slopes, 3) == [(1, 1), (0, 0), (2, 1)]
    assert steepest(slopes, 9) == [(1, 1), (0, 0), (2, 1), (2, 0)], "none where the gap would rise, or stay"


class Tabled:
    """Gap and quality by the factors in force on the model."""

    least, positions = 0.98, 1

    def __init__(self, table: dict[tuple[float, ...], tuple[float, float]]) -> None:
        self.table = table

    def _read(self, model: Any) -> tuple[float, float]:
        [(_, factors)] = FACTORS.on(model).values() or [([], [1.0] * 4)]
        return self.table[tuple(round(f, 6) for f in factors)]

    def gap(self, model: Any) -> float:
        return self._read(model)[0]

    def losses(self, model: Any) -> float:
        return self._read(model)[1]

    def quality(self, losses: float) -> float:
        return losses


def test_each_place_gets_the_factor_with_the_least_gap_within_the_bound(
    monkeypatch: Any, tiny: Any, run_of: Any
) -> None:
    """Words of layer 1: 0.1 would cost 5 %, 0.5 is taken. Pronouns of layer 0, beside it: no factor lowers the gap."""
    model, tokenizer = tiny()
    tabled = Tabled(
        {
            (1, 1, 1, 1): (1.0, 1.0),
            (1, 1, 1, 0.5): (0.8, 0.99),
            (1, 1, 1, 0.1): (0.5, 0.95),
            (0.5, 1, 1, 0.5): (0.8, 1.0),
            (0.1, 1, 1, 0.5): (0.9, 1.0),
        }
    )
    monkeypatch.setattr(module.PairProbe, "of", lambda *args: tabled)
    monkeypatch.setattr(module.QualityBound, "of", lambda *args: tabled)
    monkeypatch.setattr(module, "slopes_of", lambda *args: torch.tensor([[0.1, 0.0], [-1.0, 0.2]]))
    transform = AttentionSteering(grid=(0.5, 0.1)).architecture(run_of(model, tokenizer), model)
    artifact = transform.fit(model)
    assert artifact.tensors["factors"].tolist() == [[1, 1], [1, 0.5]]
    assert artifact.meta["steered"] == [[1, "words", 0.5]]
    assert [(t["layer"], t["role"], t["factor"]) for t in artifact.meta["tried"]] == [
        (1, "words", 0.5),
        (1, "words", 0.1),
        (0, "pronouns", 0.5),
        (0, "pronouns", 0.1),
    ]
    json.dumps(dict(artifact.meta))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_lowers_the_gap_that_it_measures_and_strength_0_is_the_identity(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    probe = PairProbe.of(run, model, load_axis("gender"), 6, 4)
    options: dict[str, Any] = {"pairs": 6, "texts": 4, "quality": 0.01, "grid": (0.7, 0.3)}
    transform = AttentionSteering(**options).architecture(run, model)
    text = tokenizer("The nurse said that she was a good woman", return_tensors="pt")["input_ids"]
    before, plain = probe.gap(model), outputs(model, text)
    artifact = transform.fit(model)
    assert torch.equal(outputs(model, text), plain)
    transform.apply(model, artifact)
    assert probe.gap(model) == pytest.approx(min(t["gap"] for t in artifact.meta["tried"]), rel=1e-6)
    assert probe.gap(model) < before
    transform.revert(model)
    assert torch.equal(outputs(model, text), plain)
    nothing = AttentionSteering(strength=0.0, **options).architecture(run, model)
    nothing.apply(model, nothing.fit(model))
    assert torch.equal(outputs(model, text), plain)
    assert not [name for name in vars(model) if name.startswith("evenhand")]


def test_each_request_of_a_batch_has_the_strength_it_asks_for(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    roles = Roles.of(run, model, load_axis("gender"))
    LiveAttention("step", FACTORS).put(model, roles, torch.zeros(len(layers_of(model)), 2))

    def asked(**meta: Any) -> Request:
        return Request(prompt="The nurse said that she", max_new_tokens=12, meta=meta)

    def alone(strength: float) -> Any:
        with using(model, strength):
            return run.services.generate([asked()])[0].token_ids

    name = "attention-steering"
    batch = [asked(), asked(**{name: 0.0}), asked(**{name: 0.5}), asked(**{name: 0.0})]
    found = [r.token_ids for r in run.services.generate(batch)]
    assert found == [alone(1.0), alone(0.0), alone(0.5), alone(0.0)]
    assert found[0] != found[1]
