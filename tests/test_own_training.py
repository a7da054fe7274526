"""Loss terms in a `Trainer` of one's own and in plain torch: the same numbers as in the toolkit's own training."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import evenhand
from evenhand.contributions import Aggregator, LossTerm, ModelTransform, Needs
from evenhand.errors import TrainingDiverged, UsageError
from evenhand_sdk import Plugin, hookimpl
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from evenhand_standard.objective.pair_parity import PairParity

TEXTS = [
    "The nurse said that she would come back to the house later.",
    "The engineer said he was tired of the work at home.",
    "Rain fell on the town all morning long.",
    "The teacher read a book to the children.",
]
ROWS = Dataset.from_dict({"text": TEXTS * 4})


def adversary(seed: int = 0) -> LossTerm:
    """Tells even rows from odd ones by the mean final state; the model works against it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = torch.nn.Linear(32, 1)

    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        said = head(outputs.hidden_states[-1].float().mean(1)).squeeze(-1)
        truth = (batch.rows % 2).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(said, truth)

    term = LossTerm(
        name="adversary",
        fn=fn,
        weight=-0.5,
        needs=Needs(hidden_states=True),
        parameters=head.parameters,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05),
    )
    object.__setattr__(term, "head", head)
    return term


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    """Those of the toolkit's own training, where they matter."""
    values = {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "seed": 3,
        "data_seed": 3,
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        **options,
    }
    return TrainingArguments(output_dir=str(folder), **values)


def own_trainer(
    fair: Any, model: Any, folder: Path, callbacks: Any = (), evaluation: Any = None, **options: Any
) -> Any:
    class MyTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **rest: Any) -> Any:
            return fair.loss(model, inputs, return_outputs)

        def get_batch_samples(self, *given: Any, **named: Any) -> Any:
            batches, items = super().get_batch_samples(*given, **named)
            fair.update(batches)
            return batches, items

    return MyTrainer(
        model=model,
        args=arguments(folder, **options),
        train_dataset=fair.encode(ROWS),
        eval_dataset=evaluation,
        data_collator=fair.collate,
        callbacks=[fair.callback(), *callbacks],
    )


def assert_same(left: Any, right: Any) -> None:
    for (name, a), (_, b) in zip(left.named_parameters(), right.named_parameters(), strict=True):
        assert torch.equal(a, b), name


