"""Aggregators: each rule against values worked by hand and against an independent solution, and inside a training."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import evenhand
from evenhand.errors import NoEffect, UsageError
from evenhand.proofs import objective_proof
from evenhand_sdk import LossTerm
from evenhand_sdk.tiny import save_tiny, tiny_sentences
from evenhand_standard.objective import gradient_aggregation
from evenhand_standard.objective.gradient_aggregation import aggregator, gramian, weights_of
from evenhand_standard.objective.margin_equalisation import MarginEqualisation
from evenhand_standard.objective.mgda import MGDA
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.pcgrad import PCGrad
from evenhand_standard.objective.smooth_tchebycheff import SmoothTchebycheff, smooth_maximum
from evenhand_standard.objective.upgrad import UPGrad

RULES: Any = ("pcgrad", "mgda", "upgrad")
RIDGE = 1e-3
"""The solver of UPGrad adds 1e-4 of the sum of the squared norms to the inner products."""


def combined(rule: Any, *gradients: list[float], normalise: bool = False, strength: float = 1.0) -> list[float]:
    rows = {str(k): torch.tensor(g) for k, g in enumerate(gradients)}
    found = aggregator(rule, strength=strength, normalise=normalise, seed=7).combine({}, rows)
    return [float(x) for x in found]


# g1 = (2, 0) and g2 = (-1, 1): g1.g2 = -2, |g1|^2 = 4, |g2|^2 = 2.
CONFLICT = ([2.0, 0.0], [-1.0, 1.0])
# g1 without its part along g2 is (2, 0) + (-1, 1) = (1, 1); g2 without its part along g1 is (0, 1).


def test_pcgrad_adds_the_parts_that_do_not_conflict() -> None:
    assert combined("pcgrad", *CONFLICT) == pytest.approx([1.0, 2.0])


def test_mgda_is_the_shortest_mixture_times_their_number() -> None:
    """c1 = (g2 - g1).g2 / |g1 - g2|^2 = (2 + 2) / 10 = 0.4: 0.4 g1 + 0.6 g2 = (0.2, 0.6)."""
    assert combined("mgda", *CONFLICT) == pytest.approx([0.4, 1.2], abs=1e-4)


def test_mgda_normalised_bisects_and_keeps_the_mean_length() -> None:
    """Of unit vectors the shortest mixture has equal weights: ((1, 0) + (-1, 1)/sqrt 2) / 2."""
    mean = (2 + math.sqrt(2)) / 2
    expected = [2 * mean * (1 - 1 / math.sqrt(2)) / 2, 2 * mean * (1 / math.sqrt(2)) / 2]
    assert combined("mgda", *CONFLICT, normalise=True) == pytest.approx(expected, abs=1e-4)


def test_upgrad_of_two_is_the_sum_of_the_projections() -> None:
    """Of two gradients the projection onto the cone is PCGrad's: mean of (1, 1) and (0, 1), times 2."""
    assert combined("upgrad", *CONFLICT) == pytest.approx([1.0, 2.0], abs=RIDGE)


@pytest.mark.parametrize("rule", ["pcgrad", "upgrad"])
def test_without_conflict_it_is_the_sum(rule: Any) -> None:
    assert combined(rule, [1.0, 0.5, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]) == pytest.approx(
        [2.0, 1.5, 2.0], abs=RIDGE
    )


def test_mgda_takes_a_gradient_that_is_shorter_than_every_mixture() -> None:
    """g1.g2 = 3 > |g2|^2 = 1: the shortest mixture is g2 itself."""
    assert combined("mgda", [3.0, 4.0], [1.0, 0.0]) == pytest.approx([2.0, 0.0], abs=1e-3)


