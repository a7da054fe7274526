"""The task: its loss by hand, both parts of the tweets, and that what learns it tells unseen tweets apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_sdk import DataNotFound, DigestMismatch, UsageError
from evenhand_sdk.testing import contributions, train
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.classifier_head import ClassifierHead, read_head, write_head
from evenhand_standard.labelled_texts import part_of
from evenhand_standard.labelled_tweets import MARKERS, cleaned, labelled_tweets, marked
from evenhand_standard.objective.text_classification import COLUMN, HEAD, TextClassification, task_loss
from evenhand_standard.text_scorers.toxicity_classifier import normalised


class Given:
    """A batch and its outputs."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


def test_the_loss_by_hand() -> None:
    torch.manual_seed(0)
    states = torch.randn(3, 4, 5, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    weight = torch.randn(5)
    head = torch.nn.Linear(5, 1)
    head.weight.data, head.bias.data = weight[None], torch.tensor([0.25])
    batch = Given(attention_mask=mask, columns={COLUMN: [1, 0, 1]})
    found = task_loss(head, lambda: 0.8)(batch, Given(hidden_states=(states * 9, states)))
    expected = 0.0
    for row, (label, count) in enumerate(((1, 4), (0, 2), (1, 3))):
        z = float(states[row, :count].float().mean(0) @ weight) + 0.25
        p = 1 / (1 + 2.718281828459045**-z)
        expected += (1 / 1.6 if label else 1 / 0.4) * -torch.log(torch.tensor(p if label else 1 - p)).item() / 3
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_rows_without_a_label_do_not_count() -> None:
    torch.manual_seed(0)
    states, mask, head = torch.randn(3, 4, 5), torch.ones(3, 4), torch.nn.Linear(5, 1)
    given = Given(attention_mask=mask, columns={COLUMN: [1, None, 0]})
    some = Given(attention_mask=mask[::2], columns={COLUMN: [1, 0]})
    loss = task_loss(head, lambda: 0.5)
    assert torch.equal(loss(given, Given(hidden_states=(states,))), loss(some, Given(hidden_states=(states[::2],))))
    none = Given(attention_mask=mask, columns={COLUMN: [None] * 3})
    assert float(loss(none, Given(hidden_states=(states,))).detach()) == 0.0


def test_no_tweet_is_in_both_parts_and_the_labels_are_those_of_the_file() -> None:
    training, measuring = labelled_tweets("training"), labelled_tweets("measuring")
    one, two = ({normalised(t.text) for t in part} for part in (training, measuring))
    assert not one & two
    assert 0.23 < len(training) / (len(training) + len(measuring)) < 0.27
    from evenhand_sdk.benchmark_data import read_rows
    from evenhand_standard.text_scorers.toxicity_classifier import TWEETS

    label = {row[""]: row["class"] for row in read_rows(TWEETS)}
    assert all(t.positive == (label[t.id] in "01") for t in (*training, *measuring))
    assert len(training) + len(measuring) == len({normalised(cleaned(r["tweet"])) for r in read_rows(TWEETS)} - {""})
    assert part_of("a") == part_of("a")


def test_tweets_are_cleaned_as_sentences() -> None:
    assert cleaned("RT @somebody: look &amp; see http://t.co/x  now") == "@user: look & see now"
    assert cleaned('"@a_b hello" ') == '"@user hello"'


def test_spellings_are_words_of_their_own() -> None:
    assert marked("We finna go") and marked("DAT way") and all(marked(f"so {word} it is") for word in MARKERS)
    assert not marked("with the data, then") and not marked("#dat @dat") and not marked("dat's")


def test_the_rows_are_the_labelled_tweets(tiny: Any, run_of: Any) -> None:
    from datasets import Dataset

    model, tokenizer = tiny()
    [step] = contributions(TextClassification(), "data", run_of(model, tokenizer), split="train")
    given = labelled_tweets("training")
    rows = step.fn(Dataset.from_dict({"text": [f"row {k}" for k in range(len(given) + 3)]}))
    assert len(rows) == len(given) + 3 and step.account().problem(len(rows), len(rows)) is None
    found = list(zip(rows["text"], rows[COLUMN], strict=True))
    assert sorted(found[: len(given)]) == sorted((t.text, int(t.positive)) for t in given), "each once, then again"
    assert found[len(given) :] == found[:3]
    assert step.facts["offensive"] == sum(label for _, label in found[: len(given)])


def test_missing_data_are_told(tiny: Any, run_of: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(DataNotFound, match=r"labeled_data\.sample10000\.csv"):
        contributions(TextClassification(data=str(tmp_path / "none")), "data", run_of(model, tokenizer), split="train")


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_what_learns_the_task_tells_unseen_texts_apart(kind: str, tiny: Any, run_of: Any) -> None:
    """On sentences whose label is a word: after the training a fresh head finds it better in the mean of the states."""
    from datasets import Dataset

    from evenhand.measured import Measured
    from evenhand_standard.benchmarks.classification_gaps import calls
    from evenhand_standard.labelled_texts import LabelledText

    people = ["the nurse", "a king", "my sister", "his friend", "our teacher", "the doctor", "her brother", "a cook"]
    places = ["in the garden", "at home", "near the river", "in town", "by the sea"]
    made = [
        (f"{who} was {'cruel' if bad else 'late'} {where}", bad)
        for bad in (True, False)
        for who in people
        for where in places
    ]
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, learning_rate=1e-2, max_steps=40, batch_size=16, language_modelling=0.0)
    rows = Dataset.from_dict({"text": [t for t, _ in made], COLUMN: [int(y) for _, y in made]})
    tweets = [LabelledText(str(k), text, bad) for k, (text, bad) in enumerate(made)]

    def separation() -> float:
        states = Measured(model, tokenizer, kind=kind).hidden([t.text for t in tweets], layer=-1, pooling="mean")
        bad = torch.tensor([t.positive for t in tweets])
        apart = states[bad].mean(0) - states[~bad].mean(0)
        within = torch.cat([states[bad] - states[bad].mean(0), states[~bad] - states[~bad].mean(0)])
        return float(apart.norm() / within.norm(dim=1).mean())

    before = separation()
    plugin = TextClassification()
    [lora] = contributions(Lora(), "architecture", run)
    [term] = contributions(plugin, "objective", run)
    from evenhand_sdk import Artifact

    lora.apply(model, Artifact())
    train(run, [term], rows=rows, transforms=[lora])
    lora.finish(model)
    assert separation() > 1.5 * before
    plugin.transparency(run, model, None)
    kept = read_head(run.folder / HEAD)
    said = [p > 0.5 for p in kept.probabilities(model, tokenizer, [t.text for t in tweets])]
    assert sum(s == t.positive for s, t in zip(said, tweets, strict=True)) / len(tweets) > 0.9
    called = calls(Measured(model, tokenizer, kind=kind), tweets)
    assert sum(c == t.positive for c, t in zip(called, tweets, strict=True)) / len(tweets) > 0.9


def test_a_head_that_is_kept_is_the_one_that_was_trained_and_a_damaged_one_is_refused(tiny: Any, tmp_path: Any) -> None:
    model, tokenizer = tiny()
    made = torch.Generator().manual_seed(3)
    weight = torch.randn(model.config.hidden_size, generator=made)
    write_head(tmp_path / "head", ClassifierHead(weight=weight, bias=0.25, kind="causal", max_length=6))
    found = read_head(tmp_path / "head").probabilities(model, tokenizer, ["She said that he was late today.", "No"])
    ids = tokenizer("She said that he was late today.")["input_ids"][:6]
    with torch.no_grad():
        mean = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0].double().mean(0)
    normed = (mean - mean.mean()) / (mean.var(unbiased=False) + 1e-5).sqrt()
    assert found[0] == pytest.approx(float((normed @ weight.double() + 0.25).sigmoid()), abs=1e-5)
    wide = ClassifierHead(weight=torch.zeros(7), bias=0.0, kind="causal", max_length=6)
    with pytest.raises(UsageError, match="the head is for states of width 7"):
        wide.probabilities(model, tokenizer, ["No"])
    path = tmp_path / "head" / "head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(DigestMismatch, match="the head is damaged"):
        read_head(tmp_path / "head")
    with pytest.raises(UsageError, match="there is no head of a classifier"):
        read_head(tmp_path)
