"""Steps that read streams read no further ahead than a batch, however many of them follow one another."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from datasets import Features, IterableDataset, Value

from evenhand.own_data import transform_data
from evenhand_sdk import data_rows
from evenhand_standard.data.corpus_audit import CorpusAudit
from evenhand_standard.data.counterfactual_augmentation import CounterfactualAugmentation
from evenhand_standard.data.counterfactual_substitution import CounterfactualSubstitution
from evenhand_standard.data.group_balancing import GroupBalancing
from evenhand_standard.data.learned_rewriting import LearnedRewriting
from evenhand_standard.data.names_intervention import NamesIntervention
from evenhand_standard.data.neutral_rewriting import NeutralRewriting

STREAMING: list[Any] = [
    CounterfactualAugmentation(),
    CounterfactualSubstitution(),
    NamesIntervention(counts="pack"),
    NamesIntervention(counts="pack", mode="augment"),
    LearnedRewriting(rewriter="engine"),
    GroupBalancing(method="temperature"),
    GroupBalancing(concept="column:topic"),
    GroupBalancing(concept="column:topic", apply="weigh"),
    NeutralRewriting(strength=1.0),
]
"""Every step that decision 44 says reads streams, but for the audit."""
BATCH = 50


class Source:
    """A stream of rows without an end, which knows how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def rows(self) -> Iterator[dict[str, str]]:
        while True:
            text = f"She met her brother in {self.read}." if self.read % 2 else f"The rain of {self.read} fell."
            self.read += 1
            yield {"text": text, "topic": str(self.read % 3)}

    def stream(self, *, known: bool) -> IterableDataset:
        features = Features({"text": Value("string"), "topic": Value("string")}) if known else None
        return IterableDataset.from_generator(self.rows, features=features)


class Text(str):
    """A text of which one can tell whether it is still held."""


class Stream:
    """What a step needs of a stream, without the copies that `datasets` makes of its rows."""

    column_names = ("text", "topic")

    def __init__(self, rows: Callable[[], Iterator[dict[str, str]]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, str]]:
        return self._rows()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_rows, "BATCH", BATCH)


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("plugin", STREAMING, ids=lambda p: type(p).name)
def test_a_step_reads_a_batch_at_a_time(run: Any, plugin: Any, known: bool) -> None:
    source = Source()
    transform = plugin.data(run, "train", run.services.model)
    out = transform.fn(source.stream(known=known))
    asks = isinstance(plugin, GroupBalancing) and plugin.options.method == "reweigh"
    assert source.read <= (2 if asks and not known else 0)  # for the names of columns that nobody told
    looked = source.read
    for number, _ in enumerate(out, 1):
        assert source.read - looked <= number + 4 * BATCH  # rows that are dropped bring none
        if number == BATCH + 1:
            break
    assert isinstance(out, IterableDataset)


@pytest.mark.parametrize("labels", [None, "topic"])
def test_the_audit_reads_a_stream_once_and_holds_no_row(run: Any, labels: str | None) -> None:
    held: weakref.WeakSet[Text] = weakref.WeakSet()
    read, most = 0, 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal read, most
        for number in range(500):
            read += 1
            text = Text(f"She met her brother in {number}.")
            held.add(text)
            most = max(most, len(held))
            yield {"text": text, "topic": "any"}

    stream = Stream(rows)
    plugin = CorpusAudit(labels=labels)
    assert plugin.data(run, "train", run.services.model).fn(stream) is stream
    assert read == 500 and most <= 100  # a block of what reads both columns in step


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_read_before_the_first_row_is_asked_for(tiny: Any, known: bool) -> None:
    source = Source()
    model, tokenizer = tiny()
    steps: list[Any] = ["counterfactual-substitution", "counterfactual-augmentation", NeutralRewriting(strength=1.0)]
    out = transform_data(source.stream(known=known), model, tokenizer, steps)
    assert source.read == 0
    first = next(iter(out))
    assert source.read <= 4 * BATCH
    assert first["text"] and first["evenhand_origin"] == 0
    if known:
        assert out.column_names == [
            "text", "topic", "evenhand_origin", "evenhand_step", "evenhand_axis", "evenhand_group"
        ]  # fmt: skip
