"""What a run must beat: matching a degradation, equal tokens, and the recipe's `controls`."""

from __future__ import annotations

import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand import api, control_runs, life_training
from evenhand.contributions import ItemRecord, Metric
from evenhand.control_runs import log_cost
from evenhand.control_steps import CONTINUED, DEGRADATION, controls_of
from evenhand.discovery import discover
from evenhand.plugin import Mitigation, StrengthOptions
from evenhand.recipe_model import EvaluationSection
from evenhand.recipe_steps import ResolvedStep
from evenhand.strength_search import MATCHED, TRIALS, matched_strength
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_sdk.tiny import save_tiny

# ---------------------------------------------------------------------------------------------------- matching


@given(
    scale=st.floats(0.05, 50), power=st.floats(0.5, 3), target=st.floats(0.01, 2)
)  # cost = scale * strength ** power, so the strength is known: (target / scale) ** (1 / power)
def test_a_cost_that_grows_as_a_power_is_matched_in_few_measurements(scale: float, power: float, target: float) -> None:
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return scale * strength**power

    found = matched_strength(cost, target)
    if found is None:
        assert scale < target - MATCHED and tried[-1] == 1.0
    else:
        strength, at = found
        assert 0 < strength <= 1 and tried[-1] == strength
        assert at == pytest.approx(scale * strength**power)
        assert abs(at - target) <= MATCHED
    assert len(tried) <= 6


@given(seed=st.integers(0, 10_000), target=st.floats(0.01, 0.5))
def test_a_cost_that_chance_shakes_and_that_bends_is_matched_all_the_same(seed: int, target: float) -> None:
    """As a mixture with unigrams: nearly linear first, then without bound; and a little below 0 where it is small."""

    def cost(strength: float) -> float:
        noise = 0.002 * random.Random(f"{seed}/{strength}").uniform(-1, 1)
        return math.inf if strength >= 1 else -2 * math.log1p(-strength) + noise

    found = matched_strength(cost, target)
    assert found is not None and abs(found[1] - target) <= MATCHED


def test_a_step_in_the_cost_is_searched_to_the_end_and_no_further() -> None:
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return 0.1 if strength < 0.3 else 1.0

    assert matched_strength(cost, 0.5) is None
    assert len(tried) == TRIALS and abs(tried[-1] - 0.3) < 0.05


def test_a_search_that_begins_near_its_end_is_short() -> None:
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return 3 * strength

    found = matched_strength(cost, 0.3, first=0.101)
    assert found is not None and found[0] == 0.101 and tried == [0.101]
    tried.clear()
    found = matched_strength(cost, 0.3, first=0.12)
    assert found is not None and abs(found[1] - 0.3) <= MATCHED
    assert len(tried) <= 4, "straight lines are met soon"


def test_a_strength_that_breaks_the_model_is_only_an_upper_end() -> None:
    found = matched_strength(lambda s: math.nan if s > 0.2 else s, 0.1)
    assert found is not None and abs(found[1] - 0.1) <= MATCHED


def test_what_no_strength_costs_is_not_matched_and_strength_1_is_tried() -> None:
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return 0.1 * strength

    assert matched_strength(cost, 0.5) is None
    assert tried == pytest.approx([1 / 64, 1 / 4, 1.0])


