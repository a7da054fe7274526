"""Gender in French, Spanish and German: gold cases, ways back, and the rules that only these languages have.

The accuracy is printed with `-s`. Cases of the half `held` were not looked at while the rules were mended: they are
counted against a floor below what was measured, and never shown.
"""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import counterfactuals, load_axis
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.counterfactual import swap_prefix
from evenhand_sdk.french_grammar import starts_with_vowel
from evenhand_sdk.german_phrases import noun_form

LANGUAGES = ("fr", "es", "de")
GOLD = Path(__file__).parent / "gold"
FLOOR = {"fr": 0.9, "es": 0.95, "de": 0.9}


@cache
def cases(language: str) -> list[dict[str, str]]:
    with (GOLD / f"gender.{language}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def swapped(text: str, language: str) -> str:
    """The text after the swap, or `=` when there is nothing to swap."""
    found = counterfactuals(text, load_axis("gender", language))
    return found[0].text if found else "="


def work(language: str) -> list[dict[str, str]]:
    return [case for case in cases(language) if case["half"] == "work"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_gold_set_is_large_and_has_two_halves(language: str) -> None:
    halves = Counter(case["half"] for case in cases(language))
    assert sum(halves.values()) >= 80 and set(halves) == {"work", "held"}
    assert min(halves.values()) >= 35
    assert len({case["text"] for case in cases(language)}) == len(cases(language))


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [(lang, case["text"], case["expected"]) for lang in LANGUAGES for case in work(lang)],
)
def test_a_case_of_the_working_half(language: str, text: str, expected: str) -> None:
    assert swapped(text, language) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_accuracy_on_the_half_that_nobody_looked_at(language: str) -> None:
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in cases(language):
        if case["half"] == "held":
            total[case["phenomenon"]] += 1
            right[case["phenomenon"]] += swapped(case["text"], language) == case["expected"]
    share = right.total() / total.total()
    print(f"\n{language}: {right.total()} of {total.total()} ({share:.1%})")
    for phenomenon, count in total.items():
        print(f"  {phenomenon:<14} {right[phenomenon]} of {count}")
    assert share >= FLOOR[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_gold_swaps_come_back(language: str) -> None:
    """One-way words (mari, dame) and names of rulers are the exceptions, so not all do."""
    texts = [case["text"] for case in work(language) if case["expected"] != "="]
    back = [swapped(swapped(text, language), language) == text for text in texts]
    assert sum(back) / len(back) >= 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_agreement_forms_are_no_group_words(language: str) -> None:
    pack = load_axis("gender", language)
    forms = [row for row in pack.tuples if row.theme == "agreement"]
    assert all(row.sources == () for row in forms)
    assert not any(pack.is_source(word) and " " not in word for word in ("grande", "blonde", "bonita", "neue"))


# --- what a careful reader expects, beyond the gold set ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        # son and su agree with what is owned, never with the owner; sein and ihr with both
        ("fr", "Elle cherche son chapeau et sa clé.", "Il cherche son chapeau et sa clé."),
        ("es", "Ella busca su sombrero.", "Él busca su sombrero."),
        ("de", "Sie sucht ihren Hut.", "Er sucht seinen Hut."),
        ("de", "Das Kind liebt seine Mutter.", "Das Kind liebt seinen Vater."),
        ("de", "Die Eltern lieben ihre Tochter.", "Die Eltern lieben ihren Sohn."),
        # the number of a form that singular and plural share
        ("fr", "Les amis de Thomas sont jaloux.", "Les amies de Julie sont jalouses."),
        ("fr", "De nombreux étudiants sont mécontents.", "De nombreuses étudiantes sont mécontentes."),
        # a noun of a thing keeps what belongs to it
        ("fr", "L'actrice vend une grande maison.", "L'acteur vend une grande maison."),
        ("es", "La vecina llama a la puerta blanca.", "El vecino llama a la puerta blanca."),
        ("de", "Die Ärztin kauft eine alte Tür.", "Der Arzt kauft eine alte Tür."),
        # the same verb twice
        ("es", "Mi hermana es cantante y está muy ocupada.", "Mi hermano es cantante y está muy ocupado."),
        # a wife is no woman in general
        ("fr", "La femme de Jean dort.", "Le mari de Marie dort."),
        ("es", "La mujer de Juan es simpática.", "El marido de Julia es simpático."),
        # typographic apostrophes stay
        ("fr", "L’homme ouvre.", "La femme ouvre."),
        ("fr", "L’actrice est arrivée.", "L’acteur est arrivé."),
        # capitals
        ("de", "DIE LEHRERIN", "DER LEHRER"),
        ("fr", "LA VOISINE", "LE VOISIN"),
    ],
)
def test_a_rule_of_the_language(language: str, text: str, expected: str) -> None:
    assert swapped(text, language) == expected


