"""Numbers, sentences and figure geometry of the report."""

from __future__ import annotations

from typing import Any

import pytest

from data_run_parts import interval
from data_runs import run_json
from evenhand.report_caveats import limits, missing
from evenhand.report_controls import controls
from evenhand.report_cost import time_taken, what_it_cost
from evenhand.report_figures import axis_over, bars, differing, forest, heat_tokens
from evenhand.report_numbers import bounds, decimals, duration, listing, moment, number, tight
from evenhand.report_provenance import provenance
from evenhand.report_reading import parse_run
from evenhand.report_record import RunRecord
from evenhand.report_results import Interval
from evenhand.report_verdicts import did_it_help, left_out, reasons, seed_lines
from evenhand.report_wording import rows
from evenhand.shown_record import Figure, Sample


@pytest.mark.parametrize(
    ("value", "places", "signed", "text"),
    [
        (-0.1424, 3, False, "\u22120.142"),
        (1234.5, 1, True, "+1,234.5"),
        (-0.0001, 2, True, "0.00"),
        (999_999.0, 0, False, "999,999"),
        (1_712_345_678.9, 0, False, "1.712e9"),
        (-1_000_000.0, 3, True, "\u22121.000e6"),
        (2.5e12, 0, True, "+2.500e12"),
        (None, 2, False, "\u2013"),
        (float("nan"), 2, False, "\u2013"),
        (float("-inf"), 2, False, "\u2212\u221e"),
    ],
)
def test_numbers(value: float | None, places: int, signed: bool, text: str) -> None:
    assert number(value, places, signed=signed) == text


def test_two_significant_digits_of_half_the_interval() -> None:
    # half widths 0.0285, 1.3 and 150: hundredths of the first digit give 3, 1 and 0 decimals
    assert [decimals(Interval(value=0, low=-w, high=w)) for w in (0.0285, 1.3, 150.0)] == [3, 1, 0]
    assert bounds(Interval(value=0.0, low=-1.94, high=0.71), 1, signed=True) == "[\u22121.9, +0.7]"


@pytest.mark.parametrize(("detectable", "shown"), [(0.041, "0.041"), (None, ""), (0.0, "")])
def test_without_any_spread_no_change_is_called_detectable(detectable: float | None, shown: str) -> None:
    raw = run_json()
    raw["benchmarks"][0]["metrics"][0]["detectable"] = detectable
    found = rows(RunRecord.model_validate(raw).benchmarks[0])
    assert next(row for row in found if row.primary).detectable == shown


def test_times_and_units() -> None:
    assert [moment(t) for t in ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05", "yesterday")] == [
        "2026-01-02 03:04 UTC",
        "2026-01-02 03:04",
        "yesterday",
    ]
    assert tight("4 min 12 s, 95 % of 3 steps") == "4\u00a0min\u00a012\u00a0s, 95\u00a0% of 3 steps"


def test_durations_and_lists() -> None:
    assert [duration(s) for s in (0.42, 48.2, 252, 7500)] == ["0.4 s", "48 s", "4 min 12 s", "2 h 05 min"]
    assert [listing(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def verdicts(*words: str, primary: dict[str, object] | None = None) -> str:
    titles = iter("ABCDE")
    benchmarks = [{"id": next(titles), "verdict": w, "reason": f"because {w[0]}", "metrics": []} for w in words]
    return did_it_help(parse_run({"benchmarks": benchmarks, "primary": primary}))


DEFAULT = " It is that of the first bias benchmark, since the recipe declares none."


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        ("improved", "Bias as measured here fell on the primary measure, A."),
        (
            "improved, controls not run",
            "Bias as measured here fell on the primary measure, A, but controls that it must beat were not run: "
            "because i.",
        ),
        ("worse", "Bias as measured here grew on the primary measure, A."),
        ("no demonstrated effect", "No improvement was demonstrated on the primary measure, A: because n."),
        ("too few items", "There is no verdict on the primary measure, A, which has too few items: because t."),
        (
            "by construction, not evidence",
            "Nothing is shown about bias: all items of the primary measure, A, use words that the steps themselves "
            "worked with, so that its change follows from how they are built.",
        ),
        ("", "There is no verdict on the primary measure, A."),
    ],
)
def test_the_answer_rests_on_the_primary_measure(verdict: str, answer: str) -> None:
    run = {"benchmarks": [{"id": "A", "verdict": verdict, "reason": f"because {verdict[:1]}", "metrics": []}]}
    assert did_it_help(parse_run(run)) == answer + DEFAULT


