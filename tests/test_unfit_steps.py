"""What does not fit the model is told before the first step begins, by `validate`, by a run and by `apply`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.cli import toolkit
from evenhand.errors import RecipeError, UsageError
from evenhand.model_shape import ModelShape, shape_of
from evenhand_sdk.tiny import save_tiny, tiny_causal
from evenhand_standard.architecture.attention_temperature import AttentionTemperature
from evenhand_standard.architecture.lora import Lora

FIRST = '[[steps]]\nuse = "pair-parity"\n[[steps]]\nuse = "train"\n'
LATE = {
    'use = "attention-temperature"\nbeta = [0.5, 0.5, 0.5]': (
        "attention-temperature: beta has 3 values, the model has 2 layers; give one number, or one for each layer"
    ),
    'use = "lora"\nrank = 33\n[[steps]]\nuse = "train"\nid = "second"': (
        "lora: the rank 33 is above the width of query, which is 32; lower `rank`"
    ),
    'use = "inlp"\nrounds = 33': "inlp: 33 rounds are more than the width of the states, 32; take fewer",
    'use = "sentence-debias"\ncomponents = 33': (
        "sentence-debias: 33 components are more than the width of the states, 32; take fewer"
    ),
    'use = "selective-update"\nselect = ["position-embeddings"]\n[[steps]]\nuse = "train"\nid = "second"': (
        "selective-update: a model of type 'llama' has no learned positions; leave them out of select"
    ),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "llama", family="llama")
    return tmp_path


def written(step: str) -> Path:
    Path("my.toml").write_text(
        f'[model]\nname = "./llama"\n{FIRST}[[steps]]\n{step}\n[[benchmarks]]\nuse = "pair-gap"\n'
    )
    return Path("my.toml")


@pytest.mark.parametrize("step", LATE, ids=lambda step: step.split('"')[1])
def test_a_step_behind_a_training_that_does_not_fit_is_told_before_any_work(step: str) -> None:
    recipe = written(step)
    expected = f"my.toml: 1 problem\n  - steps.{LATE[step]}"
    result = CliRunner().invoke(toolkit, ["validate", "my.toml"])
    assert (result.exit_code, result.stderr) == (2, expected + "\n")
    with pytest.raises(RecipeError) as caught:
        api.run(recipe)
    assert str(caught.value) == expected
    assert not Path("runs").exists()


def test_a_run_asks_again_when_the_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the hub is not here when the recipe is read."""
    from evenhand import examination

    monkeypatch.setattr(examination, "known_shape", lambda name: None)
    with pytest.raises(RecipeError, match=r"steps.attention-temperature: beta has 3 values, the model has 2 layers"):
        api.run(written(next(iter(LATE))))
    assert not Path("runs").exists()


def test_a_step_that_does_not_act_may_be_unfit() -> None:
    written('use = "lora"\nrank = 33\nactive = false')
    assert CliRunner().invoke(toolkit, ["validate", "my.toml"]).exit_code == 0


def test_apply_places_nothing_where_one_step_does_not_fit() -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError) as caught:
        evenhand.apply(model, tokenizer, [AttentionTemperature(beta=0.5, folded=False), Lora(rank=33)])
    assert str(caught.value) == (
        "apply: steps.lora: the rank 33 is above the width of query, which is 32; lower `rank`"
    )
    assert not any(module._forward_hooks for module in model.modules())


def test_the_shape_is_read_under_the_names_of_families() -> None:
    llama = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape = ModelShape(model_type="llama", layers=2, width=32, heads=4, groups=2, head_size=8, feed_forward=48)
    assert shape_of({"model_type": "llama", **llama, "intermediate_size": 48, "head_dim": None}) == shape
    gpt2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "n_inner": None}
    assert shape_of(gpt2) == ModelShape(model_type="gpt2", layers=2, width=32, heads=4, groups=4, head_size=8)
    inside = shape_of({"model_type": "gemma3", "text_config": {**llama, "head_dim": 16}})
    assert (inside.model_type, inside.layers, inside.head_size) == ("gemma3", 2, 16)
    assert shape_of({"num_hidden_layers": "2"}) == ModelShape(model_type="")
