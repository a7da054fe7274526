"""Attention steering: what attention takes, against values by hand on every family; caches; roles; the search."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from family_models import TYPES, attentions, family_model, tokens

from evenhand_sdk import Request, UsageError, load_axis
from evenhand_standard.architecture import attention_steering as module
from evenhand_standard.architecture.attended_words import LiveAttention
from evenhand_standard.architecture.attention_steering import FACTORS, AttentionSteering, slopes_of, steepest, using
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.passes import reading
from evenhand_standard.architecture.quality_bound import QualityBound
from evenhand_standard.architecture.word_roles import Roles
from evenhand_standard.decoding.lora_experts import Adapter, switched_on
from evenhand_standard.decoding.reranking import Reranking
from evenhand_standard.transparency.contrastive_explanation import ask, explain

INSIDE = {"pronouns": torch.tensor([5, 11, 20, 33]), "words": torch.arange(40, 50)}
ROLES = Roles(INSIDE, {"pronouns": torch.tensor([60]), "words": torch.tensor([61])})


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
    factors[torch.isin(ids, INSIDE["pronouns"])] = 0.3
    factors[torch.isin(ids, INSIDE["words"])] = 0.0
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
    plain = torch.full((1, 6), 62)
    before = outputs(model, plain), outputs(model, some_tokens())
    live.put(model, ROLES, torch.zeros(3, 2))
    assert torch.equal(outputs(model, plain), before[0])
    assert not torch.equal(outputs(model, some_tokens()), before[1])
    with torch.no_grad():
        embedded = model(inputs_embeds=model.get_input_embeddings()(some_tokens())).logits
    assert torch.equal(embedded, before[1])
    with torch.no_grad(), reading(some_tokens()):
        told = model(inputs_embeds=model.get_input_embeddings()(some_tokens())).logits
    assert torch.equal(told, outputs(model, some_tokens()))


def test_a_word_at_the_very_beginning_is_one_there_alone() -> None:
    """As `She` without a space: 60 is a word at position 0 of its text, whatever pads it, and nowhere else."""
    model = family_model("llama")
    live = LiveAttention("step", FACTORS)
    ids = torch.full((3, 5), 62)
    ids[0, 0] = ids[1, 2] = 60
    ids[2, :2], ids[2, 2] = 1, 60
    mask = (ids != 1).long()
    args: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    found = ROLES.of_pass((), args)
    assert found is not None and found.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    packed = {"input_ids": ids[:1].repeat(1, 2), "position_ids": torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])}
    found = ROLES.of_pass((), packed)
    assert found is not None and found.tolist() == [[1, 0, 0, 0, 0, 1, 0, 0, 0, 0]]
    live.put(model, ROLES, torch.full((3, 2), 0.1))
    with torch.no_grad():
        whole = model(**args).logits[0]
        out = model(input_ids=ids[:1, :1], use_cache=True)
        pieces = [out.logits[0, 0]]
        for t in range(1, 5):
            out = model(input_ids=ids[:1, t : t + 1], past_key_values=out.past_key_values, use_cache=True)
            pieces.append(out.logits[0, 0])
    assert torch.allclose(torch.stack(pieces), whole, atol=1e-4)
    assert not torch.allclose(whole, outputs(family_model("llama"), ids[:1])[0], atol=1e-2)


def test_what_is_called_without_the_body_is_not_scaled_by_another_pass() -> None:
    model = family_model("llama")
    value = layers_of(model)[1].value.module
    x = torch.ones(2, 7, 32)
    plain = value(x)
    LiveAttention("step", FACTORS).put(model, ROLES, torch.zeros(3, 2))
    outputs(model, some_tokens())
    assert torch.equal(value(x), plain)
    with pytest.raises(IndexError):
        outputs(model, torch.full((2, 7), 999))  # a pass that fails leaves nothing behind, either
    assert torch.equal(value(x), plain)


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
    roles = Roles.of(run_of(model, tokenizer), axis)
    assert roles.names == ["pronouns", "words"]
    texts = {name: {tokenizer.decode([i]).strip().lower() for i in ids.tolist()} for name, ids in roles.inside.items()}
    assert {"she", "he", "her", "his", "him"} <= texts["pronouns"]
    assert not texts["pronouns"] & texts["words"]
    assert texts["words"] <= {word.lower() for word in axis.words(names=False)}
    assert "woman" in texts["words"]
    again = Roles.read(roles.tensors())
    assert again.names == roles.names
    for mine, other in ((roles.inside, again.inside), (roles.first, again.first)):
        assert all(torch.equal(mine[name], other[name]) for name in roles.names)
    assert again.begins == roles.begins == len(tokenizer("")["input_ids"]) - (tokenizer.sep_token is not None)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_roles_of_a_text_are_those_of_its_whole_words(kind: str, tiny: Any, run_of: Any) -> None:
    """`is` and `other` tell where the words are; a word within another one is none (chairmanship, he-men)."""
    model, tokenizer = tiny(kind)
    roles = Roles.of(run_of(model, tokenizer, kind), load_axis("gender"))
    for text, marked in (
        ("She met a man", ["She", "man"]),
        ("The man met her", ["man", "her"]),
        ("A table stood there", []),
    ):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        found = roles.of_pass((ids,), {})
        places = [] if found is None else found[0].nonzero().flatten().tolist()
        assert [tokenizer.decode([int(ids[0, k])]).strip().lower() for k in places] == [w.lower() for w in marked]


def test_words_that_name_a_person_in_some_contexts_alone_have_no_role(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    axis = load_axis("age")
    assert any(row.context for row in axis.tuples if "old" in row.words)
    try:
        texts = {tokenizer.decode([i]).strip() for ids in Roles.of(run, axis).inside.values() for i in ids.tolist()}
    except UsageError as error:
        assert "words that name a person only in some contexts do not count" in str(error)
    else:
        assert not {"old", "young"} & texts


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
    monkeypatch.setattr("evenhand_standard.architecture.word_roles._behind_a_word", lambda *args: None)
    with pytest.raises(UsageError) as caught:
        Roles.of(run_of(model, tokenizer), load_axis("gender"))
    assert str(caught.value) == (
        "step 'step': no word of the axis 'gender' in 'en' is one token of this tokenizer\n"
        "  words that name a person only in some contexts do not count\n"
        "  take another axis or locale; words of several tokens are not told from others"
    )


# ------------------------------------------------------------------------------------------------------ the search
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_slopes_are_central_differences(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    model.double()
    run, axis = run_of(model, tokenizer, kind), load_axis("gender")
    probe, roles = PairProbe.of(run, model, axis, 6), Roles.of(run, axis)
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


@pytest.mark.parametrize("axis", ["race", "religion", "nationality", "age", "sexual-orientation"])
def test_pairs_without_a_word_of_any_role_have_a_slope_of_0(axis: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    probe = PairProbe.of(run, model, load_axis(axis), 12)
    no_ids = torch.tensor([], dtype=torch.long)
    nothing = Roles({"words": torch.tensor([tokenizer.unk_token_id or 0])}, {"words": no_ids})
    assert not slopes_of(model, probe, LiveAttention("step", FACTORS), nothing).any()


def test_a_step_that_found_nothing_leaves_weights_that_are_the_whole_model(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    for options in ({"strength": 0.0}, {"quality": 1.0, "grid": (0.01,), "pairs": 4, "texts": 4, "samples": 2}):
        transform = AttentionSteering(**options).architecture(run, model)
        artifact = transform.fit(model)
        if artifact.tensors:
            artifact.tensors["factors"].fill_(1.0)
        transform.apply(model, artifact)
        assert transform.fold(model) is True


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
    assert "idle" not in artifact.meta
    dear = AttentionSteering(grid=(0.1,), places=1).architecture(run_of(model, tokenizer), model).fit(model)
    assert dear.meta["steered"] == []
    assert dear.meta["idle"].startswith("1 of 1 tried made the groups more alike, and none of these leaves ")
    assert dear.meta["idle"].endswith(" of the quality: the best leaves 0.950")
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
    probe = PairProbe.of(run, model, load_axis("gender"), 6)
    options: dict[str, Any] = {"pairs": 6, "texts": 4, "samples": 2, "quality": 0.01, "grid": (0.7, 0.3)}
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
    roles = Roles.of(run, load_axis("gender"))
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


def test_a_rule_around_a_request_reads_the_model_as_the_request_wants_it(tiny: Any, run_of: Any) -> None:
    """Reranking scores its drafts by a pass of its own, beside the ones that wrote them."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    roles = Roles.of(run, load_axis("gender"))
    LiveAttention("step", FACTORS).put(model, roles, torch.zeros(len(layers_of(model)), 2))
    rule = Reranking(samples=4, weight=10.0).decoding(run, model)

    def judged(response: Any) -> list[Any]:
        return [(change.facts["bias"], change.facts["fluency"]) for change in response.request_changes]

    prompts = ["The nurse said that she", "The woman told her father that he", "He and his wife"]
    plain = [Request(prompt=p, max_new_tokens=6) for p in prompts]
    own = [Request(prompt=p, max_new_tokens=6, meta={"attention-steering": 0.0}) for p in prompts]
    steered = run.services.generate(plain, rules=[rule])
    with using(model, 0.0):
        without = run.services.generate(plain, rules=[rule])
    mixed = run.services.generate([*own, *plain], rules=[rule])
    assert [r.text for r in mixed] == [r.text for r in (*without, *steered)]
    for found, wanted in zip(mixed, (*without, *steered), strict=True):
        assert judged(found) == judged(wanted)
    assert [judged(r) for r in without] != [judged(r) for r in steered]
    assert run.services.generate([own[0]], rules=[rule])[0].text == without[0].text