def test_what_cannot_be_decided_lowers_the_confidence() -> None:
    french, german = load_axis("gender", "fr"), load_axis("gender", "de")
    (known,) = counterfactuals("Elle est contente.", french)
    (unknown,) = counterfactuals("Elle est ubiquiste et zélote.", french)
    assert unknown.confidence <= known.confidence
    (guessed,) = counterfactuals("Elle est gratuite.", french)
    assert guessed.text == "Il est gratuite." and guessed.confidence == 0.7  # no list has it: it stays, and says so
    (shown,) = counterfactuals("Ich sehe den Lehrer.", german)
    (inferred,) = counterfactuals("Ich sehe die Lehrerin.", german)
    assert inferred.confidence < shown.confidence  # die leaves two cases


def test_agreement_is_for_axes_of_gender_alone() -> None:
    pack = """
axis = "religion"
locale = "fr"
groups = ["chrétien", "musulman"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["one row"]
[[words]]
pos = "noun"
number = "singular"
rows = [["chrétienne", "musulmane"]]
"""
    (found,) = counterfactuals("Une chrétienne contente est arrivée.", parse_axis(pack, where=""))
    assert found.text == "Une musulmane contente est arrivée."


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("homme", True),
        ("héros", False),
        ("héroïne", True),
        ("amie", True),
        ("hibou", False),
        ("yaourt", False),
        ("fille", False),
    ],
)
def test_elision(word: str, expected: bool) -> None:
    assert starts_with_vowel(word) is expected


@pytest.mark.parametrize(
    ("noun", "case", "expected"),
    [
        ("Student", "accusative", "Studenten"),
        ("Kunde", "dative", "Kunden"),
        ("Herr", "genitive", "Herrn"),
        ("Mann", "genitive", "Mannes"),
        ("Lehrer", "genitive", "Lehrers"),
        ("Lehrer", "dative", "Lehrer"),
        ("Kaufmann", "genitive", "Kaufmannes"),
        ("Journalist", "nominative", "Journalist"),
    ],
)
def test_a_german_noun_in_its_case(noun: str, case: str, expected: str) -> None:
    assert noun_form(noun, case) == expected


# --- properties -------------------------------------------------------------------------------------------------------

WORDS = """la femme L'homme est qu' elle il content, ? der die Frau, sie ihre Lehrer ella el rey está -il ’ . Marie"""
FRAGMENTS = st.sampled_from([*WORDS.split(), "\n"])


@given(st.lists(FRAGMENTS | st.text(max_size=4), max_size=12).map(" ".join), st.sampled_from(LANGUAGES))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_it_fail_and_edits_are_in_order(text: str, language: str) -> None:
    axis = load_axis("gender", language)
    for found in counterfactuals(text, axis):
        assert 0 < found.confidence <= 1
        rebuilt, done = "", 0
        for edit in found.edits:
            assert done <= edit.start and text[edit.start : edit.end] == edit.before
            rebuilt += text[done : edit.start] + edit.after
            done = edit.end
        assert rebuilt + text[done:] == found.text
    assert isinstance(swap_prefix(text, axis), str)


@given(st.text(alphabet="bcdfgkqwxz ,.?'’-\n", max_size=60), st.sampled_from(LANGUAGES))
@settings(max_examples=100, deadline=None)
def test_a_text_without_group_words_stays(text: str, language: str) -> None:
    assert counterfactuals(text, load_axis("gender", language)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pack_is_whole(language: str) -> None:
    pack = load_axis("gender", language)
    raw = tomllib.loads(
        (resources.files("evenhand_sdk") / "packs" / f"gender.{language}.toml").read_text(encoding="utf-8")
    )
    assert raw["locale"] == language and pack.groups == ("female", "male")
    assert len(pack.tuples) >= 300 and len(pack.names) >= 35 and len(pack.templates) >= 10
    assert len(pack.limits) >= 5 and all(entry.reason for entry in pack.do_not_flip)
