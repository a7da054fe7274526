"""Texts whose accents are characters of their own: what is found in them is what is found where they are composed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evenhand_sdk.axes import Axis, load_axis
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.composed_text import compose, composed
from evenhand_sdk.counterfactual import causal_counterfactuals, counterfactuals, group_words, swap_prefix
from test_engine_laws import AXES, check_alignment, texts_with_words

ACUTE, GRAVE, DIAERESIS = "\u0301", "\u0300", "\u0308"


def apart(text: str) -> str:
    return unicodedata.normalize("NFD", text)


# ------------------------------------------------------------------------------------------------ by hand
@pytest.mark.parametrize(
    ("locale", "before", "after"),
    [
        ("fr", "L'étudiante est arrivée hier.", "L'étudiant est arrivé hier."),
        ("fr", "La première boulangère était âgée.", "Le premier boulanger était âgé."),
        ("es", "La campeona está cansada, señor.", "El campeón está cansado, señora."),
        ("de", "Die Ärztin hörte ihren Bruder.", "Der Arzt hörte seine Schwester."),
        ("de", "Die Köchin lobte den jungen Gärtner.", "Der Koch lobte die junge Gärtnerin."),
        ("en", "The fiancée met her brother at the café.", "The fiancé met his sister at the café."),
    ],
)
def test_words_and_what_agrees_with_them_are_swapped_there_and_back(locale: str, before: str, after: str) -> None:
    axis = load_axis("gender", locale)
    assert apart(before) != before and apart(after) != after
    [found] = counterfactuals(apart(before), axis)
    assert found.text == apart(after)
    assert [back.text for back in counterfactuals(found.text, axis)] == [apart(before)]


def test_places_are_those_of_the_text_as_it_is_given() -> None:
    text = f"Cafe{ACUTE}: l'e{ACUTE}tudiante est arrive{ACUTE}e."
    axis = load_axis("gender", "fr")
    [found] = counterfactuals(text, axis)
    assert found.text == f"Cafe{ACUTE}: l'e{ACUTE}tudiant est arrive{ACUTE}."
    assert [tuple(edit) for edit in found.edits] == [
        (9, 19, f"e{ACUTE}tudiante", f"e{ACUTE}tudiant", 9, 18),
        (24, 32, f"arrive{ACUTE}e", f"arrive{ACUTE}", 23, 30),
    ]
    [word] = group_words(text, axis)
    assert (word.start, word.end, word.group) == (9, 19, "female")


def test_a_new_word_has_its_accents_as_the_old_one_or_as_the_text() -> None:
    axis = load_axis("gender", "es")
    assert counterfactuals("El rey vio a la campeona.", axis)[0].text == "La reina vio al campeón."
    assert counterfactuals(f"La campeona esta{ACUTE} sola.", axis)[0].text == f"El campeo{ACUTE}n esta{ACUTE} solo."
    # each word its own way, where both are there
    mixed = f"La campeona y el león, el sen{chr(0x303)}or García."
    assert counterfactuals(mixed, axis)[0].text == f"El campeo{ACUTE}n y el león, la sen{chr(0x303)}ora García."


def test_a_growing_text_is_never_revised_by_an_accent_that_follows() -> None:
    axis = load_axis("gender", "es")
    first = swap_prefix("La campeona", axis)
    assert "campeón" in first
    assert swap_prefix(f"La campeona esta{ACUTE}", axis).startswith(first)


def test_a_pack_with_decomposed_accents_is_the_same_pack() -> None:
    text = """
