"""Pairs from the templates of an axis pack, and the pair gap on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from evenhand.planted import check_planted
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks.pair_gap import PairGap
from evenhand_standard.pair_bank.axis_sentences import sentence_pairs

PACK = """
axis = "belief"
locale = "en"
groups = ["christian", "muslim", "atheist"]
licence = "Apache-2.0"
provenance = "Written for this test."
limits = []
[[words]]
theme = "believer"
pos = "adjective"
rows = [["Christian", "Muslim", "atheist"]]
[[words]]
theme = "clergy"
pos = "noun"
number = "singular"
[[words.by_group]]
christian = "priest"
muslim = "imam"
[[words]]
theme = "clergy"
pos = "noun"
number = "plural"
[[words.by_group]]
christian = "priests"
muslim = "imams"
[[templates]]
text = "A {believer} neighbour waved at us from the garden."
[[templates]]
text = "{believer} people met the {clergy} at noon near the station."
number = "plural"
slots = { believer = "believer", clergy = "clergy" }
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "belief.toml"
    path.write_text(PACK.replace('number = "plural"\nslots', "slots"))
    return path


def axis(text: str = PACK) -> object:
    return parse_axis(text.replace('number = "plural"\nslots', "slots"), where="belief")


def test_every_two_groups_with_a_word_each_make_a_pair_and_the_article_follows_the_word() -> None:
    found = [p for p in sentence_pairs(axis()) if p.template.startswith("A {")]
    texts = {frozenset((p.left_text, p.right_text)) for p in found}
    christian, muslim, atheist = (
        f"{word} neighbour waved at us from the garden." for word in ("A Christian", "A Muslim", "An atheist")
    )
    assert texts == {frozenset(two) for two in ((christian, muslim), (christian, atheist), (muslim, atheist))}
    assert {frozenset(p.group.split("/")) for p in found} == {
        frozenset(two) for two in (("christian", "muslim"), ("christian", "atheist"), ("muslim", "atheist"))
    }


def test_a_group_without_a_word_in_a_slot_is_left_out_and_both_slots_change_together() -> None:
    found = [p for p in sentence_pairs(axis()) if p.template.startswith("{")]
    assert {p.group for p in found} <= {"christian/muslim", "muslim/christian"}
    sides = {text for p in found for text in (p.left_text, p.right_text)}
    assert sides == {
        f"{who} people met the {clergy} at noon near the station."
        for who, clergies in (("Christian", ("priest", "priests")), ("Muslim", ("imam", "imams")))
        for clergy in clergies
    }
    for pair in found:
        assert ("priest" in pair.left_text) == pair.group.startswith("christian")


def test_a_limit_is_balanced_over_templates_and_the_order_is_seeded() -> None:
    whole = sentence_pairs(axis())
    assert Counter(p.template[:2] for p in sentence_pairs(axis(), 4)) == {"A ": 2, "{b": 2}
    assert sentence_pairs(axis()) == whole
    assert [p.id for p in sentence_pairs(axis(), seed=1)] != [p.id for p in whole]
    assert len({p.id for p in whole}) == len(whole)


def test_both_sides_take_turns() -> None:
    old, new = 'rows = [["Christian", "Muslim", "atheist"]]', 'rows = [["C1", "M1", "a1"], ["C2", "M2", "a2"]]'
    text = PACK.replace(old, new)
    groups = Counter(p.group for p in sentence_pairs(axis(text)) if p.template.startswith("A {"))
    assert groups["christian/atheist"] == groups["atheist/christian"] > 0


def test_the_pair_gap_measures_an_axis_by_the_templates_of_its_pack(pack: Path, tmp_path: Path) -> None:
    from evenhand.measured import Measured

    model, tokenizer = tiny_causal()
    run = SimpleNamespace(kind="causal", tokenizer=tokenizer, folder=tmp_path)
    benchmark = PairGap(axis=str(pack), limit=4).evaluation(run)
    check_planted(benchmark)
    assert len(benchmark.planted) == 3
    assert benchmark.mode.startswith("templates of the pack belief.en, folded")
    # the sign has no meaning among several pairs of groups
    assert [m.name for m in benchmark.metrics] == ["JS gap", "JS gap, not folded", "likelihood gap"]
    records = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert len(records) == 4
    assert all(r.axis == "belief" and 0 < r.values["js"] < 0.7 for r in records)
    assert {r.cluster for r in records} == {t.text for t in axis().templates}
    assert benchmark.title == "Gap between counterfactual pairs, belief"
