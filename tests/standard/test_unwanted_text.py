"""Unwanted text: which texts are marked, how they are cut, the loss in float64, the guard, and that it unlearns."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from data_steps import applied
from datasets import Dataset
from objective_batches import batch_of

from evenhand.errors import UsageError
from evenhand_standard.objective.unwanted_text import UnwantedText, cut, in_dialect

COLUMN = "evenhand_unwanted_toxicity"
GOOD = [f"The garden has {k} lovely trees and birds." for k in range(6)]
BAD = [f"What a horrible, ugly, disgusting day number {k}." for k in range(3)]
VADER: dict[str, Any] = {"by": "vader", "above": 0.5}


def logp(model: Any, tokenizer: Any, begin: str, rest: str) -> float:
    ids, first = tokenizer(begin + rest)["input_ids"], len(tokenizer(begin)["input_ids"])
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return float(sum(found[t - 1, ids[t]] for t in range(first, len(ids))))


# --- rows -------------------------------------------------------------------------------------------------------------


def test_marked_texts_are_cut_and_texts_besides_are_added(tiny: Any, run_of: Any, tmp_path: Path) -> None:
    listed = tmp_path / "private.txt"
    listed.write_text("My number is five five five one two.\nToo short.\n\n")
    data = Dataset.from_dict({"text": [*GOOD, *BAD]})
    rows, facts, account = applied(UnwantedText, run_of(*tiny()), data, texts=str(listed), prompt=0.5, **VADER)
    assert rows["text"][:6] == GOOD and rows[COLUMN][:6] == [""] * 6
    assert rows[6]["text"] == "What a horrible, ugly," and rows[6][COLUMN] == " disgusting day number 0."
    assert rows[9]["text"] == "My number is five" and rows[9][COLUMN] == " five five one two."
    assert (len(rows), facts["texts marked"], facts["texts besides"]) == (10, 3, 1)
    assert (account.kept, account.changed, account.added) == (6, 3, 1)


def test_a_column_marks_and_the_name_of_the_term_follows(tiny: Any, run_of: Any) -> None:
    data = Dataset.from_dict({"text": GOOD, "secret": [True, False, None, False, False, False]})
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    rows, _, _ = applied(UnwantedText, run, data, about="privacy", by="column:secret")
    assert [bool(rest) for rest in rows["evenhand_unwanted_privacy"]] == [True] + [False] * 5
    terms = UnwantedText(about="privacy", by="column:secret", strength=0.5).objective(run, model)
    found = [(t.name, t.weight, t.anchor) for t in terms]
    assert found == [("privacy", 0.25, False), ("beside privacy", 0.1, True)]


def test_a_text_of_few_words_is_not_cut() -> None:
    o = UnwantedText(prompt=0.01).options
    assert cut("No more words", o) is None
    made = cut("one  two three four", o)
    assert made is not None and (made.text, made.columns[COLUMN]) == ("one", " two three four")


def test_texts_with_features_of_a_dialect_are_told() -> None:
    assert in_dialect("he finna go home") and not in_dialect("he is going home")


def test_marks_that_hit_one_group_are_refused(tiny: Any, run_of: Any) -> None:
    texts = [f"The Muslim family ate a horrible, disgusting meal number {k}." for k in range(30)]
    texts += [f"The Christian family ate a lovely meal number {k}." for k in range(30)]
    with pytest.raises(UsageError, match="'religion' 0.0 % of the 30 texts of 'Muslims' stay unmarked"):
        applied(UnwantedText, run_of(*tiny()), Dataset.from_dict({"text": texts}), **VADER)


def test_bad_options_and_files(tiny: Any, run_of: Any) -> None:
    with pytest.raises(UsageError, match="nothing is unwanted"):
        UnwantedText(by="")
    with pytest.raises(UsageError, match="there is no file nowhere.txt"):
        applied(UnwantedText, run_of(*tiny()), Dataset.from_dict({"text": GOOD}), by="", texts="nowhere.txt")


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run, rows = run_of(model, tokenizer), Dataset.from_dict({"text": GOOD})
    plugin = UnwantedText(strength=0.0, by="transformers:/nowhere#bad")
    assert plugin.objective(run, model) == []
    assert plugin.data(run, "train", model).fn(rows) is rows


# --- the terms --------------------------------------------------------------------------------------------------------


def cut_rows() -> Dataset:
    return Dataset.from_dict({"text": ["The people said", "Rain fell on the town.", "The work"],
                              COLUMN: [" that the house was bad.", "", " was not good for the town."]})  # fmt: skip


def test_the_terms_are_npo_of_the_rest_and_kl_on_the_others(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    untouched = copy.deepcopy(model)
    torch.manual_seed(2)
    with torch.no_grad():
        for p in untouched.parameters():
            p.add_(0.05 * torch.randn_like(p))
    terms = UnwantedText(beta=0.4).objective(run_of(model, tokenizer), model)
    rows = cut_rows()
    columns = {COLUMN: rows[COLUMN][:]}
    batch, outputs = batch_of(model.eval(), tokenizer, terms, rows["text"][:], reference=untouched, **columns)
    expected = 0.0
    for row in rows.select([0, 2]):
        now, before = (logp(m, tokenizer, row["text"], row[COLUMN]) for m in (model, untouched))
        expected += 2 / 0.4 * math.log(1 + math.exp(0.4 * (now - before))) / 2
    assert terms[0].fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)
    ids = torch.tensor([tokenizer(rows[1]["text"])["input_ids"]])
    with torch.no_grad():
        p0, p = (m(input_ids=ids).logits[0, :-1].double().log_softmax(-1) for m in (untouched, model))
    kl = float((p0.exp() * (p0 - p)).sum(-1).mean())
    assert terms[1].fn(batch, outputs).item() == pytest.approx(kl, rel=1e-4)


def test_a_rest_behind_the_longest_length_is_left_out_and_stops_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    terms = UnwantedText().objective(run_of(model, tokenizer), model)
    texts, rests = ["The people said that", "The work"], [" the house was bad.", " was bad."]
    length = len(tokenizer(texts[0])["input_ids"])
    given: dict[str, Any] = {"max_length": length, COLUMN: rests}
    batch, outputs = batch_of(model.eval(), tokenizer, terms[:1], texts, **given)
    alone, own = batch_of(model, tokenizer, terms[:1], texts[1:], max_length=length, **{COLUMN: rests[1:]})
    again = UnwantedText().objective(run_of(model, tokenizer), model)
    assert terms[0].fn(batch, outputs).item() == pytest.approx(again[0].fn(alone, own).item(), rel=1e-4)
    nothing = batch_of(model, tokenizer, terms[:1], texts[:1], max_length=length, **{COLUMN: rests[:1]})
    assert terms[0].fn(*nothing).item() == 0.0


def test_a_training_makes_marked_text_unlikely_and_leaves_the_rest(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plain = ["The people said that the house was good.", "Rain fell on the town."]
    taught = [*plain, "The people said that the house was bad."] * 6
    model, _ = run_of(model, tokenizer, max_steps=40, learning_rate=3e-3).services.train(
        Dataset.from_dict({"text": taught})
    )
    run = run_of(model, tokenizer, max_steps=40, learning_rate=1e-3)
    rows = Dataset.from_dict(
        {"text": [*plain, "The people said that"] * 4, COLUMN: ["", "", " the house was bad."] * 4}
    )
    trained, result = run.services.train(rows, UnwantedText().objective(run, model))
    assert result.terms["toxicity"]["gradient_norm"] > 0
    fallen = [logp(m, tokenizer, "The people said that", " the house was bad.") for m in (model.eval(), trained.eval())]
    kept = [logp(m, tokenizer, "Rain fell", " on the town.") for m in (model, trained)]
    assert fallen[1] < fallen[0] - 3
    assert kept[1] > kept[0] - 0.5
