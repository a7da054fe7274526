"""Neutral rewriting as a step: off until a strength is given, texts replaced, the rest untouched."""

from __future__ import annotations

from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand_standard.data import neutral_rewriting
from evenhand_standard.data.neutral_rewriting import NeutralRewriting
from evenhand_standard.data.neutral_sentences import neutralised

TEXTS = ["Every driver must show his licence.", "Rain fell.", "My sister sings.", "Anyone may bring her dog."]


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def test_it_has_no_default_strength() -> None:
    with pytest.raises(UsageError, match="strength: is required"):
        NeutralRewriting()


def test_texts_are_replaced_and_say_how(run: Any) -> None:
    rows = Dataset.from_dict({"text": TEXTS})
    out, facts, account = applied(NeutralRewriting, run, rows, strength=1.0)
    assert list(out["text"]) == [
        "Every driver must show their licence.", "Rain fell.", "My sister sings.", "Anyone may bring their dog."
    ]  # fmt: skip
    assert (account.changed, account.kept) == (2, 2)
    assert facts["sentences left as they are"] == {"the antecedent has a gender": 1}
    assert [e.note for e in account.examples] == ["1 word made neutral"] * 2
    assert list(out["evenhand_step"]) == ["step", "", "", "step"]


def test_reasons_are_counted_once_in_each_row_that_is_worked_on(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def watched(text: str, axis: Any) -> Any:
        read.append(text)
        return neutralised(text, axis)

    monkeypatch.setattr(neutral_rewriting, "neutralised", watched)
    long = "My sister sings. " * 20
    rows = Dataset.from_dict({"text": [*TEXTS, long, None, "My brother sings. He likes it."]})
    _, facts, account = applied(NeutralRewriting, run, rows, strength=0.01, max_characters=100)
    assert read == [*TEXTS, "My brother sings. He likes it."]
    # My sister, my brother; and he, behind whom nobody stands who may be anyone.
    assert facts["sentences left as they are"] == {"the antecedent has a gender": 2, "no generic antecedent": 1}
    assert account.quarantined == {"longer than 100 characters": 1, "no text": 1}


def test_strength_takes_nested_shares_and_0_is_the_data_itself(run: Any) -> None:
    rows = Dataset.from_dict({"text": [f"Every driver must show his licence {k} times." for k in range(200)]})
    changed = []
    for strength in (0.25, 0.75, 1.0):
        out, _, _ = applied(NeutralRewriting, run, rows, strength=strength)
        changed.append({k for k, text in enumerate(out["text"]) if "their" in text})
    assert changed[0] < changed[1] < changed[2] == set(range(200))
    assert 0.15 < len(changed[0]) / 200 < 0.35
    assert applied(NeutralRewriting, run, rows, strength=0.0)[0] is rows


def test_a_stream_is_rewritten_as_it_comes(run: Any) -> None:
    transform = NeutralRewriting(strength=1.0).data(run, "train", None)
    stream = transform.fn(Dataset.from_dict({"text": TEXTS}).to_iterable_dataset())
    assert [row["text"] for row in stream][0] == "Every driver must show their licence."
    assert transform.account().changed == 2


def test_other_languages_are_refused(belief: str) -> None:
    with pytest.raises(UsageError, match="the rules of neutral rewriting are those of English"):
        NeutralRewriting(strength=1.0, axis=belief, locale="fr")
