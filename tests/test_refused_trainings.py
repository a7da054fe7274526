"""What `evenhand.train` refuses, by name and before it trains."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.contributions import LossTerm
from evenhand.errors import NoEffect, OutOfMemory, UsageError, WrongModelKind
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked
from evenhand_standard.objective.mgda import MGDA
from evenhand_standard.objective.pair_contrast import PairContrast
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.pcgrad import PCGrad
from evenhand_standard.objective.smooth_tchebycheff import SmoothTchebycheff

TEXTS = ["The nurse said that she would come back.", "He kept the dog.", "Rain fell on the town all morning long."] * 6
ROWS = Dataset.from_dict({"text": TEXTS})


def go(plugins: Any = (), **options: Any) -> Any:
    model, tokenizer = tiny_causal()
    return evenhand.train(
        model, tokenizer, ROWS, list(plugins), **{"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, **options}
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_steps": 0}, "evenhand.train: train.max_steps: 0 is not at least 1"),
        (
            {"budget": 0.5},
            "evenhand.train: budget is 0.5, and cannot be below 1\n"
            "  it is the most that perplexity on the retention text may be, as a multiple of what it is now",
        ),
        (
            {"budget": math.nan},
            "evenhand.train: budget is nan, and cannot be below 1\n"
            "  it is the most that perplexity on the retention text may be, as a multiple of what it is now",
        ),
        (
            {"retention": Dataset.from_dict({"sentence": TEXTS})},
            "retention: the data set has no column 'text'\n"
            "  its columns: sentence\n"
            "  dataset.rename_column(YOUR_COLUMN, 'text')",
        ),
        ({"retention": TEXTS[0]}, "retention: this is one text\n  give a data set, or a list of texts"),
        (
            {"retention": [TEXTS[0], None]},
            "retention: row 2 of the data set: no text\n  dataset.filter(lambda row: isinstance(row['text'], str))",
        ),
        (
            {"retention": Dataset.from_dict({"text": [TEXTS[0], None]})},
            "retention: row 2 of the data set: no text\n  dataset.filter(lambda row: isinstance(row['text'], str))",
        ),
    ],
)
def test_settings_that_no_training_can_have(options: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        go(**options)
    assert str(caught.value) == message


def test_retention_text_may_be_a_list_and_is_what_a_data_set_of_it_is() -> None:
    listed = go(retention=TEXTS, budget=1.5, evaluate_every=1)
    given = go(retention=ROWS, budget=1.5, evaluate_every=1)
    assert listed.watch is not None and listed.watch == given.watch


def test_a_model_of_which_nothing_may_move() -> None:
    model, tokenizer = tiny_causal()
    model.requires_grad_(False)
    with pytest.raises(UsageError) as caught:
        evenhand.train(model, tokenizer, ROWS, max_steps=2)
    assert str(caught.value) == (
        "Training: no parameter of the model may move\n"
        "  none of them requires a gradient\n"
        "  model.requires_grad_(True), or that of the parameters that are to move alone"
    )


# ------------------------------------------------------------------------------------------------ nothing to combine
@pytest.mark.parametrize("aggregator, name", [(PCGrad, "pcgrad"), (SmoothTchebycheff, "smooth-tchebycheff")])
def test_an_aggregator_of_one_term_is_refused_before_anything_moves(aggregator: Any, name: str) -> None:
    model, tokenizer = tiny_causal()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with pytest.raises(NoEffect) as caught:
        evenhand.train(model, tokenizer, ROWS, [aggregator(), PairParity(weight=0.0, retention=0.0)], max_steps=2)
    assert str(caught.value) == (
        f"evenhand.train: the aggregator changed nothing: {name}: there is nothing to combine, the training has one "
        "loss term, language modelling\n"
        "  nothing was trained\n"
        "  give terms that it can combine, or leave it out"
    )
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_an_anchor_is_no_second_term_where_the_rule_does_not_see_it(tmp_path: Path) -> None:
    """MGDA adds the anchor of pair-parity beside its mixture, and has one objective then."""
    model, tokenizer = tiny_causal()
    told = "nothing to combine, the training has one loss term, pair parity"
    with pytest.raises(NoEffect, match=told):
        evenhand.train(model, tokenizer, ROWS, [MGDA(), PairParity()], max_steps=2, language_modelling=0.0)
    save_tiny(tmp_path / "tiny")
    (tmp_path / "r.toml").write_text(
        f'[model]\nname = "{tmp_path / "tiny"}"\n[training]\nmax_steps = 2\nlanguage_modelling = 0.0\n'
        '[[steps]]\nuse = "pair-parity"\n[[steps]]\nuse = "mgda"\n[[steps]]\nuse = "train"\n'
    )
    with pytest.raises(NoEffect, match=told):
        evenhand.run(tmp_path / "r.toml", output=tmp_path / "runs")
    assert not list(tmp_path.glob("runs/*/training/train*"))


def test_an_aggregator_that_met_no_second_gradient_is_told_afterwards() -> None:
    still = LossTerm(name="still", fn=lambda batch, outputs: outputs.loss * 0 + 1, anchor=True)
    with pytest.raises(NoEffect) as caught:
        go([PCGrad(), still])
    assert str(caught.value) == (
        "evenhand.train: the aggregator changed nothing: pcgrad: there is nothing to combine: no two loss terms had a "
        "gradient in one step\n"
        "  the model has learned from the plain sum\n"
        "  give terms that it can combine, or leave it out"
    )


# ---------------------------------------------------------------------------------------------------- too few rows
def test_a_contrast_of_rows_wants_two_of_them_in_a_micro_batch() -> None:
    with pytest.raises(UsageError) as caught:
        go([PairContrast()], batch_size=1)
    assert str(caught.value) == (
        "Training: the loss term 'pair contrast' compares rows of one micro-batch, which needs 2 of them\n"
        "  training.batch_size is 1\n"
        "  set training.batch_size to 2 or more"
    )
    assert go([PairContrast(weight=0.0)], batch_size=1).steps == 2


def test_where_memory_runs_out_no_contrast_is_left_without_a_second_row() -> None:
    def hungry(batch: Any, outputs: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(OutOfMemory) as caught:
        go([PairContrast(), LossTerm(name="hungry", fn=hungry)])
    assert str(caught.value) == (
        "Training: 2 rows at a time do not fit into memory, and the loss term 'pair contrast' compares 2\n"
        "  lower training.max_length"
    )


# --------------------------------------------------------------------------------------------- terms of one's own
@pytest.mark.parametrize(
    "value, shown",
    [
        (lambda batch, outputs: outputs.logits.mean((1, 2)), "a tensor of shape (4,)"),
        (lambda batch, outputs: 1.0, "float"),
        (lambda batch, outputs: None, "NoneType"),
    ],
)
def test_a_term_that_gives_no_single_number_is_named(value: Any, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        go([LossTerm(name="mine", fn=value)])
    assert str(caught.value) == (
        f"training: the loss term 'mine' gives {shown} where one number is due\n"
        "  a number is a tensor of shape ()\n"
        "  give the mean, such as value.mean()"
    )


def test_an_error_inside_of_a_term_keeps_its_kind_and_says_whose_it_is() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        go([LossTerm(name="mine", fn=lambda batch, outputs: 1 / 0)])
    assert caught.value.__notes__ == ["in the loss term 'mine'"]


# ------------------------------------------------------------------------------------------------ another kind of model
@pytest.mark.parametrize("make, named", [(tiny_causal, "Llama"), (tiny_masked, "Bert")])
def test_a_classifier_that_was_made_in_memory_is_no_language_model(make: Any, named: str) -> None:
    import transformers

    model, tokenizer = make()
    model.config.architectures = None
    classifier = getattr(transformers, f"{named}ForSequenceClassification")(model.config)
    with pytest.raises(WrongModelKind) as caught:
        evenhand.train(classifier, tokenizer, ROWS, max_steps=1)
    assert str(caught.value) == (
        f"{named}ForSequenceClassification: this is neither a causal nor a masked language model\n"
        f"  its class is {named}ForSequenceClassification\n"
        "  name a model whose class ends in ForCausalLM or ForMaskedLM"
    )
    assert evenhand.train(model, tokenizer, ROWS, max_steps=1, batch_size=2, learning_rate=1e-3).steps == 1
