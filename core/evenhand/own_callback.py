"""What a user's own `Trainer` tells objectives and model transforms; imported inside functions: it loads torch."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this module is imported inside functions only
from transformers import TrainerCallback  # noqa: TID253

from evenhand.errors import UsageError
from evenhand.progress import progress

if TYPE_CHECKING:
    from evenhand.own_objective import Objective

STATE = "evenhand_terms.pt"
"""File in a checkpoint with the state of the loss terms."""


class StepProgress(progress):
    """Progress that is only shown while steps are taken: a training that was interrupted leaves nothing running."""

    def __init__(self, label: str, *, total: int) -> None:
        super().__init__(label, total=total, unit="steps")
        self._next = 0.0

    def _schedule(self, delay: float) -> None:
        self._next = time.monotonic() + delay

    def advance(self, items: int = 1, *, note: str | None = None) -> None:
        super().advance(items, note=note)
        if time.monotonic() >= self._next:
            self._tick()


class ScheduleCallback(TrainerCallback):  # type: ignore[misc]
    """Calls `on_step(step, total)` of each schedule before each optimiser step."""

    def __init__(self, schedules: Sequence[Callable[[int, int], None]]) -> None:
        self.schedules = list(schedules)

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        for schedule in self.schedules:
            schedule(state.global_step, state.max_steps)


class ObjectiveCallback(ScheduleCallback):
    """Schedules, progress, logs and checkpoints of an `Objective`."""

    def __init__(self, objective: Objective, title: str) -> None:
        super().__init__([objective.on_step])
        self.objective, self.title = objective, title
        self.bar: StepProgress | None = None
        self._unfinished: Any = None
        self.logged = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._close()
        self.objective.follows_trainer = True
        if state.global_step:
            self._restore(args, state.global_step)
        self.logged = self.objective.batches
        self.objective.step = state.global_step
        # The trainer's own bar has the terminal, unless it is switched off; a notebook has room for both.
        if args.disable_tqdm or "ipykernel" in sys.modules:
            self.bar = StepProgress(self.title, total=state.max_steps)
            self.bar.__enter__()
            self.bar.done = state.global_step
            # A training that fails never ends here, and a bar on a terminal hides the cursor until it is taken down.
            self._unfinished = weakref.finalize(self, self.bar.__exit__, RuntimeError, None, None)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.objective.collate.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.objective.step = state.global_step
        if self.bar is not None:
            note = ", ".join(f"{name} {value:.3f}" for name, value in self.objective.latest().items())
            self.bar.advance(1, note=note)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """The mean of each term since the last log, beside the trainer's own loss."""
        fresh = self.objective.batches - self.logged
        if logs is None or "loss" not in logs or not fresh:
            return
        means = {f"loss/{name}": mean for name, mean in self.objective.means(fresh).items()}
        logs.update(means)
        if state.log_history:
            state.log_history[-1].update(means)
        self.logged = self.objective.batches

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            torch.save(self.objective.state_dict(), folder / STATE)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.objective.finish_step()
        self._close(None)

    def _restore(self, args: Any, step: int) -> None:
        given = args.resume_from_checkpoint
        places = [Path(given)] if isinstance(given, str) else []
        places.append(Path(args.output_dir) / f"checkpoint-{step}")
        found = next((p / STATE for p in places if (p / STATE).is_file()), None)
        if found is not None:
            self.objective.load_state_dict(torch.load(found, weights_only=True, map_location="cpu"))
        elif self.objective.has_state:
            raise UsageError(
                f"the training resumes at step {step}, but the state of the loss terms is not there",
                where="Objective.callback",
                known=f"looked for {STATE} in {', '.join(p.name for p in places)} of {Path(args.output_dir).name}",
                do="resume from a checkpoint that was written with this callback, or start again",
            )

    def _close(self, error: type[BaseException] | None = RuntimeError) -> None:
        """Take down the bar: that of a training that never ended, unless told otherwise."""
        if self.bar is not None:
            self._unfinished.detach()
            self.bar.__exit__(error, None, None)
            self.bar = None