axis = "faith"
locale = "fr"
groups = ["chrétien", "laïc"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["a test"]
[[words]]
theme = "métier"
pos = "noun"
rows = [["abbé", "délégué"]]
[[do_not_flip]]
reason = "titre"
scope = "phrase"
phrases = ["abbé Prévost"]
"""
    assert apart(text) != text
    pack = parse_axis(apart(text), where="own")
    assert pack == parse_axis(text, where="own") and pack.groups == ("chrétien", "laïc")
    for form in ("L'abbé a lu l'abbé Prévost.", apart("L'abbé a lu l'abbé Prévost.")):
        [found] = counterfactuals(form, pack)
        assert composed(found.text) == "L'délégué a lu l'abbé Prévost."


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", None),
        ("déjà", None),
        (f"de{ACUTE}ja{GRAVE}", "déjà"),
        (f"x{ACUTE} stays, e{ACUTE} does not", f"x{ACUTE} stays, é does not"),
        (f"{ACUTE}e at the beginning", None),
        ("\u212b and \u2126 are no accents", None),  # signs of measures, which NFC would rewrite
        ("か\u3099く", "がく"),
        (unicodedata.normalize("NFD", "여자 남자"), "여자 남자"),
        (f"e\u0323\u0302 and u{DIAERESIS}\u030c", "ệ and ǚ"),
    ],
)
def test_what_is_composed(given: str, expected: str | None) -> None:
    found = compose(given)
    assert (found and found.text) == expected
    assert composed(given) == (given if expected is None else expected)


def test_places_of_a_composed_text() -> None:
    found = compose(f"a e{ACUTE}b i{DIAERESIS}{ACUTE}.")
    assert found is not None and found.text == "a éb ḯ."
    # a=0, space=1, é=2-3, b=4, space=5, ḯ=6-8, full stop=9
    assert [found.place(at) for at in range(len(found.text) + 1)] == [0, 1, 2, 4, 5, 6, 9, 10]


# ------------------------------------------------------------------------------------------------ laws
ACCENTED = [axis for axis in AXES if any(apart(word) != word for word in axis.words())]
WORDS = {axis: [word for word in axis.words() if apart(word) != word] for axis in ACCENTED}


@st.composite
def accented_texts(draw: st.DrawFn, axis: Axis) -> str:
    """Words of the pack with accents, among others, each composed or not."""
    listed = st.one_of(st.sampled_from(WORDS[axis]), st.sampled_from(axis.words()))
    parts = []
    for word in draw(st.lists(listed, min_size=1, max_size=5)):
        style = draw(st.sampled_from([str, str.upper, str.title]))
        parts += [style(word), draw(st.sampled_from([" ", ", ", ". ", " à ", " est né ", " é", "\u0301", "ñ "]))]
    return "".join(apart(part) if draw(st.booleans()) else part for part in parts)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(ACCENTED))
def test_the_swap_is_that_of_the_composed_text_and_the_rest_stays_character_by_character(
    data: st.DataObject, axis: Axis
) -> None:
    text = data.draw(accented_texts(axis))
    whole = composed(text)
    for swap in (counterfactuals, causal_counterfactuals):
        found, expected = swap(text, axis), swap(whole, axis)
        assert [composed(one.text) for one in found] == [composed(one.text) for one in expected]
        assert [one.confidence for one in found] == [one.confidence for one in expected]
        for one, other in zip(found, expected, strict=True):
            check_alignment(text, one)
            assert [composed(edit.before) for edit in one.edits] == [edit.before for edit in other.edits]
            assert [composed(edit.after) for edit in one.edits] == [edit.after for edit in other.edits]
    seen, known = group_words(text, axis), group_words(whole, axis)
    assert [composed(text[w.start : w.end]) for w in seen] == [whole[w.start : w.end] for w in known]
    assert [(w.group, w.exempt) for w in seen] == [(w.group, w.exempt) for w in known]


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(ACCENTED))
def test_a_decomposed_text_stays_a_decomposed_one(data: st.DataObject, axis: Axis) -> None:
    text = apart(data.draw(accented_texts(axis)))
    if compose(text) is not None:
        for found in counterfactuals(text, axis):
            assert unicodedata.is_normalized("NFD", found.text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="eEaoNnn\u0301\u0300\u0303\u0323각가か\u3099Å ", max_size=40)))
@example("\u1100\u1161\u11a8")
def test_composing_ends_and_keeps_what_the_text_says(text: str) -> None:
    once = composed(text)
    assert composed(once) == once
    assert unicodedata.normalize("NFC", once) == unicodedata.normalize("NFC", text)
    found = compose(text)
    if found is not None:
        places = [found.place(at) for at in range(len(once) + 1)]
        assert places[0] == 0 and places[-1] == len(text) and places == sorted(set(places))
        letters = [at for at in range(len(once)) if not unicodedata.combining(once[at])]
        for at, after in zip(letters, [*letters[1:], len(once)], strict=True):  # with the accents that stay apart
            here = text[found.place(at) : found.place(after)]
            assert unicodedata.normalize("NFC", here) == unicodedata.normalize("NFC", once[at:after])


@settings(max_examples=100, deadline=None)
@given(texts_with_words(), st.sampled_from(AXES))
def test_any_text_with_words_apart_and_together(text: str, axis: Axis) -> None:
    whole = composed(text)
    made, expected = counterfactuals(text, axis), counterfactuals(whole, axis)
    assert [composed(one.text) for one in made] == [composed(one.text) for one in expected]
