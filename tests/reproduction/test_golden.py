"""The first items of each benchmark score as they did when the golden records were written."""

from __future__ import annotations

from typing import Any

import golden as kept
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.realmodel]


def test_every_file_of_golden_records_is_used() -> None:
    files = sorted(path.stem for path in kept.FOLDER.glob("*.json"))
    assert files == sorted(one.name for one in kept.GOLDEN) and len(files) == 5


@pytest.mark.parametrize("one", kept.GOLDEN, ids=lambda one: one.name)
def test_scores_are_as_they_were(one: kept.Golden, real: Any, request: pytest.FixtureRequest) -> None:
    real(one.model)  # skips where it cannot be had
    if one.data:
        request.getfixturevalue("published")
    before, now = kept.read(one), kept.measure(one)
    near = 2 * 10.0**-one.places  # half a unit of the last decimal on either side, and the noise of other processors
    assert now["model_digest"] == before.model_digest, "these are other weights: nothing can be compared"
    assert now["tokenizer_fingerprint"] == before.tokenizer_fingerprint
    assert (now["mode"], now["values"]) == (before.mode, before.values)
    assert list(now["items"]) == list(before.items) and len(before.items) >= 25
    moved = {
        item: (before.items[item], values)
        for item, values in now["items"].items()
        for old, new in zip(before.items[item], values, strict=True)
        if (old is None) != (new is None) or (old is not None and abs(old - new) > near)
    }
    assert not moved, f"{len(moved)} items moved, the first: {next(iter(moved.items()))}"
