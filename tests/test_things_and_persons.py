"""Words of an axis that say nothing of a person: parts of names and things, countries, schools, numbers."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

STAYS = [
    ("age", "Her grave is the oldest still standing monument of the county."),
    ("age", "It is the oldest national anthem in the world."),
    ("age", "He wrote three other old songs on the train."),
    ("age", "He died aged 74 at Bath."),
    ("age", "The index reached values in the teens that summer."),
    ("age", "She plays a lawyer in a teen drama series."),
    ("age", "Piper was the younger daughter of a furniture dealer."),
    ("age", "The youngest of the three founded the firm."),
    ("age", "He was a member of the Old Boys Association for years."),
    ("disability", "It was sung by the Blind Boys of a town in the south."),
    ("nationality", "The club did not receive its Belgian professional football licence."),
    ("nationality", "Cylinders that are made outside the USA need a permit."),
    ("nationality", "They worked for a united Ireland."),
    ("nationality", "She was one of Australia's first pilots."),
    ("religion", "It is a Christian liberal arts college."),
    ("sexual-orientation", "He was a supporter of Pan-Turkism."),
    ("sexual-orientation", "He won the championship in straight pool."),
    ("socioeconomic", "Taylor was educated at Kingston College."),
    ("socioeconomic", "He was educated by his aunt."),
    ("socioeconomic", "She graduated with a bachelor's degree in chemistry."),
    ("socioeconomic", "Land was the true source of wealth."),
    ("socioeconomic", "It was built as an unemployment relief measure."),
    ("socioeconomic", "The upscale neighbourhood has its own well."),
    ("socioeconomic", "Low morale may lead to poor customer service."),
    ("body-size", "Damage was heaviest on the coast."),
    ("gender", "Each wo/man has a vote, and so has a (wo)man abroad or a fe/male voter."),
    ("gender", "The mother company bought a sister company and two daughter companies."),
    ("gender", "The degrees are bachelor of arts, bachelor of laws and bachelor's of science."),
    ("age", "As a 21-year-old with the club, they scored."),
    ("age", "It is a 60-year-old whisky in a 25-year-old cask."),
    ("nationality", "A word (Chinese: 你好) in a Japanese garden."),
    ("gender", "The queen bee left her hive with her sisters."),
    ("gender", "A drag queen did her makeup."),
]
CHANGES = [
    ("age", "old", "A teen waited at the door.", "A senior citizen waited at the door."),
    ("age", "young", "The old official spoke.", "The young official spoke."),
    ("age", "young", "An old liberal politician spoke.", "A young liberal politician spoke."),
    ("nationality", "german", "An American student lost the key.", "A German student lost the key."),
    ("nationality", "german", "She is from Chile.", "She is from Germany."),
    ("nationality", "german", "A man from the Netherlands called.", "A man from Germany called."),
    ("socioeconomic", "poor", "He envies her wealth and fame.", "He envies her poverty and fame."),
    ("socioeconomic", "rich", "They lived in poverty.", "They lived in luxury."),
    ("socioeconomic", "poor", "An affluent family bought the mill.", "A poor family bought the mill."),
    ("socioeconomic", "poor", "She is highly educated.", "She is highly uneducated."),
    ("disability", "non-disabled", "Blind boys sang.", "Sighted boys sang."),
    ("gender", "female", "The man and a male voter left.", "The woman and a female voter left."),
    ("gender", "female", "My father has a company.", "My mother has a company."),
    ("gender", "female", "The bachelor of the house left.", "The bachelorette of the house left."),
    ("gender", "male", "The queen fed her bees.", "The king fed his bees."),
    ("gender", "male", "The queen bee died, and the queen wept.", "The queen bee died, and the king wept."),
    ("gender", "female", "The queen bee left her hive, so he wept.", "The queen bee left her hive, so she wept."),
    ("gender", "female", "A man's friend fed his dog.", "A woman's friend fed her dog."),
    ("age", "old", "They hired a 25-year-old, not a 60-year-old.", "They hired a 65-year-old, not a 20-year-old."),
    ("age", "old", "A 30-year-old was late.", "A 70-year-old was late."),
    ("nationality", "german", "I met a Chinese and a Dane.", "I met a German and a Dane."),
    ("nationality", "german", "A Swiss sold it to two Japanese.", "A German sold it to two Japanese."),
    ("nationality", "swiss", "A Japanese sold it to a Swiss.", "A Swiss sold it to a Japanese."),
    ("nationality", "german", "The Chinese who live there sing.", "The Germans who live there sing."),
    ("nationality", "german", "Some Chinese prefer tea.", "Some Germans prefer tea."),
]


@pytest.mark.parametrize(("axis", "text"), STAYS)
def test_what_names_no_person_stays(axis: str, text: str) -> None:
    assert [found.text for found in counterfactuals(text, load_axis(axis))] == []


@pytest.mark.parametrize(("axis", "group", "text", "expected"), CHANGES)
def test_persons_are_still_swapped(axis: str, group: str, text: str, expected: str) -> None:
    assert [found.text for found in counterfactuals(text, load_axis(axis), group)] == [expected]
