"""What the tests of benchmarks of generated text share."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from evenhand.contributions import Benchmark, ItemRecord
from evenhand.planted import check_planted
from evenhand.sample import Sample, Table, value_of
from evenhand_sdk import RunContext
from evenhand_standard.text_scorers import Scorer

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")


def needs(path):
    """Skips where a published file is not here."""
    return pytest.mark.skipif(not (DATA / path).is_file(), reason=f"{path} is not here: set EVENHAND_DATA")


def run_of(tokenizer, tmp_path, kind="causal"):
    return RunContext(
        step_id="b",
        seed=0,
        kind=kind,
        tokenizer=tokenizer,
        device="cpu",
        folder=tmp_path,
        axes=("gender",),
        offline=True,
        logger=logging.getLogger("test"),
        services=None,
        data_folder=str(DATA),
    )


def word_scorer(word, value=1.0, low=0.0):
    """Gives `value` to texts with a word, else 0."""
    return Scorer(name="word", low=low, digest="d", score=lambda texts: [value * (word in text) for text in texts])


def values(metrics, records):
    """Metric name -> value on the items as they are."""
    table = Table.of(records)
    return {metric.name: value_of(metric, table) for metric in metrics}


def planted_names(metrics, planted):
    """The planted models that come out as they must."""
    return check_planted(Benchmark(name="b", title="", score=lambda m: [], metrics=metrics, planted=planted))


def groups_of(values_by_group, axis="a"):
    """One record for each value, each a cluster of its own."""
    return [
        ItemRecord(id=f"{axis}/{g}/{k}", cluster=f"{axis}/{g}/{k}", axis=axis, group=g, values={"x": float(v)})
        for g, found in values_by_group.items()
        for k, v in enumerate(found)
    ]


def as_is(records):
    """The sample of the records as they are."""
    table = Table.of(records)
    return Sample(table, np.ones((1, table.clusters)))