# ------------------------------------------------------------------------------------------------------ a Trainer
@pytest.mark.parametrize("make", [tiny_causal, tiny_masked])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_own_trainer_ends_with_the_same_bits_as_the_toolkits(make: Any, accumulation: int, tmp_path: Path) -> None:
    """Terms, retention against the untouched model, an adversary with its own optimiser, gradients accumulated."""
    ours, tokenizer = make()
    theirs, _ = make()
    options = {"max_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "gradient_accumulation": accumulation}
    plugins = [PairParity(weight=2.0), first := adversary()]
    result = evenhand.train(ours, tokenizer, ROWS, plugins, seed=3, max_length=512, precision="float32", **options)
    fair = evenhand.Objective(theirs, tokenizer, [PairParity(weight=2.0), second := adversary()], seed=3)
    own_trainer(fair, theirs, tmp_path, gradient_accumulation_steps=accumulation).train()
    assert_same(theirs, ours)
    assert torch.equal(second.head.weight, first.head.weight)  # type: ignore[attr-defined]
    facts = fair.facts()
    assert facts.keys() == result.terms.keys()
    for name in ("pair parity", "retention"):
        assert facts[name]["last"] == result.terms[name]["last"] > 0
    assert (fair.step, fair.batches, fair.tokens) == (6, 6 * accumulation, result.tokens)


def test_a_masked_loss_alone_ends_with_the_same_bits_too(tmp_path: Path) -> None:
    """Several passes over the rows, each with masks of its own."""
    ours, tokenizer = tiny_masked()
    theirs, _ = tiny_masked()
    result = evenhand.train(ours, tokenizer, ROWS, seed=3, max_length=512, precision="float32", max_steps=12,
                            batch_size=4, learning_rate=1e-3)  # fmt: skip
    fair = evenhand.Objective(theirs, tokenizer, [], seed=3)
    own_trainer(fair, theirs, tmp_path, max_steps=12).train()
    assert fair.collate.epoch > 0
    assert_same(theirs, ours)
    assert fair.facts()["language modelling"]["last"] == result.terms["language modelling"]["last"]


def test_a_training_that_was_interrupted_goes_on_with_the_same_adversary(tmp_path: Path) -> None:
    def training(folder: Path, steps: int, save: bool, resume: bool | str = False) -> tuple[Any, Any]:
        model, tokenizer = tiny_causal()
        fair = evenhand.Objective(model, tokenizer, [term := adversary()], seed=3)
        saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 3} if save else {}
        trainer = own_trainer(fair, model, folder, [Stop(steps)], **saving)
        trainer.train(resume_from_checkpoint=resume)
        assert fair.step == steps and len(fair._terms.states[1].values) == steps
        return model, term

    whole, expected = training(tmp_path / "a", 6, save=False)
    training(tmp_path / "b", 3, save=True)
    resumed, found = training(tmp_path / "b", 6, save=True, resume=True)
    assert_same(resumed, whole)
    assert torch.equal(found.head.weight, expected.head.weight)
    (tmp_path / "b" / "checkpoint-3" / "evenhand_terms.pt").unlink()
    with pytest.raises(UsageError) as error:
        training(tmp_path / "b", 6, save=True, resume=str(tmp_path / "b" / "checkpoint-3"))
    assert str(error.value) == (
        "Objective.callback: the training resumes at step 3, but the state of the loss terms is not there\n"
        "  looked for evenhand_terms.pt in checkpoint-3 of b\n"
        "  resume from a checkpoint that was written with this callback, or start again"
    )


class Stop(TrainerCallback):  # type: ignore[misc]
    """Ends a training early, its schedule unchanged."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        control.should_training_stop = state.global_step >= self.at


def test_the_mean_of_each_term_is_in_the_trainers_logs(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    counts = iter(range(1, 9))
    term = LossTerm(name="count", fn=lambda batch, outputs: outputs.logits.sum() * 0 + next(counts))
    fair = evenhand.Objective(model, tokenizer, [term])
    trainer = own_trainer(fair, model, tmp_path, logging_strategy="steps", logging_steps=2, max_steps=4)
    trainer.train()
    assert [log["loss/count"] for log in trainer.state.log_history if "loss" in log] == [1.5, 3.5]
    assert fair.latest()["count"] == 4.0 and fair.means(4)["count"] == 2.5
    assert fair.facts()["language modelling"]["gradient_norm"] is None
    assert fair.facts()["count"] == {"weight": 1.0, "first": 1.0, "last": 4.0, "gradient_norm": 0.0}


def test_evaluation_changes_nothing_and_meets_the_reference_of_its_own_rows(tmp_path: Path) -> None:
    """Row 0 of the evaluation text is not row 0 of the training text: KL to the untouched model begins at 0."""
    model, tokenizer = tiny_causal()
    fair = evenhand.Objective(model, tokenizer, [PairParity(weight=0.0, retention=1.0)], language_modelling=0.0)
    trainer = own_trainer(
        fair, model, tmp_path, evaluation=fair.encode(["It was a good day for all the people there."])
    )
    assert trainer.evaluate()["eval_loss"] == pytest.approx(0.0, abs=1e-5)
    trainer.train()
    values = list(fair.means(99).values())
    assert trainer.evaluate()["eval_loss"] >= 0.0
    assert list(fair.means(99).values()) == values and fair.batches == 6


def test_progress_is_shown_while_steps_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing keeps running behind a training that failed."""
    from evenhand.progress import progress

    monkeypatch.setattr("evenhand.progress.SHOW_AFTER", 0.0)
    progress.configure("plain")
    model, tokenizer = tiny_causal()
    fair = evenhand.Objective(model, tokenizer, [PairParity()])
    own_trainer(fair, model, tmp_path).train()
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip().startswith("Training")]
    assert lines[0].startswith("Training: 1 of 6 steps (16 %), language modelling ")
    assert lines[-1].startswith("Training: done, 6 steps in ") and "pair parity 0." in lines[0]
    calls = iter(range(9))

    def odd(batch: Any, outputs: Any) -> torch.Tensor:
        return outputs.logits.sum() * (float("nan") if next(calls) == 2 else 0.0)

    fair = evenhand.Objective(model, tokenizer, [LossTerm(name="odd", fn=odd)])
    before = threading.active_count()
    with pytest.raises(TrainingDiverged) as error:
        own_trainer(fair, model, tmp_path).train()
    assert str(error.value) == (
        "Objective.loss: the loss term 'odd' became nan at step 2\n"
        "  lower the learning rate or the weight of that term, then start again"
    )
    assert threading.active_count() == before
    progress.configure("auto")


