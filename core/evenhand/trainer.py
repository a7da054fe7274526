"""`transformers.Trainer` with our terms; imported only when a training starts, since it loads torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - imported when a training starts
from transformers import Trainer  # noqa: TID253
from transformers.trainer_callback import PrinterCallback, ProgressCallback  # noqa: TID253

from evenhand.processes import sharding
from evenhand.reference import ReferenceModel
from evenhand.run_callback import RunCallback
from evenhand.separate_gradients import CONSTRAINT, SeparateGradients
from evenhand.split_parameters import moving, put_into
from evenhand.term_gradients import all_finite, diverged
from evenhand.training_batch import Batch, Outputs
from evenhand.training_checkpoints import changed_settings, read_moving, write_moving
from evenhand.training_facts import demand_watched_alike
from evenhand.training_forward import forward, forward_masked_only, token_count, total, trained
from evenhand.training_log import TrainingLog
from evenhand.training_terms import Terms
from evenhand.update_shares import Share, shares

PROOF_STEPS = 5
"""Gradients of single terms are measured in the first steps and in the last, and of one that was zero in these when it
is not."""


class EvenhandTrainer(Trainer):  # type: ignore[misc]
    """One forward pass for text rows and counterfactuals, and one update from all terms."""

    def __init__(
        self,
        *,
        terms: Terms,
        reference: ReferenceModel | None,
        kind: str,
        settings: Mapping[str, Any],
        lines: TrainingLog | None = None,
        tell: Callable[[str], None] = lambda text: None,
        labels_only: bool = False,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.settings, self.lines, self.tell = settings, lines, tell
        self.updates = 0
        """Updates that were made here, those before an interruption left out."""
        self.went_on_from: dict[str, torch.Tensor] = {}
        """What moves, as the checkpoint had it that this training goes on from."""
        self._logged = 0
        self.model_accepts_loss_kwargs = False  # our loss is a mean: the trainer must divide it when accumulating
        self.terms, self.reference, self.kind = terms, reference, kind
        self.labels_only = labels_only and kind == "masked" and terms.language_modelling_alone
        self.tokens = 0
        self.began, self.earlier = time.monotonic(), 0.0
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.separate = SeparateGradients(terms)
        self._shares: dict[int, dict[str, Share]] = {}
        """By identity of each micro-batch of the present update."""

    def _inner_training_loop(self, batch_size: int | None = None, *rest: Any, **options: Any) -> Any:
        """With the micro-batch of now: a checkpoint carries the one it was written with, and going on from it after
        memory ran out must not take that up again."""
        self._train_batch_size = self.args.train_batch_size
        return super()._inner_training_loop(self.args.train_batch_size, *rest, **options)

    def log(self, logs: dict[str, float], *rest: Any, **options: Any) -> None:
        """The mean of each term since the last log by name, beside the trainer's own loss and in the file."""
        if "loss" in logs:  # not the summary at the end
            means = self.terms.means(self._logged)
            self._logged = max((len(s.values) for s in self.terms.states), default=0)
            if self.lines is not None:
                self.lines.add(
                    {
                        "step": self.state.global_step,
                        "tokens": self.tokens,
                        "learning_rate": logs.get("learning_rate"),
                        "gradient_norm": logs.get("grad_norm"),
                        "terms": means,
                    }
                )
            logs.update({f"loss/{name}": mean for name, mean in means.items()})
        super().log(logs, *rest, **options)

    @property
    def seconds(self) -> float:
        """How long the training took, attempts before an interruption included."""
        return self.earlier + time.monotonic() - self.began

    def close(self) -> None:
        """Take down the progress bar, also after a failure."""
        for callback in self._own_callbacks():
            callback.close()

    def _own_callbacks(self) -> list[RunCallback]:
        return [c for c in self.callback_handler.callbacks if isinstance(c, RunCallback)]

    # ------------------------------------------------------------------------------------------------ loss
    def forward(self, model: Any, batch: Batch) -> Outputs:
        """The outputs on a batch, its tokens counted."""
        self.tokens += token_count(batch)
        if self.labels_only:
            return forward_masked_only(model, batch)
        return forward(model, batch, self.terms.needs, kind=self.kind, reference=self.reference)

    def get_batch_samples(self, *given: Any, **options: Any) -> Any:
        """The micro-batches of an update, of which each term now knows what each counts."""
        samples, items = super().get_batch_samples(*given, **options)
        batches = [inputs["batch"] for inputs in samples]
        found = shares([s.term for s in self.terms.states], batches, self.args.device)
        self._shares = {id(batch): its for batch, its in zip(batches, found, strict=True)}
        return samples, items

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **rest: Any) -> Any:
        weighted = self._weighted(model, inputs)
        value = self.terms.combine(weighted)
        self._prove(model, weighted, value)
        penalty = self._penalty(model)
        return value if penalty is None else value + penalty

    def _weighted(self, model: Any, inputs: Any) -> dict[str, torch.Tensor]:
        """Each term's weighted value on a micro-batch."""
        batch: Batch = inputs["batch"].to(self.args.device)
        its = self._shares.get(id(inputs["batch"]))
        return self.terms.evaluate(batch, self.forward(model, batch), self.state.global_step, its)

    def _prove(self, model: Any, weighted: dict[str, torch.Tensor], combined: torch.Tensor | None = None) -> None:
        """In the first and last steps, the proof of each term's gradient; split parameters have none."""
        if sharding():
            return
        step = self.state.global_step
        always = step < PROOF_STEPS or step == self.state.max_steps - 1
        self.terms.prove(weighted, trained(model), step, combined, all_terms=always)

    def _penalty(self, model: Any) -> torch.Tensor | None:
        """What the constraint on language quality adds to any combination of the terms; None while it is slack."""
        found = self.terms.watch.penalty(getattr(model, "module", model)) if self.terms.watch is not None else None
        if found is None:
            return None
        self.tokens += found[1]
        return found[0]

    # --------------------------------------------------------------------------------------------- updates
    def demand_finite(self) -> None:
        """Raises `TrainingDiverged` when a parameter that the training moves is infinite or not a number."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad and not all_finite([parameter]):
                raise diverged(f"the parameter {name!r} became nan", self.state.global_step)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        apart = self._apart()
        if apart:
            loss = self._step_apart(model, inputs)
        else:
            loss = super().training_step(model, inputs, num_items_in_batch)
            self._demand_finite(model, inputs)
        self.updates += bool(self.accelerator.sync_gradients)
        self.terms.step_own_optimizers(self.state.global_step)
        if apart and self.accelerator.sync_gradients:
            self.separate.combine(trained(model), self.current_gradient_accumulation_steps, self.state.global_step)
        return loss

    def _apart(self) -> bool:
        """Whether terms are differentiated one by one: for an aggregator of gradients, and for one of losses where an
        update has several micro-batches, because it is to see the losses of all of them. Of parameters that are split
        between processes there are no gradients of single terms: there it combines micro-batch by micro-batch."""
        aggregator = self.terms.aggregator
        if aggregator is None or aggregator.uses == "gradients":
            return aggregator is not None
        return self.current_gradient_accumulation_steps > 1 and not sharding()

    def _step_apart(self, model: Any, inputs: Any) -> torch.Tensor:
        """One micro-batch whose terms are differentiated one by one; what distributes the model reduces nothing."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        with self.accelerator.no_sync(model), self.compute_loss_context_manager():
            weighted = self._weighted(model, inputs)
            aggregator = self.terms.aggregator
            of_losses = aggregator is not None and aggregator.uses == "losses"
            self._prove(model, weighted, self.terms.combine(weighted) if of_losses else None)
            penalty = self._penalty(model)
        values = weighted if penalty is None else {**weighted, CONSTRAINT: penalty}
        self.separate.add(values, trained(model), self.state.global_step)
        loss: torch.Tensor = total(weighted).detach() / self.current_gradient_accumulation_steps
        return loss

    def _demand_finite(self, model: Any, inputs: Any) -> None:
        """No step is taken on a gradient that is not a number: the batch is read again to name the term."""
        if all_finite(p.grad for p in trained(model) if p.grad is not None):
            return
        batch: Batch = inputs["batch"].to(self.args.device)
        with self.compute_loss_context_manager():
            weighted = self.terms.evaluate(batch, self.forward(model, batch), self.state.global_step)
        raise self.terms.accuse(weighted, trained(model), self.state.global_step)

    # ----------------------------------------------------------------------------------------- checkpoints
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Only what moves: the rest of the model is the same at every checkpoint."""
        values, facts = self._kept()
        write_moving(Path(output_dir or self.args.output_dir), values, facts)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """What is split between processes is gathered by all of them, and written by the first."""
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)
            return
        values, facts = self._kept()
        if self.args.should_save:
            write_moving(Path(output_dir or self.args.output_dir), values, facts)

    def _kept(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a checkpoint holds: the values of what moves, and what is known beside them."""
        self.demand_finite()
        facts = {
            "terms": self.terms.state_dict(), "tokens": self.tokens, "seconds": self.seconds, "logged": self._logged,
            "settings": dict(self.settings),
        }  # fmt: skip
        return moving(self.model), facts

    def take_up(self, checkpoint: Path, steps: int) -> None:
        """Put back the last state of a training that had made all its updates."""
        self.state.global_step = steps
        for callback in self._own_callbacks():
            callback.on_train_begin(self.args, self.state, self.control)
        self._load_from_checkpoint(str(checkpoint))
        self.demand_finite()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self.went_on_from, state = read_moving(folder, self.model)
        demand_watched_alike(state["terms"], self.terms.watch)
        self.terms.load_state_dict(state["terms"])
        put_into(self.model, self.went_on_from)
        self.tokens, self.earlier = state["tokens"], state["seconds"]
        self._logged = state.get("logged", 0)
        if changed := changed_settings(state.get("settings", {}), self.settings):
            self.tell(f"goes on from {folder.name} with other settings: {changed}")
