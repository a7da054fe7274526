"""The audit step: it changes nothing, writes sections from its counts, and works on plain lists and streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.data.corpus_audit import FILE, CorpusAudit, CorpusAuditOptions, audit

TEXTS = ["She cooks well.", "he cooks and drives", "He drives", "rain fell", "rain  FELL", "The mosque is old."]


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def facts_of(section: Any) -> dict[str, Any]:
    return {fact.label: fact.value for fact in section.facts}


def test_it_gives_back_the_very_rows_and_keeps_its_numbers(run: Any) -> None:
    plugin = CorpusAudit(min_count=1)
    rows = Dataset.from_dict({"text": [*TEXTS, None]})
    transform = plugin.data(run, "train", None)
    assert transform.looks_on and transform.fn(rows) is rows
    assert transform.account().kept == 7
    assert transform.facts == {
        "texts": 6, "texts that mention female": "16.7 %", "texts that mention male": "33.3 %",
        "duplicate texts": "16.67 %",
    }  # fmt: skip
    assert transform.files == (FILE,)
    stored = json.loads((run.folder / FILE).read_text(encoding="utf-8"))
    assert stored["axes"]["gender"]["mentions"] == {"female": 1, "male": 2}
    corpus, gender = plugin.transparency(run, None, None)
    assert facts_of(corpus) == {
        "rows": 7, "texts": 6, "words": 17, "different words": 12, "duplicate texts": "16.67 %"
    }  # fmt: skip
    found = facts_of(gender)
    assert found["words and names of female in 1,000 words"] == pytest.approx(1000 / 17, abs=1e-3)
    assert found["texts that mention male alone"] == 2
    assert found["texts that mention none"] == 3
    assert found["pronouns of female for each of male"] == 0.5
    assert found["words in that mean"] == 1  # cooks is the only word near both
    bars = {figure.caption.split(":")[0].split(" with ")[0]: figure for figure in gender.figures}
    assert list(bars["How often words and names of each group occur."].values) == [1.0, 2.0]
    [bias] = [f for f in gender.figures if f.caption.startswith("Co-occurrence bias")]
    assert list(bias.labels) == ["cooks"]


def test_labels_become_a_table(run: Any) -> None:
    rows = Dataset.from_dict({"text": TEXTS[:4], "label": ["good", "bad", "bad", "good"]})
    plugin = CorpusAudit(labels="label", min_count=1)
    plugin.data(run, "train", None).fn(rows)
    found = facts_of(plugin.transparency(run, None, None)[1])
    assert found["label 'bad', texts of male"] == "2 of 2 (100.0 %)"
    assert found["label 'good', texts that mention none"] == "1 of 1 (100.0 %)"
    assert found["largest difference of a label"] == "'bad': male +100.0 points against female"


def test_a_column_that_is_not_there_is_named(run: Any) -> None:
    with pytest.raises(UsageError, match="the data have no column 'topic'"):
        CorpusAudit(labels="topic").data(run, "train", None).fn(Dataset.from_dict({"text": TEXTS}))


def test_without_training_text_the_section_says_so(run: Any) -> None:
    with pytest.raises(UsageError, match="no training text has passed this step"):
        CorpusAudit().transparency(run, None, None)


def test_it_works_without_a_run_and_on_a_stream(belief: str, run: Any) -> None:
    axes = [load_axis("gender"), load_axis(belief)]
    found = audit((text for text in TEXTS), axes, options=CorpusAuditOptions(min_count=1))
    assert [section.title for section in found.sections()] == [
        "Datasheet: training text",
        "Datasheet: gender in the training text",
        "Datasheet: belief in the training text",
    ]
    assert facts_of(found.sections()[2])["texts that mention muslim alone"] == 1
    plugin = CorpusAudit()
    stream = Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()
    assert plugin.data(run, "train", None).fn(stream) is stream
    assert plugin.transparency(run, None, None)[0] == found.sections()[0]


def test_labels_and_texts_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        audit(TEXTS, [load_axis("gender")], labels=["a"])


def test_the_proof_of_a_step_that_looks_on_is_what_it_read(run: Any) -> None:
    rows = Dataset.from_dict({"text": TEXTS})
    out, _, account = applied(CorpusAudit, run, rows)
    assert out is rows and (account.read, account.kept) == (6, 6)


def test_texts_that_are_too_long_are_not_read_and_are_named(run: Any) -> None:
    plugin = CorpusAudit(max_characters=20)
    transform = plugin.data(run, "train", None)
    rows = Dataset.from_dict({"text": [*TEXTS, "he sat by the fire. " * 3000]})
    assert transform.fn(rows) is rows
    assert (transform.account().read, transform.account().kept) == (7, 7)
    assert transform.facts == {
        "texts": 6, "texts that mention female": "16.7 %", "texts that mention male": "33.3 %",
        "duplicate texts": "16.67 %", "rows not read, longer than 20 characters": 1,
    }  # fmt: skip
    corpus, gender = plugin.transparency(run, None, None)
    assert facts_of(corpus) == {
        "rows": 7, "rows not read, longer than 20 characters": 1, "texts": 6, "words": 17, "different words": 12,
        "duplicate texts": "16.67 %",
    }  # fmt: skip
    assert facts_of(gender)["texts that mention male alone"] == 2
    stored = json.loads((run.folder / FILE).read_text(encoding="utf-8"))
    assert (stored["rows"], stored["too long"]) == (7, 1)


@pytest.mark.parametrize("text", ["The nurse said that she was late.", b"he"])
def test_one_text_in_the_place_of_several_is_refused(text: Any) -> None:
    with pytest.raises(UsageError) as caught:
        audit(text, [load_axis("gender")])
    assert str(caught.value) == (
        "audit: one text is given, and its characters would be counted as texts\n  write [text]"
    )