def test_a_degradation_is_fitted_anew_at_each_strength_also_in_a_resumed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stopped run has kept of a fit was made for another strength."""
    reached: list[tuple[float, bool, int]] = []

    def beside(life: Any, name: str, steps: Any, *, seed: int) -> Any:
        other = SimpleNamespace(resume=True)
        other.reach = lambda step, plugin: reached.append((step.options.strength, other.resume, seed))
        return other

    monkeypatch.setattr(control_runs, "beside", beside)
    step = ResolvedStep(
        id="x", use="x", section="controls", plugin=Mitigation, row=None, options=StrengthOptions(), raw_options={},
        active=True, allow_no_effect=True, references={},
    )  # fmt: skip
    found = control_runs.degraded(
        SimpleNamespace(),
        step,
        lambda other: 4 * reached[-1][0],
        0.2,
        seed=7,
        first=0.04,  # type: ignore[arg-type]
    )
    assert found is not None and found[1:] == pytest.approx((0.05, 0.2), abs=MATCHED)
    assert reached[0] == (0.04, False, 7) and len(reached) > 1
    assert {(resume, seed) for _, resume, seed in reached} == {(False, 7)}


# ------------------------------------------------------------------------------------------------- recipe
def evaluation(**values: Any) -> EvaluationSection:
    return EvaluationSection.model_validate(values)


def test_the_recipe_chooses_its_controls() -> None:
    catalogue = discover()
    found, problems = controls_of(evaluation(), catalogue)
    assert ([s.id for s in found], problems) == ([CONTINUED, *DEGRADATION], [])
    assert controls_of(evaluation(controls="none"), catalogue) == ([], [])
    found, problems = controls_of(evaluation(controls=["weight-rounding"]), catalogue)
    assert ([s.id for s in found], problems) == (["weight-rounding"], [])


def test_a_step_may_ask_for_a_control_of_its_own_kind() -> None:
    """Only while it is active, only once, and only where the recipe leaves the choice."""

    class Pruning(Mitigation):
        controls = ("random-heads", "weight-noise")

    def step(active: bool) -> ResolvedStep:
        return ResolvedStep(
            id="p", use="p", section="steps", plugin=Pruning, row=None, options=Pruning.Options(), raw_options={},
            active=active, allow_no_effect=False, references={},
        )  # fmt: skip

    catalogue = discover()
    found, problems = controls_of(evaluation(), catalogue, [step(True), step(True)])
    assert ([s.id for s in found], problems) == ([CONTINUED, *DEGRADATION, "random-heads"], [])
    assert len(controls_of(evaluation(), catalogue, [step(False)])[0]) == 1 + len(DEGRADATION)
    assert controls_of(evaluation(controls="none"), catalogue, [step(True)]) == ([], [])
    assert [s.id for s in controls_of(evaluation(controls=["temperature"]), catalogue, [step(True)])[0]] == [
        "temperature"
    ]


def test_what_is_no_control_is_refused_with_its_place() -> None:
    names = ["temperature", "temperature", "pair-parity", "weight-nose"]
    found, problems = controls_of(evaluation(controls=names), discover())
    assert [s.id for s in found] == ["temperature"]
    assert problems[:2] == [
        "evaluation.controls[2]: 'temperature' is named twice",
        "evaluation.controls[3]: 'pair-parity' is no control: it must have a strength, and act by architecture or "
        "decoding alone",
    ]
    assert problems[2].startswith("evaluation.controls[4]: ") and "weight-noise" in problems[2]


# ------------------------------------------------------------------------------------------------- language quality
def perplexity_like(*nats: float) -> list[ItemRecord]:
    """Documents of ten words each, with so much loss."""
    return [ItemRecord(id=str(n), cluster=str(n), values={"nll": nat, "words": 10.0}) for n, nat in enumerate(nats)]


def test_the_cost_is_the_difference_of_the_losses_by_word() -> None:
    metric = Metric(name="word perplexity", value="nll", per="words", transform="exp", better="lower", primary=True)
    benchmark = SimpleNamespace(metrics=[metric])
    # (34 + 30) / 20 - (31 + 29) / 20 = 0.2 nat by word
    assert log_cost(benchmark, perplexity_like(31, 29), perplexity_like(34, 30)) == pytest.approx(0.2)
    assert math.isnan(log_cost(benchmark, perplexity_like(31, 29), perplexity_like(math.inf, 30)))


# ------------------------------------------------------------------------------------------------------ a whole run
RUN = """
[model]
name = "tiny"
[data]
train = "builtin:everyday"
[training]
max_steps = 30
learning_rate = 3e-3
precision = "float32"
[traffic]
limit = 0
[budget]
perplexity = 10.0
[evaluation]
contamination = "off"  # else pair-gap, whose items are all made of gender words, would decide nothing
[[steps]]
use = "counterfactual-augmentation"
axes = ["gender"]
[[steps]]
use = "pair-parity"
axes = ["gender"]
[[steps]]
use = "selective-update"
[[steps]]
use = "train"
[[steps]]
use = "temperature"
strength = 0.3
[[benchmarks]]
use = "pair-gap"
limit = 40
[[benchmarks]]
use = "perplexity"

