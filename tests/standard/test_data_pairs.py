"""Any two data steps in either order: they work together, or the second is refused with the reason.

The steps are those of the entry points, so that a new technique joins by itself. Work together means: both accounts add
up, rows that the second step did not make are the very rows of the first with all their columns, and rows that the
first step's loss reads as they are come through unchanged, each once.

Of steps that meet rows in one way, by one mechanism, one stands for all (`LIKE`).
`EVENHAND_ALL_PAIRS=1 pytest tests/standard/test_data_pairs.py` takes every pair.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from evenhand import measuring
from evenhand.errors import UsageError
from evenhand_sdk.data_rows import FIXED, STEP
from evenhand_sdk.testing import contributions, run_context, sample_rows, train
from evenhand_sdk.tiny import tiny_causal
from step_cases import steps_of

pytestmark = pytest.mark.slow

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "group-balancing": {"method": "temperature", "tau": 0.0},
    "healthy-data-diet": {"selection": "random"},
    "diversified-synthesis": {"sets": 2, "sources": ("templates",)},
    "preference-pairs": {"limit": 4},
    "unlearning": {"limit": 4},
    "unlikelihood": {"limit": 4},
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    "group-balancing weigh": {"apply": "weigh"},
    "names-intervention augment": {"mode": "augment"},
}
"""Further forms of a step that do something else with rows."""
LIKE: Mapping[str, str] = {
    "gradient-reversal": "adversarial",
    "unlikelihood": "unlearning",
    "demographic-mix": "cultural-mix",
    "names-intervention": "counterfactual-substitution",
    "names-intervention augment": "counterfactual-augmentation",
    "learned-rewriting": "counterfactual-augmentation",
}
REFUSED = {
    ("group-balancing weigh", "group-balancing weigh"): "an earlier step has weighed these rows",
}
FIXING = {"preference-pairs": 8, "unlearning": 4, "unlikelihood": 4, "unwanted-text": 4}
"""Steps whose loss reads some rows as they are, and how many such rows they make of `texts()`."""


CASES = steps_of("data", ("evenhand-standard",), OPTIONS, FORMS)
EVERY = [(a, b) for a in CASES for b in CASES]
PAIRS = EVERY if os.environ.get("EVENHAND_ALL_PAIRS") else [p for p in EVERY if not set(p) & set(LIKE)]


@cache
def texts() -> Dataset:
    """Texts that give every step something to do, by authors and in locales of unequal number."""
    found = [
        "Every driver must show his licence.", "Anyone who is late must bring her own key.",
        "If a guest is tired, he should ask for a room.", *sample_rows(24)["text"],
        "He was at home with his brother.", "He left, and he was glad.",
        "What a horrible, ugly, disgusting day for him.", "He was awful and hateful, and he hated everyone.",
    ]  # fmt: skip
    return Dataset.from_dict(
        {
            "text": found,
            "locale": [("en-GB", "en-IN", "en-GB")[k % 3] for k in range(len(found))],
            "author_group": [("north", "south", "north")[k % 3] for k in range(len(found))],
        }
    )


@pytest.fixture(scope="module", autouse=True)
def code_is_read_once() -> Iterator[None]:
    """The code that keys of the cache name does not change while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "package_digest", cache(measuring.package_digest))
        yield


@cache
def base() -> tuple[Any, Any]:
    return tiny_causal()


def applied(name: str, ident: str, rows: Dataset, folder: Path) -> Dataset:
    """What a step makes of rows; its accounts must add up, and no row of them goes to the quarantine."""
    plugin = CASES[name].instance()
    run = run_context(folder / ident, plugin, "causal", step_id=ident, model=base()[0], tokenizer=base()[1])
    for transform in contributions(plugin, "data", run):
        out = transform.fn(rows)
        account = transform.account()
        assert account.problem(len(rows), len(out)) is None and not account.quarantined
        rows = out
    return rows


FIRST: dict[str, Dataset] = {}


def after(name: str, folder: Path) -> Dataset:
    """The texts after one step; made once for all its pairs."""
    if name not in FIRST:
        FIRST[name] = applied(name, "one", texts(), folder)
    return FIRST[name]


def whole(rows: Dataset, columns: list[str], where: Any = lambda row: True) -> Counter[tuple[str, ...]]:
    return Counter(tuple(repr(row[c]) for c in columns) for row in rows if where(row))


@pytest.mark.parametrize("names", [p for p in PAIRS if p not in REFUSED], ids="+".join)
def test_two_steps_work_together(names: tuple[str, str], tmp_path: Path) -> None:
    before = after(names[0], tmp_path)
    out = applied(names[1], "two", before, tmp_path)
    columns = before.column_names
    assert len(out) and all(isinstance(text, str) and text.strip() for text in out["text"])
    assert set(columns) <= set(out.column_names)
    if STEP in columns:
        assert not whole(out, columns, lambda row: row[STEP] != "two") - whole(before, columns)
    if names[0] in FIXING:
        fixed = whole(before, columns, lambda row: row[FIXED] == "one")
        assert whole(out, columns, lambda row: row[FIXED] == "one") == fixed and fixed.total() == FIXING[names[0]]


@pytest.mark.parametrize(("names", "reason"), REFUSED.items())
def test_what_cannot_work_together_is_refused(names: tuple[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        applied(names[1], "two", after(names[0], tmp_path), tmp_path)


@pytest.mark.parametrize("other", ["counterfactual-augmentation", "diversified-synthesis", "preference-pairs"])
@pytest.mark.parametrize("name", [n for n in CASES if "objective" in CASES[n].plugin.stages() and n not in LIKE])
def test_a_loss_reads_rows_that_another_step_made(name: str, other: str, tmp_path: Path) -> None:
    """The other step behind the one that serves it, and before: then rows lack a value of the columns that it reads."""
    for order in ((name, other), (other, name)):
        rows = after(order[0], tmp_path)
        rows = applied(order[1], "two", rows, tmp_path)
        plugin = CASES[name].instance()
        run = run_context(tmp_path / "-".join(order), plugin, "causal", max_steps=len(rows) // 4 + 1)
        terms = contributions(plugin, "objective", run)
        if terms:
            result = train(run, terms, rows=rows)
            even = name.startswith("group-balancing") and order[0] == other  # nothing is left to weigh
            assert even or any(facts.get("gradient_norm") for facts in result.terms.values())


def test_every_step_is_in_the_matrix() -> None:
    assert len(CASES) >= 23 and set(LIKE) | set(LIKE.values()) | set(FIXING) <= set(CASES)
    assert {name for pair in PAIRS for name in pair} == set(CASES) - (set(LIKE) if len(PAIRS) < len(EVERY) else set())
