"""Gradient-based decoding: a slow reference, what stays, and that nothing is left behind."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.attached_rules import attach
from evenhand.contributions import Request
from evenhand.generation import generate
from evenhand.scoring import distributions
from evenhand_sdk import UsageError, fold, jensen_shannon, load_axis, token_bins
from evenhand_standard.decoding import gradient_decoding
from evenhand_standard.decoding.counterfactual_averaging import swapped_contexts
from evenhand_standard.decoding.gradient_decoding import GradientDecoding, apart, moved, portions, top_norms
from evenhand_standard.decoding.lower_layers import LowerLayers, layers_below
from evenhand_standard.decoding.token_edits import TokenEditor

GENDER = load_axis("gender")
STEPS, RATE, KL, FUSION = 2, 0.05, 0.05, 0.9


def rule_of(run: Any, **options: Any) -> Any:
    how = {"gate": 0.0, "steps": STEPS, "learning_rate": RATE, "kl": KL, "fusion": FUSION, **options}
    return GradientDecoding(**how).decoding(run, run.services.model)


def test_the_distance_by_hand() -> None:
    bins = torch.tensor([0, 0, 2])  # the first two are one bin
    own, other = torch.tensor([0.2, 0.3, 0.5]).log(), torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.2, 0.5]]).log()
    # folded: (0.5, 0.5) against (1, 0), and against itself
    expected = (1 - 0.5**0.5) ** 0.5
    assert apart(own, other, bins) == pytest.approx(expected, rel=1e-5)
    assert apart(own, other[1:], bins) == pytest.approx(0.0, abs=1e-3)


def slow(model: Any, tokenizer: Any, ids: list[int], bins: torch.Tensor, biased: bool) -> torch.Tensor:
    """One prefix: each step two plain passes, the shift written into the norms' own parameters."""
    others = [list(c) for c in swapped_contexts(TokenEditor(tokenizer), [GENDER], names=True)(ids)]

    def logp(row: list[int]) -> torch.Tensor:
        return model(input_ids=torch.tensor([row])).logits[0, -1].float().log_softmax(-1)  # type: ignore[no-any-return]

    untouched = logp(ids).detach()
    if not others:
        return untouched
    parameters = [n.bias if biased else n.weight for n in top_norms(model, 18)]
    before = [p.detach().clone() for p in parameters]
    shift = [torch.zeros_like(p) for p in parameters]
    for _ in range(STEPS):
        own = logp(ids)
        gap = torch.stack([jensen_shannon(fold(own, bins), fold(logp(o), bins)) for o in others]).mean()
        loss = gap + KL * (untouched.exp() * (untouched - own)).sum()
        found = torch.autograd.grad(loss, parameters)
        if not biased:  # the scale is weight * (1 + d)
            found = tuple(g * w for g, w in zip(found, before, strict=True))
        length = torch.cat([g.flatten() for g in found]).square().mean().sqrt()
        for k, g in enumerate(found):
            shift[k] = shift[k] - RATE * g / length
            parameters[k].data = before[k] + shift[k] if biased else before[k] * (1 + shift[k])
    after = logp(ids).detach()
    for p, value in zip(parameters, before, strict=True):
        p.data = value
    return (untouched + FUSION * (after - untouched)).log_softmax(-1)


