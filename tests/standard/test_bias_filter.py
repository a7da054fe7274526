"""The filter: who is flagged by which scorer, what strength does, and that the guard refuses."""

from __future__ import annotations

from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand_sdk import UsageError, WrongModelKind
from evenhand_standard.data.bias_filter import CLASSIFIER, TRIGGER, BiasFilter
from evenhand_standard.data.trigger_likelihood import PACKAGED, trigger_likelihoods

GOOD = [f"The garden has {k} lovely trees." for k in range(30)]
BAD = [f"What a horrible, ugly, disgusting day number {k}." for k in range(10)]
VADER: dict[str, Any] = {"classifier": "vader", "above": 0.5}


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def rows_of(texts: list[Any], **columns: Any) -> Dataset:
    return Dataset.from_dict({"text": texts, **columns})


def test_a_sentiment_scorer_flags_by_minus_its_polarity_and_strength_1_leaves_all_of_them_out(run: Any) -> None:
    out, facts, account = applied(BiasFilter, run, rows_of([*GOOD, *BAD]), **VADER)
    assert list(out["text"]) == GOOD
    assert account.dropped == {CLASSIFIER: 10}
    assert (facts["flagged"], facts["classifier"]["name"]) == (10, "vader")
    assert {e.before for e in account.examples} == set(BAD) and {e.after for e in account.examples} == {""}


def test_smaller_strengths_leave_out_subsets(run: Any) -> None:
    rows = rows_of([*GOOD, *[f"{text} It was sad." for text in BAD * 20]])
    kept = [set(applied(BiasFilter, run, rows, strength=s, **VADER)[0]["evenhand_origin"]) for s in (0.3, 0.6, 1.0)]
    assert kept[0] > kept[1] > kept[2] == set(range(30))
    assert 0.6 < (len(kept[0]) - 30) / 200 < 0.8  # 7 in 10 of the flagged ones stay; 200 draws


def test_strength_0_is_the_data_itself_and_asks_no_scorer(run: Any) -> None:
    rows = rows_of(GOOD)
    out, facts, _ = applied(BiasFilter, run, rows, classifier="transformers:/nowhere#bad", strength=0.0)
    assert out is rows and facts == {}


def test_the_share_of_texts_with_the_highest_trigger_likelihood_is_flagged(run: Any) -> None:
    texts = [*GOOD[:12], *BAD[:8]]
    phrases = ("The trees are bad.", "A day is a day.")
    scores = trigger_likelihoods(run, run.services.model, texts, phrases, context_tokens=64)
    worst = sorted(range(20), key=lambda k: -scores[k])[:3]
    out, facts, account = applied(
        BiasFilter, run, rows_of(texts), classifier=None, triggers=phrases, trigger_share=0.15, context_tokens=64
    )
    assert set(out["evenhand_origin"]) == set(range(20)) - set(worst)
    assert account.dropped == {TRIGGER: 3} and facts["flagged by trigger likelihood"] == 3


def test_a_share_of_so_few_texts_that_none_can_be_flagged_is_told(run: Any) -> None:
    how = {"triggers": ("A day is a day.",), "context_tokens": 64}
    _, facts, _ = applied(BiasFilter, run, rows_of(GOOD[:12]), classifier="vader", **how)
    assert facts["flagged by trigger likelihood"] == 0
    assert facts["none flagged, whatever the scores (trigger_share)"] == "0.05 of 12 texts is less than one"
    _, facts, _ = applied(BiasFilter, run, rows_of(GOOD[:20]), classifier="vader", **how)
    assert facts["flagged by trigger likelihood"] == 1 and not any("none flagged" in name for name in facts)


