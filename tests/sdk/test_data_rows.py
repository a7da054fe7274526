"""The parts of every data technique: fates, provenance, quarantine, streams, workers, and draws of single rows."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from evenhand.errors import UsageError
from evenhand_sdk.data_rows import CannotProcess, Fate, Made, Row, RowOptions, RowWork, one_by_one, token_counts
from evenhand_sdk.row_ledger import example
from evenhand_sdk.testing import run_context


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return run_context(tmp_path, step_id="own")


def each(row: Row) -> Fate:
    """Capitals change, `drop`, `add` and `bad` do what they say, the rest stays."""
    if row.text == "bad":
        raise CannotProcess("a bad word")
    if row.text == "drop":
        return Fate(dropped="asked for")
    if row.text == "add":
        return Fate(added=[Made(text="one", axis="gender", group="male"), Made(text="two", note="by hand")])
    if row.text == "instead":
        return Fate(dropped="replaced", added=[Made(text="other")])
    return Fate(text=Made(text=row.text.lower()))


TEXTS = ["A", "b", "drop", "add", "bad", None, "instead", "a text that is too long"]


def test_each_row_meets_its_fate_in_order(run: Any) -> None:
    rows = Dataset.from_dict({"text": TEXTS, "source": list("stuvwxyz")})
    work = RowWork(run, RowOptions(max_characters=20))
    out = work.rewrite(rows, one_by_one(each))
    names = ("text", "source", "evenhand_origin", "evenhand_step", "evenhand_axis", "evenhand_group")
    assert out.column_names == list(names)
    assert [tuple(row[n] for n in names) for row in out] == [
        ("a", "s", 0, "own", "", ""),
        ("b", "t", 1, "", "", ""),  # the same text is no change
        ("add", "v", 3, "", "", ""),
        ("one", "v", 3, "own", "gender", "male"),
        ("two", "v", 3, "own", "", ""),
        ("other", "y", 6, "own", "", ""),
    ]
    account = work.account()
    assert account.problem(8, 6) is None
    assert (account.kept, account.changed, account.added) == (2, 1, 3)
    assert account.dropped == {"asked for": 1, "replaced": 1}
    assert account.quarantined == {"a bad word": 1, "no text": 1, "longer than 20 characters": 1}
    assert [json.loads(line) for line in account.quarantine.read_text().splitlines()] == [
        {"row": 4, "step_row": 4, "reason": "a bad word", "characters": 3, "text": "bad"},
        {"row": 5, "step_row": 5, "reason": "no text", "characters": 0, "text": ""},
        {
            "row": 7,
            "step_row": 7,
            "reason": "longer than 20 characters",
            "characters": 23,
            "text": "a text that is too long",
        },
    ]
    assert [(e.before, e.after, e.note) for e in account.examples] == [
        ("A", "a", ""), ("add", "one", "gender towards male"), ("add", "two", "by hand"), ("instead", "other", ""),
        ("drop", "", "asked for"), ("instead", "", "replaced"),
    ]  # fmt: skip
    assert rows.column_names == ["text", "source"] and list(rows["text"]) == TEXTS


def test_a_second_step_keeps_origins_and_names_itself(run: Any, tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["drop", "add", "b"]})
    once = RowWork(run, RowOptions()).rewrite(rows, one_by_one(each))
    other = run_context(tmp_path / "other", step_id="other")
    shout = one_by_one(lambda row: Fate(text=Made(text=row.text.upper())) if row.text != "add" else Fate())
    twice = RowWork(other, RowOptions()).rewrite(once, shout)
    assert [(r["text"], r["evenhand_origin"], r["evenhand_step"], r["evenhand_group"]) for r in twice] == [
        ("add", 1, "", ""), ("ONE", 1, "other", "male"), ("TWO", 1, "other", ""), ("B", 2, "other", "")
    ]  # fmt: skip


def test_declared_columns_have_a_value_everywhere_and_others_are_refused(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"]})

    def weighed(row: Row) -> Fate:
        return Fate(columns={"weight": 2.0}) if row.text == "a" else Fate(added=[Made(text="c")])

    out = RowWork(run, RowOptions()).rewrite(rows, one_by_one(weighed), columns={"weight": ("float64", 1.0)})
    assert list(out["weight"]) == [2.0, 1.0, 1.0]
    with pytest.raises(TypeError, match="the column 'weight' was not declared"):
        RowWork(run, RowOptions()).rewrite(rows, one_by_one(weighed))


def test_a_choice_over_the_whole_leaves_additions_out_but_no_row(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["add", "b", "add"]})
    seen: dict[str, Any] = {}

    def choose(columns: Any) -> list[int]:
        seen.update(columns)
        return [0, 2, 5]  # a kept row among them: that one stays

    work = RowWork(run, RowOptions())
    out = work.rewrite(rows, one_by_one(each), choose=choose)
    assert seen["evenhand:fate"] == ["kept", "added", "added", "kept", "kept", "added", "added"]
    assert seen["evenhand:row"] == [0, 0, 0, 1, 2, 2, 2]
    assert list(out["text"]) == ["add", "one", "b", "add", "two"]
    assert work.account().problem(3, 5) is None
    with pytest.raises(TypeError, match="a stream is read once"):
        work.rewrite(rows.to_iterable_dataset(), one_by_one(each), choose=choose)


def test_strength_0_gives_the_same_rows_and_counts_them(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"]})
    work = RowWork(run, RowOptions())
    assert work.account() is None
    assert work.untouched(rows) is rows
    assert (work.account().read, work.account().kept) == (2, 2)


rows_of = st.lists(st.sampled_from([*TEXTS, "", "Z"]), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(rows_of)
def test_accounts_add_up_and_streams_and_workers_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]
) -> None:
    context = run_context(tmp_path_factory.mktemp("run"), model=MODEL[0], tokenizer=MODEL[1])
    rows = Dataset.from_dict({"text": texts, "n": list(range(len(texts)))})
    work = RowWork(context, RowOptions(max_characters=20))
    out = work.rewrite(rows, one_by_one(each))
    assert work.account().problem(len(rows), len(out)) is None
    stream = work.rewrite(rows.to_iterable_dataset(), one_by_one(each))
    assert isinstance(stream, IterableDataset)
    assert list(stream) == out.to_list()
    assert work.account().problem(len(rows), len(out)) is None


def test_a_draw_belongs_to_a_place_of_the_data_and_a_text(run: Any) -> None:
    """A step that leaves rows out changes no draw behind it; data without these rows do."""

    def drawn(rows: Dataset) -> list[float]:
        seen: list[float] = []
        RowWork(run, RowOptions()).rewrite(rows, one_by_one(lambda row: seen.append(row.draw(3)) or Fate()))
        return seen

    rows = Dataset.from_dict({"text": ["drop", "a", "b", "c"]})
    whole, left = drawn(rows), RowWork(run, RowOptions()).rewrite(rows, one_by_one(each))
    assert list(left["text"]) == ["a", "b", "c"] and drawn(left) == whole[1:]
    assert len({*whole, *drawn(rows.select([1, 2, 3]))}) == 7


@pytest.mark.parametrize(("shards", "workers"), [(1, 2), (4, 1)])
def test_one_worker_that_reads_a_stream_gives_the_same_rows(run: Any, shards: int, workers: int) -> None:
    rows = Dataset.from_dict({"text": ["A", "b", "drop", "bad"] * 3})
    out = RowWork(run, RowOptions()).rewrite(rows, one_by_one(each)).to_list()
    stream = RowWork(run, RowOptions()).rewrite(rows.to_iterable_dataset(num_shards=shards), one_by_one(each))
    assert list(DataLoader(stream, batch_size=None, num_workers=workers)) == out


def test_workers_that_divide_a_stream_are_refused_and_write_nothing(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["A", "bad"] * 6}).to_iterable_dataset(num_shards=4)
    stream = RowWork(run, RowOptions()).rewrite(rows, one_by_one(each))
    with pytest.raises(UsageError) as caught:
        list(DataLoader(stream, batch_size=None, num_workers=2))
    assert (
        "DataLoader: 2 workers would each count the rows of the stream from 0, and what a step does to a row "
        "belongs to its place in the data\n"
        "  the stream has 4 shards, which workers divide among themselves\n"
        "  read it with num_workers=1, or give the step a data set, which any number of workers may read"
    ) in str(caught.value)
    assert not list(run.folder.glob("**/*.jsonl"))


def _model() -> tuple[Any, Any]:
    from evenhand_sdk.tiny import tiny_causal

    return tiny_causal()


MODEL = _model()


def test_two_workers_give_the_same_rows_and_the_same_account(run: Any) -> None:
    rows = Dataset.from_dict({"text": [*TEXTS] * 40})
    alone, together = RowWork(run, RowOptions()), RowWork(run, RowOptions(workers=2))
    first, second = alone.rewrite(rows, one_by_one(each)), together.rewrite(rows, one_by_one(each))
    assert first.to_list() == second.to_list()
    assert alone.account() == together.account()


def test_rows_of_a_file_are_prepared_once_and_again_when_anything_they_depend_on_changes(
    run: Any, tmp_path: Path
) -> None:
    """`datasets` keeps the result beside the rows of a file; every cause of another result must miss it."""
    from datasets import load_dataset

    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"A{k}"}) + "\n" for k in range(5)))
    rows = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path / "hf"))
    calls: list[int] = []

    def counting(batch: Any) -> list[Fate]:
        calls.append(len(batch))
        return [Fate(text=Made(text=row.text.lower())) for row in batch]

    def work(depends: Any = None, **options: Any) -> list[str]:
        out = RowWork(run, RowOptions(**options), depends=depends).rewrite(rows, counting)
        assert list(out["text"]) == ["a0", "a1", "a2", "a3", "a4"]
        return list(out["text"])

    work()
    work()
    assert calls == [5]
    work(max_characters=50)
    work(depends=["another pack"])
    assert calls == [5, 5, 5]


def test_examples_come_from_all_over_the_rows(run: Any) -> None:
    rows = Dataset.from_dict({"text": [f"T{k}" for k in range(3000)]})
    work = RowWork(run, RowOptions())
    work.rewrite(rows, one_by_one(each))
    numbers = [int(e.before[1:]) for e in work.account().examples]
    assert len(numbers) == 10 and numbers == sorted(numbers)
    assert numbers[0] < 300 and numbers[-1] > 2400


def test_a_long_example_shows_the_place_that_changed() -> None:
    before, after = "x" * 5000 + " he " + "y" * 5000, "x" * 5000 + " she " + "y" * 5000
    shown = example(before, after)
    assert " he " in shown.before and " she " in shown.after
    assert shown.before.startswith("… x") and shown.before.endswith("y …") and len(shown.before) < 620


def test_a_stream_takes_constant_memory(run: Any) -> None:
    """Fifty times as many rows may not hold more than a few batches more."""

    def read(count: int) -> Iterator[dict[str, str]]:
        for k in range(count):
            yield {"text": f"{k} " + "word " * 60}

    def peak(count: int) -> int:
        rows = IterableDataset.from_generator(read, gen_kwargs={"count": count})
        work = RowWork(run, RowOptions())
        stream = work.rewrite(rows, one_by_one(lambda row: Fate(text=Made(text=row.text.upper()))))
        tracemalloc.start()
        for _ in stream:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert work.account().changed == count
        return most

    assert peak(40_000) < 2 * peak(4_000)


def test_draws_depend_on_seed_purpose_origin_and_text_alone() -> None:
    row = Row(5, "text", 3)
    assert row.draw(1) == Row(9, "text", 3, {"a": 1}).draw(1)
    others = {row.draw(2), row.draw(1, "x"), Row(5, "Text", 3).draw(1), Row(5, "text", 4).draw(1)}
    assert len(others | {row.draw(1)}) == 5
    draws = [Row(k, "same", k).draw(0) for k in range(10_000)]
    assert all(0 <= u < 1 for u in draws)
    # Mean of uniform draws: standard deviation 0.0029.
    assert abs(sum(draws) / len(draws) - 0.5) < 0.012


def test_tokens_are_counted_without_special_ones(run: Any) -> None:
    texts = ["The nurse said that she is a good doctor.", ""]
    assert token_counts(run.tokenizer, texts) == [
        len(run.tokenizer(texts[0], add_special_tokens=False)["input_ids"]),
        0,
    ]
    assert token_counts(run.tokenizer, []) == []


def test_a_transform_changes_rows_unless_its_strength_is_0(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["One.", "Two."]})
    seen: list[int] = []

    def change(given: Any) -> Any:
        seen.append(len(given))
        return work.rewrite(given, one_by_one(lambda row: Fate(dropped="no two") if row.text == "Two." else Fate()))

    for strength, left in ((0.0, ["One.", "Two."]), (0.5, ["One."])):
        work = RowWork(run, RowOptions(strength=strength))
        facts = {"a": 1}
        transform = work.transform(change, facts=facts)
        out = transform.fn(rows)
        account = transform.account()
        assert out["text"][:] == left and (out is rows) == (strength == 0)
        assert transform.facts is facts and account.problem(2, len(left)) is None
    assert seen == [2]


def test_no_rows_at_all_are_no_rows_with_all_columns(run: Any) -> None:
    rows = Dataset.from_dict({"text": [], "source": []})
    work = RowWork(run, RowOptions())
    seen: list[Any] = []
    out = work.rewrite(
        rows, one_by_one(each), columns={"score": ("float64", 0.0)}, choose=lambda c: seen.append(c) or []
    )
    assert len(out) == 0 and {"text", "source", "evenhand_origin", "score"} <= set(out.column_names)
    assert not [name for name in out.column_names if name.startswith("evenhand:")]
    assert seen == [{"evenhand:fate": [], "evenhand:why": [], "evenhand:row": []}]
    assert work.account().problem(0, 0) is None


def test_half_of_a_surrogate_pair_goes_to_the_quarantine(run: Any) -> None:
    texts = ["A", "half \ud83d of it", "both \U0001f600"]
    work = RowWork(run, RowOptions())
    out = list(work.rewrite(IterableDataset.from_generator(lambda: ({"text": t} for t in texts)), one_by_one(each)))
    assert [row["text"] for row in out] == ["a", texts[2]]
    account = work.account()
    assert account.problem(3, 2) is None
    assert account.quarantined == {"half of a surrogate pair, which no tokenizer reads": 1}
    assert json.loads(account.quarantine.read_text())["text"] == texts[1]


@pytest.mark.parametrize("form", ["torch", "numpy"])
def test_rows_in_a_format_are_prepared_as_plain_ones_and_keep_it(run: Any, form: str) -> None:
    plain = Dataset.from_dict({"text": ["A", "add"], "number": [1, 2], "list": [[1, 2], [3, 4]]})
    work = RowWork(run, RowOptions())
    transform = work.transform(lambda rows: work.rewrite(rows, one_by_one(each)))
    expected = transform.fn(plain)
    out = transform.fn(plain.with_format(form))
    assert out.format["type"] == form and out.format["columns"] == expected.column_names
    assert out.with_format(None).to_list() == expected.to_list()
    some = transform.fn(plain.with_format(form, columns=["number"]))
    assert some.format["columns"] == ["number"] and [int(row["number"]) for row in some] == [1, 2, 2, 2]