SHAPE = {"hidden_size": 32, "initializer_range": 0.3, "init_std": 0.3}
OTHERS: dict[str, dict[str, Any]] = {
    "opt": {"num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "bloom": {"n_layer": 2, "n_head": 4},
}
"""OPT flattens what its last norms are given; BLOOM knows neither `position_ids` nor `logits_to_keep`."""


def of_family(family: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM

    from evenhand_sdk.tiny import tiny_causal

    if family not in OTHERS:
        return tiny_causal(family)
    _, tokenizer = tiny_causal()
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SHAPE, **OTHERS[family]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval(), tokenizer


@pytest.mark.parametrize(
    ("family", "biased"), [("llama", False), ("gpt2", True), *((family, True) for family in OTHERS)]
)
def test_each_step_equals_the_slow_reference(family: str, biased: bool, run_of: Any) -> None:
    model, tokenizer = of_family(family)
    model.generation_config.eos_token_id = None
    rule = rule_of(run_of(model, tokenizer))
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    prompts = ["The king said that", "Rain fell"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(**batch, max_new_tokens=6, do_sample=False, output_scores=True, return_dict_in_generate=True)
    del model.generate
    for b, prompt in enumerate(prompts):
        ids = list(tokenizer(prompt)["input_ids"])
        for scores in out.scores:
            expected = slow(model, tokenizer, ids, bins, biased)
            torch.testing.assert_close(scores[b].log_softmax(-1).exp(), expected.exp(), atol=2e-4, rtol=2e-2)
            ids.append(int(scores[b].argmax()))


def test_it_draws_the_groups_together_and_leaves_no_trace(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [p.requires_grad for p in model.parameters()]
    rule = rule_of(run, steps=8, kl=0.0, fusion=1.0)
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    ids = [list(tokenizer(t)["input_ids"]) for t in ("The king said that", "The queen said that")]
    ends = [[len(i) - 1] for i in ids]
    plain = [torch.as_tensor(d[0]) for d in distributions(model, ids, ends, dtype="float32")]
    ruled = [torch.as_tensor(d[0]) for d in distributions(model, ids, ends, rules=[rule], dtype="float32")]
    assert apart(ruled[0], ruled[1][None], bins) < 0.9 * apart(plain[0], plain[1][None], bins)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not any(m._forward_hooks for m in model.modules())


def elsewhere(work: Any) -> Any:
    """What a function gives in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_others_who_use_the_model_meanwhile_see_nothing_of_it(
    tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = tiny()
    texts = ["The king said that", "The queen said that"]
    families = [[list(tokenizer(t)["input_ids"]) for t in texts]]
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    other = tokenizer("Rain fell on the old town", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = model(other).logits
    seen = []
    step_down = gradient_decoding.step_down

    def looking(*given: Any) -> None:
        step_down(*given)

        def plain() -> torch.Tensor:
            with torch.no_grad():
                return model(other).logits  # type: ignore[no-any-return]

        seen.append(elsewhere(plain))

    alone = moved(model, top_norms(model, 1), families, bins, 3, RATE, KL)
    monkeypatch.setattr(gradient_decoding, "step_down", looking)
    assert torch.equal(moved(model, top_norms(model, 1), families, bins, 3, RATE, KL), alone)
    assert len(seen) == 3 and all(torch.equal(logits, expected) for logits in seen)


def test_gradients_and_copies_of_the_model_can_be_taken_meanwhile(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    families = [[list(tokenizer(t)["input_ids"]) for t in ("The king said that", "The queen said that")]]
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    other = tokenizer("Rain fell on the old town", return_tensors="pt")["input_ids"]
    parameters = list(model.parameters())
    expected = torch.autograd.grad(model(other, labels=other).loss, parameters)
    seen, copies = [], []
    step_down = gradient_decoding.step_down

    def training(*given: Any) -> None:
        step_down(*given)
        seen.append(elsewhere(lambda: torch.autograd.grad(model(other, labels=other).loss, parameters)))
        copies.append(copy.deepcopy(model))

    alone = moved(model, top_norms(model, 1), families, bins, 3, RATE, KL)
    monkeypatch.setattr(gradient_decoding, "step_down", training)
    assert torch.equal(moved(model, top_norms(model, 1), families, bins, 3, RATE, KL), alone)
    assert len(seen) == 3
    for found in seen:
        torch.testing.assert_close(found, expected)
    for one in (model, *copies):
        assert all(p is m.get_parameter(name) for m in one.modules() for name, p in m.named_parameters(recurse=False))
        assert all(p.requires_grad for p in one.parameters())
        assert all(type(m._parameters) is dict for m in one.modules())


def kept_for_gradients(model: Any, work: Any) -> tuple[list[Any], int]:
    """What the gradients of `work()` keep: the shapes of parameters that ask for a gradient of their own, and the
    bytes of everything that is no parameter."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    own, sizes = [], {}

    def pack(kept: torch.Tensor) -> torch.Tensor:
        storage = kept.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = (storage.nbytes(), kept)  # held, so that no other gets its place
        elif kept.requires_grad:
            own.append(kept.shape)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        work()
    return own, sum(size for size, _ in sizes.values())


def test_nothing_is_kept_for_gradients_of_the_parameters(tiny: Any) -> None:
    model, tokenizer = tiny()
    families = [[list(tokenizer(t)["input_ids"]) for t in ("The king said that", "The queen said that")]]
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)

    def work() -> Any:
        return moved(model, top_norms(model, 18), families, bins, 1, RATE, KL)

    assert model.lm_head.weight.requires_grad
    own, kept = kept_for_gradients(model, work)
    model.requires_grad_(False)
    assert (own, kept) == kept_for_gradients(model, work) and own == [] and kept > 0


def test_requests_in_several_threads_are_answered_as_one_after_the_other(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = rule_of(run_of(model, tokenizer))
    prompts = ["The king said that", "The queen told her brother", "A girl and", "His sister was"]

    def answer(prompt: str) -> Any:
        [found] = generate(model, tokenizer, [Request(prompt=prompt, max_new_tokens=5)], rules=[rule], title=None)
        return found.token_ids, found.changes

    flags = [p.requires_grad for p in model.parameters()]
    expected = [answer(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(answer, prompts))
    assert [ids for ids, _ in found] == [ids for ids, _ in expected]
    # The library may round otherwise in another thread, which a gradient step brings out; a leak moves hundredths.
    for (_, changes), (_, others) in zip(found, expected, strict=True):
        assert [replace(c, total_variation=0.0) for c in changes] == [replace(c, total_variation=0.0) for c in others]
        sizes = [[c.total_variation for c in row] for row in (changes, others)]
        assert sizes[0] == pytest.approx(sizes[1], abs=1e-4)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not any(m._forward_hooks or "forward" in vars(m) for m in model.modules())


def traces(model: Any) -> tuple[list[bool], list[str], int]:
    """What a step might leave on a model: the flags of parameters, exchanged parts of modules, hooks."""
    exchanged = [name for name, m in model.named_modules() if "forward" in vars(m) or type(m._parameters) is not dict]
    return [p.requires_grad for p in model.parameters()], exchanged, sum(len(m._forward_hooks) for m in model.modules())


def test_two_steps_on_one_model_take_turns(tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    rules = [rule_of(run, axes=[axis], layers=1) for axis in ("gender", "religion")]
    prompts = ["The king said that", "The Christian said that"]

    def answer(rule: Any, prompt: str) -> Any:
        [found] = generate(model, tokenizer, [Request(prompt=prompt, max_new_tokens=2)], rules=[rule], title=None)
        return found.token_ids

    before = traces(model)
    expected = [answer(rule, prompt) for rule, prompt in zip(rules, prompts, strict=True)]
    alone, step_down = threading.Lock(), gradient_decoding.step_down
    steps = []

    def lingering(*given: Any) -> None:
        free = alone.acquire(blocking=False)
        steps.append(free)
        if free:
            time.sleep(0.05)  # who does not wait for this one comes in now
            alone.release()
        step_down(*given)

    monkeypatch.setattr(gradient_decoding, "step_down", lingering)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(answer, rules, prompts))
    assert steps == [True] * (2 * 2 * STEPS)  # of rules, tokens and steps for each
    assert found == expected
    assert traces(model) == before


def test_a_step_that_fails_puts_everything_back_and_lets_the_next_one_in(
    tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = tiny()
    model.train()
    model.get_input_embeddings().weight.requires_grad_(False)
    rule = rule_of(run_of(model, tokenizer), layers=1)
    before = traces(model)

    def answer() -> Any:
        request = Request(prompt="The king said that", max_new_tokens=2)
        return generate(model, tokenizer, [request], rules=[rule], title=None)[0].token_ids

    expected = answer()
    with monkeypatch.context() as patch:
        patch.setattr(gradient_decoding, "step_down", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            answer()
    assert traces(model) == before and not all(before[0])
    assert all(module.training for module in model.modules())
    assert elsewhere(answer) == expected


@pytest.mark.parametrize("made_inside", [False, True])
def test_it_acts_in_inference_mode_as_servers_use_it(made_inside: bool, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    batch = tokenizer("The king said that", return_tensors="pt")
    found = []
    for inside in (False, True):
        with torch.inference_mode(inside and made_inside):
            attach(model, tokenizer, [rule_of(run_of(model, tokenizer))])
        with torch.inference_mode(inside):
            found.append(model.generate(**batch, max_new_tokens=4, do_sample=False))
        assert max(change.total_variation for change in model.generate.changes[0]) > 0.001
        del model.generate
    assert torch.equal(found[0], found[1])


def test_teacher_forced_scores_equal_stepwise_ones(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = rule_of(run_of(model, tokenizer))
    ids = list(tokenizer("She said that the king was")["input_ids"])
    [whole] = distributions(model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]).exp(), torch.as_tensor(alone[0]).exp(), atol=1e-4, rtol=0)


def test_below_the_gate_and_without_a_group_word_logits_keep_their_bits(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    logits = torch.randn(2, len(tokenizer))
    ids = torch.tensor([tokenizer("The king said")["input_ids"]] * 2)
    closed, opened = rule_of(run, gate=1.0), rule_of(run)
    assert closed.next_logits(ids, logits, [logits.flip(0)[:1]] * 2) is logits
    assert opened.next_logits(ids, logits, [logits[:0]] * 2) is logits


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_layers_below_the_moved_ones_are_computed_once_a_word_and_every_bit_is_the_same(
    family: str, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand_sdk.tiny import tiny_causal

    model, tokenizer = tiny_causal(family)
    norms = top_norms(model, 1)
    below = layers_below(model, norms)
    assert len(below) == model.config.num_hidden_layers - 1 > 0
    above = model.get_submodule("model.layers" if family == "llama" else "transformer.h")[len(below)]
    bins = token_bins(tokenizer, GENDER.bins(names=True), model.get_input_embeddings().num_embeddings)
    texts = [["The king said that", "The queen said that"], ["Her brother", "His sister"]]
    families = [[list(tokenizer(t)["input_ids"]) for t in family] for family in texts]
    calls = {"below": 0, "above": 0}
    for name, layer in (("below", below[-1].mlp), ("above", above.mlp)):
        layer.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    # What is hooked onto a layer that is kept acts in each pass, and on the same.
    below[-1].register_forward_hook(
        lambda module, given, out: (out[0] * 1.5, *out[1:]) if isinstance(out, tuple) else out * 1.5
    )
    found = moved(model, norms, families, bins, 3, RATE, KL)
    assert calls == {"below": 1, "above": 4}
    assert not any("forward" in vars(module) for module in model.modules())
    monkeypatch.setattr(LowerLayers, "replay", lambda self: None)
    assert torch.equal(moved(model, norms, families, bins, 3, RATE, KL), found)
    assert calls == {"below": 1 + 4, "above": 8}
    assert found.abs().max() > 1e-3


def test_a_model_that_goes_through_its_layers_twice_computes_them_again(tiny: Any) -> None:
    model, tokenizer = tiny()
    norms = top_norms(model, 1)
    batch = tokenizer("The king said that", return_tensors="pt")
    whole = model.model.forward

    def twice(*args: Any, **kwargs: Any) -> Any:
        first = whole(*args, **kwargs).last_hidden_state
        return whole(inputs_embeds=first, attention_mask=batch["attention_mask"], use_cache=False)

    model.model.forward = twice
    expected = model(**batch, use_cache=False).logits
    with LowerLayers(model, norms) as lower:
        for _ in range(2):
            torch.testing.assert_close(model(**batch, use_cache=False).logits, expected, atol=0, rtol=0)
            lower.replay()


def test_portions_hold_every_row_once_and_so_many_tokens() -> None:
    families = {k: [[0] * n, [0] * n] for k, n in enumerate([5, 40, 6, 5, 300, 7])}
    found = portions(families, 60)
    assert sorted(b for part in found for b in part) == list(range(6))
    assert [len(part) for part in found] == [4, 1, 1]
    assert all(len(part) == 1 or 2 * len(part) * max(len(families[b][0]) for b in part) <= 60 for part in found)


def test_strength_0_is_no_rule_and_bad_options_are_refused(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert rule_of(run, strength=0.0) is None
    with pytest.raises(UsageError, match="steps"):
        GradientDecoding(steps=0)
    with pytest.raises(UsageError, match="this model has no norm with a scale in its layers"):
        top_norms(torch.nn.Linear(2, 2), 3)