"""


@pytest.mark.usefixtures("own_cache")
def test_continued_training_moves_the_same_parameters_and_is_measured_on_the_same_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    (tmp_path / "r.toml").write_text(RUN)
    titles: list[str] = []
    original = life_training.train
    monkeypatch.setattr(life_training, "train", lambda *a, **k: titles.append(k["title"]) or original(*a, **k))
    result = api.run(tmp_path / "r.toml")
    assert titles == ["Training", "Training the control continued-training"]
    assert not list(result.folder.glob(".state/controls/*")), "a complete run keeps no control"
    found = {c["id"]: c for c in result.record["controls"]}
    assert list(found) == [CONTINUED, *DEGRADATION, "weight-rounding"]
    control = found[CONTINUED]
    assert control["state"] == "run"
    # the run read counterfactuals beside its rows; the control makes more updates on plain rows instead
    assert control["run_tokens"] == result.record["training"][0]["tokens"] > 0
    assert control["tokens"] == pytest.approx(control["run_tokens"], rel=0.05)
    assert [b["id"] for b in control["benchmarks"]] == ["pair-gap"]
    timings = result.record["timings"]
    assert result.record["control_seconds"] == pytest.approx(timings[f"control {CONTINUED}"])
    assert 0 < result.record["control_seconds"] < result.record["seconds"]
    # the tiny model has learned nothing before: any training makes it better, so no degradation applies
    assert {(found[n]["state"], found[n]["reason"]) for n in DEGRADATION} == {
        ("not applicable", "language quality did not fall")
    }
    assert not found["weight-rounding"]["required"]
    entry = next(b for b in result.record["benchmarks"] if b["id"] == "pair-gap")
    assert "continued training alone" in entry["verdict_text"]
    items = pq.read_table(result.folder / "items" / f"pair-gap.{CONTINUED}.parquet").to_pylist()
    own = pq.read_table(result.folder / "items" / "pair-gap.parquet").to_pylist()
    assert {i["id"] for i in items} == {i["id"] for i in own}
    page = (result.folder / "report.html").read_text()
    assert "What it had to beat" in page
    assert (
        "weight-noise, unigram-mix, temperature and weight-rounding: not applicable, language quality did not fall"
        in page
    )


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("asked", ["", 'controls = ["continued-training"]\n'])
def test_no_control_is_made_where_the_verdict_is_settled_unless_the_recipe_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Without a measure of language quality nothing counts as improved, whatever a control would show."""
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    recipe = RUN.replace('[[benchmarks]]\nuse = "perplexity"\n', "").replace("[evaluation]\n", "[evaluation]\n" + asked)
    (tmp_path / "r.toml").write_text(recipe)
    titles: list[str] = []
    original = life_training.train
    monkeypatch.setattr(life_training, "train", lambda *a, **k: titles.append(k["title"]) or original(*a, **k))
    result = api.run(tmp_path / "r.toml")
    control = next(c for c in result.record["controls"] if c["id"] == CONTINUED)
    entry = next(b for b in result.record["benchmarks"] if b["id"] == "pair-gap")
    assert entry["verdict"] == "no demonstrated effect"
    if asked:
        assert titles == ["Training", "Training the control continued-training"] and control["state"] == "run"
    else:
        assert titles == ["Training"]
        reason = "what improved fails for another reason already, so there is no claim to test"
        assert (control["state"], control["reason"]) == ("not run", reason)
        assert entry["reason"] == "improved, but language quality was not measured"