def test_selected_parameters_and_schedules_in_an_own_trainer(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Schedule(Plugin):
        name = "schedule"

        @hookimpl
        def architecture(self, run: Any, model: Any) -> ModelTransform:
            return ModelTransform(on_step=lambda step, total: seen.append((step, total)))

    model, tokenizer = tiny_causal()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    handle = evenhand.apply(model, tokenizer, [SelectiveUpdate(select=["norms"]), Schedule()])
    fair = evenhand.Objective(model, tokenizer, [PairParity()])
    own_trainer(fair, model, tmp_path, [handle.callback()], max_steps=2).train()
    assert handle.finish()["selective-update"].meta["moved tensors"] == 5
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == set(handle.trainable)
    assert seen == [(0, 2), (1, 2)]


def test_recomputed_activations_are_not_differentiated_twice(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal()
    model.config.use_cache = False
    fair = evenhand.Objective(model, tokenizer, [PairParity()])
    own_trainer(fair, model, tmp_path, gradient_checkpointing=True, max_steps=1).train()
    assert fair.facts()["pair parity"]["gradient_norm"] is None


# ---------------------------------------------------------------------------------------------------- plain torch
def test_a_plain_torch_loop(tmp_path: Path) -> None:
    """The gap between the two sides of each pair shrinks, the adversary's own optimiser steps in between."""
    model, tokenizer = tiny_causal()
    steps: list[tuple[int, int]] = []
    term = adversary()
    scheduled = LossTerm(name="zero", fn=lambda b, o: o.logits.sum() * 0, on_step=lambda *step: steps.append(step))
    fair = evenhand.Objective(model, tokenizer, [PairParity(weight=5.0), term, scheduled])
    start = term.head.weight.detach().clone()  # type: ignore[attr-defined]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(10):
        for batch in DataLoader(fair.encode(TEXTS), batch_size=2, collate_fn=fair.collate):
            fair.on_step(epoch, 10)
            fair.loss(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    facts = fair.facts()
    assert facts["pair parity"]["last"] < 0.5 * facts["pair parity"]["first"]
    assert fair.step == fair.batches == 20 and steps[-1] == (9, 10) and len(steps) == 20
    moved = term.head.weight.detach().clone()  # type: ignore[attr-defined]
    assert not torch.equal(moved, start)
    fair.close()
    assert not torch.equal(term.head.weight, moved), "the last step is taken"  # type: ignore[attr-defined]


def test_the_state_can_be_kept_without_a_trainer() -> None:
    model, tokenizer = tiny_causal()
    fair = evenhand.Objective(model, tokenizer, [term := adversary()])
    fair.loss(model, fair.collate(fair.encode(TEXTS))).backward()
    state = fair.state_dict()
    other = evenhand.Objective(model, tokenizer, [again := adversary(seed=1)])
    other.load_state_dict(state)
    assert torch.equal(again.head.weight, term.head.weight)  # type: ignore[attr-defined]
    assert (other.step, other.batches, other.latest()) == (1, 1, fair.latest())


def test_an_own_reference_and_attentions() -> None:
    model, tokenizer = tiny_causal()
    untouched, _ = tiny_causal(seed=1)
    seen = []

    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        kept = batch.attention_mask.bool()
        with torch.no_grad():
            logits = untouched(batch.input_ids, attention_mask=batch.attention_mask).logits
        seen.append(float((outputs.reference.logits()[kept] - logits[kept]).abs().max()))
        return outputs.attentions[0].sum() * 0

    implementation = model.config._attn_implementation
    term = LossTerm(name="look", fn=fn, needs=Needs(reference=True, attentions=True))
    fair = evenhand.Objective(model, tokenizer, [term], reference=untouched)
    assert model.config._attn_implementation == "eager" and model.accepts_loss_kwargs is False
    with torch.no_grad():
        value, out = fair.loss(model, fair.collate(fair.encode(TEXTS)), return_outputs=True)
    assert seen[0] < 1e-4 and out.logits.shape[0] == 4 and out["loss"] is value
    fair.close()
    assert model.config._attn_implementation == implementation and "accepts_loss_kwargs" not in vars(model)


# ------------------------------------------------------------------------------------------------ what is refused
def test_an_aggregator_of_losses_works_and_one_of_gradients_is_refused_by_name() -> None:
    model, tokenizer = tiny_causal()
    worst = Aggregator(name="worst", combine=lambda losses: torch.stack(list(losses.values())).max())
    fair = evenhand.Objective(model, tokenizer, [PairParity(), worst])
    value = fair.loss(model, fair.collate(fair.encode(TEXTS)))
    assert float(value.detach()) == pytest.approx(fair.latest()["language modelling"])
    with pytest.raises(UsageError) as error:
        evenhand.Objective(model, tokenizer, [Aggregator(name="pcgrad", combine=max, uses="gradients")])
    assert str(error.value) == (
        "Objective: the aggregator 'pcgrad' combines the gradients of single terms, which a training loop of your own "
        'has no place for\n  use a recipe with a step of use = "train", or evenhand.train(model, tokenizer, dataset, '
        "plugins)"
    )
    with pytest.raises(UsageError, match="a training combines its terms in one way, here are 2: 'worst', 'worst'"):
        evenhand.Objective(model, tokenizer, [worst, worst])


def test_batches_and_data_that_the_objective_did_not_make_are_refused() -> None:
    model, tokenizer = tiny_causal()
    fair = evenhand.Objective(model, tokenizer, [LossTerm(name="n", fn=len, needs=Needs(columns=["group"]))])
    with pytest.raises(UsageError) as error:
        fair.loss(model, tokenizer(TEXTS[0], return_tensors="pt"))
    assert str(error.value) == (
        "Objective.loss: this batch was not made by the objective's collator\n"
        "  train_dataset=fair.encode(dataset) and data_collator=fair.collate"
    )
    for data, message in [
        (ROWS, "encode: a loss term reads the column 'group', the data set has none"),
        (ROWS.rename_column("text", "body"), "the data set has no column 'text'"),
        (ROWS.to_iterable_dataset(), "encode: streamed data has no length"),
        (TEXTS[0], "encode: this is one text"),
        (Dataset.from_dict({"text": ["a"], "group": [1]}), "encode: no row has two tokens or more"),
    ]:
        with pytest.raises(UsageError, match=message):
            fair.encode(data)
    with pytest.raises(UsageError, match="there is nothing to learn: no loss term, and language_modelling is 0"):
        evenhand.Objective(model, tokenizer, [PairParity(strength=0.0)], language_modelling=0.0)