@pytest.mark.parametrize("verdict", ["improved", "improved, controls not run", "worse", "no demonstrated effect"])
def test_the_verdict_on_one_training_says_that_it_is_one_seeds(verdict: str) -> None:
    """Not beside a verdict on several, on a model that nothing trained, nor on what judges nothing."""
    said = " This is the verdict of one training seed (7): another seed may give another."

    def told(verdict: str, **values: Any) -> tuple[str, list[str]]:
        entry = {"id": "A", "verdict": verdict, "reason": "so", "metrics": []}
        run = parse_run({"benchmarks": [entry], "seed": 7, "training": [{"steps": 3}], **values})
        return did_it_help(run), reasons(run)

    answer, why = told(verdict)
    assert answer.endswith(DEFAULT + said) and why == [f"A: {verdict} (one training seed), so"]
    for answer, why in (
        told(verdict, seeds=[{"seed": 7}, {"seed": 8}]), told(verdict, training=[]), told("too few items"),
    ):  # fmt: skip
        assert "seed" not in answer + why[0]


def test_other_benchmarks_are_secondary_whatever_they_show() -> None:
    none = "no demonstrated effect"
    assert verdicts(none, "improved", "improved", "worse", none) == (
        f"No improvement was demonstrated on the primary measure, A: because n.{DEFAULT} "
        "Secondary: improved on B and C; worse on D; no demonstrated effect on E."
    )
    declared = {"benchmark": "B", "metric": "m", "declared": True}
    assert verdicts(none, "improved", primary=declared) == (
        "Bias as measured here fell on the primary measure, B. Secondary: no demonstrated effect on A."
    )
    assert did_it_help(parse_run({})) == "Bias was not measured, so nothing can be said about whether it helped."


def test_the_cost_when_quality_rose_and_when_it_was_not_measured() -> None:
    ratio = {
        "budget": 1.02,
        "metric": "perplexity",
        "ratio": interval(0.99, 0.97, 1.01),
        "verdict": "within budget",
    }
    perplexity = {"name": "perplexity", "better": "lower", "primary": True}
    measured = {"id": "perplexity", "quality": True, "metrics": [perplexity]}
    assert what_it_cost(parse_run({"quality": ratio, "benchmarks": [measured]})) == (
        "Perplexity, the measure of language quality, fell by 1.0 % (95 % interval \u22123.0 % to +1.0 %); "
        "the recipe allows +2.0 %: within budget."
    )
    # Accuracy is better the higher it is, and its ratio is before / after: above 1 it is a loss, not a rise.
    accuracy = {**ratio, "metric": "accuracy", "ratio": interval(1.03, 1.025, 1.04), "verdict": "over budget"}
    better = {
        "id": "q",
        "quality": True,
        "metrics": [{"name": "accuracy", "better": "higher", "primary": True}],
    }
    assert what_it_cost(parse_run({"quality": accuracy, "benchmarks": [better]})).startswith(
        "Accuracy, the measure of language quality, became worse by 3.00 % "
    )
    assert what_it_cost(parse_run({})) == "Language quality was not measured, so its cost is unknown."


def test_the_cost_in_points_stands_beside_the_ratio_and_the_worst_decides() -> None:
    ratio, loss = interval(1.01, 1.005, 1.015), {**interval(4.0, 2.9, 5.1), "margin": 1.0}
    parts = [
        {"benchmark": "p", "metric": "perplexity", "ratio": ratio, "verdict": "within budget"},
        {"benchmark": "l", "metric": "accuracy", "unit": "%", "loss": loss, "verdict": "over budget"},
    ]
    quality = {
        "budget": 1.02, "metric": "perplexity", "benchmark": "p", "ratio": ratio, "verdict": "over budget",
        "parts": parts,
    }  # fmt: skip
    benchmarks = [
        {"id": "p", "quality": True, "metrics": [{"name": "perplexity", "better": "lower", "primary": True}]},
        {"id": "l", "title": "Last words", "quality": True, "metrics": [{"name": "accuracy", "better": "higher"}]},
    ]
    assert what_it_cost(parse_run({"quality": quality, "benchmarks": benchmarks})) == (
        "Perplexity, the measure of language quality, rose by 1.00 % (95 % interval +0.50 % to +1.50 %); the recipe "
        "allows +2.0 %: within budget. Last words (accuracy) lost 4.0 percentage points (loss, 95 % interval: "
        "[+2.9, +5.1]); a loss of 1.0 is allowed: over budget. Together: over budget."
    )
    alone = {**quality, "ratio": None, "benchmark": "l", "metric": "accuracy", "parts": parts[1:]}
    told = what_it_cost(parse_run({"quality": alone, "benchmarks": benchmarks}))
    assert told.startswith("Last words (accuracy) lost")