DEGRADED = """
[model]
name = "{model}"
[evaluation]
controls = ["weight-noise", "unigram-mix", "temperature", "weight-rounding"]
resamples = 200
[traffic]
limit = 0
[[steps]]
use = "weight-noise"
strength = {noise}
[[benchmarks]]
use = "pair-gap"
limit = 40
[[benchmarks]]
use = "perplexity"
text = "known.txt"
"""
LEARNED = """
[model]
name = "tiny"
[data]
train = "rows.txt"
[training]
max_steps = 80
learning_rate = 3e-3
precision = "float32"
[traffic]
limit = 0
[[steps]]
use = "train"
[[benchmarks]]
use = "perplexity"
text = "known.txt"
"""


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("family", "updates", "noise"), [("llama", 80, 0.06), ("bert", 400, 0.1)])
def test_each_degradation_is_matched_to_the_cost_of_the_run_as_its_own_items_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, updates: int, noise: float
) -> None:
    """A tiny model that knows forty sentences forgets some by noise; each control costs as much, to 0.005 nat.

    Rounding alone may find no such strength: its cost jumps where many weights of a tiny model change cells at once.
    """
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny", family=family)
    sentences = builtin_lines("everyday")[:40]
    (tmp_path / "rows.txt").write_text("\n".join(sentences))
    (tmp_path / "known.txt").write_text("\n\n".join(sentences))
    learned = api.run(LEARNED.replace("max_steps = 80", f"max_steps = {updates}"))
    result = api.run(DEGRADED.format(model=learned.folder / "model", noise=noise))
    lost = math.log(result.record["quality"]["ratio"]["value"])
    assert lost > 10 * MATCHED
    controls = {c["id"]: c for c in result.record["controls"]}
    made = ["weight-noise", "unigram-mix", "temperature"]
    assert [controls[name]["state"] for name in made] == ["run"] * 3
    if controls["weight-rounding"]["state"] == "run":
        made.append("weight-rounding")
    else:
        reason = "no strength of it costs as much language quality as the run"
        assert (controls["weight-rounding"]["state"], controls["weight-rounding"]["reason"]) == ("not run", reason)
    for name in made:
        sides: dict[str, list[float]] = {"before": [0.0, 0.0], "after": [0.0, 0.0]}
        for file, when in ((f"perplexity.{name}", "before"), ("perplexity", "before")):
            side = sides["after" if "." in file else "before"]
            for row in pq.read_table(result.folder / "items" / f"{file}.parquet").to_pylist():
                if row["when"] == when:
                    side[0] += row["value.logp"]
                    side[1] += row["value.words"]
        cost = -sides["after"][0] / sides["after"][1] + sides["before"][0] / sides["before"][1]
        assert math.log(controls[name]["cost"]) == pytest.approx(cost, abs=1e-4)
        assert abs(cost - lost) <= MATCHED
    # nothing was trained, so continued training does not apply, and the report says so
    assert controls[CONTINUED] == {**controls[CONTINUED], "state": "not applicable", "reason": "nothing was trained"}
    assert "continued-training: not applicable, nothing was trained" in (result.folder / "report.html").read_text()


FORGOTTEN = """
[model]
name = "{model}"
[data]
train = "others.txt"
[training]
max_steps = 8
learning_rate = 2e-3
precision = "float32"
[evaluation]
controls = ["weight-noise", "random-heads", "random-directions", "temperature"]
resamples = 100
[run]
seeds = [0, 3]
[traffic]
limit = 0
[[steps]]
use = "train"
[[benchmarks]]
use = "pair-gap"
limit = 12
[[benchmarks]]
use = "perplexity"
text = "known.txt"
"""


