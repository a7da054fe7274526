"""Comparing two runs: refused with the differing values, or paired item by item."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from data_run_parts import interval
from data_runs import write_run
from evenhand.compare import compare, print_comparison
from evenhand.contributions import Benchmark, ItemRecord
from evenhand.errors import RunNotFound, UsageError

Change = Callable[[dict[str, Any]], object]


def one_benchmark(raw: dict[str, Any]) -> None:
    """A run with one benchmark, the mean of `gap` over its items, which is better the lower it is."""
    raw["benchmarks"] = raw["benchmarks"][:1]
    metric = raw["benchmarks"][0]["metrics"][0]
    metric.update(better="lower", target=None, distance_change=None)
    metric["definition"] = {"value": "gap", "better": "lower", "unit": "nats", "primary": True, "scale": 1.0}
    raw["benchmarks"][0]["metrics"] = [metric]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Evidence replaced by a mean, and a record of what it was asked."""
    seen: list[dict[str, Any]] = []

    def read_records(path: Path) -> dict[str, list[ItemRecord]]:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {
            side: [ItemRecord(id=row[0], cluster=row[0], values={"gap": float(row[column])}) for row in rows]
            for column, side in ((1, "before"), (2, "after"))
        }

    def compare_benchmark(
        benchmark: Benchmark, before: Sequence[ItemRecord], after: Sequence[ItemRecord], **settings: Any
    ) -> dict[str, Any]:
        seen.append({"benchmark": benchmark, **settings})
        a, b = (sum(r.values["gap"] for r in side) / len(side) for side in (before, after))
        return {
            "n_items": len(before),
            "verdict": "improved" if b < a else "no demonstrated effect",
            "verdict_text": "",
            "metrics": [
                {
                    "name": benchmark.metrics[0].name,
                    "primary": True,
                    "better": "lower",
                    "unit": "nats",
                    "before": interval(a, a, a),
                    "after": interval(b, b, b),
                    "change": interval(b - a, b - a, b - a),
                }
            ],
        }

    fake = SimpleNamespace(read_records=read_records, compare_benchmark=compare_benchmark)
    monkeypatch.setitem(sys.modules, "evenhand.evidence", fake)
    return seen


def run(folder: Path, items: str, change: Change | None = None) -> Path:
    def both(raw: dict[str, Any]) -> None:
        one_benchmark(raw)
        if change is not None:
            change(raw)

    write_run(folder, both)
    (folder / "items").mkdir()
    (folder / "items/pair-gap.parquet").write_text(items, encoding="utf-8")
    return folder


def test_the_after_scores_of_both_runs_are_paired(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a = run(tmp_path / "a", "i 9 0.4\nj 9 0.6\n")
    b = run(tmp_path / "b", "i 9 0.1\nj 9 0.3\n")
    result = compare(a, b)
    metric = result.benchmarks[0].metrics[0]
    # means of the third column: (0.4 + 0.6) / 2 and (0.1 + 0.3) / 2
    assert (metric.before.value, metric.after.value) == (0.5, 0.2)
    assert metric.change.value == pytest.approx(-0.3)
    assert (result.benchmarks[0].id, result.benchmarks[0].label) == (
        "pair-gap",
        "Pair gap, held-out templates",
    )
    asked = calls[0]
    assert (asked["resamples"], asked["confidence"], asked["seed"], asked["budget"]) == (10000, 0.95, 0, 1.02)
    assert (asked["benchmark"].metrics[0].value, asked["benchmark"].metrics[0].better) == ("gap", "lower")


def test_what_is_printed(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a = run(tmp_path / "a", "i 9 0.4\nj 9 0.6\n")
    b = run(tmp_path / "b", "i 9 0.1\nj 9 0.3\n", lambda raw: raw.update(seed=1, steps=[]))
    out = Console(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    print_comparison(compare(a, b), console=out)
    assert isinstance(out.file, io.StringIO)
    text = " ".join(out.file.getvalue().split())
    assert (
        "SmolLM2-135M-Instruct, dequantised from Q4_1: two runs after mitigation, paired item by item" in text
    )
    assert "B \u2212 A 95 % interval verdict" in text
    assert "0.500 0.200 \u22120.300 [\u22120.300, \u22120.300] B is better" in text
    assert f"B {b} (no step)" in text
    assert "- seed differs: 0 in A, 1 in B" in text
    assert str(compare(a, b)) + "\n" == out.file.getvalue()
    assert max(len(line) for line in out.file.getvalue().splitlines()) <= 100


def test_every_difference_that_forbids_a_comparison_is_named(
    tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    def other(raw: dict[str, Any]) -> None:
        raw["model"].update(digest="0", tokenizer_fingerprint="1", adds_bos=True)
        raw["benchmarks"][0].update(mode="sum", data_digest="2")

    a, b = run(tmp_path / "a", "i 0 0\n"), run(tmp_path / "b", "i 0 0\n", other)
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
    assert calls == []


def test_runs_without_a_common_benchmark(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a = run(tmp_path / "a", "i 0 0\n")
    b = run(tmp_path / "b", "i 0 0\n", lambda raw: raw["benchmarks"][0].update(id="other"))
    with pytest.raises(UsageError, match=r"no benchmark in common\n  A ran pair-gap, B ran other\n"):
        compare(a, b)


def test_benchmarks_of_one_run_alone_are_named(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a = run(tmp_path / "a", "i 0 0\n")
    extra = {"id": "extra", "metrics": []}
    b = run(tmp_path / "b", "i 0 0\n", lambda raw: raw["benchmarks"].append(extra))
    result = compare(a, b)
    assert (list(result.only_a), list(result.only_b)) == ([], ["extra"])


def test_other_items_are_refused(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a, b = run(tmp_path / "a", "i 0 0\nj 0 0\n"), run(tmp_path / "b", "i 0 0\nk 0 0\nl 0 0\n")
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert str(caught.value) == (
        "pair-gap: the runs scored different items\n  1 item in both, 1 only in A, 2 only in B\n"
        "  run both with the same benchmark options"
    )


def test_missing_scores(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    a, b = run(tmp_path / "a", "i 0 0\n"), run(tmp_path / "b", "i 0 0\n")
    (b / "items/pair-gap.parquet").unlink()
    with pytest.raises(RunNotFound) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"{b}: the scores of pair-gap are missing\n  there is no items/pair-gap.parquet\n"
        "  continue the run with --resume, or run it again"
    )
