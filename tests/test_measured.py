"""What a benchmark may ask of a model: answers agree with one plain forward pass."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from evenhand.contributions import Benchmark, ItemRecord, Metric, Planted, Request
from evenhand.errors import PluginFault, UsageError, WrongModelKind
from evenhand.measured import Measured
from evenhand.planted import check_planted
from evenhand_sdk import PlantedModel, option_scores
from evenhand_sdk.tiny import tiny_causal, tiny_masked

TEXTS = ["The nurse said that she was tired.", "He is an engineer.", "My sister works"]


@pytest.fixture(scope="module")
def causal():
    return Measured(*tiny_causal(), "causal", dtype="float32")


@pytest.fixture(scope="module")
def masked():
    return Measured(*tiny_masked(), "masked", dtype="float32")


def plain(measured, text, **asked):
    """One forward pass of one text."""
    import torch

    row = torch.tensor([measured.ids(text)])
    with torch.no_grad():
        return measured.model(input_ids=row, attention_mask=torch.ones_like(row), **asked)


def test_the_likeliest_next_tokens(causal):
    for text, found in zip(TEXTS, causal.top(TEXTS, 3), strict=True):
        values, tokens = plain(causal, text).logits[0, -1].log_softmax(-1).topk(3)
        assert [f.token for f in found] == tokens.tolist()
        assert [f.logp for f in found] == pytest.approx(values.tolist(), abs=1e-5)
        assert found[0].text == causal.tokenizer.decode([tokens[0]]).strip()


def test_the_likeliest_fillings_of_a_mask(masked):
    text = f"The nurse said that {masked.tokenizer.mask_token} was tired."
    place = masked.ids(text).index(masked.tokenizer.mask_token_id)
    (found,) = masked.top([text], 2)
    assert [f.token for f in found] == plain(masked, text).logits[0, place].topk(2).indices.tolist()
    with pytest.raises(UsageError, match="has 0 masks instead of one"):
        masked.top(["no mask"], 2)


def test_unmasked_likelihood_masks_nothing(masked, causal):
    special = set(masked.tokenizer.all_special_ids)
    for text, score in zip(TEXTS, masked.unmasked(TEXTS), strict=True):
        ids, logp = masked.ids(text), plain(masked, text).logits[0].log_softmax(-1)
        right = [float(logp[p, i]) for p, i in enumerate(ids) if i not in special]
        assert score.total == pytest.approx(sum(right), abs=1e-4)
        assert score.n == len(right)
    with pytest.raises(WrongModelKind):
        causal.unmasked(TEXTS)


def test_attention_weights_sum_to_one_and_leave_the_model_as_it_was(masked):
    before = masked.model.config._attn_implementation
    for text, weights in zip(TEXTS, masked.attention_weights(TEXTS), strict=True):
        assert len(weights) == len(masked.ids(text))
        assert weights.sum() == pytest.approx(1.0, abs=1e-5)
        assert (weights > 0).all()
    assert masked.model.config._attn_implementation == before


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_hidden_states_of_a_batch_are_those_of_each_text(causal, pooling):
    import torch

    found = causal.hidden(TEXTS, layer=1, pooling=pooling)
    for text, row in zip(TEXTS, found, strict=True):
        states = plain(causal, text, output_hidden_states=True).hidden_states[1][0]
        right = {"first": states[0], "last": states[-1], "mean": states.mean(0)}[pooling]
        assert torch.allclose(row, right, atol=1e-5)


def test_samples_depend_on_their_seed_alone(causal):
    requests = [Request(prompt=TEXTS[2], max_new_tokens=6, seed=seed) for seed in (1, 2, 1)]
    first = [r.text for r in causal.generate(requests, temperature=1.0, top_p=0.9)]
    alone = Measured(causal.model, causal.tokenizer, "causal", dtype="float32").generate(
        requests[1:2], temperature=1.0, top_p=0.9
    )
    assert first[0] == first[2] != first[1]
    assert alone[0].text == first[1]


def test_answers_come_in_the_order_of_the_requests_whatever_their_length(causal, monkeypatch):
    """Prompts are answered by length, two at a time; each answer is still that of its own prompt alone."""
    monkeypatch.setattr("evenhand.measured.ANSWERED_AT_ONCE", 2)
    prompts = [TEXTS[0], "He", TEXTS[2], TEXTS[1], "My", "She was"]
    requests = [Request(prompt=p, max_new_tokens=5, seed=k) for k, p in enumerate(prompts)]

    def fresh():
        return Measured(causal.model, causal.tokenizer, "causal", dtype="float32")

    found = fresh().generate(requests, temperature=1.0)
    assert [r.request for r in found] == requests
    assert [r.text for r in found] == [fresh().generate([r], temperature=1.0)[0].text for r in requests]


def test_a_nucleus_that_holds_one_token_is_greedy(causal):
    request = [Request(prompt=TEXTS[0], max_new_tokens=5, seed=3)]
    greedy, nucleus = causal.generate(request)[0], causal.generate(request, temperature=1.0, top_p=1e-6)[0]
    assert nucleus.token_ids == greedy.token_ids


def test_options_under_each_normalisation(causal):
    """The scores are sums over the answer's tokens in the whole text; the null context is a text like any other."""
    (row,) = option_scores(causal, [("My sister works as a", [" nurse", " plumber and a farmer"])], null_context="A")
    for option in row:
        ids, logp = (
            causal.ids("My sister works as a" + option.text),
            plain(causal, "My sister works as a" + option.text),
        )
        table = logp.logits[0].log_softmax(-1)
        cut = len(causal.ids("My sister works as a"))
        total = sum(float(table[p - 1, ids[p]]) for p in range(cut, len(ids)))
        assert option.value("sum") == pytest.approx(total, abs=1e-4)
        assert option.value("per_token") == pytest.approx(total / (len(ids) - cut), abs=1e-4)
        assert option.value("per_character") == pytest.approx(total / len(option.text.strip()), abs=1e-4)
        null = causal.continuations([("A", option.text)])[0].total
        assert option.value("pmi") == pytest.approx(total - null, abs=1e-4)
    (bare,) = option_scores(causal, [("A", [" nurse"])])
    with pytest.raises(ValueError, match="pmi needs"):
        bare[0].value("pmi")


