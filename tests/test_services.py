"""Trainings that plugins order: kept for a resume by what decides them, and by nothing less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from evenhand import training
from evenhand.contributions import LossTerm
from evenhand.recipe_model import TrainingSection
from evenhand.services import Services
from evenhand_sdk.tiny import tiny_causal, tiny_sentences

ROWS = Dataset.from_dict({"text": tiny_sentences()[:16]})


def small(batch: Any, outputs: Any) -> torch.Tensor:
    return outputs.logits.float().pow(2).mean()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the trainings that really took place."""
    seen: list[str] = []
    original = training.train

    def train(*args: Any, **settings: Any) -> Any:
        seen.append(settings["folder"].name)
        return original(*args, **settings)

    monkeypatch.setattr(training, "train", train)
    return seen


def services(folder: Path, *, seed: int = 0, keep: bool = True) -> Services:
    """As a process has them that begins or continues a run in this folder."""
    model, tokenizer = tiny_causal()
    settings = TrainingSection(max_steps=4, batch_size=4, max_length=24, learning_rate=1e-3, save_every=2)
    return Services(
        model=model, tokenizer=tokenizer, kind="causal", seed=seed, folder=folder, settings=settings,
        load_base=lambda: tiny_causal()[0], keep=keep,
    )  # fmt: skip


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_a_finished_training_is_read_by_the_next_process(tmp_path: Path, made: list[str]) -> None:
    term = LossTerm(name="small", fn=small, weight=0.1)
    model, result = services(tmp_path).train(ROWS, [term], name="mine")
    again, told = services(tmp_path).train(ROWS, [term], name="mine")
    assert len(made) == 1
    assert same(model, again) and told == result
    assert not same(model, tiny_causal()[0])


@pytest.mark.parametrize("change", ["data", "weight", "steps", "seed", "model", "moving", "term"])
def test_anything_that_decides_it_makes_it_another_training(tmp_path: Path, made: list[str], change: str) -> None:
    term = LossTerm(name="small", fn=small, weight=0.1)
    services(tmp_path).train(ROWS, [term], name="mine")
    other = services(tmp_path, seed=1 if change == "seed" else 0)
    if change == "model":
        with torch.no_grad():
            next(other.model.parameters()).add_(1e-3)
    terms = {
        "weight": [replace(term, weight=0.2)],
        "term": [replace(term, fn=lambda batch, outputs: outputs.logits.float().abs().mean())],
    }.get(change, [term])
    rows = ROWS.select(range(15)) if change == "data" else ROWS
    steps = 3 if change == "steps" else None
    moving = [n for n, _ in other.model.named_parameters() if "norm" in n] if change == "moving" else None
    other.train(rows, terms, name="mine", max_steps=steps, trainable=moving)
    assert len(made) == 2 and made[0] != made[1]


def test_two_equal_trainings_of_one_process_are_two(tmp_path: Path, made: list[str]) -> None:
    for _ in range(2):
        one = services(tmp_path)
        first, second = (one.train(ROWS, name="mine")[0] for _ in range(2))
        assert same(first, second)
    assert len(made) == 2 and [name.rpartition("-")[2] for name in made] == ["0", "1"]


def test_what_went_into_something_that_is_stored_is_not_taken_for_a_later_one(tmp_path: Path, made: list[str]) -> None:
    first = services(tmp_path)
    before = first.kept()
    first.train(ROWS, name="mine")
    first.forget_since(before)
    assert not list((tmp_path / "services").iterdir())
    first.train(ROWS, name="mine")
    services(tmp_path).train(ROWS, name="mine")
    assert len(made) == 2, "the resumed process, which does not fit again, finds the second one"


def test_an_interrupted_one_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, result = services(tmp_path / "whole").train(ROWS, name="mine")
    calls = []

    def stopping(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return small(batch, outputs) * 0.0

    with pytest.raises(KeyboardInterrupt):
        services(tmp_path / "part").train(ROWS, [LossTerm(name="stop", fn=stopping)], name="mine")
    resumed, told = services(tmp_path / "part").train(ROWS, [LossTerm(name="stop", fn=stopping)], name="mine")
    assert len(calls) == 4 + 2, "two steps were left after the checkpoint at two"
    assert same(whole, resumed) and told.steps == result.steps == 4


def test_without_a_run_nothing_is_left_behind(tmp_path: Path, made: list[str]) -> None:
    for _ in range(2):
        services(tmp_path, keep=False).train(ROWS, name="mine")
    assert made == ["mine", "mine"] and not list((tmp_path / "services").iterdir())


def test_without_a_run_a_training_that_failed_stands_in_the_way_of_no_other(tmp_path: Path) -> None:
    def failing(batch: Any, outputs: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise ValueError("a fault of the term's own")
        return outputs.logits.float().pow(2).mean()

    calls: list[int] = []
    aside = services(tmp_path, keep=False)
    with pytest.raises(ValueError, match="a fault of the term's own"):
        aside.train(ROWS, [LossTerm(name="failing", fn=failing)])
    assert (tmp_path / "services" / "extra" / "checkpoint-2").is_dir()
    _, result = aside.train(ROWS, [LossTerm(name="small", fn=small)])
    assert result.steps == 4 and "small" in result.terms
