"""What a training does beside its updates: progress, schedules, looks at the budget, and the mark of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback  # noqa: TID253 - imported when a training starts

from evenhand.contributions import ModelTransform
from evenhand.progress import progress
from evenhand.training_data import Collator
from evenhand.training_log import TrainingLog
from evenhand.training_terms import Terms


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Progress, schedules, and the mark of a complete checkpoint."""

    def __init__(
        self, terms: Terms, transforms: Sequence[ModelTransform], collator: Collator, title: str, total: int,
        lines: TrainingLog | None = None,
    ) -> None:  # fmt: skip
        self.terms, self.transforms, self.collator, self.total, self.lines = terms, transforms, collator, total, lines
        self.bar = progress(title, total=total, unit="steps")
        self.shown = self.ended = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if self.lines is not None:
            self.lines.begin(state.global_step)
        self.bar.__enter__()
        self.shown = True
        self.bar.advance(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.ended = True

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
            whole = self.ended or self.bar.done >= self.total
            self.bar.__exit__(None if whole else RuntimeError, None, None)
