"""`transformers.Trainer` with our terms; imported only when a training starts, since it loads torch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this module is imported inside `training._trainer` only
from transformers import Trainer, TrainerCallback  # noqa: TID253
from transformers.trainer_callback import PrinterCallback, ProgressCallback  # noqa: TID253

from evenhand.contributions import ModelTransform
from evenhand.errors import UsageError
from evenhand.processes import averaged, sharding
from evenhand.progress import progress
from evenhand.reference import ReferenceModel
from evenhand.term_gradients import all_finite, diverged
from evenhand.training_batch import Batch, Outputs
from evenhand.training_data import Collator
from evenhand.training_forward import forward, forward_masked_only, token_count, total, trained
from evenhand.training_log import TrainingLog
from evenhand.training_terms import Terms
from evenhand.update_shares import Share, shares, value_and_slopes

PROOF_STEPS = 5
"""Gradients of single terms are measured in the first steps and in the last, and of one that was zero in these when it
is not."""
CONSTRAINT = "the constraint on language quality"
"""The name under which the constraint's gradient is gathered; no aggregator sees it."""
MAY_DIFFER = ("log_every", "report_to", "save_every")
"""Settings that change nothing of what a training learns."""


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Progress, schedules, and the mark of a complete checkpoint."""

    def __init__(
        self, terms: Terms, transforms: Sequence[ModelTransform], collator: Collator, title: str, total: int,
        lines: TrainingLog | None = None,
    ) -> None:  # fmt: skip
        self.terms, self.transforms, self.collator, self.total, self.lines = terms, transforms, collator, total, lines
        self.bar = progress(title, total=total, unit="steps")
        self.shown = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.lines is not None:
            self.lines.begin(state.global_step)
        self.bar.__enter__()
        self.shown = True
        self.bar.advance(state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        # A training that goes on in the middle of a pass has that pass's number here, with a fraction behind it.
        self.collator.epoch = int(state.epoch or 0)

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.terms.on_step(state.global_step, self.total)
        for transform in self.transforms:
            if transform.on_step:
                transform.on_step(state.global_step, self.total)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        losses = [f"{s.term.name} {s.values[-1]:.3f}" for s in self.terms.states if s.values]
        self.bar.advance(1, note=", ".join(losses))
        watch = self.terms.watch
        # The first update of a warm-up has a learning rate of 0: the model is as it was, which is no moment to keep.
        still = state.global_step == 1 and args.warmup_steps > 0
        due = watch is not None and not still and watch.due(state.global_step, state.max_steps)
        if watch is not None and due and watch.look(rest["model"], state.global_step):
            control.should_training_stop = True
        if state.global_step >= state.max_steps or control.should_training_stop:
            control.should_log = True

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        mark = os.open(folder / "COMPLETE", os.O_CREAT | os.O_WRONLY)
        os.fsync(mark)
        os.close(mark)

    def close(self) -> None:
        if self.shown:  # a checkpoint that is refused is read before the training begins
            self.bar.__exit__(None, None, None)


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
        self._gathered: dict[str, torch.Tensor] = {}
        self._losses: dict[str, torch.Tensor] = {}
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
        """In the first and last steps, the proof of each term's gradient."""
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
            self._combine(model)
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
        self._gather(weighted if penalty is None else {**weighted, CONSTRAINT: penalty}, trained(model))
        loss: torch.Tensor = total(weighted).detach() / self.current_gradient_accumulation_steps
        return loss

    def _gather(self, weighted: dict[str, torch.Tensor], parameters: list[torch.nn.Parameter]) -> None:
        """Add this micro-batch to each term's own value [] and gradient [D]."""
        for name, value in weighted.items():
            grads: tuple[torch.Tensor | None, ...] = (None,) * len(parameters)
            if value.requires_grad:
                grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            flat = torch.cat(
                [
                    (g if g is not None else torch.zeros_like(p)).flatten().float()
                    for g, p in zip(grads, parameters, strict=True)
                ]
            )
            if not all_finite([flat]):
                raise diverged(f"the gradient of the loss term {name!r} became nan", self.state.global_step)
            self._gathered[name] = self._gathered[name] + flat if name in self._gathered else flat
            number = value.detach().float()
            self._losses[name] = self._losses[name] + number if name in self._losses else number

    def _demand_finite(self, model: Any, inputs: Any) -> None:
        """No step is taken on a gradient that is not a number: the batch is read again to name the term."""
        if all_finite(p.grad for p in trained(model) if p.grad is not None):
            return
        batch: Batch = inputs["batch"].to(self.args.device)
        with self.compute_loss_context_manager():
            weighted = self.terms.evaluate(batch, self.forward(model, batch), self.state.global_step)
        raise self.terms.accuse(weighted, trained(model), self.state.global_step)

    def _combine(self, model: Any) -> None:
        """Put the aggregator's one direction [D] where the optimiser looks for the gradient.

        Each term is averaged over micro-batches and processes before the terms meet, so that all processes combine the
        same gradients.
        """
        aggregator = self.terms.aggregator
        assert aggregator is not None
        share = 1.0 / self.current_gradient_accumulation_steps
        gradients = {name: averaged(g.mul_(share)) for name, g in self._gathered.items()}
        losses = {name: averaged(value * share) for name, value in self._losses.items()}
        held = gradients.pop(CONSTRAINT, None)
        losses.pop(CONSTRAINT, None)
        if aggregator.uses == "gradients":
            direction = aggregator.combine(losses, gradients)
        else:
            _, slopes = value_and_slopes(self.terms.rule, losses)
            direction = torch.zeros_like(next(iter(gradients.values())))
            for name, gradient in gradients.items():
                direction.add_(gradient, alpha=slopes[name])
        if not all_finite([direction]):
            what = f"what the aggregator {aggregator.name!r} made of the gradients became nan"
            raise diverged(what, self.state.global_step)
        if held is not None:
            direction = direction + held
        start = 0
        for p in trained(model):
            p.grad = direction[start : start + p.numel()].view_as(p).to(p.dtype).clone()
            start += p.numel()
        self._gathered, self._losses = {}, {}

    # ----------------------------------------------------------------------------------------- checkpoints
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Only what moves: the rest of the model is the same at every checkpoint."""
        from safetensors.torch import save_file

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        moving = {n: p.detach().contiguous() for n, p in self.model.named_parameters() if p.requires_grad}
        self.demand_finite()
        save_file(moving, folder / "trainable.safetensors")
        facts = {
            "terms": self.terms.state_dict(), "tokens": self.tokens, "seconds": self.seconds, "logged": self._logged,
            "settings": dict(self.settings),
        }  # fmt: skip
        torch.save(facts, folder / "terms.pt")

    def take_up(self, checkpoint: Path, steps: int) -> None:
        """Put back the last state of a training that had made all its updates."""
        self.state.global_step = steps
        for callback in self._own_callbacks():
            callback.on_train_begin(self.args, self.state, self.control)
        self._load_from_checkpoint(str(checkpoint))
        self.demand_finite()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        from safetensors.torch import load_file

        folder = Path(resume_from_checkpoint)
        stored = load_file(folder / "trainable.safetensors")
        moving = {name for name, p in self.model.named_parameters() if p.requires_grad}
        if stored.keys() != moving:
            one = sorted(stored.keys() ^ moving)[0]
            raise UsageError(
                f"the training that is to go on moved other parameters: {one!r} only "
                + ("then" if one in stored else "now"),
                where="training",
                known=f"{len(stored)} tensors then, {len(moving)} now",
                do="select the same parameters, or begin again in another folder",
            )
        state = torch.load(folder / "terms.pt", weights_only=True)
        self.terms.load_state_dict(state["terms"])
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in stored:
                    parameter.copy_(stored[name])
        self.went_on_from = stored
        self.tokens, self.earlier = state["tokens"], state["seconds"]
        self._logged = state.get("logged", 0)
        had = state.get("settings", {})
        changed = [
            f"{key} is {now}, was {had[key]}"
            for key, now in self.settings.items()
            if key in had and key not in MAY_DIFFER and had[key] != now
        ]
        if changed:
            self.tell(f"goes on from {folder.name} with other settings: {'; '.join(changed)}")