def test_items_that_decided_nothing_have_their_number() -> None:
    def told(**values: object) -> list[str]:
        return left_out(parse_run({"benchmarks": [{"id": "A", "n_items": 40, **values}]}))

    assert told() == ["A, 40 items: none left out"]
    found = {"items": 80, "without value": [1, 3], "flags": {"tie": [2, 2], "unparsed": [1, 3]}}
    assert told(counts=found, in_lexicon={"n_items": 40, "n_other": 40}) == [
        "A, 80 items: 40 use words that the steps worked with and decide nothing; 1 before and 3 after left out, "
        "without a value; tie: 2; unparsed: 1 before and 3 after"
    ]
    assert told(in_lexicon={"n_items": 40, "n_other": 0}) == [
        "A, 40 items: all use words that the steps worked with; none left out"
    ]


def test_every_seed_is_shown_and_the_limits_say_which_they_were() -> None:
    metric = {
        "name": "gap", "primary": True, "better": "lower", "before": interval(0.5), "after": interval(0.3),
        "change": interval(-0.2, -0.25, -0.15), "seeds": [{"seed": 0, "after": 0.28}, {"seed": 1, "after": 0.32}],
    }  # fmt: skip
    run = parse_run({"benchmarks": [{"id": "A", "metrics": [metric]}], "seeds": [{"seed": 0}, {"seed": 1}]})
    assert seed_lines(run) == ["A, gap: 0.500 before; after seed 0: 0.280, seed 1: 0.320"]
    assert (
        "Values after are means over trainings with 2 seeds (0 and 1); intervals hold their spread. The model that was "
        "kept has seed 0." in limits(run)
    )
    assert seed_lines(parse_run(run_json())) == []


def test_continued_training_shows_both_numbers_of_tokens() -> None:
    control = {"id": "continued-training", "state": "run", "tokens": 1010, "run_tokens": 1000, "cost": 1.001}
    assert controls(parse_run({"controls": [control]})) == [
        "continued-training (1,010 tokens, 1,000 in the run, cost ratio 1.001): run"
    ]


def test_a_training_that_was_taken_back_is_told_before_the_verdict() -> None:
    looks = [{"step": 0, "ratio": 1.0}, {"step": 2, "ratio": 1.31}, {"step": 4, "ratio": 1.0204}]
    watch = {"budget": 1.02, "kept": 0, "looks": looks}
    said = (
        "The training was taken back: 1.02 times the perplexity of retention text are allowed, and the nearest moment "
        "came to 1.0204 times. The model is as it was before. Bias was not measured, so nothing can be said about "
        "whether it helped."
    )
    assert did_it_help(parse_run({"training": [{"watch": watch}]})) == said
    two = [{"id": "first", "watch": {**watch, "kept": 2}}, {"id": "second", "watch": {**watch, "looks": looks[:2]}}]
    assert did_it_help(parse_run({"training": two})).startswith("The training 'second' was taken back: ")
    both = did_it_help(parse_run({"training": [{"id": "a", "watch": watch}, {"id": "b", "watch": watch}]}))
    assert both.startswith("The trainings 'a' and 'b' were taken back: ")
    kept = [{"watch": {**watch, "kept": 4}}, {"watch": {**watch, "budget": None}}, {}]
    assert [t.taken_back for t in parse_run({"training": kept}).training] == [False, False, False]
    huge = {**watch, "looks": [looks[0], {"step": 2, "ratio": 2.3297e75}, {"step": 4, "ratio": None}]}
    assert "came to 2.330e75 times" in did_it_help(parse_run({"training": [{"watch": huge}]}))


def test_what_a_reader_would_miss() -> None:
    assert missing(parse_run({"status": "running"})) == [
        "The run has not ended: continue it with --resume; the numbers here are not final.",
        "No bias benchmark was run.",
        "Language quality was not measured against a budget.",
    ]
    first = {status: missing(parse_run({"status": status}))[0] for status in ("failed", "interrupted")}
    assert first == {
        "failed": "The run failed before its end: everything after the failure is missing.",
        "interrupted": "The run was stopped before its end: everything after that is missing.",
    }


