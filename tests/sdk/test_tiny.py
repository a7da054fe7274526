"""The tiny models: seeded to the byte, whole, and with a tokenizer in which group words are single tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import UsageError
from evenhand.pairs import single_token
from evenhand_sdk import tiny

FAMILIES = (*tiny.CAUSAL_FAMILIES, *tiny.MASKED_FAMILIES)


def made(family: str, seed: int = 0) -> tuple[Any, Any]:
    return (tiny.tiny_masked if family in tiny.MASKED_FAMILIES else tiny.tiny_causal)(family, seed)


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_weights(tmp_path: Path, family: str) -> None:
    first = files(tiny.save_tiny(tmp_path / "a", family=family, seed=3))
    assert files(tiny.save_tiny(tmp_path / "b", family=family, seed=3)) == first
    other = files(tiny.save_tiny(tmp_path / "c", family=family, seed=4))
    assert [name for name in first if first[name] != other[name]] == ["model.safetensors"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_loads_as_the_same_model_and_the_same_tokens(tmp_path: Path, family: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    folder = tiny.save_tiny(tmp_path / "model", family=family)
    model, tokenizer = made(family)
    auto = AutoModelForMaskedLM if tiny.kind_of(family) == "masked" else AutoModelForCausalLM
    loaded, read = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("She thanked the nurse, Zoë.", return_tensors="pt")
    assert read("She thanked the nurse, Zoë.", return_tensors="pt")["input_ids"].equal(ids["input_ids"])
    with torch.no_grad():
        assert loaded(**ids).logits.equal(model(**ids).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_frequent_words_are_single_tokens_and_any_text_survives(family: str) -> None:
    tokenizer = tiny.tiny_tokenizer(family)
    assert len(tiny.WORDS) == 60 and len(tokenizer) < 1001
    assert [w for w in tiny.WORDS if single_token(tokenizer, " " + w) is None] == []
    assert [w for w in tiny.FIRST_WORDS if single_token(tokenizer, w) is None] == []
    text = "He said: Ünïcode, 東京 & 😀!"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_tokenizer_gives_what_the_real_ones_of_the_family_give() -> None:
    given = {f: set(tiny.tiny_tokenizer(f)("The")) for f in FAMILIES}
    assert given.pop("bert") == {"input_ids", "attention_mask", "token_type_ids"}
    assert set(map(frozenset, given.values())) == {frozenset({"input_ids", "attention_mask"})}


def test_special_tokens_are_those_of_the_family() -> None:
    ids = {f: tiny.tiny_tokenizer(f)("The")["input_ids"] for f in FAMILIES}
    plain = {f: tiny.tiny_tokenizer(f)("The", add_special_tokens=False)["input_ids"] for f in FAMILIES}
    around = {f: (ids[f].index(plain[f][0]), len(ids[f])) for f in FAMILIES}
    assert around == {
        "llama": (0, 1), "gpt2": (0, 1), "qwen2": (0, 1), "gemma3": (1, 2), "bert": (1, 3), "roberta": (1, 3),
    }  # fmt: skip
    assert tiny.tiny_tokenizer("qwen2").bos_token is None
    assert tiny.tiny_tokenizer("gpt2").bos_token == tiny.tiny_tokenizer("gpt2").eos_token == "<|endoftext|>"
    assert [tiny.tiny_tokenizer(f).mask_token for f in tiny.MASKED_FAMILIES] == ["[MASK]", "<mask>"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_few_ten_thousand_parameters_that_give_uneven_distributions(family: str) -> None:
    import torch

    model, tokenizer = made(family)
    assert 40_000 < model.num_parameters() < 75_000 and not model.training
    with torch.no_grad():
        logp = model(**tokenizer("The nurse said that", return_tensors="pt")).logits.float().log_softmax(-1)
    entropy = float(-(logp.exp() * logp).sum(-1).mean())
    assert 3.0 < entropy < 6.5, "a flat distribution over 970 entries has 6.88 nat"


def test_the_global_random_state_is_left_alone() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny.tiny_causal(seed=9)
    assert torch.rand(3).equal(expected)


def test_an_unknown_family_is_named_with_a_near_match() -> None:
    with pytest.raises(UsageError) as caught:
        tiny.tiny_causal("lama")
    assert str(caught.value) == (
        "there is no tiny model of the family 'lama'; did you mean 'llama'?\n  families: llama, gpt2, qwen2, gemma3"
    )
    with pytest.raises(UsageError, match="families: bert, roberta"):
        tiny.tiny_masked("llama")
