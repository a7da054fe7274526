"""Comparing two runs: refused with the differing values, or paired item by item."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from data_runs import write_run
from evenhand.compare import compare, print_comparison
from evenhand.contributions import ItemRecord
from evenhand.errors import RunNotFound, UsageError
from evenhand.item_records import write_records
from evenhand.verdict_text import p_value

Change = Callable[[dict[str, Any]], object]


def one_benchmark(raw: dict[str, Any]) -> None:
    """A run with one benchmark, the mean of `gap` over its items, which is better the lower it is."""
    raw["benchmarks"] = raw["benchmarks"][:1]
    metric = raw["benchmarks"][0]["metrics"][0]
    metric.update(better="lower", target=None, distance_change=None)
    metric["definition"] = {
        "value": "gap",
        "per": None,
        "transform": "identity",
        "better": "lower",
        "scale": 1.0,
    }
    raw["benchmarks"][0]["metrics"] = [metric]


def records(values: dict[str, float]) -> list[ItemRecord]:
    return [ItemRecord(id=name, cluster=name, values={"gap": value}) for name, value in values.items()]


def items(gap: float, n: int = 40) -> dict[str, float]:
    return {f"i{k}": gap for k in range(n)}


def run(folder: Path, after: dict[str, float], change: Change | None = None) -> Path:
    """A run whose items scored 9 before, and `after` after."""

    def both(raw: dict[str, Any]) -> None:
        one_benchmark(raw)
        if change is not None:
            change(raw)

    write_run(folder, both)
    write_records(folder / "items/pair-gap.parquet", records(dict.fromkeys(after, 9.0)), records(after))
    return folder


def test_the_after_scores_of_both_runs_are_paired(tmp_path: Path) -> None:
    a = run(tmp_path / "a", items(0.5))
    b = run(tmp_path / "b", items(0.2))
    result = compare(a, b)
    metric = result.benchmarks[0].metrics[0]
    # Every item fell by 0.3, so every resample has a change of -0.3, too; 9, the score before, plays no part.
    assert (metric.before.value, metric.after.value) == (pytest.approx(0.5), pytest.approx(0.2))
    change = metric.change
    assert [change.value, change.low, change.high] == pytest.approx([-0.3, -0.3, -0.3])
    assert (result.benchmarks[0].id, result.benchmarks[0].label) == (
        "pair-gap",
        "Pair gap, held-out templates",
    )
    assert (result.benchmarks[0].n_items, result.benchmarks[0].verdict) == (40, "improved")
    assert (metric.unit, metric.primary, metric.description) == (
        "nats",
        True,
        "she and he in the same sentence",
    )


def test_equal_runs_show_no_difference(tmp_path: Path) -> None:
    result = compare(run(tmp_path / "a", items(0.5)), run(tmp_path / "b", items(0.5)))
    assert result.benchmarks[0].verdict == "no demonstrated effect"
    assert "no demonstrated difference" in " ".join(str(result).split())
    assert "0.500 0.500 0.000 " in " ".join(str(result).split())
    small = compare(run(tmp_path / "c", items(0.0001)), run(tmp_path / "d", items(0.0001)))
    assert "0.000100 0.000100 0.000000 " in " ".join(str(small).split())


def test_few_items_give_no_verdict(tmp_path: Path) -> None:
    result = compare(run(tmp_path / "a", items(0.5, 8)), run(tmp_path / "b", items(0.2, 8)))
    assert result.benchmarks[0].verdict == "too few items"


def test_what_is_printed(tmp_path: Path) -> None:
    a = run(tmp_path / "a", items(0.5))
    b = run(tmp_path / "b", items(0.2), lambda raw: raw.update(seed=1, steps=[]))
    out = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_comparison(compare(a, b), console=out)
    assert isinstance(out.file, io.StringIO)
    text = " ".join(out.file.getvalue().split())
    assert "SmolLM2-135M-Instruct, dequantised from Q4_1: two runs after mitigation, paired item by item" in text
    assert "B \u2212 A 95 % interval verdict" in text
    assert "0.500 0.200 \u22120.300 [\u22120.300, \u22120.300] B is better" in text
    assert f"B {b} (no step)" in text
    assert "- seed differs: 0 in A, 1 in B" in text
    assert str(compare(a, b)) + "\n" == out.file.getvalue()
    assert max(len(line) for line in out.file.getvalue().splitlines()) <= 100


@pytest.mark.parametrize("width", [50, 70])
def test_in_a_narrow_terminal_the_table_is_lines_and_no_word_is_broken(tmp_path: Path, width: int) -> None:
    def lengthen(raw: dict[str, Any]) -> None:
        raw["benchmarks"][0]["title"] = "Counterfactual sentiment of continuations (nationality, socioeconomic)"

    (tmp_path / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path / "runs")
        found = compare(run(Path("a"), items(0.5), lengthen), run(Path("b"), items(0.2), lengthen))
        out = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
        print_comparison(found, console=out)
        assert isinstance(out.file, io.StringIO)
        text = out.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    # Wrapped between words and nowhere else: joined by single spaces, it is what was to be said.
    said = " ".join(text.split())
    assert (
        "Counterfactual sentiment of continuations (nationality, socioeconomic): mean absolute gap, nats "
        "(lower is better; 40 items) A 0.500, B 0.200 "
        "B \u2212 A \u22120.300, 95 % interval [\u22120.300, \u22120.300] verdict: B is better"
    ) in said
    assert "      verdict: B is better" in text.splitlines() and "benchmark " not in text
    wide = Console(file=io.StringIO(), width=80, markup=False, highlight=False, emoji=False)
    print_comparison(found, console=wide)
    assert isinstance(wide.file, io.StringIO)
    assert "  benchmark " in wide.file.getvalue(), "from 80 columns on it is the table"


SCORED = "log-likelihood from the second token (no start token)"
VOID = (
    "there is no verdict where the scores were computed in different number formats: even one model differs from "
    "itself then; measure both with `--dtype float32`, or run both with `--set model.dtype=float32`"
)


def scored(way: str, kind: str = "run") -> Change:
    def change(raw: dict[str, Any]) -> None:
        raw["kind"] = kind
        raw["benchmarks"][0]["scoring"] = way

    return change


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_scores_in_other_number_formats_give_no_verdict(tmp_path: Path, kind: str) -> None:
    a = run(tmp_path / "a", items(0.5), scored(f"{SCORED}, bf16", kind))
    b = run(tmp_path / "b", items(0.2), scored(f"{SCORED}, float32", kind))
    result = compare(a, b)
    found = result.benchmarks[0]
    assert (found.verdict, found.verdict_text) == (
        "number formats differ",
        "There is no verdict: the scores were computed in different number formats (bf16 in A, float32 in B).",
    )
    assert found.metrics[0].change.value == pytest.approx(-0.3), "the values are told all the same"
    assert VOID in result.notes
    assert f"scoring differs: {SCORED}, bf16 in A, {SCORED}, float32 in B" in result.notes
    printed = " ".join(str(result).split())
    assert "number formats differ" in printed and VOID in printed
    assert "B is better" not in printed and "B is worse" not in printed


def test_how_the_numbers_came_about_is_printed(tmp_path: Path) -> None:
    a, b = (run(tmp_path / name, items(0.5), scored(f"{SCORED}, bf16")) for name in "ab")
    lines = str(compare(a, b)).splitlines()
    assert f"  scored by: {SCORED}, bf16" in lines
    assert "  - definition of Pair gap, held-out templates: mean absolute log-ratio" in lines


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_other_rules_or_start_tokens_are_told_and_compared(tmp_path: Path, kind: str) -> None:
    a = run(tmp_path / "a", items(0.5), scored(f"{SCORED}, bf16", kind))
    b = run(tmp_path / "b", items(0.2), scored(f"{SCORED}, with decoding rules averaging, bf16", kind))
    result = compare(a, b)
    assert result.benchmarks[0].verdict == "improved"
    assert VOID not in result.notes
    differs = f"scoring differs: {SCORED}, bf16 in A, {SCORED}, with decoding rules averaging, bf16 in B"
    assert differs in result.notes


def test_a_format_that_was_not_recorded_is_no_other_one(tmp_path: Path) -> None:
    a = run(tmp_path / "a", items(0.5))
    result = compare(a, run(tmp_path / "b", items(0.2), scored(f"{SCORED}, float32")))
    assert (result.benchmarks[0].verdict, list(result.notes)) == ("improved", list(compare(a, a).notes))


def test_every_difference_that_forbids_a_comparison_is_named(tmp_path: Path) -> None:
    def other(raw: dict[str, Any]) -> None:
        raw["model"].update(digest="0", tokenizer_fingerprint="1", adds_bos=True)
        raw["benchmarks"][0].update(mode="sum", data_digest="2")

    a, b = run(tmp_path / "a", items(0.0)), run(tmp_path / "b", items(0.0), other)
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"A {a}, B {b}: these runs cannot be compared\n"
        f"  digest of the base model: {'a' * 64} in A, 0 in B\n"
        f"  tokenizer fingerprint: {'b' * 64} in A, 1 in B\n"
        "  beginning-of-sequence token added: no in A, yes in B\n"
        "  pair-gap: definition: mean absolute log-ratio in A, sum in B\n"
        f"  pair-gap: data digest: {'d' * 64} in A, 2 in B\n"
        "  compare runs of the same model on the same benchmark data"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("limit", "said"), [(50, "50"), (None, "the default")])
def test_an_option_that_explains_other_items_is_named_instead_of_their_digest(
    tmp_path: Path, limit: int | None, said: str
) -> None:
    def limited(number: int | None, digest: str) -> Change:
        def change(raw: dict[str, Any]) -> None:
            options = {"axis": "gender", **({} if number is None else {"limit": number})}
            raw["recipe"]["benchmarks"] = [{"use": "pair-gap", "id": "pair-gap", "options": options}]
            raw["benchmarks"][0]["data_digest"] = digest

        return change

    a, b = (run(tmp_path / d, items(0.0), limited(n, d)) for n, d in ((40, "a"), (limit, "b")))
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert caught.value.known == f"pair-gap: option limit: 40 in A, {said} in B"


def test_runs_without_a_common_benchmark(tmp_path: Path) -> None:
    a = run(tmp_path / "a", items(0.0))
    b = run(tmp_path / "b", items(0.0), lambda raw: raw["benchmarks"][0].update(id="other"))
    with pytest.raises(UsageError, match=r"no benchmark in common\n  A ran pair-gap, B ran other\n"):
        compare(a, b)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("running", "has not ended"),
        ("failed", "failed before its end"),
        ("interrupted", "was stopped before its end"),
    ],
)
def test_a_run_that_did_not_come_to_its_end_says_so(tmp_path: Path, status: str, words: str) -> None:
    a = run(tmp_path / "a", items(0.0))
    b = run(tmp_path / "b", items(0.0), lambda raw: raw.update(status=status, benchmarks=[]))
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"A {a}, B {b}: there is nothing to compare yet: B {words}\n"
        "  continue a run with `toolkit run RECIPE --resume`, and compare when both are complete"
    )
    c = run(tmp_path / "c", items(0.0), lambda raw: raw.update(status=status))
    assert compare(a, c).notes[0] == f"B {words}"


RESUME = "continue a run with `toolkit run RECIPE --resume`"
AGAIN = "measure a model again with `toolkit eval`"


@pytest.mark.parametrize(("kind_of_a", "do"), [("evaluation", AGAIN), ("run", f"{RESUME} and {AGAIN}")])
def test_an_evaluation_that_failed_is_measured_again(tmp_path: Path, kind_of_a: str, do: str) -> None:
    def unfinished(kind: str) -> Change:
        return lambda raw: raw.update(status="failed", benchmarks=[], kind=kind)

    a = run(tmp_path / "a", items(0.0), unfinished(kind_of_a))
    b = run(tmp_path / "b", items(0.0), unfinished("evaluation"))
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert str(caught.value).endswith(f"\n  {do}, and compare when both are complete")


def test_missing_scores_of_an_evaluation(tmp_path: Path) -> None:
    a, b = (run(tmp_path / name, items(0.0), lambda raw: raw.update(kind="evaluation")) for name in "ab")
    (b / "items/pair-gap.parquet").unlink()
    with pytest.raises(RunNotFound) as caught:
        compare(a, b)
    assert str(caught.value).endswith("\n  measure the model again with `toolkit eval`")


def test_benchmarks_of_one_run_alone_are_named(tmp_path: Path) -> None:
    a = run(tmp_path / "a", items(0.0))
    extra = {"id": "extra", "metrics": []}
    b = run(tmp_path / "b", items(0.0), lambda raw: raw["benchmarks"].append(extra))
    result = compare(a, b)
    assert (list(result.only_a), list(result.only_b)) == ([], ["extra"])


def spread(shift: float, n: int = 40) -> dict[str, float]:
    """Items that differ, so that resamples do, too."""
    return {f"i{k}": 0.5 + shift * (1 if k % 4 else -1) for k in range(n)}


@pytest.mark.parametrize("width", [60, 100])
def test_how_small_a_difference_could_have_been_found(tmp_path: Path, width: int) -> None:
    found = compare(run(tmp_path / "a", items(0.5)), run(tmp_path / "b", spread(0.2)))
    out = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    print_comparison(found, console=out)
    assert isinstance(out.file, io.StringIO)
    # Of 40 changes, 30 are 0.2 and 10 are -0.2: mean 0.1, standard error 0.1732 / sqrt(40) = 0.0274, times 2.8016.
    detectable = found.benchmarks[0].metrics[0].detectable
    assert detectable == pytest.approx(2.8016 * 0.0274, rel=0.04)
    told = " ".join(out.file.getvalue().split())
    assert f"detectable with 80 % power{':' if width < 80 else ''} \u00b1{detectable:.3f}" in told


def test_several_verdicts_are_told_with_holms_correction(tmp_path: Path) -> None:
    def two(raw: dict[str, Any]) -> None:
        raw["benchmarks"].append({**raw["benchmarks"][0], "id": "second", "title": "Second"})

    folders = []
    for name, first, second in (("a", items(0.5), items(0.5)), ("b", spread(0.2), items(0.5))):
        folder = run(tmp_path / name, first, two)
        write_records(folder / "items/second.parquet", records(second), records(second))
        folders.append(folder)
    result = compare(*folders)
    first_p, second_p = (x.metrics[0].p for x in result.benchmarks)
    assert first_p is not None and first_p < 0.01 and second_p == 1
    adjusted = p_value(2 * first_p)
    assert result.notes[-1] == (
        "the verdicts are not corrected for the 2 bias benchmarks that were looked at; with Holm's correction: "
        f"Pair gap, held-out templates, {adjusted}; Second, p = 1.000"
    )
    alone = compare(run(tmp_path / "c", items(0.5)), run(tmp_path / "d", spread(0.2)))
    assert not any("Holm" in note for note in alone.notes)


def test_other_items_are_refused(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", {"i": 0.0, "j": 0.0}), run(tmp_path / "b", {"i": 0.0, "k": 0.0, "l": 0.0})
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert str(caught.value) == (
        "pair-gap: the runs scored different items\n  1 item in both, 1 only in A, 2 only in B\n"
        "  run both with the same benchmark options"
    )


def test_missing_scores(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", items(0.0)), run(tmp_path / "b", items(0.0))
    (b / "items/pair-gap.parquet").unlink()
    with pytest.raises(RunNotFound) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"{b}: the scores of pair-gap are missing\n  there is no items/pair-gap.parquet\n"
        "  continue the run with --resume, or run it again"
    )
