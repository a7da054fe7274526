"""Trainings of models that `peft` has wrapped: what the untouched model is, and what a Trainer reads of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments

import evenhand
from evenhand.reference import ReferenceModel
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.objective.pair_parity import PairParity

TEXTS = [
    "The nurse said that she would come back to the house later.",
    "The engineer said he was tired of the work at home.",
    "Rain fell on the town all morning long.",
    "The teacher read a book to the children.",
]
ROWS = Dataset.from_dict({"text": TEXTS * 4})
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def adapted() -> tuple[Any, Any]:
    """A model whose adapter changes what it says from the beginning."""
    model, tokenizer = tiny_causal()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        return get_peft_model(model, config), tokenizer


def test_the_toolkits_training_and_a_trainer_end_with_the_same_adapter(tmp_path: Path) -> None:
    """Gradients accumulated, with a term that asks for the untouched model: the adapter as it was is a part of it."""
    ours, tokenizer = adapted()
    theirs, _ = adapted()
    result = evenhand.train(
        ours, tokenizer, ROWS, [PairParity()], seed=3, max_length=512, precision="float32", max_steps=5, batch_size=4,
        learning_rate=1e-3, gradient_accumulation=2,
    )  # fmt: skip
    assert result.terms["retention"]["first"] < 1e-9 < result.terms["retention"]["last"]

    fair = evenhand.Objective(theirs, tokenizer, [PairParity()], seed=3)

    class MyTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **rest: Any) -> Any:
            return fair.loss(model, inputs, return_outputs)

        def get_batch_samples(self, *given: Any, **named: Any) -> Any:
            batches, items = super().get_batch_samples(*given, **named)
            fair.update(batches)
            return batches, items

    arguments = TrainingArguments(
        str(tmp_path), max_steps=5, per_device_train_batch_size=4, gradient_accumulation_steps=2, learning_rate=1e-3,
        lr_scheduler_type="cosine", warmup_steps=1, save_strategy="no", report_to=[], seed=3, data_seed=3, use_cpu=True,
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    MyTrainer(
        model=theirs, args=arguments, train_dataset=fair.encode(ROWS), data_collator=fair.collate,
        callbacks=[fair.callback()],
    ).train()  # fmt: skip
    for (name, a), (_, b) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    fair.close()
    assert "accepts_loss_kwargs" not in vars(theirs.get_base_model())


def test_the_final_states_of_a_wrapped_model_are_kept_too() -> None:
    model, _ = adapted()
    reference = ReferenceModel(model.eval(), kind="causal")
    given = reference._asked(IDS, torch.ones_like(IDS), lambda: [0, 1]).logits()
    assert reference.plain and reference.hidden.keys() == {0, 1}
    torch.testing.assert_close(given, model(input_ids=IDS).logits)


def test_a_trunk_that_gives_no_final_states_is_not_asked_for_them() -> None:
    model, _ = tiny_causal()
    reference = ReferenceModel(model.eval(), kind="causal")
    reference._trunk = model  # gives logits alone
    given = reference._asked(IDS, torch.ones_like(IDS), lambda: [0, 1]).logits()
    assert reference.plain is False
    assert torch.equal(given, model(input_ids=IDS).logits)
