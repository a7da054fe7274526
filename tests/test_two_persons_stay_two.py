"""Who is named together stays two persons, and small constructions around a swapped word hold."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("gender", "Adam and Eve ate the apple; she gave it to him."),
        ("gender", "Only men could be priests in the Catholic Church."),
        ("gender", "Prince was a musician."),
        ("age", "New York is old."),
        ("age", "San Jose looks young."),
    ],
)
def test_what_is_no_other_persons_stays(axis: str, text: str) -> None:
    assert counterfactuals(text, axis) == []


@pytest.mark.parametrize(
    ("text", "after", "confidence"),
    [
        ("The prince was a musician.", "The princess was a musician.", 1.0),
        ("Only a man came in.", "Only a woman came in.", 1.0),
        ("The waiter(s) left.", "The waitress(es) left.", 1.0),
        ("The waitress(es) left.", "The waiter(s) left.", 1.0),
        ("The king(s) left.", "The queen(s) left.", 1.0),
        ("I met her Tuesday at the office.", "I met him Tuesday at the office.", 0.7),
        ("I saw her Friday.", "I saw him Friday.", 0.7),
        ("I met her Tuesday class.", "I met his Tuesday class.", 0.9),
    ],
)
def test_a_word_is_swapped_with_what_stands_around_it(text: str, after: str, confidence: float) -> None:
    assert [(found.text, found.confidence) for found in counterfactuals(text, "gender")] == [(after, confidence)]