def test_a_truth_value_is_no_strength_whoever_is_beside_it(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    roles = Roles.of(run, load_axis("gender"))
    LiveAttention("step", FACTORS).put(model, roles, torch.zeros(len(layers_of(model)), 2))

    def asked(strength: Any) -> Request:
        return Request(prompt="The nurse said that she", max_new_tokens=4, meta={"attention-steering": strength})

    with pytest.raises(UsageError, match="'True' is no strength of the attention steering") as caught:
        run.services.generate([asked(1.0), asked(True), asked(np.float32(0.5))])
    assert [answer is None for answer in caught.value.answers] == [False, True, False]


def test_an_explanation_is_of_the_model_that_answers(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    roles = Roles.of(run_of(model, tokenizer), load_axis("gender"))
    question = ask("The woman said that ___ was good.", tokenizer, masked=False)
    target, foil = (tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in (" she", " he"))

    def gap() -> float:
        logits = outputs(model, torch.tensor([question.ids]))[0, question.position]
        return float(logits[target] - logits[foil])

    before = gap()
    LiveAttention("step", FACTORS).put(model, roles, torch.zeros(len(layers_of(model)), 2))
    assert abs(gap() - before) > 1e-4
    assert explain(model, question, target, foil).gap == pytest.approx(gap(), abs=1e-5)


def test_an_expert_adapter_acts_before_the_steering(tiny: Any, run_of: Any) -> None:
    """Against the same adapter merged into the map to values."""
    model, tokenizer = tiny()
    roles = Roles.of(run_of(model, tokenizer), load_axis("gender"))
    ids = tokenizer("The nurse said that she was a good woman", return_tensors="pt")["input_ids"]
    name = "model.layers.0.self_attn.v_proj"
    out, into = model.get_submodule(name).weight.shape
    draw = torch.Generator().manual_seed(1)
    a, b = 0.3 * torch.randn(4, into, generator=draw), 0.3 * torch.randn(out, 4, generator=draw)
    merged = copy.deepcopy(model)
    merged.get_submodule(name).weight.data += b @ a
    for one in (model, merged):
        LiveAttention("step", FACTORS).put(one, roles, torch.full((len(layers_of(one)), 2), 0.1))
    with switched_on(model, Adapter("own", {name: (a, b)}, 1.0)):
        found = outputs(model, ids)
    assert torch.allclose(found, outputs(merged, ids), atol=1e-4)
    assert not torch.allclose(found, outputs(model, ids), atol=1e-2)


def test_searches_of_one_run_share_its_budget(tiny: Any, run_of: Any) -> None:
    """What a first step has spent, a second one has not: both are held against the untouched model."""
    model, tokenizer = tiny()
    run = replace(run_of(model, tokenizer), budget=1.05)
    bound = QualityBound.of(run, model, 4, 2, None)
    damaged = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in damaged.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    spent = bound.quality(bound.losses(damaged))
    assert spent < 0.999
    later = QualityBound.of(run, damaged, 4, 2, None)
    assert all(map(torch.equal, later.before, bound.before)) and later.least == 1 / 1.05
    assert later.quality(later.losses(damaged)) == pytest.approx(spent)
    own = QualityBound.of(run, damaged, 4, 2, 0.9)
    assert own.quality(own.losses(damaged)) == pytest.approx(1.0) and own.least == 0.9
