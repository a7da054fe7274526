"""What `evenhand.train` refuses, by name and before it trains."""

from __future__ import annotations

import math
from typing import Any

import pytest
from datasets import Dataset

import evenhand
from evenhand.errors import UsageError
from evenhand_sdk.tiny import tiny_causal

TEXTS = ["The nurse said that she would come back.", "Rain fell on the town all morning long."] * 8
ROWS = Dataset.from_dict({"text": TEXTS})


def go(plugins: Any = (), **options: Any) -> Any:
    model, tokenizer = tiny_causal()
    return evenhand.train(
        model, tokenizer, ROWS, list(plugins), **{"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, **options}
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_steps": 0}, "evenhand.train: train.max_steps: 0 is not at least 1"),
        (
            {"budget": 0.5},
            "evenhand.train: budget is 0.5, and cannot be below 1\n"
            "  it is the most that perplexity on the retention text may be, as a multiple of what it is now",
        ),
        (
            {"budget": math.nan},
            "evenhand.train: budget is nan, and cannot be below 1\n"
            "  it is the most that perplexity on the retention text may be, as a multiple of what it is now",
        ),
        (
            {"retention": Dataset.from_dict({"sentence": TEXTS})},
            "retention: the data set has no column 'text'\n"
            "  its columns: sentence\n"
            "  dataset.rename_column(YOUR_COLUMN, 'text')",
        ),
        ({"retention": TEXTS[0]}, "retention: this is one text\n  give a data set, or a list of texts"),
        (
            {"retention": [TEXTS[0], None]},
            "retention: row 2 of the data set: no text\n  dataset.filter(lambda row: isinstance(row['text'], str))",
        ),
        (
            {"retention": Dataset.from_dict({"text": [TEXTS[0], None]})},
            "retention: row 2 of the data set: no text\n  dataset.filter(lambda row: isinstance(row['text'], str))",
        ),
    ],
)
def test_settings_that_no_training_can_have(options: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        go(**options)
    assert str(caught.value) == message


def test_retention_text_may_be_a_list_and_is_what_a_data_set_of_it_is() -> None:
    listed = go(retention=TEXTS, budget=1.5, evaluate_every=1)
    given = go(retention=ROWS, budget=1.5, evaluate_every=1)
    assert listed.watch is not None and listed.watch == given.watch
