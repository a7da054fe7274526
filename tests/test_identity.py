"""What a well-known person is said to be stays with that person; what others are, is exchanged."""

import pytest

from evenhand_sdk import counterfactuals


def swapped(text: str) -> str:
    found = counterfactuals(text, "gender")
    return found[0].text if found else text


@pytest.mark.parametrize(
    "text",
    [
        "Tom Hanks is an American actor.",
        "Julia Roberts (born October 28, 1967) is an American actress and producer.",
        "Tom Hanks, an American actor, waved.",
        "Elvis Presley was an American singer and actor.",
        "Wes Anderson is an American film director, screenwriter, actor, and producer of short films.",
        "Jodie Foster was a French and English actress, and a mother.",
        "Tom Hanks is an actor, a husband and a father.",
        "Tom Hanks is a writer and the son of a cook.",
        "Meryl Streep is often described as the best actress of her generation.",
        "Serena Williams is an American former professional tennis player and businesswoman.",
        "Tom Hanks is the man behind the film.",
    ],
)
def test_what_a_known_person_is_stays(text: str) -> None:
    assert swapped(text) == text


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Tom Hanks met an American actor.", "Tom Hanks met an American actress."),
        ("Tom Hanks is the husband of an actress.", "Tom Hanks is the husband of an actor."),
        ("Kobe Bryant is an actor and a woman waited.", "Kobe Bryant is an actor and a man waited."),
        ("Wes Anderson is a director, and the actress left.", "Wes Anderson is a director, and the actor left."),
        ("Wes Anderson is a director, and an actress left.", "Wes Anderson is a director, and an actor left."),
        ("Wes Anderson is a fan, says actress Jane Smith.", "Wes Anderson is a fan, says actor Jack Smith."),
        ("She is an American actress and singer.", "He is an American actor and singer."),
        ("My aunt is a nurse, a mother and a wife.", "My uncle is a nurse, a father and a husband."),
        ("Tom Hanks, Rita Wilson and an American actress came.", "Tom Hanks, Rita Wilson and an American actor came."),
    ],
)
def test_who_is_beside_a_known_person_is_exchanged(text: str, other: str) -> None:
    assert swapped(text) == other


def test_a_small_town_with_the_name_of_a_person_is_a_thing_and_a_person_behind_one_is_none() -> None:
    assert (
        swapped("Leonard Stanley is a small village in the west.") == "Leonard Stanley is a small village in the west."
    )
    assert swapped("Ann Stanley is the woman behind the band.").endswith("Stanley is the man behind the band.")


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Mary Leta Dorothy Lamour was an American actress.", None),
        ("Joan Crawford became a star because Joan wanted it.", None),
        ("Tom Hanks is famous. My brother Tom is a nurse.", "Tom Hanks is famous. My sister Kate is a nurse."),
        (
            "Michael Jordan won. Our old uncle Michael said he was tired.",
            "Michael Jordan won. Our old aunt Jennifer said she was tired.",
        ),
        ("In April Julia Roberts met a man.", "In April Julia Roberts met a woman."),
        ("According to her friend Ann Tom Hanks left.", "According to his friend Ann Tom Hanks left."),
        ("Ann, Tom Hanks and Kate met her.", None),
        ("Pee Wee King, born Julius Frank Anthony Kuczynski in 1914, wrote the hit.", None),
        ("Nora Lum, known professionally as Awkwafina, left.", None),
        ('He said to Ann: "Tom Hanks is here."', 'She said to Ann: "Tom Hanks is here."'),
    ],
)
def test_the_names_before_a_known_name_and_its_first_name_later_are_of_that_person(
    text: str, other: str | None
) -> None:
    assert swapped(text) == (other or text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("She was Mike Wallace's second wife.", None),
        ("She met Mike Wallace's second wife.", "He met Mike Wallace's second wife."),
        ("Henry Ford was born in Greenfield, and Ford's future wife was born nearby.", None),
        ("Frances Abbott, daughter of Liberal Party politician Tony Abbott, was selected.", None),
        ("Ann is the daughter of actor Tom Hanks and a cook.", None),
        ("Mary is the daughter of a cook and Tom Hanks.", "John is the son of a cook and Tom Hanks."),
        ("Zeus is elected king of gods.", None),
        ("Tom Hanks was crowned king.", None),
        ("She met His Holiness.", "He met His Holiness."),
        ("She met His Holiness the Dalai Lama.", "He met His Holiness the Dalai Lama."),
        ("He was brought by His Holiness Patriarch Filaret.", "She was brought by His Holiness Patriarch Filaret."),
    ],
)
def test_relatives_of_known_persons_and_what_these_are_made_stay(text: str, other: str | None) -> None:
    assert swapped(text) == (other or text)
