"""Constructions that tell what is said of persons and what is a fact; each exemption has its counter-example."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

STAYS = [
    ("age", "She was the youngest player ever to win the medal."),
    ("age", "He is the oldest man to swim the lake."),
    ("gender", "The village had 310 men and 295 women."),
    ("gender", "She became the second female governor of the state."),
    ("gender", "She was the third woman to fly alone."),
    ("gender", "She was the fourth woman elected to the senate."),
    ("disability", "About 40 million people are blind."),
    ("gender", "Man, that was loud."),
    ("gender", "Guys, my car is here."),
    ("gender", "A four-man crew won the race."),
    ("gender", "The bells of St. Mary's Church rang."),
    ("nationality", "The French officer surrendered to the army at dawn."),
    ("body-size", "The report, old and thin, lay on the desk."),
    ("race", "A white coat and a black one hung there."),
    ("nationality", "An American company employs players."),
    ("nationality", "An American law bars women."),
    ("gender", "Thomas Denman, 1st Baron Denman, was the son of a physician."),
    ("gender", "Isaac Newton was born in Woolsthorpe, the only son of a farmer."),
    ("gender", "It was built for Prince A.Y. Lobanov-Rostovsky."),
    ("gender", "She was the first woman in 20 years to win."),
    ("religion", "Islam was introduced to the island by traders."),
    ("religion", "The channel covers Orthodox Judaism."),
    ("gender", "Isaac Newton was born in York, the son of a farmer."),
    ("body-size", "Heavy duty truck drivers met."),
    ("gender", "She was the first woman in more than a decade to win."),
    ("gender", "She was the first woman in twenty years to win."),
    ("gender", "The work of William H. Crawford and his team."),
    ("nationality", "A Spanish civil war veteran spoke."),
    ("nationality", "A Swiss bank account holder spoke."),
    ("nationality", "The American high school student newspaper won."),
]
CHANGES = [
    ("age", "old", "The youngest guest wanted to leave.", "The oldest guest wanted to leave."),
    ("gender", "female", "In May 310 men sang.", "In May 310 women sang."),
    ("gender", "male", "In 2015 women sang.", "In 2015 men sang."),
    ("gender", "male", "The second woman in the queue sighed.", "The second man in the queue sighed."),
    ("disability", "non-disabled", "Two people are blind.", "Two people are sighted."),
    ("gender", "female", "Man, 45, found safe.", "Woman, 45, found safe."),
    ("gender", "female", "Guys like my car.", "Gals like my car."),
    ("gender", "female", "A man won the four-hour race.", "A woman won the four-hour race."),
    ("gender", "male", "Mary Church rang.", "John Church rang."),
    ("nationality", "german", "A French politician praised the treaty.", "A German politician praised the treaty."),
    ("race", "asian", "The white sheriff was arrested.", "The Asian sheriff was arrested."),
    ("race", "white", "She was black and was arrested.", "She was white and was arrested."),
    ("gender", "male", "She wrote a book on pregnancy.", "He wrote a book on pregnancy."),
    ("body-size", "heavy", "He is tall, thin, and loud.", "He is tall, fat, and loud."),
    ("body-size", "heavy", "Tall and thin, she turned.", "Tall and fat, she turned."),
    ("disability", "disabled", "A sighted boy led a blind one.", "A blind boy led a sighted one."),
    ("nationality", "german", "A French film and stage actor spoke.", "A German film and stage actor spoke."),
    ("nationality", "canadian", "He is an American ice hockey player.", "He is a Canadian ice hockey player."),
    (
        "nationality",
        "canadian",
        "She is an American civil rights activist.",
        "She is a Canadian civil rights activist.",
    ),
    (
        "gender",
        "male",
        "Margaret Smith was born in York, the daughter of a baker.",
        "James Smith was born in York, the son of a baker.",
    ),
    (
        "gender",
        "male",
        "Isaac Newton was born here to Mary, the daughter of a baker.",
        "Isaac Newton was born here to John, the son of a baker.",
    ),
    ("gender", "female", "He plays in Hand of the Man and in Totem.", "She plays in Hand of the Man and in Totem."),
    (
        "gender",
        "female",
        "He owned a King James Bible and lost his notes.",
        "She owned a King James Bible and lost her notes.",
    ),
    ("gender", "female", "He was the first man in the room.", "She was the first woman in the room."),
    ("religion", "jewish", "The Muslim who sold it was Muslim.", "The Jew who sold it was Jewish."),
    (
        "gender",
        "female",
        "The painter, a pupil of Isaac Newton, was the son of a farmer.",
        "The painter, a pupil of Isaac Newton, was the daughter of a farmer.",
    ),
    (
        "gender",
        "female",
        "The winner, who beat Roger Federer, was a boy of note.",
        "The winner, who beat Roger Federer, was a girl of note.",
    ),
    ("gender", "male", '"Because of Mother, I stay," Tom said.', '"Because of Father, I stay," Kate said.'),
    ("gender", "female", "Will John Turner win his race?", "Will Mary Turner win her race?"),
    (
        "gender",
        "female",
        "When Isaac Newton was born, the son of the squire was ten.",
        "When Isaac Newton was born, the daughter of the squire was ten.",
    ),
    (
        "nationality",
        "canadian",
        "She is an American civil rights activist and writer.",
        "She is a Canadian civil rights activist and writer.",
    ),
    (
        "gender",
        "male",
        "The lieutenant was posted to a submarine. She joined the Northern Fleet at 25.",
        "The lieutenant was posted to a submarine. He joined the Northern Fleet at 25.",
    ),
]


@pytest.mark.parametrize(("axis", "text"), STAYS)
def test_what_is_a_fact_or_says_nothing_of_a_person_stays(axis: str, text: str) -> None:
    assert counterfactuals(text, load_axis(axis)) == []


@pytest.mark.parametrize(("axis", "group", "text", "expected"), CHANGES)
def test_persons_in_like_constructions_are_swapped(axis: str, group: str, text: str, expected: str) -> None:
    assert counterfactuals(text, load_axis(axis), group)[0].text == expected