def test_trigger_likelihood_is_the_mean_log_probability_of_the_phrases_behind_the_text(run: Any) -> None:
    import torch

    model, tokenizer = run.services.model, run.tokenizer
    text, phrases = "The garden has trees.", ("He is bad.", "She is a nurse.")
    expected = []
    for phrase in phrases:
        before = tokenizer(text)["input_ids"]
        after = tokenizer(" " + phrase, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logp = model(torch.tensor([before + after])).logits[0].float().log_softmax(-1)
        expected.append(sum(float(logp[len(before) - 1 + k, t]) for k, t in enumerate(after)))
    found = trigger_likelihoods(run, model, [text, GOOD[0]], phrases, context_tokens=100)
    assert found[0] == pytest.approx(sum(expected) / 2, rel=2e-3)  # the engine may score in bfloat16
    assert found[0] != pytest.approx(found[1], rel=2e-3)


def test_only_the_last_tokens_of_a_text_count(run: Any) -> None:
    long = "one two three four five six seven eight " * 3 + GOOD[0]
    ids = run.tokenizer(GOOD[0], add_special_tokens=False)["input_ids"]
    cut = len(ids) - 2
    scores = [
        trigger_likelihoods(run, run.services.model, [text], PACKAGED[:2], context_tokens=cut)
        for text in (long, "x " + GOOD[0])
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_a_configuration_that_hits_one_group_harder_is_refused_with_the_numbers(run: Any) -> None:
    people = [f"Muslims had a horrible, disgusting time on day {k}." for k in range(10)]
    fine = [f"Muslims met in park number {k}." for k in range(20)]
    rows = rows_of([*people, *fine, *GOOD])
    with pytest.raises(UsageError) as caught:
        applied(BiasFilter, run, rows, **VADER)
    assert str(caught.value).startswith(
        "option min_keep_ratio: on the axis 'religion' the filter keeps 66.7 % of the 30 texts of 'Muslims' and "
        "100.0 % of the 30 of 'none mentioned': the ratio 0.67 is below 0.8"
    )
    assert "religion: Muslims against none mentioned, 0.67" in str(caught.value)
    # Half of the weight is taken: 25 of 30 against 30 of 30.
    out, facts, _ = applied(BiasFilter, run, rows, strength=0.5, **VADER)
    assert facts["lowest keep-rate ratio"] == pytest.approx(25 / 30, abs=1e-4)
    assert facts["between"] == "Muslims and none mentioned (religion)"


def test_a_dialect_is_guarded_by_the_rule_and_by_a_column(run: Any) -> None:
    dialect = [f"He be saying it's horrible and disgusting, he ain't there, day {k}." for k in range(25)]
    with pytest.raises(UsageError, match="'dialect' the filter keeps 0.0 % of the 25 texts of .African"):
        applied(BiasFilter, run, rows_of([*dialect, *GOOD]), **VADER)
    rows = rows_of([*BAD * 3, *GOOD], speech=["north"] * 30 + ["south"] * 30)
    applied(BiasFilter, run, rows, **VADER)  # no words tell them apart
    with pytest.raises(UsageError, match="'speech' the filter keeps 0.0 % of the 30 texts of 'north'"):
        applied(BiasFilter, run, rows, group_columns=("speech",), **VADER)


def test_a_text_whose_column_states_no_group_belongs_to_none(run: Any) -> None:
    rows = rows_of([*BAD, *GOOD], speech=[None, "", " south "] * 10 + ["south"] * (len(BAD) + len(GOOD) - 30))
    _, facts, _ = applied(BiasFilter, run, rows, group_columns=("speech",), strength=0.1, **VADER)
    assert set(facts["kept by speech"]) == {"none mentioned", "south"}


def test_groups_that_are_too_small_are_told_and_not_judged(run: Any) -> None:
    people = [f"Muslims had a horrible, disgusting time on day {k}." for k in range(9)]
    _, facts, _ = applied(BiasFilter, run, rows_of([*people, *GOOD]), **VADER)
    assert facts["kept by religion"]["Muslims"] == "0.0 % of 9 (too few to be judged)"


def test_rows_without_text_are_quarantined_and_do_not_shift_the_others(run: Any) -> None:
    out, _, account = applied(BiasFilter, run, rows_of([None, BAD[0], "", GOOD[0]]), **VADER)
    assert list(out["text"]) == [GOOD[0]]
    assert sum(account.quarantined.values()) == 2 and account.dropped == {CLASSIFIER: 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": None}, "nothing to filter by: name a classifier, or triggers, or an influence"),
        ({"min_keep_ratio": 0.5}, "0.5 is not at least 0.8"),
    ],
)
def test_what_it_cannot_do_is_refused_when_a_recipe_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BiasFilter(**options)


def test_trigger_phrases_need_a_causal_model_and_a_whole_data_set(tiny: Any, run_of: Any, run: Any) -> None:
    masked = run_of(*tiny("masked"), "masked")
    with pytest.raises(WrongModelKind, match="trigger phrases need a model that continues texts"):
        BiasFilter(triggers="packaged").data(masked, "train", None)
    stream = rows_of(GOOD).to_iterable_dataset()
    with pytest.raises(UsageError, match="bias-filter looks at all rows before it decides about one"):
        BiasFilter(**VADER).data(run, "train", None).fn(stream)


def test_the_packaged_phrases_are_plain_and_each_once() -> None:
    assert len(PACKAGED) == len(set(PACKAGED)) == 12 and all(p.endswith(".") for p in PACKAGED)


def test_it_only_filters_training_data(run: Any) -> None:
    assert BiasFilter(**VADER).data(run, "validation", None) is None


def test_a_filter_that_hits_one_gender_is_refused_by_the_axis_pack(run: Any) -> None:
    sad = [f"She said it was a horrible, disgusting day number {k}." for k in range(25)]
    fine = [f"He said that tree number {k} is lovely." for k in range(25)]
    with pytest.raises(UsageError, match="'gender, by its pack' the filter keeps 0.0 % of the 25 texts of 'female'"):
        applied(BiasFilter, run, rows_of([*sad, *fine]), **VADER)


def test_its_phrases_are_told_to_the_comparison_with_benchmarks() -> None:
    material = BiasFilter(triggers="packaged").material()
    assert material is not None and material.texts == {"trigger phrases": PACKAGED}
    assert BiasFilter(**VADER).material() is None


# --------------------------------------------------------------------------------------------------------- influence
def js_gap(run: Any, model: Any, pairs: Any) -> float:
    """JSgap by plain softmax and sums of probabilities, of pairs of equal length that differ in she and he alone."""
    import torch

    total = 0.0
    forms = [(lead + "she", lead + "he") for lead in ("", " ")]
    forms += [(one.replace("s", "S"), other.replace("h", "H")) for one, other in forms]
    forms += [(one.upper(), other.upper()) for one, other in forms[:2]]
    tokens = [[run.tokenizer(word, add_special_tokens=False)["input_ids"] for word in pair] for pair in forms]
    she_he = [(one[0], other[0]) for one, other in tokens if len(one) == len(other) == 1]
    assert she_he
    for _, sides in pairs:
        ids = [run.tokenizer(text)["input_ids"] for text in sides]
        assert len(ids[0]) == len(ids[1])
        with torch.no_grad():
            p = [model(torch.tensor([side])).logits[0].double().softmax(-1) for side in ids]
        for one, other in she_he:
            for side in p:
                side[:, one] += side[:, other]
                side[:, other] = 0
        first = next(k for k, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
        values = []
        for t in range(first, len(ids[0])):
            a, b = p[0][t], p[1][t]
            middle = (a + b) / 2
            kl = [torch.where(x > 0, x * (x / middle).log(), 0.0).sum() for x in (a, b)]
            values.append(float(kl[0] + kl[1]) / 2)
        total += sum(values) / len(values)
    return total / len(pairs)


PRONOUNS = """
axis = "pronouns"
locale = "en"
groups = ["female", "male"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["two words"]
[[words]]
theme = "who"
pos = "pronoun"
rows = [["she", "he"]]
[[templates]]
text = "Today {who} has a garden."
"""


@pytest.fixture
def precise(tiny: Any, run_of: Any) -> Any:
    """A run whose model computes in float64."""
    model, tokenizer = tiny()
    return run_of(model.double(), tokenizer)


def test_influence_is_what_one_small_update_on_the_text_does_to_the_gap(precise: Any) -> None:
    import copy

    import torch

    from evenhand_sdk.axis_packs import parse_axis
    from evenhand_standard.data.gap_influence import contributions, gap_gradient

    run, model = precise, precise.services.model
    axis = parse_axis(PRONOUNS, where="")
    pairs = [(axis, ("Today she has a garden.", "Today he has a garden.")), (axis, ("Now she ran.", "Now he ran."))]
    gradient, gap = gap_gradient(run, model, pairs)
    assert gap == pytest.approx(js_gap(run, model, pairs), rel=1e-6)
    texts = [GOOD[0], BAD[0], "She is a nurse and he is not."]
    raw = contributions(run, model, texts, gradient, cosine=False)
    cosines = contributions(run, model, texts, gradient, cosine=True)
    for text, product, cosine in zip(texts, raw, cosines, strict=True):
        learner, rate = copy.deepcopy(model), 1e-4
        learner.requires_grad_(True)
        ids = torch.tensor([run.tokenizer(text)["input_ids"]])
        learner(input_ids=ids, labels=ids).loss.backward()
        size = 0.0
        with torch.no_grad():
            for weight in learner.parameters():
                size += float(weight.grad.square().sum())
                weight -= rate * weight.grad
        moved = (js_gap(run, learner, pairs) - gap) / rate
        assert product == pytest.approx(moved, rel=2e-2, abs=1e-7)
        length = sum(float(part.square().sum()) for part in gradient) ** 0.5
        assert cosine == pytest.approx(product / (size**0.5 * length), rel=1e-5)
        assert -1 <= cosine <= 1
    assert len({round(value, 12) for value in raw}) == 3


def test_influence_leaves_the_model_as_it_was_and_knows_nothing_of_one_token(precise: Any) -> None:
    import math

    from evenhand_sdk import load_axis
    from evenhand_standard.data.gap_influence import contributions, gap_gradient, pairs_of

    run, model = precise, precise.services.model
    model.requires_grad_(False)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    axis = load_axis("gender")
    gradient, _ = gap_gradient(run, model, [(axis, pair) for pair in pairs_of(axis, 2, 0)])
    found = contributions(run, model, ["a", GOOD[0]], gradient, cosine=True)
    assert math.isnan(found[0]) and not math.isnan(found[1])
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert not any(w.requires_grad or w.grad is not None for w in model.parameters()) and not model.training


def test_pairs_come_from_the_bank_or_from_the_templates_of_the_pack() -> None:
    from evenhand_sdk import load_axis
    from evenhand_sdk.axis_packs import parse_axis
    from evenhand_standard.data.gap_influence import pairs_of

    gender, religion = load_axis("gender"), load_axis("religion")
    assert len(pairs_of(gender, 7, 1)) == 7 and pairs_of(gender, 7, 1) == pairs_of(gender, 7, 1)
    assert pairs_of(gender, 7, 1) != pairs_of(gender, 7, 2)
    assert len(pairs_of(religion, 20, 1)) == 20
    bare = parse_axis(
        PRONOUNS.partition("[[templates]]")[0].replace("female", "one").replace("male", "other"), where=""
    )
    with pytest.raises(UsageError, match="the axis 'pronouns' has no templates to measure the gap on"):
        pairs_of(bare, 5, 0)


def test_the_share_of_texts_that_widen_the_gap_most_is_flagged(run: Any) -> None:
    from evenhand_sdk import load_axis
    from evenhand_standard.data.bias_filter import INFLUENCE
    from evenhand_standard.data.gap_influence import contributions, gap_gradient, pairs_of

    texts = [*GOOD[:12], *BAD[:8]]
    axis = load_axis("gender")
    pairs = [(axis, pair) for pair in pairs_of(axis, 4, run.seed_for("pairs"))]
    gradient, _ = gap_gradient(run, run.services.model, pairs)
    scores = contributions(run, run.services.model, texts, gradient, cosine=True)
    widening = sorted((k for k in range(20) if scores[k] > 0), key=lambda k: -scores[k])
    options = {"classifier": None, "influence": "cosine", "influence_pairs": 4}
    out, facts, account = applied(BiasFilter, run, rows_of(texts), influence_share=0.15, **options)
    worst = widening[:3]
    assert set(out["evenhand_origin"]) == set(range(20)) - set(worst)
    assert account.dropped == ({INFLUENCE: len(worst)} if worst else {})
    assert facts["texts that widen the gap"] == len(widening) and facts["pairs of the gap"] == 4
    assert facts["flagged by influence"] == len(worst)
    # No text that narrows the gap is ever flagged, however large the share.
    _, facts, _ = applied(BiasFilter, run, rows_of(texts), influence_share=0.99, strength=0.1, **options)
    assert facts["flagged by influence"] == min(len(widening), 19)


def test_influence_needs_a_causal_model(tiny: Any, run_of: Any) -> None:
    masked = run_of(*tiny("masked"), "masked")
    with pytest.raises(WrongModelKind, match="influence needs a model that continues texts"):
        BiasFilter(classifier=None, influence="dot").data(masked, "train", None)
