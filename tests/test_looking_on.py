"""A data step that only reads: it must give back the very rows, and is proved by having read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from datasets import Dataset

from evenhand.compose import fold_data
from evenhand.contributions import DataTransform
from evenhand.errors import PluginFault
from evenhand.hookspecs import hookimpl
from evenhand.plugin import Plugin
from evenhand.proofs import reading_proof
from evenhand.recipe_steps import ResolvedStep
from evenhand_sdk import testing
from evenhand_sdk.conformance import run_check

ROWS = Dataset.from_dict({"text": ["a", "b"]})
STEP = ResolvedStep(
    id="audit", use="audit", section="steps", plugin=None, row=None, options=None, raw_options={}, active=True,
    allow_no_effect=False, references={},
)  # fmt: skip
READS = DataTransform(fn=lambda rows: rows, looks_on=True)


def test_it_gives_back_the_very_rows() -> None:
    assert fold_data(ROWS, [(STEP, READS)]) is ROWS


def test_a_step_that_says_so_and_changes_the_rows_is_at_fault() -> None:
    liar = replace(READS, fn=lambda rows: rows.select([0]))
    with pytest.raises(PluginFault, match="it looks on, so it must return the very rows"):
        fold_data(ROWS, [(STEP, liar)])


def test_its_proof_is_the_number_of_rows_and_no_rows_are_none() -> None:
    proof = reading_proof(ROWS)
    assert (proof.took, proof.what, proof.size) == (True, "2 rows read, none changed", 2.0)
    assert reading_proof(ROWS, {"letters": 2}).what == "2 rows read, none changed; letters: 2"
    assert not reading_proof(ROWS.select([])).took


class Reader(Plugin):
    """Reads the labels of the rows."""

    name = "reader"
    looks_on = True
    example_columns: ClassVar[Any] = {"label": ("x", "y")}
    honest = True

    @hookimpl
    def data(self, run: Any, split: str, model: Any) -> DataTransform:
        def fn(rows: Dataset) -> Dataset:
            assert set(rows["label"]) == {"x", "y"}
            return rows if self.honest else rows.select([0])

        return DataTransform(fn=fn, looks_on=True)


class Liar(Reader):
    """Says that it looks on, and drops rows."""

    honest = False


def test_the_sample_of_the_checks_has_the_columns_that_a_plugin_reads() -> None:
    rows = testing.sample_rows(5, plugin=Reader)
    assert list(rows["label"]) == ["x", "y", "x", "y", "x"]
    assert testing.sample_rows(5).column_names == ["text"]
    assert len(testing.odd_rows(plugin=Reader)["label"]) == len(testing.odd_rows())


def test_the_conformance_checks_tell_a_reader_from_a_liar() -> None:
    assert run_check(Reader, "rows_accounted").status == "passed"
    found = run_check(Liar, "rows_accounted")
    assert found.status == "failed" and "it looks on, so it must return the very rows" in found.reason


class Silent(Reader):
    """Its transform alone says that it looks on."""

    looks_on = False


def test_a_transform_that_looks_on_belongs_to_a_class_that_says_so() -> None:
    found = run_check(Silent, "rows_accounted")
    assert (found.status, found.reason) == (
        "failed",
        "causal model: its transform says that it looks on, so say `looks_on=True` of the class, too: a training that "
        "no step spells out comes for the sake of a step that changes the text, and not of one that reads it",
    )


def test_scores_of_token_ids_are_those_of_their_text(tmp_path: Any) -> None:
    run = testing.run_context(tmp_path)
    text = "The nurse said that he left."
    ids = tuple(run.tokenizer(text)["input_ids"])
    [one], [other] = run.services.score([text]), run.services.score([ids])
    assert one.ids == other.ids and one.total == other.total


def test_the_end_of_a_text_has_the_scores_that_it_has_in_the_whole(tmp_path: Any) -> None:
    run = testing.run_context(tmp_path)
    text = "The nurse said that he left."
    [whole], [end] = run.services.score([text], dtype="float32"), run.services.score([text], dtype="float32", ends=[2])
    last = range(len(whole.ids) - 2, len(whole.ids))
    assert (end.ids, end.n) == (whole.ids, 2) and whole.n > 2
    assert end.total == pytest.approx(whole.over(last), abs=1e-5)