@pytest.mark.usefixtures("own_cache")
def test_a_control_that_draws_is_made_and_matched_with_each_seed_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other noise, heads and directions with each seed, each at the same cost; a temperature draws nothing."""
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    sentences = builtin_lines("everyday")
    (tmp_path / "rows.txt").write_text("\n".join(sentences[:40]))
    (tmp_path / "known.txt").write_text("\n\n".join(sentences[:40]))
    (tmp_path / "others.txt").write_text("\n".join(sentences[60:120]))
    learned = api.run(LEARNED)
    result = api.run(FORGOTTEN.format(model=learned.folder / "model"))
    lost = math.log(result.record["quality"]["ratio"]["value"])
    assert lost > 10 * MATCHED
    controls = {c["id"]: c for c in result.record["controls"]}
    before = perplexity_of(result.folder / "items" / "perplexity.parquet")
    page = result.report.read_text().replace("\xa0", " ")
    for name in ("weight-noise", "random-heads", "random-directions"):
        assert controls[name]["state"] == "run", controls[name]["reason"]
        assert len(set(controls[name]["strengths"])) == 2 or name == "weight-noise"
        assert controls[name]["strengths"][0] == controls[name]["strength"]
        costs = [
            perplexity_of(result.folder / "items" / f"perplexity.{name}{suffix}.parquet") - before
            for suffix in ("", ".seed-3")
        ]
        assert costs == [pytest.approx(lost, abs=MATCHED + 1e-4)] * 2
        assert costs[0] != costs[1], "another seed is another model"
        assert f"{name} (strength {min(controls[name]['strengths']):.4g}" in page
    assert controls["temperature"]["strengths"] == []
    assert not (result.folder / "items" / "perplexity.temperature.seed-3.parquet").exists()
    assert "the same model for all seeds" in page
    assert not controls["random-heads"]["required"] and controls["weight-noise"]["required"]


def perplexity_of(path: Path) -> float:
    """Nat by word of the side before."""
    rows = [row for row in pq.read_table(path).to_pylist() if row["when"] == "before"]
    return -sum(r["value.logp"] for r in rows) / sum(r["value.words"] for r in rows)


def test_a_control_that_does_not_know_this_kind_of_model_was_not_run() -> None:
    """It would have had to be beaten, so that it is no reason to call an improvement one."""
    from contextlib import nullcontext

    from evenhand.controls import _applicable, _one

    class Causal(Mitigation):
        kinds = ("causal",)

    step = ResolvedStep(
        id="unigram-mix", use="unigram-mix", section="controls", plugin=Causal, row=None, options=StrengthOptions(),
        raw_options={}, active=True, allow_no_effect=True, references={},
    )  # fmt: skip
    manifest = {"training": [], "quality": {"ratio": {"value": 1.01}}}

    class Manifest(dict[str, Any]):
        def timed(self, name: str) -> Any:
            return nullcontext()

    life: Any = SimpleNamespace(
        manifest=Manifest(manifest), loaded=SimpleNamespace(info=SimpleNamespace(kind="masked"))
    )
    found = _applicable(life, _one(life, None, step, {}, {}))  # type: ignore[arg-type]
    assert (found.state, found.reason) == ("not run", "it works on causal models only")


def test_a_control_in_which_a_step_does_nothing_is_a_control() -> None:
    """On plain text a step may find nothing to do; that is what the control is there to show."""
    from evenhand.control_runs import Untouched
    from evenhand.errors import NoEffect
    from evenhand.life import Life
    from evenhand.proofs import Proof

    step: Any = SimpleNamespace(
        id="prune", use="movement-pruning", active=True, allow_no_effect=False, options=SimpleNamespace(strength=1.0)
    )
    proof = Proof("architecture", False, "no head was shut", 0.0)
    for made in (Untouched, Life):
        entry: dict[str, Any] = {"id": "prune", "proofs": []}
        one = made.__new__(made)
        one.manifest = {"steps": [entry]}  # type: ignore[assignment]
        if made is Untouched:
            one.prove(step, [proof])
        else:
            with pytest.raises(NoEffect, match="no head was shut"):
                one.prove(step, [proof])
        assert entry["proofs"] == [proof.as_dict()]
