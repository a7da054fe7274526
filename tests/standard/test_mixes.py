"""The mixes over authors and over locales: shares by temperature, nothing guessed, nothing lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset, concatenate_datasets

from evenhand_sdk import UsageError
from evenhand_sdk.data_rows import FIXED
from evenhand_standard.data.cultural_mix import OTHER, CulturalMix, locale_of
from evenhand_standard.data.demographic_mix import NO_GROUP, DemographicMix
from evenhand_standard.data.group_mixture import FEWER

SAID = "Synthetic labels of this test."


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def authors(counts: dict[str | None, int]) -> Dataset:
    groups = [group for group, n in counts.items() for _ in range(n)]
    return Dataset.from_dict({"text": [f"Sentence {k}." for k in range(len(groups))], "author_group": groups})


def mixed(run: Any, rows: Dataset, **options: Any) -> tuple[Dataset, dict[str, Any], Any]:
    return applied(DemographicMix, run, rows, **{"consent": SAID, "min_rows": 1, **options})


def test_groups_are_mixed_by_temperature(run: Any) -> None:
    out, facts, account = mixed(run, authors({"north": 90, "south": 10}), tau=0.5, repeats=10)
    # 100 rows in the ratio 90 ^ 0.5 : 10 ^ 0.5 = 3 : 1.
    assert Counter(out["author_group"]) == {"north": 75, "south": 25}
    assert account.dropped == {FEWER: 15} and account.added == 15
    assert facts["rows by author group"] == {
        "north": "90 (90.0 %) became 75 (75.0 %)", "south": "10 (10.0 %) became 25 (25.0 %)"
    }  # fmt: skip
    assert facts["basis of use"] == SAID
    south = Counter(text for text, group in zip(out["text"], out["author_group"], strict=True) if group == "south")
    assert len(south) == 10 and set(south.values()) == {2, 3}  # all of them, as evenly as it goes


def test_repeats_are_capped_and_the_rest_goes_to_others(run: Any) -> None:
    out, _, _ = mixed(run, authors({"north": 90, "south": 10}), tau=0.0, repeats=2)
    assert Counter(out["author_group"]) == {"north": 80, "south": 20}


def test_strength_moves_tau_and_0_is_the_data_itself(run: Any) -> None:
    rows = authors({"north": 90, "south": 10})
    half, _, _ = mixed(run, rows, tau=0.0, strength=0.5, repeats=10)
    assert Counter(half["author_group"]) == {"north": 75, "south": 25}
    assert mixed(run, rows, strength=0.0)[0] is rows


def test_rows_without_a_stated_group_stay_or_go_and_are_never_assigned(run: Any) -> None:
    rows = authors({"north": 40, None: 5, "": 3, "south": 10})
    out, facts, _ = mixed(run, rows, tau=1.0)
    assert facts["rows without a stated group"] == 8 and len(out) == 58
    out, _, account = mixed(run, rows, tau=1.0, unstated="drop")
    assert account.dropped == {NO_GROUP: 8} and len(out) == 50


def test_rows_that_are_not_worked_on_are_not_rows_without_a_stated_group(run: Any) -> None:
    rows = authors({"north": 4, None: 3, "south": 2})
    # Two without text and one too long, which are quarantined, and one that an earlier step keeps as it is.
    more = {"text": ["", " ", "x" * 50, "Kept."], "author_group": ["north", None, None, None]}
    whole = concatenate_datasets([rows, Dataset.from_dict(more)])
    whole = whole.add_column(FIXED, [""] * 12 + ["pairs"])
    _, facts, account = mixed(run, whole, tau=1.0, max_characters=40)
    assert facts["rows without a stated group"] == 3
    assert account.quarantined == {"no text": 2, "longer than 40 characters": 1}


def test_a_tag_begins_the_texts_of_known_authors_and_no_others(run: Any) -> None:
    rows = authors({"north": 3, None: 1, "south": 1})
    out, _, account = mixed(run, rows, tag="[{group}] ", tau=0.0, repeats=2)
    kept = {text for text, group in zip(out["text"], out["author_group"], strict=True) if group == "north"}
    assert kept < {f"[north] Sentence {k}." for k in range(3)} and len(kept) == 2
    assert [text for text, group in zip(out["text"], out["author_group"], strict=True) if group != "north"] == [
        "Sentence 3.", "[south] Sentence 4.", "[south] Sentence 4."
    ]  # fmt: skip
    assert (account.changed, account.added, account.kept) == (3, 1, 1)
    with pytest.raises(UsageError, match=r"must have {group}, as in '\[{group}\] '"):
        DemographicMix(consent=SAID, tag="[north] ")


def test_tags_are_put_before_a_share_of_the_texts_and_a_smaller_one_is_part_of_it(run: Any) -> None:
    rows = authors({"north": 100, "south": 100})
    found = []
    for strength in (0.3, 0.7, 1.0):
        out, _, _ = mixed(run, rows, tag="[{group}] ", tau=1.0, strength=strength)
        found.append({text for text in out["text"] if text.startswith("[")})
    assert found[0] < found[1] < found[2] and len(found[2]) == 200
    assert abs(len(found[0]) - 60) < 26  # four standard deviations of 200 draws


def test_small_groups_and_single_groups_are_refused(run: Any) -> None:
    with pytest.raises(UsageError, match=r"groups with fewer than 20 rows: south \(10\)"):
        mixed(run, authors({"north": 90, "south": 10}), min_rows=20)
    with pytest.raises(UsageError, match="the column 'author_group' names 1 groups, and a mix needs two"):
        mixed(run, authors({"north": 90}))


def test_the_column_must_be_there_and_a_basis_of_use_given(run: Any) -> None:
    with pytest.raises(UsageError, match="the data have no column 'author_group'.*never guessed|never guessed"):
        mixed(run, Dataset.from_dict({"text": ["She left."]}))
    with pytest.raises(UsageError, match="consent: is required"):
        DemographicMix()
    with pytest.raises(UsageError, match="say on what basis the data may be used"):
        DemographicMix(consent=" " * 12)


@pytest.mark.parametrize(
    ("value", "tag"),
    [("en-GB", "en-GB"), ("en_gb", "en-GB"), ("en-GB-scotland", "en-GB"), ("en-US", "en"), ("eng", ""), (None, "")],
)
def test_a_tag_takes_the_rows_that_it_begins_and_the_longest_wins(value: Any, tag: str) -> None:
    assert locale_of(value, ("en", "en-GB", "fr")) == tag


def locales(**counts: int) -> Dataset:
    names = [name.replace("_", "-") for name, n in counts.items() for _ in range(n)]
    texts = [f"She met John in place {k}." for k in range(len(names))]
    return Dataset.from_dict({"text": texts, "locale": names})


def test_locales_are_mixed_by_temperature_and_weight(run: Any) -> None:
    rows = locales(en_GB=80, en_IN=20, fr=10)
    out, facts, account = applied(CulturalMix, run, rows, locales=("en-GB", "en-IN"), tau=0.5, axes=("gender",))
    # 100 rows in the ratio 80 ^ 0.5 : 20 ^ 0.5 = 2 : 1; French stays as it is.
    assert Counter(out["locale"]) == {"en-GB": 67, "en-IN": 33, "fr": 10}
    assert facts["gender in en-IN"] == {"female": 20, "male": 20, "pack": "gender.en"}
    assert facts["rows of other locales"] == 10
    out, _, account = applied(
        CulturalMix, run, rows, locales=("en-GB", "en-IN"), tau=1.0, weights={"en-IN": 4.0}, others="drop"
    )
    assert Counter(out["locale"]) == {"en-GB": 50, "en-IN": 50}
    assert account.dropped == {FEWER: 30, OTHER: 10}


def test_rows_that_are_not_worked_on_are_not_rows_of_other_locales(run: Any) -> None:
    rows = locales(en=4, fr=3, de=7)
    whole = concatenate_datasets([rows, Dataset.from_dict({"text": ["", "x" * 50], "locale": ["de", "it"]})])
    options = {"locales": ("en", "fr"), "max_characters": 40}
    _, facts, account = applied(CulturalMix, run, whole, **options)
    assert facts["rows of other locales"] == 7
    assert account.quarantined == {"no text": 1, "longer than 40 characters": 1}


def test_strength_applies_weights_in_part_and_0_is_the_data_itself(run: Any) -> None:
    rows = locales(en_GB=80, en_IN=20)
    options: dict[str, Any] = {"locales": ("en-GB", "en-IN"), "tau": 1.0, "weights": {"en-IN": 16.0}}
    out, _, _ = applied(CulturalMix, run, rows, strength=0.5, **options)
    assert Counter(out["locale"]) == {"en-GB": 50, "en-IN": 50}  # 80 : 20 x 16 ^ 0.5
    assert applied(CulturalMix, run, rows, strength=0.0, **options)[0] is rows


def test_a_locale_without_texts_and_a_pack_that_is_not_there_are_told(run: Any) -> None:
    rows = locales(en_GB=8, xx=2)
    with pytest.raises(UsageError, match="the data have no text of de"):
        applied(CulturalMix, run, rows, locales=("en-GB", "de"))
    _, facts, _ = applied(CulturalMix, run, rows, locales=("en-GB", "xx"), axes=("gender",))
    assert facts["gender in xx"].startswith("not counted: unknown axis 'gender' for locale 'xx'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locales": ("en", "not a tag")}, "'not a tag' is no BCP 47 tag"),
        ({"locales": ("en", "EN")}, "names a locale twice"),
        ({"locales": ("en", "fr"), "weights": {"en": 0.0, "fr": 0.0}}, "weights leave out every locale: one at least"),
        ({"locales": ("en", "fr"), "weights": {"de": 1.0}}, "weights name 'de', which is not among the locales en, fr"),
        ({"locales": ("en",)}, "is too short"),
    ],
)
def test_locales_and_weights_are_checked_when_a_recipe_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CulturalMix(**options)
