"""Substitution: which documents are swapped, as a whole and how often, and that nothing else happens to a row."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand_sdk.data_rows import FIXED
from evenhand_standard.data.counterfactual_substitution import CounterfactualSubstitution, chance, partners

PLUGIN = CounterfactualSubstitution


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def books(count: int, who: str = "She has", what: str = "books") -> Dataset:
    return Dataset.from_dict({"text": [f"{who} {k} {what}." for k in range(count)]})


def test_a_half_of_the_documents_is_swapped_in_place(run: Any) -> None:
    out, facts, account = applied(PLUGIN, run, books(400))
    assert len(out) == 400 and account.added == 0 and account.dropped == {}
    assert [text.split()[2] for text in out["text"]] == [str(k) for k in range(400)]
    # Binomial(400, 1/2): four standard deviations are 40.
    assert 160 < account.changed < 240
    assert facts["share of rows swapped"] == account.changed / 400
    assert facts["group words before"] == {"gender": {"female": 400, "male": 0}}
    assert facts["group words after"] == {"gender": {"female": 400 - account.changed, "male": account.changed}}
    swapped = [row for row in out if row["text"].startswith("He ")]
    assert len(swapped) == account.changed
    assert {(row["evenhand_step"], row["evenhand_axis"], row["evenhand_group"]) for row in swapped} == {
        ("step", "gender", "male")
    }


def test_a_text_is_swapped_as_a_whole(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["She said that her brother likes his wife."] * 20})
    out, _, _ = applied(PLUGIN, run, rows.add_column("n", list(range(20))))
    assert set(out["text"]) == {
        "She said that her brother likes his wife.", "He said that his sister likes her husband."
    }  # fmt: skip


def test_rows_of_one_document_share_its_draw(run: Any) -> None:
    rows = books(400).add_column("page", [f"p{k // 4}" for k in range(400)])
    out, _, account = applied(PLUGIN, run, rows, document="page")
    fates = {(row["page"], row["text"].split()[0]) for row in out}
    assert len(fates) == 100
    assert 120 < account.changed < 280 and account.changed % 4 == 0  # Binomial(100, 1/2): four deviations are 20
    with pytest.raises(UsageError, match="the data have no column 'chapter'"):
        applied(PLUGIN, run, rows, document="chapter")


def test_a_row_that_names_no_document_is_one_by_itself(run: Any) -> None:
    rows = books(60)
    alone = rows.add_column("document", [None, " "] * 30)
    out, _, account = applied(PLUGIN, run, alone, document="document")
    # Each row by its own draw: binomial(60, 1/2), four standard deviations are 15.5.
    assert 14 < account.changed < 46
    assert list(out["text"]) == list(applied(PLUGIN, run, rows)[0]["text"])


def test_group_words_are_counted_in_rows_that_are_worked_on_alone(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["She has a book.", "he " * 20_000, None, "The town is on a river.", "He sat."]})
    rows = rows.add_column(FIXED, [""] * 4 + ["pairs"])
    _, facts, account = applied(PLUGIN, run, rows, probability=1.0, max_characters=1000)
    assert facts["group words before"] == {"gender": {"female": 1, "male": 0}}
    assert facts["group words after"] == {"gender": {"female": 0, "male": 1}}
    assert (account.changed, account.quarantined) == (1, {"longer than 1,000 characters": 1, "no text": 1})


def test_smaller_strengths_swap_subsets_and_none_at_0(run: Any) -> None:
    rows = books(200)
    found = []
    for strength in (0.0, 0.3, 0.7, 1.0):
        out, facts, account = applied(PLUGIN, run, rows, strength=strength)
        found.append({k for k, text in enumerate(out["text"]) if text.startswith("He")})
        assert account.changed == len(found[-1])
        if not strength:
            assert out is rows and facts == {}
    assert found[0] == set() and found[0] < found[1] < found[2] < found[3]


def test_the_probability_may_be_set(run: Any) -> None:
    assert applied(PLUGIN, run, books(50), probability=1.0)[2].changed == 50


def test_names_stay_when_asked_to(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["Mary sings.", "She sings."]})
    out, _, _ = applied(PLUGIN, run, rows, probability=1.0, names=False)
    assert list(out["text"]) == ["Mary sings.", "He sings."]


def test_of_three_groups_each_is_equally_likely(run: Any, belief: str) -> None:
    out, _, _ = applied(PLUGIN, run, books(900, "My church has", "windows"), axes=[belief])
    found = Counter(text.split()[1] for text in out["text"])
    # Binomial(900, 1/3): four standard deviations are 57.
    assert set(found) == {"church", "synagogue", "mosque"}
    assert all(243 < n < 357 for n in found.values())


def test_a_text_that_lacks_a_word_for_some_groups_is_equally_likely_about_the_others(run: Any) -> None:
    """The religion pack has no atheist imam: of its seven groups six are left."""
    rows = books(1200, "The imam has")
    out, _, _ = applied(PLUGIN, run, rows, axes=["religion"])
    found = Counter(text.split()[1] for text in out["text"])
    assert set(found) == {"imam", "pastor", "rabbi", "pandit", "lama", "granthi"}
    assert all(148 < n < 252 for n in found.values())  # Binomial(1200, 1/6): four standard deviations are 52
    assert {row["evenhand_group"] for row in out if row["text"].startswith("The rabbi")} == {"jewish"}


def test_a_text_that_lacks_a_word_is_swapped_with_the_probability_that_is_set(run: Any) -> None:
    out, _, _ = applied(PLUGIN, run, books(600, "The imam has"), axes=["religion"], probability=0.5)
    found = Counter(text.split()[1] for text in out["text"])
    assert 251 < found.pop("imam") < 349  # Binomial(600, 1/2): four standard deviations are 49
    assert len(found) == 5 and all(30 < n < 90 for n in found.values())  # Binomial(600, 1/10): 30


def test_a_text_that_lacks_a_word_is_left_as_it_is_within_a_document(run: Any) -> None:
    """The other rows follow the partner that was drawn for all, and another one for this row would make two persons."""
    rows = books(600, "The imam has").add_column("page", [f"p{k}" for k in range(600)])
    out, _, _ = applied(PLUGIN, run, rows, axes=["religion"], document="page")
    found = Counter(text.split()[1] for text in out["text"])
    # Binomial(600, 2/7): it has no partner, or an atheist; four standard deviations are 45.
    assert 126 < found["imam"] < 217


def test_inside_a_document_of_three_groups_two_people_never_become_one(run: Any, belief: str) -> None:
    """Whatever the draw, the two houses of worship of a document stay two, and swaps are the same in all rows."""
    rows = Dataset.from_dict(
        {
            "text": [
                f"The {house} is old." for _ in range(60) for house in ("church", "mosque", "synagogue", "church")
            ],
            "page": [k // 4 for k in range(240)],
        }
    )
    out, _, _ = applied(PLUGIN, run, rows, axes=[belief], document="page")
    seen = set()
    for page in range(60):
        houses = [text.split()[1] for text in out["text"][4 * page : 4 * page + 4]]
        assert houses[0] == houses[3] and len(set(houses[:3])) == 3
        seen.add(tuple(houses[:3]))
    assert len(seen) == 3  # each pair of the three is exchanged in some document; an odd one stays alone


def test_pairings_are_drawn_evenly() -> None:
    three = Counter(frozenset(partners("abc", str(k)).items()) for k in range(3000))
    assert len(three) == 3 and all(879 < n < 1121 for n in three.values())  # four deviations of Binomial(3000, 1/3)
    four = Counter(frozenset(partners("abcd", str(k)).items()) for k in range(3000))
    assert len(four) == 3 and all(879 < n < 1121 for n in four.values())
    for groups in permutations("abcde"):
        found = partners(groups, "name")
        assert all(found[b] == a != b for a, b in found.items()) and len(found) == 4
        assert found == partners("abcde", "name")  # the order in which a pack lists its groups decides nothing


def test_the_chance_of_a_draw_makes_all_groups_equally_likely() -> None:
    assert chance(2, None) == 0.5
    assert chance(6, None) == pytest.approx(5 / 6)
    assert chance(3, None) == pytest.approx(1.0)  # 1 in 3 has no partner
    assert chance(3, 0.5) == pytest.approx(0.75)  # 3/4 of the 2/3 with a partner
    assert chance(2, 0.3) == 0.3


def test_two_axes_are_drawn_apart(run: Any, belief: str) -> None:
    rows = books(400, "She is in church", "times")
    out, _, _ = applied(PLUGIN, run, rows, axes=["gender", belief])
    found = Counter((text.split()[0], text.split()[3]) for text in out["text"])
    assert set(found) == {(a, b) for a in ("She", "He") for b in ("church", "synagogue", "mosque")}
    # Binomial(400, 1/6): four standard deviations are 30.
    assert all(36 < n < 97 for n in found.values())
    both = [row for row in out if row["text"].startswith("He") and "church" not in row["text"]]
    assert {(row["evenhand_axis"], row["evenhand_group"]) for row in both} == {("", "")}


def test_a_stream_gives_the_rows_of_the_data_set(run: Any) -> None:
    rows = books(100)
    stream = PLUGIN().data(run, "train", None).fn(rows.to_iterable_dataset())
    assert list(stream) == applied(PLUGIN, run, rows)[0].to_list()


def test_swaps_that_the_engine_is_not_sure_of_are_left_out_on_request(run: Any) -> None:
    rows = Dataset.from_dict({"text": ["She left.", "She brings his or her cup."]})
    sure, _, account = applied(PLUGIN, run, rows, probability=1.0, min_confidence=0.8)
    assert list(sure["text"]) == ["He left.", "She brings his or her cup."] and account.changed == 1
    assert applied(PLUGIN, run, rows, probability=1.0)[2].changed == 2
