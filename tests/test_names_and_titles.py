"""Whose a name is: relatives of real persons, surnames behind titles, double names, and MS that is no Ms."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis
from swapping import swapped


@pytest.mark.parametrize(
    "text",
    [
        "Albert Einstein wrote to his sister Mary.",
        "Isaac Newton loved his niece Catherine and his half-brother Ben.",
        "Marie Curie's daughter, Emma, met us.",
        "Charles Darwin and his sons, Tom, Frank and Leo, sailed.",
        "Rosa Parks saw her brothers Zeb and Jack.",
        "Marie Curie's sister Mary Beth laughed. Mary Beth left.",
        "Empress Maria Theresa smiled.",
        "King Henry VIII beheaded his wife Anne. Anne had been brave.",
        "Marie Curie's daughter Emma met Noah.",  # who would become another Emma
    ],
)
def test_the_name_of_a_kept_relative_stays(text: str) -> None:
    assert swapped(text) == text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Marie Curie met my brother Tom.", "Marie Curie met my sister Kate."),
        ("Marie Curie wrote to her sister. Emma answered.", "Marie Curie wrote to her sister. Noah answered."),
        ("Marie Curie's brother met Emma.", "Marie Curie's brother met Noah."),
        ("Marie Curie and her friend Emma sang.", "Marie Curie and her friend Noah sang."),
        ("Sarah and her brother Tom sang.", "Daniel and his sister Kate sang."),
        ("Albert Einstein's sons met her, Emma and Tom.", "Albert Einstein's sons met him, Noah and Kate."),
    ],
)
def test_names_of_others_are_swapped(text: str, after: str) -> None:
    assert swapped(text) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Dr. King was late.", "Dr. King was late."),
        ("Prof. Prince and Rev. Monk preached.", "Prof. Prince and Rev. Monk preached."),
        ("Mr. King agreed with Mrs. Prince.", "Mrs. King agreed with Mr. Prince."),
        ("Mr Guy saw Mrs Monk.", "Mrs Guy saw Mr Monk."),
        ("Ms. Duke read it to Dr Duke's son.", "Mr. Duke read it to Dr Duke's daughter."),
        ("Dr. King and his aunt marched.", "Dr. King and her uncle marched."),
        ("MR. KING LEFT.", "MRS. KING LEFT."),
        ("Mr. Chairman, I agree.", "Mrs. Chairwoman, I agree."),
        ("The doctor saw the King.", "The doctor saw the Queen."),
        ("He called the doctor. King and queen met.", "She called the doctor. Queen and king met."),
        ("Rev. Mother spoke to a monk.", "Rev. Father spoke to a nun."),
        ("The professor, Monk or not, knew a monk.", "The professor, Nun or not, knew a nun."),
    ],
)
def test_a_word_with_a_capital_behind_a_title_is_a_surname(text: str, after: str) -> None:
    assert swapped(text) == after


def test_surnames_behind_titles_are_told_on_every_axis() -> None:
    for axis, text in (
        ("age", "Dr. Young and Mr. Old met."),
        ("religion", "Ms. Christian and Mr. Sikh met."),
        ("socioeconomic", "Mr. Rich and Mrs. Poor met."),
        ("nationality", "Dr. German and Prof. English met."),
    ):
        assert [found.text for found in counterfactuals(text, load_axis(axis))] == [], text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("MS patients told her so.", "MS patients told him so."),
        ("She has an MS in chemistry and an MR scan.", "He has an MS in chemistry and an MR scan."),
        ("Open the MS Word file for him.", "Open the MS Word file for her."),
        ("The MR images show his knee.", "The MR images show her knee."),
        ("He ran it on MS-DOS.", "She ran it on MS-DOS."),
        ("She got her MS. The MRS scan was his.", "He got his MS. The MRS scan was hers."),
        ("THE MS IS OLD", "THE MS IS OLD"),
        ("DON'T MISS IT, SHE SAID", "DON'T MISS IT, HE SAID"),
        ("Ms. Brown met Mr Hill.", "Mr. Brown met Mrs Hill."),
        ("DEAR MS BROWN,\nhe is here.", "DEAR MR BROWN,\nshe is here."),
        ("MR. HOBBS bows.", "MRS. HOBBS bows."),
        ("THANK YOU, MR PRESIDENT.", "THANK YOU, MADAM PRESIDENT."),
        ("MR SMITH AND MISS BROWN LEFT.", "MRS SMITH AND MR BROWN LEFT."),
    ],
)
def test_capital_letters_are_a_title_before_a_name_in_capitals(text: str, after: str) -> None:
    assert swapped(text) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Mary Ann Smith left.", "Mary Ann Smith left."),  # Ann is not in the table
        ("Mary Ann told her uncle.", "Mary Ann told his aunt."),
        ("Mary-Lou and Anna-Vera left.", "Mary-Lou and Anna-Vera left."),
        ("Mary Beth left.", "John Steve left."),
        ("Mary-Kate Miller left.", "John-Tom Miller left."),
        ("Billy-Bob left.", "Tammy-Susie left."),
        ("Sarah Jane Miller left.", "Daniel Jack Miller left."),
        ("Keith Thomas left.", "Diane Thomas left."),
        ("Mary Smith-Jones left.", "John Smith-Jones left."),
        ("Mary, Beth and Kate left.", "John, Steve and Tom left."),
        ("Mary met Kate.", "John met Tom."),
    ],
)
def test_a_double_name_is_swapped_whole_or_not_at_all(text: str, after: str) -> None:
    assert swapped(text) == after