# ----------------------------------------------------------------------------------------------- planted models
def test_a_planted_model_answers_by_its_rules():
    planted = PlantedModel(
        logp=lambda text: -1.0 if "she" in text else -2.0,
        continuation=lambda context, continuation: -float(len(context)),
        answer=lambda request: request.prompt.upper(),
        fill=lambda prompt: [("nurse", 0.5), ("cook", 0.25)],
    )
    one, other = planted.score(["Here is she.", "Here is he."])
    assert (one.total, one.n, other.total) == (-4.0, 4, -8.0)
    assert planted.score([one.ids])[0].total == one.total
    assert planted.continuations([("ab", " c d")])[0].total == -2.0
    assert planted.generate([Request(prompt="a")])[0].text == "A"
    assert [(f.text, f.logp) for f in planted.top(["x"], 1)[0]] == [("nurse", math.log(0.5))]
    with pytest.raises(UsageError, match="this planted model has no rule `logp`"):
        PlantedModel().score(["a"])


def planted_benchmark(expect, value=1.0):
    records = [ItemRecord(id="a", cluster="a", values={"win": value})]
    return Benchmark(
        name="b",
        title="B",
        score=lambda measured: [],
        metrics=[Metric(name="share", value="win", scale=100.0, target=50.0)],
        planted=[Planted(name="always", records=lambda: records, expect=expect)],
    )


def test_a_benchmark_that_misjudges_a_known_model_is_refused():
    assert check_planted(planted_benchmark({"share": (100.0, 100.0)})) == ["always"]
    with pytest.raises(PluginFault) as caught:
        check_planted(planted_benchmark({"share": (100.0, 100.0)}, value=0.5))
    assert str(caught.value) == (
        "benchmark 'b', planted model 'always': share is 50, but must lie between 100 and 100\n"
        "  the benchmark measures something else than it says; it is not used"
    )
    with pytest.raises(PluginFault, match="it expects a value of 'x'"):
        check_planted(planted_benchmark({"x": (0.0, 1.0)}))
    with pytest.raises(PluginFault, match="it has no planted model, so nothing shows that its scores are what it says"):
        check_planted(replace(planted_benchmark({}), planted=()))
    with pytest.raises(PluginFault, match="it expects nothing, so it tests nothing"):
        check_planted(planted_benchmark({}))
