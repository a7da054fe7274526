"""Who is named by a rank and a place, or by a number, is known to history and stays; others beside them do not."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

GENDER = load_axis("gender")

STAYS = """
The Duke of Leeds lost his hat.
The Queen of Denmark opened her palace with her husband.
Mahaut, Countess of Artois, buried her brother.
Guy II succeeded his father.
When Charles VII tried to take the city, he failed.
She became queen of Castile and buried her husband there.
He ruled for ten years as king of Babylon.
She was the third daughter of the 1st Duke of Leeds.
The Emperor Otto of Bavaria sold his horse.
The 6th Earl of Aberdeen was a peer, the son of the 5th Earl of Aberdeen.
Anna Holm (born in 1975) is an actress and the younger sister of the Duke of Leeds.
King Henry VIII had six wives.
Henry VIII also had two young and lively sons.
Queen Victoria outlived her husband by forty years.
"""
CHANGES = {
    "a rank and no place": ("The prince gave his ring to the maid.", "The princess gave her ring to the maid."),
    "a rank of no place": ("She became queen of the prom.", "He became king of the prom."),
    "somebody beside the duke": (
        "Two years later he left for Scotland, the physician of the Duke of Dorset.",
        "Two years later she left for Scotland, the physician of the Duke of Dorset.",
    ),
    "the abbot, not the king": (
        "He led twelve monks to a house of king Conrad III, his wife and their guests.",
        "She led twelve nuns to a house of king Conrad III, his wife and their guests.",
    ),
    "a war": ("He fought in World War II with his brother.", "She fought in World War II with her sister."),
    "a car": ("He drove a Ford Mark III to his mother.", "She drove a Ford Mark III to her father."),
    "the third of a family": ("Ann Hill III lost her hat.", "Ann Hill III lost his hat."),
    "a theatre": ("The Prince of Wales Theatre hired him.", "The Prince of Wales Theatre hired her."),
    "a part": ("She sang the Queen of the Night.", "He sang the Queen of the Night."),
    "a namesake": (
        "The clerk, a man named Lincoln, lost his keys.",
        "The clerk, a woman named Lincoln, lost her keys.",
    ),
    "a sister of nobody": (
        "She is an actress and the sister of a clerk.",
        "He is an actor and the brother of a clerk.",
    ),
    "sons of nobody whom history knows": ("The baker had two sons.", "The baker had two daughters."),
    "what another one had": ("Guy II met a baker who had two sons.", "Guy II met a baker who had two daughters."),
    "two people": ("Einstein and the man waited.", "Einstein and the woman waited."),
}


@pytest.mark.parametrize("text", STAYS.strip().splitlines())
def test_who_is_named_by_rank_or_number_stays(text: str) -> None:
    assert [found.text for found in counterfactuals(text, GENDER)] == []


@pytest.mark.parametrize(("text", "expected"), CHANGES.values(), ids=list(CHANGES))
def test_others_are_swapped(text: str, expected: str) -> None:
    assert counterfactuals(text, GENDER)[0].text == expected
