"""Names: costs and pairs against values worked out by hand, files of counts, and texts swapped with the pairs."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.errors import DataNotFound, UsageError
from evenhand_sdk import load_axis
from evenhand_standard.data.name_counts import CENSUS, census_counts, read_counts
from evenhand_standard.data.name_pairs import (
    Name,
    ambiguous,
    cost_matrix,
    pair_names,
    tie_of,
    usable,
    with_counted_names,
)
from evenhand_standard.data.names_intervention import NamesIntervention

PLUGIN = NamesIntervention
GROUPS = ("female", "male")
COUNTS = """name,female,male
Ada,900,100
Bea,90,10
Cleo,60,40
Dan,10,90
Ed,0,1000
Rose,500,0
Queen,70,0
"""


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


@pytest.fixture
def counts(tmp_path: Path) -> str:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return str(path)


def test_the_tie_is_the_difference_of_shares_of_two_groups_and_0_at_equality_of_more() -> None:
    assert tie_of({"female": 900, "male": 100}, 2) == pytest.approx(0.8)  # |100 - 900| / 1000
    assert tie_of({"female": 50, "male": 50}, 2) == 0
    assert tie_of({"a": 60, "b": 20, "c": 20}, 3) == pytest.approx(0.4)  # (3 * 0.6 - 1) / 2
    assert tie_of({"a": 1, "b": 0, "c": 0}, 3) == 1


def test_costs_are_those_of_the_formula() -> None:
    left = [Name("Ada", "female", 1000, 0.8), Name("Bea", "female", 100, 0.8)]
    right = [Name("Dan", "male", 100, 0.6), Name("Ed", "male", 1000, 1.0)]
    found = cost_matrix(left, right, 2.0)
    # |ln 1000 - ln 100| = ln 10; twice the difference of ties.
    assert found.flatten().tolist() == pytest.approx([math.log(10) + 0.4, 0.4, 0.4, math.log(10) + 0.4])


def test_pairs_have_the_least_total_cost() -> None:
    names = [
        Name("Ada", "female", 1000, 0.8), Name("Bea", "female", 100, 0.8),
        Name("Dan", "male", 100, 0.8), Name("Ed", "male", 1000, 1.0), Name("Flo", "male", 1, 1.0),
    ]  # fmt: skip
    rows, cost, unpaired = pair_names(names, GROUPS, weight=1.0, most=10)
    assert rows == [("Ada", "Ed"), ("Bea", "Dan")]
    assert cost == pytest.approx((0.2 + 0.0) / 2)
    assert unpaired == 1


people = st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(people, people, st.floats(0, 3))
def test_no_other_assignment_is_cheaper(women: Any, men: Any, weight: float) -> None:
    """Against all assignments, one by one."""
    left = [Name(f"F{k}", "female", n, tie) for k, (n, tie) in enumerate(women)]
    right = [Name(f"M{k}", "male", n, tie) for k, (n, tie) in enumerate(men)]
    rows, mean, _ = pair_names([*left, *right], GROUPS, weight=weight, most=10)

    def price(a: Name, b: Name) -> float:
        return abs(math.log(a.bearers) - math.log(b.bearers)) + weight * abs(a.tie - b.tie)

    few, many = sorted((left, right), key=len)
    best = min(sum(map(price, few, chosen)) for chosen in permutations(many, len(few)))
    assert len(rows) == len(few)
    assert mean * len(rows) == pytest.approx(best, abs=1e-6)


def test_of_assignments_of_equal_cost_the_even_one_is_taken() -> None:
    """|1 - 3| + |2 - 4| = |1 - 4| + |2 - 3| on the logarithmic scale; the second has a pair three apart."""
    left = [Name("A", "female", math.e**1, 1.0), Name("B", "female", math.e**2, 1.0)]
    right = [Name("C", "male", math.e**3, 1.0), Name("D", "male", math.e**4, 1.0)]
    rows, cost, _ = pair_names([*left, *right], GROUPS, weight=1.0, most=10)
    assert sorted(rows) == [("A", "C"), ("B", "D")] and cost == pytest.approx(2)


def test_three_groups_are_paired_through_the_first() -> None:
    names = [Name(f"{g}{n}", g, n, 1.0) for g in "abc" for n in (10, 100)] + [Name("a1000", "a", 1000, 1.0)]
    rows, _, unpaired = pair_names(names, "abc", weight=1.0, most=10)
    assert sorted(rows) == [("a100", "b10", "c10"), ("a1000", "b100", "c100")]  # the two most frequent of a
    assert unpaired == 1


def test_names_that_cannot_be_swapped_are_left_out_with_the_reason(counts: str) -> None:
    axis = load_axis("gender")
    found, left_out = usable(read_counts(Path(counts), GROUPS), axis, least_tie=0.5, exclude=["bea"])
    assert [(n.name, n.group, n.bearers, round(n.tie, 3)) for n in found] == [
        ("Ada", "female", 1000, 0.8), ("Dan", "male", 100, 0.8), ("Ed", "male", 1000, 1.0)
    ]  # fmt: skip
    assert left_out == {
        "also another word, a place or a surname": 2,  # Rose, and Bea as asked
        "tie to a group below 0.5": 1,  # Cleo: 0.2
        "also a group word": 1,  # Queen
    }


def test_names_that_are_more_often_something_else_are_left_alone() -> None:
    """Peoples and countries that other packs know; states, cities, words that begin a sentence, surnames."""
    told = {"also a word of another axis": ["German", "Kenya", "Dane"], "also another word, a place or a surname": [
        "Florida", "Alberta", "Kent", "Cleveland", "Milan", "Santiago", "Orlando", "Roman", "Norman", "Long", "Miles",
        "Song", "Soon", "In", "Else", "Van", "Les", "Mercedes", "Kelvin", "Gene", "Johnson", "Jackson",
    ]}  # fmt: skip
    for reason, names in told.items():
        counts = {name: {"female": 0.0, "male": 9.0} for name in names}
        assert usable(counts, load_axis("gender"), least_tie=0.5, exclude=()) == ([], {reason: len(names)})
    people = ["Mary", "Charlotte", "Diana", "Holly", "Frank", "Jack", "Mark", "Ali", "Carlos", "Ian"]
    counts = {name: {"female": 0.0, "male": 9.0} for name in people}
    found, _ = usable(counts, load_axis("gender"), least_tie=0.5, exclude=())
    assert [n.name for n in found] == people


def test_the_list_of_names_to_leave_alone_has_no_frequent_first_name() -> None:
    """Its headings are no names, and the most frequent first names of the census are not in it."""
    assert "surnames" not in ambiguous() and "#" not in ambiguous()
    frequent = """james john robert michael william david richard charles joseph thomas mary patricia linda barbara
    elizabeth jennifer maria susan margaret dorothy paul donald george kenneth steven edward brian ronald anthony kevin
    lisa nancy karen betty helen sandra donna carol ruth sharon michelle laura sarah deborah jessica cynthia angela
    jason matthew gary"""
    assert not set(frequent.split()) & ambiguous()


def test_the_axis_takes_the_paired_names(counts: str) -> None:
    axis, paired = with_counted_names(
        load_axis("gender"), read_counts(Path(counts), GROUPS), weight=1.0, most=1, least_tie=0.5, exclude=()
    )
    assert axis.names == paired.rows == (("Ada", "Ed"),)
    assert paired.cost == pytest.approx(0.2)  # equal numbers of bearers, ties 0.8 and 1
    assert paired.left_out["not among the 1 most frequent of the group"] == 2  # Bea, Dan
    assert axis.tuples == load_axis("gender").tuples


def test_both_forms_of_the_file_are_read_alike(tmp_path: Path, counts: str) -> None:
    long = tmp_path / "long.csv"
    lines = ["Name,Group,Count"]
    for line in COUNTS.splitlines()[1:]:
        name, female, male = line.split(",")
        lines += [f'{name.upper()},female,"{int(female):,}"', f"{name},male,{male}"]
    long.write_text("\ufeff" + "\n".join(lines))
    assert read_counts(long, GROUPS) == read_counts(Path(counts), GROUPS)


def test_a_name_is_one_however_its_accents_are_written(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("name,group,count\nZoé,female,3\nZoe\u0301,female,4\n", encoding="utf-8")
    assert read_counts(path, GROUPS) == {"Zoé": {"female": 7.0, "male": 0.0}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("who,sex\nAda,f\n", "it has neither the columns name, group and count, nor name and one for each group"),
        ("name,group,count\nAda,feminine,3\n", "'feminine' is no group of the axis"),
        ("name,group,count\nAda,female,many\n", "'many' is no number of bearers"),
        ("name,female,male\nAda,-1,2\n", "'-1' is no number of bearers"),
        ("name,female,male\n,1,2\n", "a line has no name"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_counts(path, GROUPS)
    assert error.value.what == told
    assert str(error.value.where) == (str(path) if "neither" in told else f"{path}, line 2")


@pytest.mark.realdata
def test_the_census_counts_the_bearers_of_each_name() -> None:
    """Lines of the two files as they are, and partners that are as frequent."""
    counts = census_counts(GROUPS, None)
    assert counts["Mary"] == {"female": 2.629, "male": 0.009}
    assert counts["James"] == {"female": 0.010, "male": 3.318}
    assert len(counts) == 5163  # 4,275 and 1,219 names, 331 in both lists
    step = PLUGIN(counts=CENSUS)
    axis, paired = step.paired_axis()
    assert paired is not None and len(axis.names) == len({name for row in axis.names for name in row}) / 2
    assert {k.path.rpartition("/")[2] for k in PLUGIN.files_for(step.options)} == {
        "dist.female.first.txt", "dist.male.first.txt"
    }  # fmt: skip
    pairs = dict(axis.names)
    # The most frequent ones of both lists go together, almost in their order.
    men = ["James", "John", "Robert", "Michael", "William", "David", "Richard", "Charles"]
    assert all(pairs[name] in men for name in ("Mary", "Patricia", "Linda", "Barbara", "Elizabeth"))
    gaps = [abs(math.log(counts[f]["female"] / counts[m]["male"])) for f, m in axis.names]
    assert max(gaps) < 1.3 and sum(gaps) / len(gaps) < 0.1
    assert "Leslie" not in pairs and "Leslie" not in pairs.values()  # borne by both


def test_the_census_knows_no_other_groups() -> None:
    with pytest.raises(UsageError, match="counts names of the groups female and male"):
        census_counts(("young", "old"), None)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        read_counts(tmp_path / "none.csv", GROUPS)
    with pytest.raises(UsageError, match="there is no file"):
        PLUGIN(counts=str(tmp_path / "none.csv"))


# --------------------------------------------------------------------------------------------------------- the texts
def test_documents_are_swapped_with_the_paired_names(run: Any, counts: str) -> None:
    texts = [f"Ada said that Ada saw Ed and Cleo {k} times; she was glad." for k in range(200)]
    out, facts, account = applied(PLUGIN, run, Dataset.from_dict({"text": texts}), counts=counts)
    assert 72 < account.changed < 128  # Binomial(200, 1/2): four standard deviations are 28
    assert account.added == 0
    for k, text in enumerate(out["text"]):
        assert text in (texts[k], f"Ed said that Ed saw Ada and Cleo {k} times; he was glad.")
    assert facts["pairs of names"] == 2
    assert facts["some pairs"] == ["Ada / Ed", "Bea / Dan"]
    # ln 1000 - ln 1000 and ln 100 - ln 100; ties 0.8 and 1, 0.8 and 0.8.
    assert facts["mean cost of a pair"] == pytest.approx(0.1)
    assert facts["names from"] == "counts.csv"


def test_without_counts_it_is_refused() -> None:
    with pytest.raises(UsageError, match="names no counts, by which names are paired: set counts = .census:us-1990."):
        PLUGIN()


def test_the_pairs_of_the_pack_must_be_asked_for_and_are_told_to_be_substitution(run: Any) -> None:
    first, second = load_axis("gender").names[0]
    rows = Dataset.from_dict({"text": [f"{first} has {k} books." for k in range(60)]})
    out, facts, _ = applied(PLUGIN, run, rows, counts="pack")
    assert {text.split()[0] for text in out["text"]} == {first, second}
    assert facts["names from"] == "the axis pack, aligned by rough frequency; the swap is that of substitution"


def test_swapped_texts_may_be_added_instead(run: Any, counts: str) -> None:
    rows = Dataset.from_dict({"text": ["Ada is a nurse.", "The town is on a river. " * 9]})
    out, facts, account = applied(PLUGIN, run, rows, counts=counts, mode="augment")
    assert list(out["text"])[:2] == ["Ada is a nurse.", "Ed is a nurse."]
    assert (account.kept, account.added) == (2, 1)
    assert facts["rows augmented"] == 1


def test_strength_0_reads_no_file_and_changes_nothing(run: Any, counts: str) -> None:
    rows = Dataset.from_dict({"text": ["Ada is a nurse."]})
    step = PLUGIN(counts=counts, strength=0.0)
    Path(counts).unlink()
    transform = step.data(run, "train", None)
    assert transform.fn(rows) is rows
    assert transform.account().kept == 1


def test_2500_names_of_each_group_are_paired(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    lines = [f"{side}{k},{group},{3000 - k}" for side, group in (("Fa", "female"), ("Mo", "male")) for k in range(2600)]
    path.write_text("\n".join(["name,group,count", *lines]))
    axis, paired = with_counted_names(
        load_axis("gender"), read_counts(path, GROUPS), weight=1.0, most=2500, least_tie=0.5, exclude=()
    )
    assert axis.names[:2] == (("Fa0", "Mo0"), ("Fa1", "Mo1")) and len(axis.names) == 2500
    assert paired.cost == pytest.approx(0)
