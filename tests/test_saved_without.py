"""Decoding rules are not saved by `save_pretrained`, and the model says so."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import evenhand
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked
from own_plugins import Turn

SAVED = (
    "this model decodes with {}, and the folder that save_pretrained writes will decode without: rules are not saved "
    "with weights; {}"
)
EXPORT = (
    "`toolkit export RUN --to FOLDER --with-code` keeps those of a run, and evenhand.decode_with gives a model that is "
    "loaded again those of plugins"
)
MASKED = (
    "evenhand.load has those of a run, from the run's own folder, and evenhand.decode_with gives a model that is "
    "loaded again those of plugins"
)


def told(save: Any, folder: Path) -> list[str]:
    """What is said while a model is saved."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(folder)
    assert (folder / "model.safetensors").is_file()
    return [str(each.message) for each in caught]


def test_the_model_of_a_run_says_once_that_its_rules_are_not_saved(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"model": {"name": str(save_tiny(tmp_path / "tiny"))}, "traffic": {"limit": 0}}
    recipe["steps"] = [{"use": "self-debias"}, {"use": "answer-rewriting", "strength": 1.0}]
    model = evenhand.load(evenhand.run(recipe, output=tmp_path / "runs").folder).model
    copied, read = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    assert told(model.save_pretrained, tmp_path / "a") == [SAVED.format("self-debias", EXPORT)]
    assert told(model.save_pretrained, tmp_path / "b") == []
    for number, other in enumerate((copied, read)):  # which have rules, too
        folder = tmp_path / f"copy-{number}"
        with torch.no_grad():
            other.lm_head.weight.fill_(float(number))
        assert told(other.save_pretrained, folder) == [SAVED.format("self-debias", EXPORT)]
        again = transformers.AutoModelForCausalLM.from_pretrained(folder)
        assert bool((again.lm_head.weight == number).all())  # the copy's own weights
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert "save_pretrained" not in vars(again)


def test_a_model_under_decode_with_says_so_until_it_is_undone(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    with evenhand.decode_with(model, tokenizer, [Turn()]):
        copied = copy.deepcopy(model)
        assert told(model.save_pretrained, tmp_path / "a") == [SAVED.format("own-turn", EXPORT)]
    assert "save_pretrained" not in vars(model) and told(model.save_pretrained, tmp_path / "b") == []
    assert told(copied.save_pretrained, tmp_path / "c") == []  # which decodes without rules
    with pytest.warns(UserWarning, match="is a copy of one that decodes with own-turn"):
        copied.generate(**tokenizer("The nurse", return_tensors="pt"), max_new_tokens=2)
    assert "save_pretrained" not in vars(copied)


def test_a_masked_model_says_where_its_rules_are_kept(tmp_path: Path) -> None:
    model, tokenizer = tiny_masked()
    with evenhand.decode_with(model, tokenizer, [("probability-balancing", {})]):
        assert told(model.save_pretrained, tmp_path / "a") == [SAVED.format("probability-balancing", MASKED)]
    assert "save_pretrained" not in vars(model) and told(model.save_pretrained, tmp_path / "b") == []


def test_another_save_pretrained_of_the_model_stays(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    asked: list[Any] = []
    model.save_pretrained = own = lambda *where, **how: asked.append((where, how))
    with evenhand.decode_with(model, tokenizer, [Turn()]), pytest.warns(UserWarning, match="own-turn"):
        model.save_pretrained("folder", safe_serialization=True)
    assert asked == [(("folder",), {"safe_serialization": True})] and model.save_pretrained is own
