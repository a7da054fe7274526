"""A tokenizer that belongs to another model is told before anything is asked of either."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.contributions import Request
from evenhand.errors import UsageError
from evenhand.generation import generate
from evenhand.models import load, resolve
from evenhand.proofs import probe_logits
from evenhand.scoring import score_texts
from evenhand_sdk.tiny import save_tiny, tiny_causal
from evenhand_standard.benchmarks.pair_gap import PairGap


def cut(model: Any, places: int) -> Any:
    """The model with as many embeddings, and no more."""
    model.resize_token_embeddings(places)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of 300 tokens with a tokenizer of 969."""
    place = save_tiny(tmp_path / "tiny")
    model, _ = tiny_causal()
    cut(model, 300).save_pretrained(place)
    return place


def test_a_folder_with_the_tokenizer_of_a_larger_model_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(resolve(str(folder)))
    assert str(caught.value) == (
        f"model '{folder}': the tokenizer knows 969 tokens, the model 300: it belongs to another model\n"
        "  give the tokenizer that the model was trained with"
    )
    assert caught.value.exit_code == 2


def test_so_is_a_model_in_memory() -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError, match="LlamaForCausalLM: the tokenizer knows 969 tokens, the model 300"):
        evenhand.measure(cut(model, 300), tokenizer, [PairGap(limit=2)])


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_a_model_with_more_embeddings_than_words_is_padded_and_fits(family: str, tmp_path: Path) -> None:
    place = save_tiny(tmp_path / "tiny", family=family)
    loaded = load(resolve(str(place)))
    cut(loaded.model, 1024).save_pretrained(place)
    assert load(resolve(str(place))).model.get_input_embeddings().num_embeddings == 1024


def test_an_added_token_that_no_text_has_is_no_sign_of_another_model(tmp_path: Path) -> None:
    place = save_tiny(tmp_path / "tiny")
    loaded = load(resolve(str(place)))
    loaded.tokenizer.add_special_tokens({"additional_special_tokens": ["<picture>"]})
    loaded.tokenizer.save_pretrained(place)
    again = load(resolve(str(place)))
    assert len(again.tokenizer) > again.model.get_input_embeddings().num_embeddings


def test_a_text_with_an_added_token_that_the_model_never_saw_is_refused(tmp_path: Path) -> None:
    place = save_tiny(tmp_path / "tiny")
    loaded = load(resolve(str(place)))
    added = copy.deepcopy(loaded.tokenizer)
    added.add_tokens(["nurse"])  # which the first of the probes has
    loaded.tokenizer.add_tokens(["wibble"])
    said = (
        "tokenizer: a text has the token number 969, and the model embeddings for 969 tokens alone\n"
        "  tokens were added to the tokenizer that the model was never given\n"
        "  give the tokenizer that the model was trained with"
    )
    for ask in (
        lambda: score_texts(loaded.model, loaded.tokenizer, ["a wibble came"]),
        lambda: probe_logits(loaded.model, added),
        lambda: generate(loaded.model, loaded.tokenizer, [Request(prompt="a wibble", max_new_tokens=2)]),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == said
    assert score_texts(loaded.model, loaded.tokenizer, ["a man came"])[0].n
