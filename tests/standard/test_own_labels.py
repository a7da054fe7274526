"""Labelled texts of one's own: what is read, what is refused and in which words, and how they are divided."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evenhand.wording import validated
from evenhand_sdk import UsageError
from evenhand_sdk.testing import contributions
from evenhand_standard.benchmarks.classification_gaps import ClassificationGaps, ClassificationGapsOptions
from evenhand_standard.labelled_texts import LabelledText
from evenhand_standard.objective.text_classification import COLUMN, TextClassification, TextClassificationOptions
from evenhand_standard.own_labels import own_axes, own_part, own_texts

DO = "  write a table with the columns text and label (1 or 0), and, if you like, id and one for each axis of groups"
PEOPLE = ("nurse", "king", "cook", "judge", "farmer", "lawyer", "doctor", "queen")
PLACES = ("home", "town", "sea", "garden", "river", "school")
TEXTS = [f"{word} {who} {where}" for word in ("kind", "cruel") for who in PEOPLE for where in PLACES]
"""96 texts in lower case without signs, so that a text is its own normal form."""


def measured(text: str) -> bool:
    """Three quarters, by the hash of the words."""
    return int(hashlib.sha256(f"classification: {text}".encode()).hexdigest()[:8], 16) % 4 > 0


def table(folder: Path, content: str, name: str = "mine.csv") -> str:
    (folder / name).write_text(content, encoding="utf-8")
    return str(folder / name)


def whole(folder: Path) -> str:
    """A table that both plugins take: cruel is 1."""
    rows = (f"{text},{int(text.startswith('cruel'))},{'north' if k % 2 else 'south'}\n" for k, text in enumerate(TEXTS))
    return table(folder, "text,label,dialect\n" + "".join(rows))


def test_tables_of_three_kinds_give_the_same_texts(tmp_path: Path) -> None:
    csv = table(tmp_path, 'id,text,label,area\nx,"No, thanks. ",1,north\n,Yes,FALSE,\n,yes!,0,3\n')
    tsv = table(tmp_path, "id\ttext\tlabel\tarea\nx\tNo, thanks.\t1\tnorth\n\tYes\tfalse\n\tyes!\t0\t3\n", "mine.tsv")
    rows = [
        {"id": "x", "text": "No, thanks.", "label": True, "area": "north"},
        {"text": "Yes", "label": 0, "area": None},
        {"text": "yes!", "label": "false", "area": 3},
    ]
    jsonl = table(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "mine.jsonl")
    wanted = [
        LabelledText("x", "No, thanks.", True, {"area": "north"}, "no thanks"),
        LabelledText("2", "Yes", False, {}, "yes"),
        LabelledText("3", "yes!", False, {"area": "3"}, "yes"),
    ]
    for path in (csv, tsv, jsonl):
        assert own_texts(path) == wanted
    assert own_axes(wanted) == {"area": ["3", "north"]}


def test_a_quotation_mark_in_a_tsv_is_one(tmp_path: Path) -> None:
    path = table(tmp_path, 'text\tlabel\n"so they said\t1\nno\t0\n', "mine.tsv")
    assert [text.text for text in own_texts(path)] == ['"so they said', "no"]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("words,label\na,1\n", "", "there is no column 'text'\n  its columns: words, label"),
        ("text,class\na,1\n", "", "there is no column 'label'\n  its columns: text, class"),
        ("text,label\na,1\nb,2\n", ", row 2", "label is '2'\n  known: 1, 0, true, false"),
        ("text,label\na,1\nb,\n", ", row 2", "label is ''\n  known: 1, 0, true, false"),
        ("text,label\na,1\nb\n", ", row 2", "label is None\n  known: 1, 0, true, false"),
        ("text,label\n ,1\n", ", row 1", "text is empty"),
        ("id,text,label\nk,a,1\nk,b,0\n", ", row 2", "there is a text 'k' already"),
        ("text,label\na,1\nb,1\n", "", "all of its texts have the label 1"),
        ("text,label\na,1\nb, c,0\n", ", row 2", "it has more values than there are columns"),
        ('text,label\n"a,1\nb,0\n', "", "it is no table: unexpected end of data"),
        ("text,label\n", "", "it has no texts"),
    ],
)
def test_what_is_no_labelled_text_is_told_with_its_row(tmp_path: Path, content: str, where: str, what: str) -> None:
    path = table(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        own_texts(path)
    assert str(caught.value) == f"{path}{where}: {what}\n{DO}"


def test_lines_and_values_that_are_none_are_told(tmp_path: Path) -> None:
    good = json.dumps({"text": "a", "label": 1, "area": ["north"]})
    path = table(tmp_path, good, "mine.jsonl")
    for content, what in (
        ("[1]\n", "it is no object with the columns of a labelled text"),
        (good, "area is ['north'], which names no group"),
        (json.dumps({"text": "a", "label": 1.0}), "label is 1.0\n  known: 1, 0, true, false"),
    ):
        table(tmp_path, content, "mine.jsonl")
        with pytest.raises(UsageError) as caught:
            own_texts(path)
        assert str(caught.value) == f"{path}, row 1: {what}\n{DO}"
    (tmp_path / "mine.csv").write_bytes("text,label\ngrün,1\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"mine\.csv: it is not written in UTF-8 \(byte 13\)"):
        own_texts(str(tmp_path / "mine.csv"))


@pytest.mark.parametrize(
    ("options", "place"), [(TextClassificationOptions, "steps[1]"), (ClassificationGapsOptions, "benchmarks[1]")]
)
def test_what_is_wrong_with_the_file_is_told_when_the_recipe_is_checked(
    options: Any, place: str, tmp_path: Path
) -> None:
    def told(**values: Any) -> list[str]:
        return validated(options, values, place)[1]

    assert told(labels="none.csv") == [f"{place}.labels: there is no file 'none.csv'"]
    assert told(labels="mine.txt") == [
        f"{place}.labels: 'mine.txt' is no table that is read; name a file that ends in .csv, .tsv, .jsonl"
    ]
    path = table(tmp_path, "text,label\na,1\nb,maybe\n")
    assert told(labels=path) == [
        f"{place}.labels: {path}, row 2: label is 'maybe'\n      known: 1, 0, true, false\n    {DO}"
    ]
    known = "a quarter of the texts, by a hash of the text, is for training, all others are measured, in 5 folds"
    few = [text for text in TEXTS if measured(text)]
    kind, cruel = ([text for text in few if text.startswith(word)] for word in ("kind", "cruel"))
    learnt = next(text for text in TEXTS if not measured(text) and text.startswith("kind"))
    path = table(tmp_path, "text,label\n" + "".join(f"{t},{int(t in cruel)}\n" for t in (*few, learnt)))
    assert told(labels=path) == [
        f"{place}.labels: {path}: its training part has 0 different texts with the label 1 and 1 with 0, and needs 1 "
        f"of each\n      {known}\n      add texts"
    ]
    other = [text for text in TEXTS if not measured(text)]
    rows = [*cruel[:4], cruel[0].upper(), *kind[:6], *other]
    path = table(tmp_path, "text,label\n" + "".join(f"{t},{int(t.lower().startswith('cruel'))}\n" for t in rows))
    assert told(labels=path) == [
        f"{place}.labels: {path}: its measuring part has 4 different texts with the label 1 and 6 with 0, and needs 5 "
        f"of each\n      {known}\n      add texts"
    ]
    path = whole(tmp_path)
    assert told(labels=path) == []
    assert told(labels=path, data=str(tmp_path)) == [
        f"{place}: data is the folder of the published tweets, and labels names other texts; leave one out"
    ]


def test_a_column_of_many_values_is_no_axis(tmp_path: Path) -> None:
    rows = (f"{text},{int(text.startswith('cruel'))},{k}\n" for k, text in enumerate(TEXTS))
    path = table(tmp_path, "text,label,minute\n" + "".join(rows))
    assert validated(ClassificationGapsOptions, {"labels": path}, "benchmarks[1]")[1] == [
        f"benchmarks[1]: the column 'minute' of {path} has 96 values, and an axis has at most 50 groups; leave it out "
        "of the table"
    ]
    assert validated(TextClassificationOptions, {"labels": path}, "steps[1]")[1] == []


def test_own_texts_need_no_published_file(tmp_path: Path) -> None:
    path = whole(tmp_path)
    for plugin, options in (
        (TextClassification, TextClassificationOptions),
        (ClassificationGaps, ClassificationGapsOptions),
    ):
        assert plugin.files_for(options(labels=path)) == ()
        assert len(plugin.files_for(options())) == 1


def test_what_one_learns_the_other_does_not_measure(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    from datasets import Dataset

    path = whole(tmp_path)
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    [step] = contributions(TextClassification(labels=path), "data", run, split="train")
    [benchmark] = contributions(ClassificationGaps(labels=path), "evaluation", run)
    rows = step.fn(Dataset.from_dict({"text": ["a row"] * 96}))
    asked = set(benchmark.texts().values())
    assert asked == {text for text in TEXTS if measured(text)}
    assert set(rows["text"]) == {text for text in TEXTS if not measured(text)}
    assert all(label == text.startswith("cruel") for text, label in zip(rows["text"], rows[COLUMN], strict=True))
    learnt = [text for text in TEXTS if not measured(text)]
    cruel = sum(text.startswith("cruel") for text in learnt)
    assert step.facts == {
        "texts": len(learnt),
        "label 1": cruel,
        "label 0": len(learnt) - cruel,
        "SHA-256 of the file": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
    }


def test_copies_are_on_one_side_whatever_their_signs_and_letters(tmp_path: Path) -> None:
    rows = [f'"{text}",{int(text.startswith("cruel"))}\n' for text in (*TEXTS, *(f"  {t.upper()}, " for t in TEXTS))]
    path = table(tmp_path, "text,label\n" + "".join(rows))
    parts = [{text.text.lower().strip(" ,") for text in own_part(path, part)} for part in ("training", "measuring")]
    assert parts[0] | parts[1] == set(TEXTS) and not parts[0] & parts[1]
    assert len(own_part(path, "training")) + len(own_part(path, "measuring")) == 192


def test_another_content_under_the_same_name_is_read_anew(tmp_path: Path, tiny: Any, run_of: Any) -> None:
    from datasets import Dataset

    path = whole(tmp_path)
    model, tokenizer = tiny()
    run, given = run_of(model, tokenizer), Dataset.from_dict({"text": ["a row"] * 96})

    def seen() -> tuple[str, str, dict[str, int]]:
        [step] = contributions(TextClassification(labels=path), "data", run, split="train")
        [benchmark] = contributions(ClassificationGaps(labels=path), "evaluation", run)
        rows = step.fn(given)
        return benchmark.data_digest, benchmark.mode, dict(zip(rows["text"], rows[COLUMN], strict=True))

    digest, mode, labels = seen()
    assert seen() == (digest, mode, labels)
    told = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    count = sum(map(measured, TEXTS))
    head = "a balanced logistic head on the mean of the last states, 5 folds"
    assert mode == f"{count} texts; {head}; own texts, SHA-256 {told}"
    content = Path(path).read_text()
    Path(path).write_text(content.replace(",1,", ",x,").replace(",0,", ",1,").replace(",x,", ",0,"))
    other_digest, other_mode, other_labels = seen()
    assert other_digest != digest and other_mode != mode
    assert other_labels == {text: 1 - label for text, label in labels.items()}
