"""The two halves of a benchmark's items: disjoint, together all, and decided by nothing but the cluster's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand import api
from evenhand.contributions import ItemRecord
from evenhand.errors import UsageError
from evenhand.item_halves import counting, half_of
from evenhand.item_records import read_records
from evenhand_sdk.tiny import save_tiny


def items(*clusters: str) -> list[ItemRecord]:
    return [ItemRecord(id=str(k), cluster=c, values={"x": 1.0}) for k, c in enumerate(clusters)]


@given(st.lists(st.text(max_size=8), max_size=30))
def test_the_halves_share_no_cluster_and_are_together_all_items(clusters: list[str]) -> None:
    records = items(*clusters)
    halves = {"validation": [], "reported": []}
    for record in records:
        halves[half_of(record.cluster)].append(record)
    for name, half in halves.items():
        if half or not records:
            assert counting(records, name, "b") == half
        else:
            with pytest.raises(UsageError):
                counting(records, name, "b")
    left, right = ({r.cluster for r in half} for half in halves.values())
    assert not left & right
    assert counting(records, "all", "b") == records


def test_a_cluster_keeps_its_half_whatever_stands_beside_it() -> None:
    many = items(*(str(k) for k in range(2000)))
    validation = {r.cluster for r in counting(many, "validation", "b")}
    assert 900 < len(validation) < 1100, "equal but for chance: two standard deviations are 45"
    few = counting(many[::-3], "validation", "b")
    assert {r.cluster for r in few} == validation & {r.cluster for r in many[::-3]}


def test_an_empty_half_says_why() -> None:
    one = next(name for name in "abcdefgh" if half_of(name) == "reported")
    with pytest.raises(UsageError) as raised:
        counting(items(one, one), "validation", "pair-gap")
    assert str(raised.value) == (
        "evaluation.items: no item of pair-gap lies in the half 'validation'\n"
        "  its 2 items form 1 clusters, and a cluster is not split\n"
        "  give the benchmark more items, or leave it out"
    )


@pytest.mark.usefixtures("trial", "own_cache")
def test_runs_on_both_halves_share_one_measurement_of_the_untouched_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    text = (
        f'[model]\nname = "{tmp_path / "tiny"}"\n[traffic]\nlimit = 0\n[evaluation]\nresamples = 100\n'
        '[[steps]]\nuse = "trial-scale"\n[[benchmarks]]\nuse = "trial-length"\n'
    )
    runs = {half: api.run(text, overrides=[f"evaluation.items={half}"]) for half in ("all", "validation", "reported")}
    found = {half: read_records(run.folder / "items" / "trial-length.parquet") for half, run in runs.items()}
    for side in ("before", "after"):
        ids = {half: [r.id for r in records[side]] for half, records in found.items()}
        assert sorted(ids["validation"] + ids["reported"], key=int) == ids["all"] == [str(k) for k in range(40)]
        whole = {r.id: dict(r.values) for r in found["all"][side]}
        for half in ("validation", "reported"):
            assert ids[half] and {r.id: dict(r.values) for r in found[half][side]} == {i: whole[i] for i in ids[half]}
    assert [run.record["baseline"]["reused"] for run in runs.values()] == [[], ["trial-length"], ["trial-length"]]
    assert runs["validation"].record["benchmarks"][0]["n_items"] == len(found["validation"]["before"])