def test_opposite_gradients_leave_nothing() -> None:
    for rule in RULES:
        assert combined(rule, [1.0, -2.0], [-1.0, 2.0]) == pytest.approx([0.0, 0.0], abs=1e-2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_strength_goes_from_the_sum_to_the_rule(rule: Any, strength: float) -> None:
    full = np.array(combined(rule, *CONFLICT))
    plain = np.array(CONFLICT).sum(0)
    found = combined(rule, *CONFLICT, strength=strength)
    assert found == pytest.approx(list((1 - strength) * plain + strength * full), abs=1e-6)


def test_a_term_without_gradient_has_no_say() -> None:
    for rule in RULES:
        assert combined(rule, [1.0, 2.0], [0.0, 0.0]) == [1.0, 2.0]
        assert combined(rule, [0.0, 0.0], [0.0, 0.0]) == [0.0, 0.0]


# --- independent solutions by non-negative least squares --------------------------------------------------------------


def shortest_mixture(rows: np.ndarray) -> np.ndarray:
    """argmin |c rows| over the simplex: the scale in |c rows|^2 + (sum c - 1)^2 does not change the direction of c."""
    found, _ = nnls(np.vstack([rows.T, np.ones(len(rows))]), np.append(np.zeros(rows.shape[1]), 1.0))
    return found / found.sum()


def projections(rows: np.ndarray) -> np.ndarray:
    """Sum over i of the projection of g_i onto {p: p.g_j >= 0}: g_i + rows^T u with u >= 0 least squares.

    With the ridge of the solver, r (e_i + u)^2: between gradients that are nearly opposite it is not small.
    """
    root = np.sqrt(1e-4 * np.trace(rows @ rows.T)) * np.eye(len(rows))
    wide = np.vstack([rows.T, root])
    return sum(g + rows.T @ nnls(wide, -np.append(g, root[i]))[0] for i, g in enumerate(rows))


vectors = st.lists(
    st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6).map(lambda v: [round(x, 2) for x in v]),
    min_size=2,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@example([[0, 0, 0, 0, 0, 1], [0, -0.25, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [-0.12, 1, 0, 0, 0, 0]])
@given(vectors)
def test_mgda_and_upgrad_solve_their_quadratic_programmes(gradients: list[list[float]]) -> None:
    rows = np.array(gradients)
    if (np.linalg.norm(rows, axis=1) < 0.1).any():
        return
    products = gramian([torch.tensor(g, dtype=torch.float32) for g in gradients])
    assert products.numpy() == pytest.approx(rows @ rows.T, abs=1e-4)
    mixture = weights_of("mgda", products, normalise=False).numpy() @ rows / len(rows)
    least = np.linalg.norm(shortest_mixture(rows) @ rows)
    assert np.linalg.norm(mixture) <= least + 0.02 * np.linalg.norm(rows)
    direction = weights_of("upgrad", products, normalise=False).numpy() @ rows
    scale = np.linalg.norm(rows)
    assert (rows @ direction >= -0.02 * scale**2).all(), "no objective grows along it"
    assert np.linalg.norm(direction - projections(rows)) <= 0.03 * scale


# --- smooth Tchebycheff -----------------------------------------------------------------------------------------------


def test_the_smooth_maximum_by_hand() -> None:
    """nu ln(e^(1/nu) + e^(2/nu)): with nu = 1, 2 + ln(1 + e^-1); with a small nu the larger one."""
    values = torch.tensor([1.0, 2.0])
    assert float(smooth_maximum(values, 1.0)) == pytest.approx(2 + math.log(1 + math.exp(-1)))
    assert float(smooth_maximum(values, 0.01)) == pytest.approx(2.0)


ONES = {"a": 1.0, "b": 1.0}


def test_smooth_tchebycheff_gives_the_worst_term_the_gradient(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = SmoothTchebycheff(temperature=0.5, strength=0.5).objective(run_of(model, tokenizer), model)
    losses = {"a": torch.tensor(1.0, requires_grad=True), "b": torch.tensor(2.0, requires_grad=True)}
    value = rule.combine(losses, ONES, ONES)
    value.backward()
    share = 1 / (1 + math.exp(-2))  # softmax of 2/0.5 against 1/0.5
    assert losses["b"].grad == pytest.approx(0.5 + 0.5 * 2 * share)
    assert losses["a"].grad == pytest.approx(0.5 + 0.5 * 2 * (1 - share))


def test_smooth_tchebycheff_compares_losses_in_units_of_their_start_and_from_their_ideals(
    tiny: Any, run_of: Any
) -> None:
    """w (L/L(0) - z): 1 (2.7/3 - 0.8) = 0.1 for the one, 2 (0.01/0.02 - 0) = 1 for the other."""
    model, tokenizer = tiny()
    rule = SmoothTchebycheff(temperature=0.5, ideal={"a": 0.8}).objective(run_of(model, tokenizer), model)
    losses = {"a": torch.tensor(2.7, requires_grad=True), "b": torch.tensor(2 * 0.01, requires_grad=True)}
    value = rule.combine(losses, {"a": 3.0, "b": 0.02}, {"a": 1.0, "b": 2.0})
    assert float(value.detach()) == pytest.approx(2 * 0.5 * math.log(math.exp(0.1 / 0.5) + math.exp(1 / 0.5)))
    value.backward()
    share = 1 / (1 + math.exp(-(1 - 0.1) / 0.5))
    assert losses["b"].grad == pytest.approx(2 * share / 0.02)
    assert losses["a"].grad == pytest.approx(2 * (1 - share) / 3)


@pytest.mark.parametrize("rule, apart_by", [(None, 0.01), (PCGrad, 0.1)])  # the first retention gradient is rounding
def test_two_objectives_that_hold_the_same_words_train_as_if_each_computed_it(
    rule: Any, apart_by: float, tiny: Any, run_of: Any
) -> None:
    """Their retention is one computation, whose gradient is taken twice: by the sum at once, by PCGrad term by term."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=3, learning_rate=1e-3)
    options = {"retention": 1.0, "weight": 5.0, "names": False}
    terms = [t for cls in (PairParity, MarginEqualisation) for t in cls(**options).objective(run, model)]
    assert [t.name for t in terms].count("retention") == 2
    [key] = {t.key for t in terms if t.name == "retention"}
    assert key
    data = Dataset.from_dict({"text": tiny_sentences()})
    extra = [] if rule is None else [rule().objective(run, model)]
    shared, facts = run.services.train(data, [*terms, *extra], name="shared")
    apart, wanted = run.services.train(data, [*(replace(t, key="") for t in terms), *extra], name="apart")
    assert facts.terms["retention (2)"]["last"] > 0
    for name in set(facts.terms) - {"language modelling"}:
        assert facts.terms[name] == pytest.approx(wanted.terms[name], rel=1e-2), name
    begun, one, other = (torch.nn.utils.parameters_to_vector(m.parameters()).detach() for m in (model, shared, apart))
    assert float((one - other).norm()) < apart_by * float((one - begun).norm())


def test_smooth_tchebycheff_refuses_an_ideal_value_of_no_term(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = SmoothTchebycheff(ideal={"c": 0.5}).objective(run_of(model, tokenizer), model)
    with pytest.raises(UsageError) as raised:
        rule.combine({"a": torch.tensor(1.0), "b": torch.tensor(1.0)}, ONES, ONES)
    assert str(raised.value) == (
        "smooth-tchebycheff, option ideal: no loss term is called 'c'\n  the terms are 'a', 'b'"
    )


def test_a_small_term_beside_language_modelling_has_its_say_in_the_update(tiny: Any, run_of: Any) -> None:
    """Of losses as they are, e^((0.001 - 7) / 0.3) would be left of a term a thousandth of a nat large."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=4)
    data = Dataset.from_dict({"text": tiny_sentences()[:16]})
    with torch.no_grad():
        first = float(model(**tokenizer(tiny_sentences()[0], return_tensors="pt")).logits.float().pow(2).mean())
    part = SmoothTchebycheff().objective(run, model)
    _, result = run.services.train(data, [small(1e-3 / first), part], name="shares")
    shares = {name: facts["share"] for name, facts in result.terms.items()}
    assert 0.05 < shares["small"] < 1 and 0.05 < shares["language modelling"] < 1
    proof = objective_proof("small", result.terms["small"])
    assert proof.took and f"at most {100 * shares['small']:.2f} % of the update's gradient" in proof.what
    told = {**result.terms["small"], "share": 9e-4}
    assert not objective_proof("small", told).took, "it was crowded out"


def test_smooth_tchebycheff_refuses_a_term_below_zero(tiny: Any, run_of: Any) -> None:
    """With nu = 0.1 a reward of -2 would have the share e^-30 beside a loss of 1."""
    model, tokenizer = tiny()
    rule = SmoothTchebycheff().objective(run_of(model, tokenizer), model)
    with pytest.raises(UsageError) as raised:
        rule.combine({"a": torch.tensor(1.0), "attention entropy": torch.tensor(-2.0)}, ONES, ONES)
    assert str(raised.value).splitlines()[0] == ("smooth-tchebycheff: the loss term 'attention entropy' is -2, below 0")
    assert float(rule.combine({"a": torch.tensor(1.0), "b": torch.tensor(-1e-7)}, ONES, ONES)) > 0


# --- in a training ----------------------------------------------------------------------------------------------------


def opposed(weight: float = 1.0) -> LossTerm:
    """Wants the logits small, which language modelling does not."""
    return LossTerm(name="small", fn=lambda batch, outputs: outputs.logits.float().pow(2).mean(), weight=weight)


def small(factor: float) -> LossTerm:
    """The same as a term that is small itself."""
    return LossTerm(name="small", fn=lambda batch, outputs: factor * outputs.logits.float().pow(2).mean())


@pytest.mark.parametrize("plugin", [PCGrad, MGDA, UPGrad, SmoothTchebycheff])
def test_strength_0_contributes_nothing(plugin: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert plugin(strength=0.0).objective(run_of(model, tokenizer), model) is None


@pytest.mark.parametrize("plugin", [PCGrad, MGDA, UPGrad])
def test_it_trains_both_terms_and_its_state_survives(plugin: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=6, learning_rate=3e-3)
    part = plugin().objective(run, model)
    data = Dataset.from_dict({"text": tiny_sentences()[:16]})
    trained, result = run.services.train(data, [opposed(5.0), part], name="with")
    kept = part.state_dict()
    assert kept["drawn"] == kept["seen"]["steps"] == 6 and kept["seen"]["terms"] == 2
    assert result.terms["language modelling"]["last"] < result.terms["language modelling"]["first"]
    again = plugin().objective(run, model)
    again.load_state_dict(kept)
    assert again.state_dict() == kept and again.effect() == part.effect() and part.effect().took
    twin, _ = run.services.train(data, [opposed(5.0), plugin().objective(run, model)], name="again")
    for a, b in zip(trained.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("normalise", [True, False])
def test_mgda_takes_no_anchor_for_an_objective(normalise: bool, tiny: Any, run_of: Any) -> None:
    """It begins at zero, with rounding errors for a gradient: the first update is as if there was none."""
    model, tokenizer = tiny()
    data = Dataset.from_dict({"text": ["He is a nurse.", "She is a doctor.", "His aunt smiled.", "The king sang."] * 4})
    ends = []
    for k, retention in enumerate((0.0, 0.1)):
        run = run_of(model, tokenizer, max_steps=1, learning_rate=1e-3)
        terms = PairParity(retention=retention).objective(run, model)
        part = MGDA(normalise=normalise).objective(run, model)
        trained, _ = run.services.train(data, [*terms, part], name=f"with-{k}")
        assert part.state_dict()["seen"]["terms"] == 2
        ends.append(torch.cat([p.detach().flatten() for p in trained.parameters()]))
    start = torch.cat([p.detach().flatten() for p in model.parameters()])
    without, with_anchor = (end - start for end in ends)
    assert float((without - with_anchor).norm()) < 1e-3 * float(without.norm())


def test_rules_to_which_gradients_are_equally_long_see_no_anchors() -> None:
    made = {(r, n): aggregator(r, strength=1.0, normalise=n, seed=7) for r in RULES for n in (True, False)}
    assert [key for key, part in made.items() if not part.anchors_apart] == [("pcgrad", False), ("upgrad", False)]


def test_a_gradient_of_rounding_errors_is_none() -> None:
    assert combined("mgda", [1.0, 0.0], [0.0, 1e-9]) == pytest.approx([1.0, 0.0], abs=1e-6)


ALONG = ([2.0, 0.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("rule", "gradients", "took", "what", "called_for"),
    [
        ("pcgrad", [CONFLICT, ALONG], True, "conflicts removed in 1 of 2 steps", True),
        ("pcgrad", [ALONG, ALONG], False, "conflicts removed in 0 of 2 steps", False),
        # weights 2 * 0.4 and 2 * 0.6, as above
        ("mgda", [CONFLICT], True, "weights other than equal in 1 of 1 steps, at most 1.5 times another", True),
        ("upgrad", [CONFLICT, ALONG], True, "conflicts removed in 1 of 2 steps", True),
        ("upgrad", [ALONG], False, "conflicts removed in 0 of 1 steps", False),
        (
            "mgda", [([2.0, 0.0],), ([2.0, 0.0], [0.0, 0.0])], False,
            "there is nothing to combine: no two loss terms had a gradient in one step", True,
        ),
    ],
)  # fmt: skip
def test_an_aggregator_says_what_it_did(rule: Any, gradients: Any, took: bool, what: str, called_for: bool) -> None:
    part = aggregator(rule, strength=1.0, normalise=False, seed=7)
    for rows in gradients:
        part.combine({}, {str(k): torch.tensor(g) for k, g in enumerate(rows)})
    assert part.effect is not None
    assert (part.effect().took, part.effect().what, part.effect().called_for) == (took, what, called_for)


def test_smooth_tchebycheff_says_which_term_had_the_most_weight(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    part = SmoothTchebycheff(temperature=0.5).objective(run_of(model, tokenizer), model)
    assert part is not None and part.effect is not None and not part.effect().took
    unit = {"a": 1.0, "b": 1.0}
    part.combine({"a": torch.tensor(1.0), "b": torch.tensor(1.0)}, unit, unit)
    assert not part.effect().took
    part.combine({"a": torch.tensor(0.0), "b": torch.tensor(1.0)}, unit, unit)
    # e^2 / (1 + e^2)
    assert part.effect().what == "largest weight of a term 0.881, of b (0.500 if all were equal)"
    assert part.effect().took and part.effect().size == pytest.approx(math.exp(2) / (1 + math.exp(2)))


ALONE = """
[model]
name = "{place}/tiny"
[data]
train = "{place}/text.txt"
[training]
max_steps = 2
evaluate_every = 1
[traffic]
limit = 0
[evaluation]
controls = "none"
"""


@pytest.mark.parametrize("use", ["pcgrad", "mgda", "upgrad", "smooth-tchebycheff"])
def test_an_aggregator_of_one_term_fails_the_run_by_name(use: str, tmp_path: Any) -> None:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text("\n".join(tiny_sentences()[:20]))
    recipe = f'{ALONE.format(place=tmp_path)}[[steps]]\nuse = "{use}"\n'
    (tmp_path / "r.toml").write_text(recipe)
    with pytest.raises(NoEffect) as caught:
        evenhand.run(tmp_path / "r.toml", output=tmp_path / "runs")
    assert str(caught.value) == (
        f"step {use!r} ({use}): nothing changed at the stage objective: {use}: there is nothing to combine, the "
        "training has one loss term, language modelling\n"
        "  mend the step, or set allow_no_effect = true for it"
    )
    (tmp_path / "r.toml").write_text(f"{recipe}allow_no_effect = true\n")
    result = evenhand.run(tmp_path / "r.toml", output=tmp_path / "runs")
    assert [proof["took"] for proof in result.record["steps"][0]["proofs"]] == [False]


def test_aggregators_and_early_stopping_have_proofs(tmp_path: Any) -> None:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text("\n".join(tiny_sentences()[:20]))
    steps = "".join(f'[[steps]]\nuse = "{use}"\n' for use in ("pair-parity", "mgda", "early-stopping"))
    (tmp_path / "r.toml").write_text(ALONE.format(place=tmp_path) + steps)
    record = evenhand.run(tmp_path / "r.toml", output=tmp_path / "runs").record
    told = {step["id"]: [proof["what"] for proof in step["proofs"]] for step in record["steps"]}
    (mgda,), (stopping,) = told["mgda"], told["early-stopping"]
    assert mgda.startswith("mgda: weights other than equal in 2 of 2 steps, at most ")
    assert stopping.startswith("JS gap on validation pairs: looked at 2 times, kept step ")


def test_a_training_without_conflicts_is_told_and_fails_no_run(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = gradient_aggregation.gramian
    monkeypatch.setattr(gradient_aggregation, "gramian", lambda gradients: plain(gradients).abs())
    save_tiny(tmp_path / "tiny")
    (tmp_path / "text.txt").write_text("\n".join(tiny_sentences()[:20]))
    steps = "".join(f'[[steps]]\nuse = "{use}"\n' for use in ("pair-parity", "pcgrad"))
    (tmp_path / "r.toml").write_text(ALONE.format(place=tmp_path) + steps)
    record = evenhand.run(tmp_path / "r.toml", output=tmp_path / "runs").record
    (proof,) = next(step["proofs"] for step in record["steps"] if step["id"] == "pcgrad")
    assert (proof["took"], proof["what"]) == (False, "pcgrad: conflicts removed in 0 of 2 steps")


def test_pcgrad_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    combined("pcgrad", *CONFLICT)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_torchjd_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(UsageError) as caught:
        combined("upgrad", *CONFLICT)
    assert str(caught.value) == (
        "the aggregator 'upgrad' needs torchjd.aggregation, which is not installed\n"
        "  pip install 'evenhand-standard[aggregators]'"
    )


@pytest.mark.parametrize(("key", "name"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")])
def test_split_parameters_are_refused_by_name(
    key: str, name: str, tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, "true")
    monkeypatch.setenv("FSDP_VERSION", "2")  # version 1 is refused whatever is trained
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError) as caught:
        run.services.train(
            Dataset.from_dict({"text": tiny_sentences()[:8]}), [opposed(), UPGrad().objective(run, model)]
        )
    assert str(caught.value) == (
        f"training: the aggregator 'upgrad' needs a gradient of its own, which parameters that {name} splits do not "
        "give\n  train with plain data parallelism, or choose an aggregator of losses"
    )
