"""Names that a sentence says are those of places, works or bands stay. All sentences were written for this file."""

import pytest

from swapping import swapped


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Down Thomas is a village in Devon, and he lives there.",
            "Down Thomas is a village in Devon, and she lives there.",
        ),
        ("Emma is a novel that his mother read.", "Emma is a novel that her father read."),
        ("Carrie is a 1976 film directed by him.", "Carrie is a 1976 film directed by her."),
        ("Alice (born 1970) is a Swedish band of women.", "Alice (born 1970) is a Swedish band of men."),
        ("She lives in the village of Leonard Stanley.", "He lives in the village of Leonard Stanley."),
        ("He was born in the city of Victoria.", "She was born in the city of Victoria."),
    ],
)
def test_what_is_no_person_keeps_its_name(text: str, wanted: str) -> None:
    assert swapped(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Anna is a village girl.", "Adam is a village boy."),
        ("Anna was the singer of the song.", "Adam was the singer of the song."),
        ("Anna is a city planner in Rome.", "Adam is a city planner in Rome."),
        ("Paul is a film and stage actor.", "Sandra is a film and stage actress."),
        ("Paul was the owner of a school.", "Sandra was the owner of a school."),
    ],
)
def test_who_has_to_do_with_one_is_a_person(text: str, wanted: str) -> None:
    assert swapped(text) == wanted


def test_a_form_of_address_stays_with_the_ruler_who_is_named() -> None:
    assert swapped("He met his majesty King Carl Gustaf.") == "She met his majesty King Carl Gustaf."
    assert swapped("Her Royal Highness Princess Anne saw her brother.") == (
        "Her Royal Highness Princess Anne saw her brother."
    )
    assert swapped("His Majesty entered, and he smiled.") == "Her Majesty entered, and she smiled."


@pytest.mark.parametrize(
    ("axis", "text", "wanted"),
    [
        ("gender", "The Royal Home of Blind Women (RHBW) met men.", "The Royal Home of Blind Women (RHBW) met women."),
        ("gender", "Pedro, Muriel & Esther (PME) sang for him.", "Pedro, Muriel & Esther (PME) sang for her."),
        ("nationality", "American Teachers Abroad (ATA) met there.", "American Teachers Abroad (ATA) met there."),
        ("race", "The Black and Minority Staff (BMS) met there.", "The Black and Minority Staff (BMS) met there."),
        ("gender", "Thomas Price (MP) met him.", "Betty Price (MP) met her."),  # other initials
        ("gender", "Anna Boyd (B) met him.", "Adam Boyd (B) met her."),  # no abbreviation
    ],
)  # fmt: skip
def test_a_name_whose_initials_stand_behind_it_stays(axis: str, text: str, wanted: str) -> None:
    assert swapped(text, axis) == wanted


@pytest.mark.parametrize(
    ("axis", "text", "wanted"),
    [
        ("race", "A South African player met South Africans.", "A South African player met South Africans."),
        ("race", "Africans met a West African woman.", "Europeans met a West European woman."),
        ("nationality", "It lies in Manila (Filipino: Maynila).", "It lies in Manila (Filipino: Maynila)."),
        ("nationality", "He played for the Cleveland Indians.", "He played for the Cleveland Indians."),
        ("nationality", "She was an All-American gymnast.", "She was an All-American gymnast."),
        ("nationality", "She was an English instructor.", "She was an English instructor."),
        ("race", "She met the Jing, a people of China.", "She met the Jing, a people of China."),
        ("nationality", "Canada and New Zealand met there.", "Canada and New Zealand met there."),
        ("nationality", "Finn reveals some details.", "Finn reveals some details."),
        ("nationality", "He was the 4th Finn there.", "He was the 4th American there."),
        ("nationality", "They play Colombian folk music.", "They play Colombian folk music."),
        ("nationality", "He is a Welsh folk rock singer.", "He is an American folk rock singer."),
        ("nationality", "It was a British fighter aircraft.", "It was a British fighter aircraft."),
        ("nationality", "She founded American Jews for Peace.", "She founded American Jews for Peace."),
        ("socioeconomic", "She is a skilled fighter.", "She is a skilled fighter."),
        ("socioeconomic", "She is a skilled worker.", "She is an unskilled worker."),
        ("disability", "A court declared them invalid.", "A court declared them invalid."),
        ("disability", "Slugs must be fed to remain healthy.", "Slugs must be fed to remain healthy."),
    ],
)  # fmt: skip
def test_what_looks_like_a_group_stays(axis: str, text: str, wanted: str) -> None:
    assert swapped(text, axis) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He wrote about Jesus, Peter and Paul.", "She wrote about Jesus, Peter and Paul."),
        ("He wrote about Jesus with Paul Keller.", "She wrote about Jesus with Sandra Keller."),
        ("He met Peter and Paul.", "She met Julie and Sandra."),
    ],
)
def test_people_of_scripture_stay_where_jesus_is_spoken_of(text: str, wanted: str) -> None:
    assert swapped(text) == wanted


@pytest.mark.parametrize(
    ("axis", "text", "wanted"),
    [
        ("gender", "The monarch Juan Carlos I spoke.", "The monarch Juan Carlos I spoke."),
        ("gender", "Juan Bradley II spoke.", "Maria Bradley II spoke."),  # a son of another Juan
        ("race", "Stevens and Todd counties lie there.", "Stevens and Todd counties lie there."),
        ("race", "Families from Thanh Hóa province came.", "Families from Thanh Hóa province came."),
        ("race", "She joined Seaham White Star.", "She joined Seaham White Star."),
    ],
)
def test_rulers_districts_and_clubs_keep_their_names(axis: str, text: str, wanted: str) -> None:
    assert swapped(text, axis) == wanted