def test_the_axis_of_a_figure() -> None:
    axis = axis_over([0.0, -0.171, -0.012])
    # 8 % of 0.171 on both sides; five steps of 0.05 fit at most six times into 0.198
    assert (round(axis.low, 5), round(axis.high, 5), axis.step) == (-0.18468, 0.01368, 0.05)
    assert [round(t, 2) for t in axis.ticks()] == [-0.15, -0.1, -0.05, 0.0]


def test_the_forest_groups_by_unit_and_says_where_better_is() -> None:
    panels = forest(parse_run(run_json()))
    assert [(p.title, p.left, p.right, len(p.marks)) for p in panels] == [
        ("Change of the distance from the ideal value, in nats", "better", "worse", 2),
        ("Change of the distance from the ideal value, in percentage points", "better", "worse", 1),
    ]
    mark = panels[0].marks[0]
    assert mark.low is not None and mark.x is not None and mark.high is not None
    assert mark.low < mark.x < mark.high < panels[0].zero
    assert panels[1].marks[0].low is not None and panels[1].marks[0].high is not None
    assert panels[1].marks[0].low < panels[1].zero < panels[1].marks[0].high
    assert panels[1].alternative.endswith("CrowS-Pairs, stereotype preferred: \u22120.6 [\u22121.9, +0.7].")


def test_bars_start_at_zero_in_both_directions() -> None:
    zero, drawn = bars(Figure(type="bars", labels=["a", "b"], values=[3.0, -1.0]))
    assert zero == 25.0
    assert [(b.x, b.width, b.sign) for b in drawn] == [(25.0, 75.0, "pos"), (0.0, 25.0, "neg")]


def test_heat_is_relative_to_the_largest_weight() -> None:
    tokens = heat_tokens(Figure(type="heat", tokens=["a", "\n"], weights=[0.5, -1.0]))
    assert [(t.text, t.sign, t.share) for t in tokens] == [("a", "pos", 0.5), ("\u21b5", "neg", 1.0)]


def test_a_space_between_two_differing_words_differs_with_them() -> None:
    left, right = differing(Sample(prompt="p", before="to cook dinner.", after="to rest early."))
    assert [(p.text, p.same) for p in left] == [("to ", True), ("cook dinner", False), (".", True)]
    assert [(p.text, p.same) for p in right] == [("to ", True), ("rest early", False), (".", True)]


def test_only_words_that_differ_are_marked() -> None:
    left, right = differing(Sample(prompt="p", before="she went home.", after="they went home."))
    assert [(p.text, p.same) for p in left] == [("she", False), (" went home.", True)]
    assert [(p.text, p.same) for p in right] == [("they", False), (" went home.", True)]


def test_provenance_tells_of_the_saved_model_and_of_attempts() -> None:
    shown = {"largest_difference": 2.4e-7, "answers": 2, "plain_transformers": False}
    facts = dict(provenance(RunRecord.model_validate({"portability": shown, "attempts": 3})))
    assert facts["Saved model"] == (
        "loaded again at the end of the run: logits differ by 2.4e-07 at most, 2 answers are the same"
    )
    assert facts["Attempts"] == "3"
    assert not {"Saved model", "Attempts"} & dict(provenance(RunRecord())).keys()


def test_the_time_of_controls_is_told_apart() -> None:
    assert time_taken(RunRecord.model_validate({"seconds": 252.0})) == "4 min 12 s"
    run = RunRecord.model_validate({"seconds": 252.0, "control_seconds": 75.0})
    assert time_taken(run) == "4 min 12 s, 1 min 15 s of it for controls"
    assert what_it_cost(run).endswith("The whole run took 4 min 12 s, 1 min 15 s of it for controls.")


def test_scores_that_an_earlier_run_made_are_named() -> None:
    label = "Scores of the untouched model"
    assert label not in dict(provenance(RunRecord.model_validate({"baseline": {"measured": ["a"], "reused": []}})))
    told = dict(provenance(RunRecord.model_validate({"baseline": {"measured": ["c"], "reused": ["a", "b"]}})))
    earlier = "taken from an earlier run of the same model, items and code: a and b"
    assert told[label] == f"{earlier}; measured in this run: c"
