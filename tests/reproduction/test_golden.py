"""The first items of each benchmark score as they did when the golden records were written."""

from __future__ import annotations

from typing import Any

import golden as kept
import pytest

from evenhand.discovery import discover, load
from evenhand.mirrors import missing_file

NAMES = {
    row.name
    for row in discover().rows
    if row.distribution == "evenhand-standard" and "evaluation" in load(row).stages()
}
pytestmark = [pytest.mark.slow, pytest.mark.realmodel]


def test_every_file_of_golden_records_is_used() -> None:
    files = sorted(path.stem for path in kept.FOLDER.glob("*.json"))
    assert files == sorted(one.name for one in kept.GOLDEN)


def test_which_benchmarks_have_no_golden_records() -> None:
    """Generated text is none, words have no scores, and Korean is thousands of pieces to an English tokenizer."""
    generating = {"bold", "real-toxicity-prompts", "counterfactual-sentiment", "text-degeneration"}
    words, missing = {"disco"}, {"kobbq"}
    trained = {"classification-gaps"}  # of a classifier, which a run must train first
    known = {name for one in kept.GOLDEN for name in NAMES if one.name.removesuffix("-harness").endswith(f"-{name}")}
    assert known == NAMES - generating - words - missing - trained


@pytest.mark.parametrize("one", kept.GOLDEN, ids=lambda one: one.name)
def test_scores_are_as_they_were(one: kept.Golden, real: Any) -> None:
    loaded = real(one.model)  # skips where it cannot be had
    if absent := next(filter(None, map(missing_file, one.files())), None):
        pytest.skip(f"a published file is not here: {absent.what}")
    before, now = kept.read(one), kept.measure(one, loaded)
    # Half a unit of the last decimal on either side, and the noise of other processors, which grows with long sums.
    near, part = 2 * 10.0**-one.places, 1e-5
    assert now["model_digest"] == before.model_digest, "these are other weights: nothing can be compared"
    assert now["tokenizer_fingerprint"] == before.tokenizer_fingerprint
    assert (now["mode"], now["values"]) == (before.mode, before.values)
    assert list(now["items"]) == list(before.items) and len(before.items) >= 6
    moved = {
        item: (before.items[item], values)
        for item, values in now["items"].items()
        for old, new in zip(before.items[item], values, strict=True)
        if (old is None) != (new is None) or (old is not None and abs(old - new) > near + part * abs(old))
    }
    assert not moved, f"{len(moved)} items moved, the first: {next(iter(moved.items()))}"
