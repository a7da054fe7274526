"""Gaps of a classifier's errors on texts and groups of one's own, against numbers that were counted by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.measured import Measured
from evenhand.sample import Table, value_of
from evenhand_sdk import UsageError, load_axis
from evenhand_sdk.testing import contributions, run_context
from evenhand_standard.benchmarks.classification_gaps import (
    ClassificationGaps,
    axes_of,
    drawn,
    folds,
    judged,
    metrics,
    own_groups,
    planted,
    records,
)
from evenhand_standard.classification_task import OWN
from evenhand_standard.labelled_texts import LabelledText

WORDS = ("home", "town", "sea", "garden", "river", "school", "street", "bridge", "market", "forest", "hill", "lake")


def measured_texts(word: str) -> list[str]:
    """Texts that say a word once, twice, and so on, of the three quarters that are measured."""
    every = [" ".join([word] * k) for k in range(1, 80)]
    return [t for t in every if int(hashlib.sha256(f"classification: {t}".encode()).hexdigest()[:8], 16) % 4]


def benchmark_of(folder: Path, rows: list[tuple[str, int, str]], **options: Any) -> Any:
    """The benchmark on a table with the column `area`, and some texts to learn from."""
    file = folder / "mine.csv"
    every = [f"{word} {a}" for word in ("good", "bad") for a in WORDS]
    learnt = [t for t in every if int(hashlib.sha256(f"classification: {t}".encode()).hexdigest()[:8], 16) % 4 == 0]
    rest = [(text, int(text.startswith("bad")), "") for text in learnt]
    assert {label for _, label, _ in rest} == {0, 1}
    file.write_text("text,label,area\n" + "".join(f"{t},{y},{g}\n" for t, y, g in [*rows, *rest]))
    plugin = ClassificationGaps(labels=str(file), **options)
    run = run_context(folder, plugin, "causal")
    [benchmark] = contributions(plugin, "evaluation", run)
    return benchmark, Measured(run.services.model, run.tokenizer, kind="causal")


def test_a_planted_gap_of_an_own_column_is_found(tmp_path: Path) -> None:
    """The label is what the word says, but for texts of the south: half of its 1 say good, a quarter of its 0 say bad.

    A head on the states can only know the word. So it finds all of the 1 of the north and half of those of the south,
    and calls none of the 0 of the north 1 and a quarter of those of the south.
    """
    good, bad = iter(measured_texts("good")), iter(measured_texts("bad"))
    cells = [
        (bad, 1, "north", 32),
        (good, 0, "north", 32),
        (bad, 1, "south", 4),
        (good, 1, "south", 4),
        (good, 0, "south", 6),
        (bad, 0, "south", 2),
    ]
    rows = [(next(texts), label, group) for texts, label, group, count in cells for _ in range(count)]
    benchmark, model = benchmark_of(tmp_path, rows)
    table = Table.of(benchmark.score(model))
    found = {metric.name: value_of(metric, table) for metric in benchmark.metrics}
    assert found.pop("chance gap") >= 0
    assert found == pytest.approx(
        {
            "odds gap": (0.5 + 0.25) / 2,
            "true positive rate, gap": 1 - 4 / 8,
            "false positive rate, gap": 2 / 8 - 0,
            "true positive rate, north": 1.0,
            "false positive rate, north": 0.0,
            "true positive rate, south": 4 / 8,
            "false positive rate, south": 2 / 8,
            "skill": 36 / 40 - 2 / 40,
        }
    )
    for model_planted in benchmark.planted:
        of = Table.of(list(model_planted.records()))
        for name, (least, most) in model_planted.expect.items():
            metric = next(metric for metric in benchmark.metrics if metric.name == name)
            assert least - 1e-9 <= value_of(metric, of) <= most + 1e-9
    words = {metric.name: metric.description for metric in benchmark.metrics}
    assert words["true positive rate, north"] == "Share of texts with the label 1 that are called 1."
    assert words["false positive rate, south"] == "Share of texts with the label 0 that are called 1."
    assert words["skill"] == "True minus false positive rate over all texts; 0 is guessing."


def test_groups_of_one_name_on_two_axes_are_told_apart() -> None:
    """(label, groups, call); of three groups the two farthest apart count."""
    cells = [
        (True, {"area": "other", "age": "old"}, True),
        (True, {"area": "north", "age": "other"}, False),
        (True, {"area": "south"}, True),
        (False, {"area": "other", "age": "old"}, False),
        (False, {"area": "north", "age": "other"}, True),
        (False, {"area": "south"}, False),
        (False, {"area": "south"}, True),
    ]
    texts = [LabelledText(str(k), "", y) for k, (y, _, _) in enumerate(cells)]
    groups = [g for _, g, _ in cells]
    axes = axes_of(groups)
    assert axes == {"age": ["old", "other"], "area": ["north", "other", "south"]}
    table = Table.of(records(texts, groups, [c for *_, c in cells]))
    found = {metric.name: value_of(metric, table) for metric in metrics(axes, OWN)}
    assert found["true positive rate, age: other"] == 0.0 and found["true positive rate, area: other"] == 1.0
    assert found["false positive rate, age: other"] == 1.0 and found["false positive rate, area: other"] == 0.0
    assert found["false positive rate, south"] == 0.5 and found["true positive rate, old"] == 1.0
    assert found["true positive rate, gap"] == 1.0 and found["false positive rate, gap"] == 1.0
    assert "true positive rate, other" not in found
    [always, right, one] = planted(axes)
    table = Table.of(list(one.records()))
    found = {metric.name: value_of(metric, table) for metric in metrics(axes, OWN)}
    assert (found["odds gap"], found["false positive rate, north"], found["false positive rate, area: other"]) == (
        0.5,
        1.0,
        0.0,
    )


def test_women_and_men_are_known_by_words_unless_the_table_says_it() -> None:
    axis = load_axis("gender", "en")
    words = [LabelledText("1", "she left", True, {"area": "north"}), LabelledText("2", "he left", False)]
    assert own_groups(words, axis) == [{"area": "north", "gender": "female"}, {"gender": "male"}]
    told = [LabelledText("1", "she left", True, {"gender": "m"}), LabelledText("2", "he left", False)]
    assert own_groups(told, axis) == [{"gender": "m"}, {}], "a dialect is that of the tweets alone"


def test_a_copy_is_judged_by_a_head_that_has_not_seen_the_text() -> None:
    texts = [LabelledText(str(k), "", k % 2 == 0, same=f"text {k // 2}") for k in range(20)]
    assert folds(texts) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] * 2
    assert {record.cluster for record in records(texts, [{}] * 20, [True] * 20)} == {f"text {k}" for k in range(10)}
    assert folds([LabelledText(str(k), "", True) for k in range(7)]) == [0, 1, 2, 3, 4, 0, 1]


def test_what_leaves_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    good, bad = measured_texts("good"), measured_texts("bad")
    rows = [(t, y, "north") for texts, y in ((good, 0), (bad, 1)) for t in texts[:20]]
    with pytest.raises(UsageError) as caught:
        benchmark_of(tmp_path, rows)
    assert str(caught.value) == (
        "classification-gaps: no axis has two groups, so there is no gap to measure\n"
        "  give the table a column with the groups of its texts"
    )
    rows = [(t, y, f"area {k}") for texts, y in ((good, 0), (bad, 1)) for k, t in enumerate(texts[:20])]
    with pytest.raises(UsageError) as caught:
        benchmark_of(tmp_path, rows, limit=12)
    assert str(caught.value) == (
        "classification-gaps: of 12 texts, 0 have the label 1 and 12 the label 0, too few for heads of 5 folds\n"
        "  raise limit, which is 12"
    )
    with pytest.raises(UsageError, match="have one label outside a fold"):
        judged(torch.randn(10, 3), torch.tensor([1] + [0] * 9), [k % 5 for k in range(10)])


def test_folds_of_the_texts_that_are_drawn_have_both_labels() -> None:
    """Those with the label 0 come first, so that five neighbours of a label lie in five folds."""
    texts = [LabelledText(str(k), "", k >= 995) for k in range(1000)]
    chosen = [texts[k] for k in drawn(texts, [{}] * 1000, 100)]
    assert {fold for fold, text in zip(folds(chosen), chosen, strict=True) if text.positive} == {0, 1, 2, 3, 4}
