"""Margin equalisation: gaps, prior and hinge against slow values, and that pairs end equally probable."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from objective_batches import batch_of, ids_of

from evenhand.errors import UsageError
from evenhand_sdk import load_axis
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.objective.margin_equalisation import MarginEqualisation, start_token
from evenhand_standard.objective.text_pairs import TextSets, scrambled

TEXTS = ["The nurse said that she was good.", "Rain fell on the town.", "The king and his daughter met the judge."]
OTHER = {TEXTS[0]: "The nurse said that he was good.", TEXTS[2]: "The queen and her son met the judge."}
NONSENSE = {TEXTS[0]: "The nurse said that good. was she", TEXTS[2]: "The judge. the met daughter his and king"}


def likelihoods(model: Any, tokenizer: Any, text: str) -> list[float]:
    """log p of each token behind the first, in float64, the text alone."""
    ids = ids_of(tokenizer, text)
    logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [logp[t - 1, ids[t]].item() for t in range(1, len(ids))]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def drifted(model: Any) -> Any:
    """A model of the same shape, as the untouched one."""
    other = copy.deepcopy(model)
    torch.manual_seed(5)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return other


def huber(x: float, delta: float) -> float:
    return 0.5 * x * x if abs(x) <= delta else delta * (abs(x) - 0.5 * delta)


# ------------------------------------------------------------------------------------------------------- texts
def test_a_set_is_the_counterfactuals_and_the_text_with_its_end_in_reverse_order() -> None:
    sets = TextSets(load_axis("gender"), names=True, unrelated=True)
    for text in (TEXTS[0], TEXTS[2]):
        assert sets.of(text).texts == [OTHER[text], NONSENSE[text]]
    assert sets.of(TEXTS[2]).pairs[0].exchanged == (("king", "queen"), ("his", "her"), ("daughter", "son"))
    assert sets.of(TEXTS[1]).texts == []
    assert TextSets(load_axis("gender"), names=True, unrelated=False).of(TEXTS[0]).texts == [OTHER[TEXTS[0]]]


@given(st.text(alphabet="ab é.\n", max_size=20), st.integers(0, 20))
def test_a_scrambled_text_has_the_same_words_and_the_same_beginning(text: str, start: int) -> None:
    made = scrambled(text, start)
    if made:
        assert made != text and made.startswith(text[:start])
        assert sorted(made[start:].split()) == sorted(text[start:].split())
    else:
        words = text[start:].split()
        assert len(words) < 2 or text[:start] + " ".join(reversed(words)) == text


# ------------------------------------------------------------------------------------------- against slow values
@pytest.mark.parametrize("delta", [0.01, 1.0])
@pytest.mark.parametrize("score", ["mean", "sum"])
def test_the_term_is_the_mean_huber_loss_of_gaps(score: Any, delta: float, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = MarginEqualisation(score=score, delta=delta, retention=0.0, unrelated=0.0, strength=0.5, weight=3.0)
    (term,) = plugin.objective(run_of(model, tokenizer), model)
    assert (term.name, term.weight) == ("margin equalisation", 1.5)
    total = mean if score == "mean" else sum
    expected = [
        huber(total(likelihoods(model, tokenizer, one)) - total(likelihoods(model, tokenizer, two)), delta)  # type: ignore[operator]
        for one, two in OTHER.items()
    ]
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS))
    assert value.item() == pytest.approx(mean(expected), rel=1e-4)


def test_unmodified_scores_only_the_tokens_that_both_share(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = MarginEqualisation(score="unmodified", retention=0.0, unrelated=0.0)
    (term,) = plugin.objective(run_of(model, tokenizer), model)
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS[:1]))
    one, two = (ids_of(tokenizer, t) for t in (TEXTS[0], OTHER[TEXTS[0]]))
    assert len(one) == len(two) and sum(a != b for a, b in zip(one, two, strict=True)) == 1
    shared = [t for t in range(1, len(one)) if one[t] == two[t]]
    left, right = (likelihoods(model, tokenizer, t) for t in (TEXTS[0], OTHER[TEXTS[0]]))
    gap = mean([left[t - 1] for t in shared]) - mean([right[t - 1] for t in shared])
    assert value.item() == pytest.approx(huber(gap, 1.0), rel=1e-3)


@pytest.mark.parametrize("score", ["mean", "sum"])
def test_the_prior_is_the_preference_for_the_words_without_context(score: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin = MarginEqualisation(prior="words", score=score, retention=0.0, unrelated=0.0, delta=100.0)
    (term,) = plugin.objective(run_of(model, tokenizer), model)
    reference, _ = tiny()
    with torch.no_grad():
        for p in reference.parameters():
            p.mul_(0.9)  # so that it matters which of the two models is asked

    def alone(word: str) -> float:
        ids = [tokenizer.bos_token_id, *ids_of(tokenizer, f" {word}")]
        logp = reference(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return sum(logp[t - 1, ids[t]].item() for t in range(1, len(ids)))

    expected = []
    swaps = {TEXTS[0]: [("she", "he")], TEXTS[2]: [("king", "queen"), ("his", "her"), ("daughter", "son")]}
    for text, other in OTHER.items():
        left, right = likelihoods(model, tokenizer, text), likelihoods(model, tokenizer, other)
        a, b = (len(left), len(right)) if score == "mean" else (1, 1)
        prior = sum(alone(x) for x, _ in swaps[text]) / a - sum(alone(y) for _, y in swaps[text]) / b
        expected.append(huber(sum(left) / a - sum(right) / b - prior, 100.0))
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS, reference=reference))
    assert value.item() == pytest.approx(mean(expected), rel=1e-3)


def test_the_hinge_is_zero_at_the_start_and_grows_when_both_sides_lose_ground(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    _, term = MarginEqualisation(retention=0.0, unrelated=0.3).objective(run_of(model, tokenizer), model)
    assert (term.name, term.weight, term.anchor) == ("above unrelated text", 0.3, True)
    assert term.fn(*batch_of(model, tokenizer, [term], TEXTS)).item() == pytest.approx(0.0, abs=1e-5)
    worse, _ = tiny()
    with torch.no_grad():
        for p in worse.parameters():
            p.mul_(0.7)

    def margin(m: Any, text: str) -> float:
        s, a, u = (mean(likelihoods(m, tokenizer, t)) for t in (text, OTHER[text], NONSENSE[text]))
        return (s + a) / 2 - u

    for one, two in ((worse, model), (model, worse)):
        expected = [max(0.0, margin(two, t) - margin(one, t)) for t in OTHER]
        value = term.fn(*batch_of(one, tokenizer, [term], TEXTS, reference=two))
        assert value.item() == pytest.approx(mean(expected), rel=1e-3, abs=1e-5)
    assert max(abs(margin(model, t) - margin(worse, t)) for t in OTHER) > 1e-3


def test_more_groups_are_compared_with_the_text_one_by_one(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    (term,) = MarginEqualisation(axes=(belief,), retention=0.0, unrelated=0.0).objective(
        run_of(model, tokenizer), model
    )
    own, *others = (
        mean(likelihoods(model, tokenizer, f"People met at the {w}.")) for w in ("church", "synagogue", "mosque")
    )
    value = term.fn(*batch_of(model, tokenizer, [term], ["People met at the church."]))
    assert value.item() == pytest.approx(mean([huber(own - o, 1.0) for o in others]), rel=1e-4)


# ----------------------------------------------------------------------------------------------------- behaviour
def test_rows_that_were_cut_off_and_rows_without_a_pair_add_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    terms = MarginEqualisation(retention=0.0).objective(run_of(model, tokenizer), model)
    assert len(terms) == 2
    for term in terms:
        for texts, length in ((TEXTS[1:2], 32), (TEXTS[:1], len(ids_of(tokenizer, TEXTS[0])) - 1)):
            value = term.fn(*batch_of(model, tokenizer, [term], texts, max_length=length))
            value.backward()
            assert value.item() == 0.0


@pytest.mark.parametrize("score", ["mean", "sum", "unmodified"])
def test_a_pair_with_a_text_of_one_token_is_left_out(score: Any, tiny: Any, run_of: Any) -> None:
    """Its only token has no context, so it has no likelihood; a mean over none would be no number."""
    model, tokenizer = tiny()
    short = " bro"
    assert len(ids_of(tokenizer, short)) == 2
    (other,) = TextSets(load_axis("gender"), names=True, unrelated=True).of(short).texts
    assert (other, len(ids_of(tokenizer, other))) == (" sis", 1)
    for term in MarginEqualisation(retention=0.0, score=score).objective(run_of(model, tokenizer), model):
        assert term.count is not None
        values, counts = [], []
        for texts in (TEXTS[:1], [short], [short, TEXTS[0]]):
            batch, outputs = batch_of(model, tokenizer, [term], texts, reference=drifted(model))
            values.append(term.fn(batch, outputs).item())
            counts.append(term.count(batch))
        assert counts == [1.0, 0.0, 1.0]
        assert values[1] == 0.0 < values[0]
        assert values[2] == pytest.approx(values[0], rel=1e-4)


def test_the_untouched_words_have_no_gradient_at_equality(tiny: Any, run_of: Any) -> None:
    """Zero margin has its least value at a tie, from both sides: it cannot overshoot into the reverse."""
    model, tokenizer = tiny()
    (term,) = MarginEqualisation(retention=0.0, unrelated=0.0).objective(run_of(model, tokenizer), model)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # every token is equally probable
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS))
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-10)
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) < 1e-6


def test_training_closes_the_gap(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=20, learning_rate=3e-3)
    terms = MarginEqualisation(weight=20.0, score="sum").objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    with torch.no_grad():
        after, without = (terms[0].fn(*batch_of(m, tokenizer, terms, TEXTS)).item() for m in (trained, control))
    assert after < 0.5 * without
    assert set(result.terms) == {"language modelling", "margin equalisation", "above unrelated text", "retention"}
    assert result.terms["margin equalisation"]["gradient_norm"] > 0


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert MarginEqualisation(strength=0.0).objective(run_of(model, tokenizer), model) == []


def test_bad_options_say_what_to_do() -> None:
    with pytest.raises(UsageError, match='prior = "words" corrects the exchanged words, which score = "unmodified"'):
        MarginEqualisation(prior="words", score="unmodified")
    tokenizer = tiny_tokenizer("bert")
    with pytest.raises(UsageError, match="the tokenizer has no token that begins a text"):
        start_token(tokenizer)
    assert start_token(tiny_tokenizer("qwen2")) == tiny_tokenizer("qwen2").eos_token_id


def test_several_axes_have_terms_each(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    names = [t.name for t in MarginEqualisation(axes=("gender", belief)).objective(run_of(model, tokenizer), model)]
    assert names == [
        "margin equalisation (gender)", "above unrelated text (gender)",
        "margin equalisation (belief)", "above unrelated text (belief)", "retention",
    ]  # fmt: skip
