"""`[[expect]]`: published values beside what a run finds, reproduced or not, and said in each place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evenhand import api
from evenhand.cli import toolkit
from evenhand.errors import NotReproduced, RecipeError
from evenhand.expectations import judge
from evenhand.recipe import load_recipe
from evenhand.recipe_model import Expectation
from evenhand.report_reading import raw_run
from evenhand_sdk.tiny import save_tiny

EXPECT = '[[expect]]\nbenchmark = "{0}"\nmetric = "{1}"\nvalue = {2}\ntolerance = {3}\nsource = "Somebody 2020"\n'
MODEL = '[model]\nname = "smollm2-135m-instruct"\n'


def problems(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(text)
    return caught.value.problems


# ------------------------------------------------------------------------------------------------ in the recipe
def test_an_expectation_is_read_and_concerns_the_model_as_it_is() -> None:
    benchmark = '[[benchmarks]]\nuse = "crows-pairs"\n'
    found = load_recipe(MODEL + benchmark + EXPECT.format("crows-pairs", "stereotype preferred", 60.5, 0.5))
    assert found.expect == (
        Expectation(
            benchmark="crows-pairs", metric="stereotype preferred", value=60.5, tolerance=0.5, source="Somebody 2020",
            when="before",
        ),
    )  # fmt: skip


def test_wrong_expectations_are_all_told_at_once() -> None:
    text = (
        MODEL
        + '[[benchmarks]]\nuse = "crows-pairs"\nid = "crows"\n'
        + EXPECT.format("crow", "stereotype preferred", 60.5, -1)
        + EXPECT.format("crows", "x", '"60"', 0.5).replace("source", "sources")
        + EXPECT.format("crows", "x", 60, 0.5)
        + 'when = "later"\n'
        + EXPECT.format("crows-intra", "of several that one entry gives", 60, 0.5)
    )
    assert problems(text) == [
        "expect[1].tolerance: -1 is not at least 0",
        "expect[2].value: '60' is not a number",
        "expect[2].source: is required",
        "expect[2].sources: unknown key; did you mean 'source'? "
        "(known: benchmark, metric, value, tolerance, when, source)",
        "expect[3].when: 'later' is not 'before' or 'after'; did you mean 'after'?",
    ]
    fit = EXPECT.format("crow", "stereotype preferred", 60.5, 1)
    assert problems(MODEL + '[[benchmarks]]\nuse = "crows-pairs"\nid = "crows"\n' + fit) == [
        "expect[1].benchmark: 'crow' is no benchmark of this recipe; did you mean 'crows'? (ids: crows)"
    ]
    assert problems("expect = 3\n" + MODEL) == [
        "expect: is not a list of tables; write [[expect]], with double brackets, once for each"
    ]


# ----------------------------------------------------------------------------------------------------- judging
def entry(value: float | None) -> dict[str, Any]:
    sides = {side: {"value": value, "low": value, "high": value} for side in ("before", "after")}
    return {"id": "crows", "metrics": [{"name": "share", "unit": "%", **sides}]}


def expected(value: float, tolerance: float, **rest: Any) -> Expectation:
    given = {"benchmark": "crows", "metric": "share", "source": "x", **rest}
    return Expectation(value=value, tolerance=tolerance, **given)


@pytest.mark.parametrize(
    ("found", "value", "tolerance", "verdict"),
    [
        (60.9, 60.5, 0.5, "reproduced"),
        (60.0, 60.5, 0.5, "reproduced"),
        (0.3, 0.1, 0.2, "reproduced"),  # 0.3 - 0.1 is a little less or more than 0.2 in binary
        (61.001, 60.5, 0.5, "not reproduced"),
        (60.5, 60.5, 0.0, "reproduced"),
        (None, 60.5, 0.5, "not measured"),
    ],
)
def test_a_value_is_reproduced_within_its_tolerance(
    found: float | None, value: float, tolerance: float, verdict: str
) -> None:
    (judged,) = judge([expected(value, tolerance)], [entry(found)])
    assert (judged["verdict"], judged["found"]["value"], judged["unit"]) == (verdict, found, "%")


def test_the_side_of_the_run_that_is_meant_counts() -> None:
    one = entry(1.0)
    one["metrics"][0]["after"]["value"] = 2.0
    verdicts = [judge([expected(2.0, 0.1, when=side)], [one])[0]["verdict"] for side in ("before", "after")]
    assert verdicts == ["not reproduced", "reproduced"]


def test_a_benchmark_that_did_not_come_is_not_measured() -> None:
    assert judge([expected(2.0, 0.1)], [])[0]["verdict"] == "not measured"


# ----------------------------------------------------------------------------------------------------- in a run
@pytest.fixture
def place(tmp_path: Path, trial: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(place: Path, *expected: str) -> Path:
    path = place / "again.toml"
    body = '[model]\nname = "./tiny"\n[traffic]\nlimit = 0\n[evaluation]\nresamples = 100\n'
    path.write_text(body + '[[benchmarks]]\nuse = "trial-length"\n' + "".join(expected))
    return path


def test_what_was_found_is_said_in_the_record_the_report_the_card_and_the_terminal(place: Path) -> None:
    plain = api.run(recipe(place)).record
    assert plain["expectations"] == []
    value = plain["benchmarks"][0]["metrics"][0]["before"]["value"]
    near, far = round(value + 0.04, 2), round(value + 1, 2)
    path = recipe(
        place,
        EXPECT.format("trial-length", "surprise", near, 0.05),
        EXPECT.format("trial-length", "surprise", far, 0.05),
    )
    done = CliRunner().invoke(toolkit, ["run", str(path), "--output", "runs2"])
    assert done.exit_code == 0
    (folder,) = (place / "runs2").iterdir()
    record = raw_run(folder)
    assert [one["verdict"] for one in record["expectations"]] == ["reproduced", "not reproduced"]
    assert record["expectations"][0]["found"]["value"] == pytest.approx(value)
    lines = [
        f"Surprise, surprise: reproduced; found {value:.2f} nat, published {near:.2f} +/- 0.05 nat (Somebody 2020)",
        f"Surprise, surprise: not reproduced; found {value:.2f} nat, published {far:.2f} +/- 0.05 nat (Somebody 2020)",
    ]
    card = (folder / "README.md").read_text().replace("\\", "")
    report = " ".join((folder / "report.html").read_text().replace("\u00a0", " ").split())
    told = " ".join(done.stdout.split())
    for line in lines:
        assert line in told and f"- {line}\n" in card and line in report
    assert "Published values, and what was found in their place" in told


def test_strict_fails_after_a_complete_run_that_did_not_reproduce(place: Path) -> None:
    path = recipe(place, EXPECT.format("trial-length", "surprise", -3, 0.5))
    with pytest.raises(NotReproduced) as caught:
        api.run(path, strict=True)
    assert caught.value.exit_code == 7
    (folder,) = (place / "runs").iterdir()
    assert raw_run(folder)["status"] == "complete" and (folder / "report.html").is_file()
    assert "1 of 1 expected values were not reproduced\n  trial-length, surprise: expected -3 +/- 0.5, found " in str(
        caught.value
    )


def test_an_unknown_metric_is_refused_before_anything_is_measured(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand import measuring

    monkeypatch.setattr(measuring, "baseline", lambda *a, **k: pytest.fail("it was measured"))
    path = recipe(
        place,
        EXPECT.format("trial-length", "suprise", 1, 0.5),
        EXPECT.format("trial-length-intra", "surprise", 1, 0.5),
    )
    with pytest.raises(RecipeError) as caught:
        api.run(path)
    assert caught.value.problems == [
        "expect[1].metric: trial-length has no metric 'suprise'; did you mean 'surprise'? (it has surprise)",
        "expect[2].benchmark: no benchmark of this run is called 'trial-length-intra'; did you mean 'trial-length'? "
        "(there is trial-length)",
    ]
