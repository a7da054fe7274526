"""Pronouns of ships stay: rule 2 of the gold set. All sentences were written for this file."""

import pytest

from swapping import swapped


@pytest.mark.parametrize(
    "text",
    [
        "The ship lost her mast in the storm.",
        "HMS Harrier lost her mizzenmast off Malta.",
        "The old ferry sank with all her crew.",
        "The liner struck a rock on her maiden voyage.",
        "The vessel had lost her rudder, and she drifted for days.",
        "She was laid down by a yard on the Clyde and launched on 3 May 1911.",
        "She was decommissioned in 1986 and sold to Chile.",
        "She ran aground near Cuba and was refloated within a week.",
        "She was struck from the Naval Register in May.",
        "She was a small wooden schooner built in Maine.",
        "She made 21 knots on her first day.",
        "The submarine was towed to Malta, where she was scrapped.",
        "The tug took a line from the tanker to prevent her from sinking.",
        "The pirates boarded her, and the frigate fired her guns.",
        "She was commissioned in May, the first ship of the class, and joined the fleet in June.",
    ],
)
def test_what_is_said_of_a_ship_stays(text):
    assert swapped(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("She was laid down on the bed.", "He was laid down on the bed."),
        ("She was the owner of a boat.", "He was the owner of a boat."),
        ("She was a boat builder.", "He was a boat builder."),
        ("She is building a ship.", "He is building a ship."),
        ("The boat rocked and she screamed.", "The boat rocked and he screamed."),
        ("Her crew filmed for six weeks.", "His crew filmed for six weeks."),
        ("She sank her teeth into it.", "He sank his teeth into it."),
        ("She was launched into stardom.", "He was launched into stardom."),
        ("She tied four knots.", "He tied four knots."),
        ("She fell in love with her two decks of cards.", "He fell in love with his two decks of cards."),
        ("She steamed the rice.", "He steamed the rice."),
        ("Her maiden speech was about ships.", "His maiden speech was about ships."),
        ("She was commissioned to paint the ship.", "He was commissioned to paint the ship."),
        ("The captain took her hand on the deck of the ship.", "The captain took his hand on the deck of the ship."),
        ("The woman on the ship waved, and she sailed away.", "The man on the ship waved, and he sailed away."),
        ("Priya boarded the ship and she sailed for India.", "Priya boarded the ship and he sailed for India."),
        ("The men left the boat, and she wept.", "The women left the boat, and he wept."),
    ],
)
def test_what_is_said_of_a_woman_is_swapped(text, wanted):
    assert swapped(text) == wanted


def test_beside_a_woman_only_what_is_certain_is_the_ships():
    assert swapped("The woman saw how the ship lost her mast.") == "The man saw how the ship lost her mast."
    assert swapped("The woman sailed the ship with her crew.") == "The man sailed the ship with his crew."


def test_his_is_never_a_ships():
    assert swapped("The captain of the ship lost his mast.") == "The captain of the ship lost her mast."
