"""Balancing: weights worked out by hand, independence afterwards, draws, weighted losses, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from data_steps import applied
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.errors import UsageError
from evenhand_sdk.testing import contributions, train
from evenhand_standard.data.cell_weights import cell_weights, effective_size
from evenhand_standard.data.group_balancing import (
    GroupBalancing,
    GroupBalancingOptions,
    _thirds,
)
from evenhand_standard.data.preference_pairs import PreferencePairs
from evenhand_standard.data.row_weights import WEIGHT, WeightedExcess

PLUGIN = GroupBalancing
COUNTS = {("female", "home"): 30, ("female", "work"): 10, ("male", "home"): 20, ("male", "work"): 40}


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def options(**given: Any) -> GroupBalancingOptions:
    return GroupBalancingOptions(**given)


def rows_of(counts: dict[tuple[str, str], int], neutral: int = 0) -> Dataset:
    who = {"female": "She", "male": "He"}
    texts = [(f"{who[g]} is at {c} {k}.", c) for (g, c), n in counts.items() for k in range(n)]
    texts += [(f"Rain fell {k}.", "weather") for k in range(neutral)]
    return Dataset.from_dict({"text": [t for t, _ in texts], "topic": [c for _, c in texts]})


cells = st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), st.integers(1, 50), min_size=1)


# ------------------------------------------------------------------------------------------------------------ weights
def test_weights_are_those_of_kamiran_and_calders() -> None:
    found = cell_weights(COUNTS, options())
    # n = 100; female 40, male 60; home 50, work 50: w = n_g n_c / (n n_gc). Their mean over the texts is 1 already.
    assert found == pytest.approx(
        {
            ("female", "home"): 40 * 50 / (100 * 30),
            ("female", "work"): 40 * 50 / (100 * 10),
            ("male", "home"): 60 * 50 / (100 * 20),
            ("male", "work"): 60 * 50 / (100 * 40),
        }
    )


def test_weights_are_clipped_and_scaled_back_to_a_mean_of_1() -> None:
    found = cell_weights(COUNTS, options(clip=1.5))
    # 30 a 2/3 + 10 1.5 + 20 1.5 + 40 a 3/4 = 100 at a = 1.1, where the two of 1.5 are still at their bound.
    expected = {("female", "home"): 2.2 / 3, ("female", "work"): 1.5, ("male", "home"): 1.5, ("male", "work"): 0.825}
    assert sum(n * expected[cell] for cell, n in COUNTS.items()) == pytest.approx(100)
    assert found == pytest.approx(expected)


@given(cells, st.floats(1, 10), st.floats(0, 1))
def test_no_weight_lies_beyond_its_bounds(counts: Any, clip: float, strength: float) -> None:
    found = cell_weights(counts, options(clip=clip, strength=strength))
    most = clip**strength
    assert all(1 / most - 1e-9 <= weight <= most + 1e-9 for weight in found.values())


def test_strength_is_the_power_of_a_weight() -> None:
    found = cell_weights(COUNTS, options(strength=0.5))
    raw = {("female", "home"): 2 / 3, ("female", "work"): 2.0, ("male", "home"): 1.5, ("male", "work"): 0.75}
    mean = sum(n * math.sqrt(raw[cell]) for cell, n in COUNTS.items()) / 100
    assert found == pytest.approx({cell: math.sqrt(w) / mean for cell, w in raw.items()})


def test_a_temperature_of_0_makes_groups_equal_and_between_they_come_nearer() -> None:
    counts = {("a", ""): 90, ("b", ""): 10}
    assert cell_weights(counts, options(method="temperature", tau=0.0)) == pytest.approx(
        {("a", ""): 50 / 90, ("b", ""): 50 / 10}
    )
    half = cell_weights(counts, options(method="temperature", tau=0.5))
    q = math.sqrt(90) / (math.sqrt(90) + math.sqrt(10))  # 3/4
    assert q == pytest.approx(0.75)
    assert half == pytest.approx({("a", ""): 75 / 90, ("b", ""): 25 / 10})
    # Half the strength goes half the way: tau' = 1 - 0.5 * (1 - 0) = 0.5.
    assert cell_weights(counts, options(method="temperature", tau=0.0, strength=0.5)) == pytest.approx(half)


def test_the_effective_sample_size_is_that_of_kish() -> None:
    assert effective_size({"a": 1.0}, {"a": 7}) == 7
    assert effective_size({"a": 3.0, "b": 1.0}, {"a": 1, "b": 3}) == pytest.approx(6**2 / (9 + 3))
    assert effective_size({}, {}) == 0


@given(cells)
def test_unclipped_weights_make_group_and_concept_independent_where_all_cells_have_texts(counts: Any) -> None:
    groups, concepts = {g for g, _ in counts}, {c for _, c in counts}
    if any((g, c) not in counts for g in groups for c in concepts):
        return
    found = cell_weights(counts, options(clip=1e9))
    mass = {cell: n * found[cell] for cell, n in counts.items()}
    total = sum(mass.values())
    for g, c in counts:
        of_group = sum(m for (a, _), m in mass.items() if a == g)
        of_concept = sum(m for (_, b), m in mass.items() if b == c)
        assert mass[g, c] / total == pytest.approx(of_group / total * of_concept / total)


@given(cells, st.floats(0, 1), st.sampled_from(["reweigh", "temperature"]))
def test_weights_have_a_mean_of_1_and_are_1_at_strength_0(counts: Any, strength: float, method: str) -> None:
    found = cell_weights(counts, options(method=method, strength=strength))
    assert sum(n * found[cell] for cell, n in counts.items()) == pytest.approx(sum(counts.values()))
    assert cell_weights(counts, options(method=method, strength=0.0)) == pytest.approx(dict.fromkeys(counts, 1.0))


# --------------------------------------------------------------------------------------------------------------- rows
def test_texts_are_drawn_so_that_groups_and_topics_become_independent(run: Any) -> None:
    counts = {cell: 10 * n for cell, n in COUNTS.items()}
    out, facts, account = applied(PLUGIN, run, rows_of(counts, neutral=50), concept="column:topic")
    found = Counter((text.split()[0], topic) for text, topic in zip(out["text"], out["topic"], strict=True))
    # 400 texts about her, 600 about him, 500 at home: each cell as many as n_g n_c / n, by draws of the fractions.
    expected = {("She", "home"): 200, ("She", "work"): 200, ("He", "home"): 300, ("He", "work"): 300}
    spread = {("She", "home"): 8.2, ("She", "work"): 0, ("He", "home"): 7.1, ("He", "work"): 8.7}
    for cell, n in expected.items():  # the spread is sqrt(n f (1 - f)) of the cell's texts and fraction f
        assert abs(found[cell] - n) <= 4 * spread[cell]
    assert found["Rain", "weather"] == 50
    assert set(account.dropped) == {"too many texts of female and home", "too many texts of male and work"}
    assert account.kept + account.added == len(out)
    assert facts["texts of each group"] == {"female": 400, "male": 600}
    assert facts["texts of each concept"] == {"home": 500, "work": 500}
    assert facts["texts without a group, of weight 1"] == 50
    # (1000)^2 / (300 (2/3)^2 + 100 2^2 + 200 1.5^2 + 400 0.75^2), over the 1000 texts with a group.
    second = 300 * 4 / 9 + 100 * 4 + 200 * 2.25 + 400 * 0.5625
    assert facts["effective sample size, as a share of the texts with a group"] == pytest.approx(1000 / second)
    copies = [row for row in out if row["evenhand_step"]]
    assert len(copies) == account.added and {row["evenhand_group"] for row in copies} == {"female", "male"}


def test_rows_that_go_to_the_quarantine_are_no_texts_without_a_group(run: Any) -> None:
    texts = [*["She left."] * 3, *["He left."] * 2, "Rain fell.", None, "", "  ", "He is long. " * 20]
    out, facts, account = applied(
        PLUGIN, run, Dataset.from_dict({"text": texts}), method="temperature", tau=0.0, max_characters=100
    )
    assert account.read == 10 and sum(account.quarantined.values()) == 4
    assert facts["texts of each group"] == {"female": 3, "male": 2}
    assert facts["texts without a group, of weight 1"] == 1


def test_rows_that_go_to_the_quarantine_are_not_said_to_have_no_group(run: Any) -> None:
    transform = PLUGIN().data(run, "train", None)
    transform.fn(Dataset.from_dict({"text": ["Rain fell.", "Snow fell.", None, ""]}))
    assert transform.idle() == "none of the 2 texts has a group"


def test_a_column_may_say_the_group(run: Any) -> None:
    rows = Dataset.from_dict({"text": [f"Text {k}." for k in range(100)], "who": ["a"] * 80 + ["b"] * 19 + [None]})
    out, facts, _ = applied(PLUGIN, run, rows, group="who", method="temperature", tau=0.0)
    found = Counter(out["who"])
    # Weights 99/160 and 99/38: 49.5 each; the spread of draws is sqrt(80 f (1 - f)) = 4.4 and 2.1.
    assert abs(found["a"] - 49.5) < 18 and abs(found["b"] - 49.5) < 9 and found[None] == 1
    assert facts["texts of each group"] == {"a": 80, "b": 19}
    with pytest.raises(UsageError, match="the data have no column 'whom'"):
        applied(PLUGIN, run, rows, group="whom")


def test_thirds_by_sentiment_are_balanced_over_groups(run: Any) -> None:
    words = {"good": ["wonderful", "excellent"], "bad": ["horrible", "terrible"], "plain": ["tall", "here"]}
    rows = Dataset.from_dict(
        {
            "text": [
                f"{who} is {word} {k}."
                for who, shares in (("She", (40, 10, 10)), ("He", (10, 40, 10)))
                for kind, n in zip(words, shares, strict=True)
                for k in range(n)
                for word in words[kind]
            ]
        }
    )
    out, facts, _ = applied(PLUGIN, run, rows)
    assert set(facts["texts of each concept"]) == {"negative", "neutral", "positive"}

    def gap(texts: list[str]) -> int:
        of = Counter(("wonderful" in t or "excellent" in t, t.split()[0]) for t in texts)
        return of[True, "She"] - of[True, "He"]

    assert gap(list(rows["text"])) == 60
    assert abs(gap(list(out["text"]))) < 25


def test_the_polarity_of_most_texts_is_the_neutral_one() -> None:
    """Two thirds and more of one polarity: they are the middle, and only what lies beyond them is not."""
    plain = ["She went home.", "He went home.", "He is a plumber.", "He read."]
    assert _thirds([*plain, "She is excellent and wonderful.", None]) == [*["neutral"] * 4, "positive", None]
    assert _thirds([*plain, "She is horrible."]) == [*["neutral"] * 4, "negative"]
    assert _thirds(["It is awful.", "She is horrible and evil.", *plain]) == ["negative"] * 2 + ["neutral"] * 4
    fine = ["She is fine."] * 4
    assert _thirds([*fine, "He is wonderful and excellent."]) == [*["neutral"] * 4, "positive"]
    assert _thirds(plain[:1]) == ["neutral"] and _thirds([None]) == [None] and _thirds(plain) == ["neutral"] * 4


def test_without_ties_the_thirds_are_equal() -> None:
    scale = ["horrible and evil", "horrible", "here", "fine", "wonderful", "wonderful and excellent"]
    expected = ["negative"] * 2 + ["neutral"] * 2 + ["positive"] * 2
    assert _thirds([f"She is {word}." for word in scale]) == expected


def test_other_equal_polarities_at_the_upper_bound_are_positive() -> None:
    texts = ["It is horrible.", "It is here.", "It is fine.", *["It is excellent."] * 3]
    assert _thirds(texts) == ["negative", "negative", "neutral", *["positive"] * 3]


def test_most_texts_without_sentiment_are_balanced_all_the_same(run: Any) -> None:
    plain = {"She went home.": 30, "He went home.": 40}
    warm = {"She is wonderful and excellent.": 12, "He is wonderful and excellent.": 3}
    texts = [text for text, n in {**plain, **warm}.items() for _ in range(n)]
    out, facts, _ = applied(PLUGIN, run, Dataset.from_dict({"text": texts}))
    assert facts["texts of each concept"] == {"neutral": 70, "positive": 15}
    found = Counter(out["text"])
    # 42 n_concept / 85 about her, 43 about him: 12 of 15 warm texts become 7.4, 3 become 7.6, by draws.
    assert abs(found["She is wonderful and excellent."] - 7.4) <= 4 * 1.7
    assert abs(found["He is wonderful and excellent."] - 7.6) <= 4 * 0.9


@pytest.mark.parametrize(
    ("rows", "how", "why"),
    [
        ({("female", "home"): 3}, {}, "all 3 texts with a group are of one group, female"),
        ({}, {}, "none of the 2 texts has a group"),
        ({("female", "home"): 3, ("male", "home"): 2}, {}, "all 5 texts with a group are of one concept, home"),
        (
            {(g, c): 3 for g in ("female", "male") for c in ("home", "work")}, {},
            "group and concept are independent already among the 12 texts with a group",
        ),
        (
            {("female", "home"): 3, ("male", "home"): 3}, {"method": "temperature"},
            "the groups have their shares already among the 6 texts with a group",
        ),
        (
            {("female", "home"): 1, ("female", "work"): 1, ("male", "home"): 1, ("male", "work"): 2},
            {"strength": 1e-4},
            "weights lie between 1.000 and 1.000: too near to 1 for a draw",
        ),
    ],
)  # fmt: skip
def test_where_nothing_is_balanced_the_step_says_why(run: Any, rows: Any, how: Any, why: str) -> None:
    transform = PLUGIN(concept="column:topic", **how).data(run, "train", None)
    given = rows_of(rows, neutral=2)
    assert transform.fn(given)["text"][:] == given["text"][:]
    assert transform.idle() == why


def test_a_tiny_effective_sample_is_refused_by_name(run: Any) -> None:
    rows = rows_of({("female", "home"): 2, ("male", "home"): 98})
    with pytest.raises(UsageError) as error:
        applied(PLUGIN, run, rows, method="temperature", tau=0.0)
    # Weights 25 and 50/98: 100^2 / (2 25^2 + 98 (50/98)^2) = 7.8 texts.
    assert error.value.what == (
        "weights would leave an effective sample of 8 % of the 100 texts with a group, which is below 30 %"
    )
    assert "lower `strength`" in error.value.do


def test_texts_without_a_group_do_not_hide_a_tiny_sample(run: Any) -> None:
    """One text of weight 150 among 299 of weight 0.5: 300^2 / (150^2 + 299 (300/598)^2) = 4 of 300 texts."""
    rows = rows_of({("female", "home"): 1, ("male", "home"): 299}, neutral=2000)
    with pytest.raises(UsageError, match="an effective sample of 1 % of the 300 texts with a group"):
        applied(PLUGIN, run, rows, method="temperature", tau=0.0)


def test_strength_0_is_the_data_itself_and_has_no_term(run: Any) -> None:
    rows = rows_of(COUNTS)
    out, facts, account = applied(PLUGIN, run, rows, strength=0.0, apply="weigh")
    assert out is rows and facts == {} and account.kept == 100
    assert contributions(PLUGIN(strength=0.0, apply="weigh"), "objective", run) == []
    assert contributions(PLUGIN(), "objective", run) == []


# -------------------------------------------------------------------------------------------------------------- losses
def test_weights_stand_in_a_column(run: Any) -> None:
    out, _, account = applied(PLUGIN, run, rows_of(COUNTS, neutral=1), concept="column:topic", apply="weigh")
    assert account.kept == 101 and account.added == 0
    places = zip(out["text"], out["topic"], out[WEIGHT], strict=True)
    found = {(text.split()[0], topic): w for text, topic, w in places}
    assert found == pytest.approx(
        {
            ("She", "home"): 2 / 3,
            ("She", "work"): 2.0,
            ("He", "home"): 1.5,
            ("He", "work"): 0.75,
            ("Rain", "weather"): 1.0,
        }
    )


def test_weights_of_rows_and_of_preference_pairs_are_two_things(run: Any) -> None:
    how = {"concept": "column:topic", "apply": "weigh"}
    weighed, _, _ = applied(PLUGIN, run, rows_of(COUNTS), **how)
    first, _, _ = applied(PreferencePairs, run, weighed, limit=2)
    pairs, _, _ = applied(PreferencePairs, run, rows_of(COUNTS), limit=2)
    second, _, _ = applied(PLUGIN, run, pairs, **how)
    assert (
        list(first["evenhand_weight"]) == list(second["evenhand_weight"]) == [0.0] * 100 + pairs["evenhand_weight"][-4:]
    )
    assert first[WEIGHT][:100] == weighed[WEIGHT][:]
    assert first[WEIGHT][100:] == [None] * 4 and second[WEIGHT][100:] == [1.0] * 4


def test_a_row_that_a_later_step_made_has_weight_1() -> None:
    torch.manual_seed(0)
    outputs, labels = SimpleNamespace(logits=torch.randn(2, 4, 5)), torch.tensor([[1, 2, 3, 0], [4, 0, 1, 2]])
    given, stated = (SimpleNamespace(labels=labels, columns={WEIGHT: [3.0, w]}) for w in (None, 1.0))
    assert torch.equal(WeightedExcess("causal")(given, outputs), WeightedExcess("causal")(stated, outputs))


def test_rows_are_weighed_once(run: Any) -> None:
    how = {"concept": "column:topic", "apply": "weigh"}
    weighed, _, _ = applied(PLUGIN, run, rows_of(COUNTS), **how)
    with pytest.raises(UsageError) as caught:
        applied(PLUGIN, run, weighed, **how)
    assert str(caught.value) == (
        "group-balancing: an earlier step has weighed these rows, and the loss has one weight for each\n"
        '  set apply = "resample" in one of the two steps'
    )


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("trained_on", [[3.0, 0.5], [2.0, None, 0.0], [4.0, 4.0]])
def test_the_term_and_the_language_modelling_loss_make_the_weighted_loss(kind: str, trained_on: list[Any]) -> None:
    """Weights are in units of their mean over the rows of the training, whatever the batch holds."""
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5)
    labels = torch.tensor([[1, 2, 3, -100], [4, 0, -100, -100]])
    batch = SimpleNamespace(labels=labels, columns={WEIGHT: [3.0, 0.5]})
    logp = logits.log_softmax(-1)
    places = [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 4), (1, 1, 0)]
    if kind == "causal":
        places = [(b, t - 1, token) for b, t, token in places if t]
    nll = [-float(logp[place]) for place in places]
    mean = sum(1.0 if w is None else w for w in trained_on) / len(trained_on)
    weighted = sum((3.0, 0.5)[b] / mean * x for (b, _, _), x in zip(places, nll, strict=True)) / len(nll)
    term = WeightedExcess(kind)
    term.on_start(SimpleNamespace(rows=Dataset.from_dict({WEIGHT: trained_on})))
    assert float(term(batch, SimpleNamespace(logits=logits))) == pytest.approx(weighted - sum(nll) / len(nll), abs=1e-5)
    assert term.count(batch) == len(places)
    same = SimpleNamespace(labels=labels, columns={WEIGHT: [mean, mean]})
    assert float(term(same, SimpleNamespace(logits=logits))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("micro", [4, 1])
def test_a_training_reads_the_weights_also_in_micro_batches_of_one_row(run: Any, micro: int) -> None:
    rows, _, _ = applied(PLUGIN, run, rows_of(COUNTS), concept="column:topic", apply="weigh")
    terms = contributions(PLUGIN(concept="column:topic", apply="weigh"), "objective", run)
    run.services.settings = run.services.settings.model_copy(update={"batch_size": micro})
    facts = train(run, terms, rows=rows).terms["weights of rows"]
    assert facts["gradient_norm"] > 0


# ------------------------------------------------------------------------------------------------------------- streams
@pytest.mark.parametrize("how", [{"group": "who"}, {"concept": "column:topic"}])
def test_a_column_that_a_stream_lacks_is_told_and_does_not_switch_the_step_off(run: Any, how: dict[str, str]) -> None:
    rows = IterableDataset.from_generator(lambda: iter([{"text": "She left."}, {"text": "He left."}]))
    (column,) = how.values()
    options = {"concept": "column:topic", **how} if "concept" in how else {"method": "temperature", **how}
    with pytest.raises(UsageError, match=f"the data have no column '{column.removeprefix('column:')}'"):
        PLUGIN(**options).data(run, "train", None).fn(rows)


@settings(max_examples=10, deadline=None)
@given(st.permutations([*["a"] * 12, *["b"] * 4]))
def test_a_stream_weighs_by_the_counts_so_far(order: list[str]) -> None:
    from evenhand_sdk import load_axis
    from evenhand_sdk.data_rows import Row
    from evenhand_standard.data.group_balancing import _as_they_come

    how = options(method="temperature", tau=0.0, group="who", apply="weigh")
    fates = _as_they_come(load_axis("gender"), how, 0)(
        [Row(k, f"text {k}", k, {"who": group}) for k, group in enumerate(order)]
    )
    seen: Counter[str] = Counter()
    for group, fate in zip(order, fates, strict=True):
        seen[group] += 1
        equal = sum(seen.values()) / len(seen) / seen[group]
        assert fate.columns[WEIGHT] == pytest.approx(equal)


def test_a_stream_has_no_thirds_and_a_long_one_ends_balanced(run: Any) -> None:
    rows = Dataset.from_dict({"text": [f"Text {k}." for k in range(3000)], "who": ["a", "a", "a", "b"] * 750})
    with pytest.raises(UsageError, match="a stream is read once"):
        list(PLUGIN().data(run, "train", None).fn(rows.to_iterable_dataset()))
    transform = PLUGIN(group="who", method="temperature", tau=0.0).data(run, "train", None)
    found = Counter(row["who"] for row in transform.fn(rows.to_iterable_dataset()))
    # 1,500 each; draws of the fraction 2/3 of 2,250 texts have a spread of 22.
    assert abs(found["a"] - 1500) < 95 and abs(found["b"] - 1500) < 20
    assert transform.account().problem(3000, sum(found.values())) is None
