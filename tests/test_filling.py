"""Decoding rules of masked models: at every place where a mask is read, and in the model that a user loads."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from transformers import pipeline

import evenhand
from evenhand.contributions import DecodingRule
from evenhand.errors import PluginFault, UsageError, WrongModelKind
from evenhand.filling import attach, attached, fill
from evenhand.measured import Measured
from evenhand.scoring import describe_mode, distributions, pll
from evenhand.usable import Usable
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging

TEXTS = ["The nurse said that she was late.", "He asked his sister to stay.", "Rain fell on the town."]
FAMILIES = ("bert", "roberta")


def turned(model: Any, seen: list[Any] | None = None) -> DecodingRule:
    """Half of what the model expects when the text before the mask is read the other way round."""

    def contexts(ids: Any, place: int) -> list[tuple[tuple[int, ...], int]]:
        if seen is not None:
            seen.append((ids, place))
        return [(tuple(reversed(ids[:place])) + tuple(ids[place:]), place)] if place % 5 else []

    def change(ids: Any, logits: Any, contexts: Any, places: Any) -> Any:
        assert ids.shape[0] == logits.shape[0] == len(contexts) == len(places)
        rows = [(own + c[0]) / 2 if len(c) else own for own, c in zip(logits, contexts, strict=True)]
        return torch.stack(rows)

    return DecodingRule(name="turned", mask_logits=change, mask_contexts=contexts)


def by_hand(model: Any, tokenizer: Any, ids: list[int], place: int) -> torch.Tensor:
    """The log-probabilities at a mask under `turned`, from single forward passes."""

    def raw(row: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=torch.tensor([row])).logits[0, place]

    row = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
    own = raw(row)
    if place % 5:
        own = (own + raw([*reversed(row[:place]), *row[place:]])) / 2
    return own.log_softmax(-1)


@pytest.mark.parametrize("held", [2**28, 4 * 1000 * 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_rule_at_masks_is_the_rule_one_mask_at_a_time(
    family: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evenhand.scoring_rules.HELD_BYTES", held)
    model, tokenizer = tiny_masked(family)
    seen: list[Any] = []
    rules = [turned(model, seen)]
    plain = pll(model, tokenizer, TEXTS, dtype="float32")
    scores = pll(model, tokenizer, TEXTS, rules=rules, dtype="float32")
    assert len(seen) == sum(s.n for s in scores), "each question is asked once"
    for score, free, text in zip(scores, plain, TEXTS, strict=True):
        ids = tokenizer(text)["input_ids"]
        expected = {p: float(by_hand(model, tokenizer, ids, p)[ids[p]]) for p in range(1, len(ids) - 1)}
        assert score.logp[1:-1].tolist() == pytest.approx(list(expected.values()), abs=1e-4)
        # Before the first word there is nothing to turn round.
        moved = [abs(float(score.logp[p] - free.logp[p])) > 1e-4 for p in expected]
        assert moved == [p % 5 > 0 and p > 1 for p in expected]
    ids = tokenizer(TEXTS[0])["input_ids"]
    [found] = distributions(model, [ids], [[1, 4]], rules=rules, mask_id=tokenizer.mask_token_id, dtype="float32")
    for row, place in zip(found, (1, 4), strict=True):
        torch.testing.assert_close(row, by_hand(model, tokenizer, ids, place), atol=1e-4, rtol=1e-4)


def test_what_benchmarks_ask_of_a_masked_model_is_asked_under_the_rules() -> None:
    model, tokenizer = tiny_masked()
    free, ruled = (Measured(model, tokenizer, "masked", rules, "float32") for rules in ((), (turned(model),)))
    assert ruled.mode == "pseudo-log-likelihood, one mask per copy, with decoding rules turned, float32"
    mask, ids = tokenizer.mask_token, tokenizer(TEXTS[0])["input_ids"]
    for ask in (
        lambda m: m.score(TEXTS)[0].logp[1:-1].tolist(),
        lambda m: m.pll(TEXTS, [[1, 3]] * 3)[0].over([1, 3]),
        lambda m: m.continuations([("The nurse", " said that she")])[0].total,
        lambda m: m.distributions([ids], [[3]])[0].tolist(),
        lambda m: m.top([f"The nurse {mask} late."], 2)[0][0].logp,
    ):
        assert ask(free) != ask(ruled)
    assert free.unmasked(TEXTS)[0].total == ruled.unmasked(TEXTS)[0].total, "nothing is masked there"


def test_rules_for_written_text_are_left_out_and_named() -> None:
    causal = DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: logits / 2)
    _, tokenizer = tiny_masked()
    assert describe_mode(tokenizer, kind="masked", precision="float32", rules=[causal]) == (
        "pseudo-log-likelihood, one mask per copy, without flat (not applicable to given text), float32"
    )


def test_a_rule_has_one_form_and_contexts_only_with_it() -> None:
    with pytest.raises(TypeError, match="'both' must have exactly one form, it has \\['next_logits', 'mask_logits'\\]"):
        DecodingRule(name="both", next_logits=lambda *a: a[1], mask_logits=lambda *a: a[1])
    with pytest.raises(TypeError, match="asks for contexts of masks but maps no logits at masks"):
        DecodingRule(name="wrong", next_logits=lambda *a: a[1], mask_contexts=lambda ids, place: [])


def test_a_context_must_have_the_mask_where_it_says() -> None:
    model, tokenizer = tiny_masked()
    rule = DecodingRule(
        name="lost", mask_logits=lambda i, logits, c, p: logits, mask_contexts=lambda ids, place: [(ids, place + 1)]
    )
    with pytest.raises(PluginFault) as caught:
        pll(model, tokenizer, TEXTS[:1], [[2]], rules=[rule])
    assert str(caught.value) == "decoding rule 'lost': asked for a context without a mask at place 3"
    narrow = DecodingRule(name="narrow", mask_logits=lambda ids, logits, contexts, places: logits[:, :5])
    with pytest.raises(PluginFault) as caught:
        pll(model, tokenizer, TEXTS[:1], [[2]], rules=[narrow])
    vocabulary = model.config.vocab_size
    assert str(caught.value) == f"decoding rule 'narrow': returned a tensor [1, 5] instead of logits [1, {vocabulary}]"


# ------------------------------------------------------------------------------------------------ the model itself
@pytest.mark.parametrize("family", FAMILIES)
def test_the_forward_pass_follows_the_rules_at_masks_and_nowhere_else(family: str) -> None:
    model, tokenizer = tiny_masked(family)
    plain_model = copy.deepcopy(model)
    texts = [f"The nurse {tokenizer.mask_token} that {tokenizer.mask_token} was late.", f"A {tokenizer.mask_token}."]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    handle = attach(model, tokenizer, [turned(model)])
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before, after, copied = (m(**batch).logits for m in (plain_model, model, twin))
        assert torch.equal(after, copied)
        tuples = model(**batch, return_dict=False)
        assert torch.equal(tuples[0], after)
    for row, place in (batch["input_ids"] == tokenizer.mask_token_id).nonzero().tolist():
        ids = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        expected = by_hand(plain_model, tokenizer, ids, place)
        torch.testing.assert_close(after[row, place].log_softmax(-1), expected, atol=1e-4, rtol=1e-4)
    elsewhere = batch["input_ids"] != tokenizer.mask_token_id
    assert torch.equal(after[elsewhere], before[elsewhere]) and not torch.equal(after, before)
    with torch.no_grad():
        unmasked = tokenizer(TEXTS, return_tensors="pt", padding=True)
        assert torch.equal(model(**unmasked).logits, plain_model(**unmasked).logits)
        assert torch.equal(model(**batch, labels=batch["input_ids"]).logits, before), "a loss is that of the model"
        assert not torch.equal(model.train()(**batch).logits, after)
        model.eval()
    handle.remove()
    assert attached(model) == () and not model._forward_hooks
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, before)


def test_inputs_that_a_rule_cannot_read_are_refused() -> None:
    model, tokenizer = tiny_masked("bert")
    attach(model, tokenizer, [turned(model)])
    ids = tokenizer(f"The {tokenizer.mask_token}.", return_tensors="pt")["input_ids"]
    with pytest.raises(UsageError) as caught:
        model(inputs_embeds=model.get_input_embeddings()(ids))
    assert str(caught.value) == (
        "forward: decoding rules read one text a row, and this input has embeddings instead of token ids\n"
        "  score such inputs on the model as transformers loads it from the run's model/"
    )
    with pytest.raises(UsageError, match="this input has two segments in one row"):
        model(input_ids=ids, token_type_ids=torch.ones_like(ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_fill_the_pipeline_and_measuring_agree(family: str) -> None:
    model, tokenizer = tiny_masked(family)
    rule = turned(model)
    text = f"The nurse {tokenizer.mask_token} late."
    expected = fill(model, tokenizer, text, rules=[rule], k=3)
    assert fill(model, tokenizer, text, k=3) != expected
    usable = Usable(model, tokenizer, [rule], "masked")
    assert usable.fill(text, k=3) == expected and usable.fill([text], k=3) == [expected]
    made = pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=3)(text)
    assert [m["token"] for m in made] == [f.token for f in expected]
    assert [m["score"] for m in made] == pytest.approx([torch.tensor(f.logp).exp().item() for f in expected], rel=1e-4)
    # Rules in force on the model must not act twice.
    assert Measured(model, tokenizer, "masked", [rule], "float32").top([text], 3) == [expected]
    assert Measured(model, tokenizer, "masked", (), "float32").top([text], 3) == [fill(*tiny_masked(family), text, k=3)]


def test_fill_needs_one_mask_and_a_model_that_has_one() -> None:
    model, tokenizer = tiny_masked()
    with pytest.raises(UsageError) as caught:
        fill(model, tokenizer, "The <mask>.")
    assert str(caught.value) == (
        "fillings: the text 'The <mask>.' has 0 masks instead of one\n  write the mask as [MASK]"
    )
    with pytest.raises(WrongModelKind, match="this model continues text, it fills no masks"):
        fill(*tiny_causal(), "Rain.")
    # A token that is called a mask makes no masked model.
    model, tokenizer = tiny_causal()
    tokenizer.mask_token = tokenizer.convert_ids_to_tokens(5)
    with pytest.raises(WrongModelKind, match="this model continues text, it fills no masks"):
        fill(model, tokenizer, f"Rain {tokenizer.mask_token}")


def test_as_many_words_as_there_are_and_at_least_one() -> None:
    model, tokenizer = tiny_masked()
    text = f"Rain {tokenizer.mask_token}."
    everything = fill(model, tokenizer, text, k=10**6)
    assert len(everything) == model.config.vocab_size
    assert sum(math.exp(f.logp) for f in everything) == pytest.approx(1, abs=1e-4)
    for few in (0, -1):
        with pytest.raises(UsageError) as caught:
            fill(model, tokenizer, text, k=few)
        assert str(caught.value) == f"fillings: k is {few}, and at least 1 word must be asked for"


def test_a_gradient_of_what_a_rule_has_made_is_refused_and_not_zero() -> None:
    model, tokenizer = tiny_masked("bert")
    attach(model, tokenizer, [turned(model)])
    batch = tokenizer(f"The nurse {tokenizer.mask_token} late.", return_tensors="pt")
    at_mask = batch["input_ids"] == tokenizer.mask_token_id
    model(**batch).logits[~at_mask].sum().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0, "elsewhere the model has its gradients"
    with pytest.raises(UsageError) as caught:
        model(**batch).logits[at_mask].sum().backward()
    assert str(caught.value) == (
        "backward: a gradient was asked of logits at a mask, and those are made by decoding rules, which have none\n"
        "  compute it on the model as transformers loads it from the run's model/, or in training mode"
    )


def test_decode_with_puts_the_rules_into_a_masked_model_until_it_is_undone() -> None:
    model, tokenizer = tiny_masked()
    text = f"She said that her {tokenizer.mask_token} was late."
    batch = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        plain = model(**batch).logits
        with evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()]) as decoding:
            ruled = model(**batch).logits
            assert not torch.equal(ruled, plain)
            place = int((batch["input_ids"][0] == tokenizer.mask_token_id).nonzero())
            assert decoding.fill(text, k=1)[0].token == int(ruled[0, place].argmax())
            assert evenhand.own_model.active_rules(model) == decoding.rules
            with pytest.raises(UsageError, match="rules are in force already"):
                evenhand.decode_with(model, tokenizer, [CounterfactualAveraging()])
            with pytest.raises(WrongModelKind, match="this model fills gaps"):
                decoding.generate("She")
        assert torch.equal(model(**batch).logits, plain)
    assert evenhand.own_model.active_rules(model) == ()
