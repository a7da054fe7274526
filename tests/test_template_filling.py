"""Sentences of templates: read as they are, in English by slots, elsewhere through the engine."""

from __future__ import annotations

import re

import pytest

from evenhand_sdk import counterfactuals, group_words, load_axis
from evenhand_sdk.axes import packaged_axes
from evenhand_sdk.template_filling import agrees, filled_sides, fillings
from evenhand_standard.data.synthesis_grid import grid
from evenhand_standard.pair_bank.axis_sentences import sentence_pairs

LANGUAGES = ("fr", "es", "de")


def sides(locale: str, template: str, *words: str) -> dict[str, str]:
    """The filling of the one slot with a row of the pack of gender."""
    axis = load_axis("gender", locale)
    [known] = [t for t in axis.templates if t.text == template]
    rows = [slots for slots in fillings(axis, known) if next(iter(slots.values()))[0] == words[0]]
    return filled_sides(axis, known.text, rows[0])


@pytest.mark.parametrize(
    ("locale", "template", "word", "female", "male"),
    [
        ("fr", "La {work} habite au deuxième étage.", "avocate",
         "L'avocate habite au deuxième étage.", "L'avocat habite au deuxième étage."),
        ("fr", "La {work} habite au deuxième étage.", "boulangère",
         "La boulangère habite au deuxième étage.", "Le boulanger habite au deuxième étage."),
        ("fr", "Ma {kinship} aime les longues promenades.", "tante",
         "Ma tante aime les longues promenades.", "Mon oncle aime les longues promenades."),
        ("fr", "Cette {people} parle trois langues.", "amie",
         "Cette amie parle trois langues.", "Cet ami parle trois langues."),
        ("fr", "Cette {people} parle trois langues.", "femme",
         "Cette femme parle trois langues.", "Cet homme parle trois langues."),
        ("es", "Invitamos a la {work} a cenar.", "enfermera",
         "Invitamos a la enfermera a cenar.", "Invitamos al enfermero a cenar."),
        ("es", "Las {work} firmaron la carta esta mañana.", "profesoras",
         "Las profesoras firmaron la carta esta mañana.", "Los profesores firmaron la carta esta mañana."),
        ("de", "Der Hund folgt der {people} bis zum Bahnhof.", "Frau",
         "Der Hund folgt der Frau bis zum Bahnhof.", "Der Hund folgt dem Mann bis zum Bahnhof."),
        ("de", "Wir haben die {work} zum Essen eingeladen.", "Lehrerin",
         "Wir haben die Lehrerin zum Essen eingeladen.", "Wir haben den Lehrer zum Essen eingeladen."),
        ("de", "Diese {people} spricht drei Sprachen.", "Frau",
         "Diese Frau spricht drei Sprachen.", "Dieser Mann spricht drei Sprachen."),
    ],
)  # fmt: skip
def test_a_filled_sentence_reads_as_somebody_would_write_it(
    locale: str, template: str, word: str, female: str, male: str
) -> None:
    assert sides(locale, template, word) == {"female": female, "male": male}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_side_of_a_filled_template_is_what_the_engine_makes_of_the_other(locale: str) -> None:
    axis = load_axis("gender", locale)
    versions = grid(axis)
    assert len(versions) > 600
    for version in versions:
        female, male = version.texts["female"], version.texts["male"]
        assert counterfactuals(female, axis, "male")[0].text == male != female
        assert counterfactuals(male, axis, "female")[0].text == female
        assert len(group_words(female, axis)) == 1


@pytest.mark.parametrize(
    ("locale", "wrong"),
    [
        ("fr", r"\b([Ll]a|[Uu]ne|[Cc]ette|[Mm]a) (\w*eur|homme|monsieur|garçon|père|fils|oncle|ami|avocat|étudiant)\b"
               r"|\b([Ll]a|[Mm]a|[Ll]e|[Cc]e) [aeiouéè]"),
        ("es", r"\b([Ll]a|[Uu]na|[Ee]sa|[Ll]as) (\w*or|\w*ores|hombre|señor|niño|padre|hijo|enfermero|abogado)\b"
               r"|\ba el\b|\btemprana\b"),
        ("de", r"\b([Dd]ie|[Ee]ine|[Mm]eine|[Dd]iese) "
               r"(\w*(?<![Mm]utt)(?<![Ss]chwest)(?<![Tt]ocht)er|Mann|Sohn|Freund|Onkel)"
               r" (wohnt|macht|spricht|zum|das|bis|immer)"),
    ],
)  # fmt: skip
def test_no_filled_sentence_has_the_article_of_the_other_gender(locale: str, wrong: str) -> None:
    """By patterns that know nothing of the engine."""
    axis = load_axis("gender", locale)
    texts = [text for version in grid(axis) for text in version.texts.values()]
    texts += [text for pair in sentence_pairs(axis) for text in (pair.left_text, pair.right_text)]
    assert [text for text in texts if re.search(wrong, text)] == []


@pytest.mark.parametrize("locale", LANGUAGES)
def test_few_rows_are_lost(locale: str) -> None:
    axis = load_axis("gender", locale)
    rows = [(t, slots) for t in axis.templates for slots in fillings(axis, t)]
    lost = [(t.text, slots) for t, slots in rows if not filled_sides(axis, t.text, slots)]
    assert lost == []


def test_in_english_the_words_are_filled_in() -> None:
    for axis in packaged_axes():
        assert agrees(axis) == (axis.locale in LANGUAGES)
    religion = load_axis("religion")
    words = {"a": religion.tuples[0].words}
    found = filled_sides(religion, "There is an {a} in the house.", words)
    assert found
    for group, text in found.items():
        word = religion.tuples[0].words[religion.groups.index(group)]
        assert text == f"There is {'an' if word[0].lower() in 'aeiou' else 'a'} {word} in the house."
