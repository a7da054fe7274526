"""A training with the micro-batch that memory allows: where it runs out, the next attempt takes a smaller one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Kind, LossTerm, ModelTransform
from evenhand.errors import OutOfMemory
from evenhand.foreign_precision import own_precision
from evenhand.memory_errors import out_of_memory
from evenhand.positions import most_tokens
from evenhand.processes import sharding
from evenhand.split_parameters import Form
from evenhand.training_arguments import arguments_of
from evenhand.training_checkpoints import go, last_checkpoint
from evenhand.training_checks import rows_at_once
from evenhand.training_data import Collator
from evenhand.training_facts import facts_of
from evenhand.training_log import TrainingLog, integrations
from evenhand.training_model import put_back
from evenhand.training_terms import Terms

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection
    from evenhand.reference import ReferenceModel
    from evenhand.training_data import EncodedRow
    from evenhand.training_watch import Watch


@dataclass(kw_only=True)
class Attempts:
    """One training of `model` on `rows`, tried with smaller micro-batches until it fits into memory."""

    model: PreTrainedModel
    tokenizer: Any
    rows: list[EncodedRow]
    bins: dict[str, torch.Tensor]
    losses: Sequence[LossTerm]
    aggregator: Aggregator | None
    reference: ReferenceModel | None
    watch: Watch | None
    kind: Kind
    settings: TrainingSection
    folder: Path
    seed: int
    transforms: Sequence[ModelTransform]
    facts: Mapping[str, Any]
    """What a checkpoint keeps besides, by name, to tell where it is another later."""
    title: str
    lines: TrainingLog | None
    tell: Callable[[str], None]
    batch: int = field(init=False)
    """Rows of a micro-batch, which shrink when memory runs out."""
    accumulation: int = field(init=False)

    def __post_init__(self) -> None:
        self.batch, self.accumulation = self.settings.batch_size, self.settings.gradient_accumulation

    def begin(self, untouched: PreTrainedModel) -> None:
        """Look at the untouched model and at the present one before the first update.

        Raises OutOfMemory when not even one row fits.
        """
        while self.watch is not None and not self.watch.looks:
            try:
                self.watch.begin(self.model, untouched)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                self._cut(error)

    def train(self, before: dict[str, torch.Tensor], resume: bool) -> tuple[Any, Terms]:
        """The trainer and the terms of the attempt that came to its end; `before` is what moves, at the beginning.

        Raises OutOfMemory when not even one row fits.
        """
        form = Form(self.model)
        untouched: dict[str, Any] | None = None
        while True:
            run = Terms(
                self.losses, self.aggregator, self.settings.language_modelling, self.settings.normalise, kind=self.kind
            )
            run.watch = self.watch
            if untouched is None:
                untouched = copy.deepcopy(run.state_dict())
            else:
                run.load_state_dict(untouched)
            with own_precision(self.model):
                trainer = self._trainer(run)
                try:
                    go(trainer, self.folder, resume)
                    form.restore()
                    return trainer, run
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    self._cut(error)
                    resume = last_checkpoint(self.folder) is not None  # the update of a step is the same: it can go on
                    put_back(self.model, before)
                finally:
                    trainer.close()

    def _cut(self, error: BaseException) -> None:
        """Take a smaller micro-batch, after memory ran out. Raises OutOfMemory for a single row, for fewer than a
        term compares, and where parameters are split: the other processes wait for this one."""
        if by := sharding():
            raise OutOfMemory(
                f"{self.batch} rows at a time do not fit into memory, and under {by} no smaller micro-batch is tried",
                where=self.title,
                do="lower training.batch_size, and raise training.gradient_accumulation",
            ) from error
        if self.batch == 1:
            raise OutOfMemory(
                "one row at a time does not fit into memory", where=self.title, do="lower training.max_length"
            ) from error
        fitting, accumulation = smaller(self.batch, self.batch * self.accumulation)
        least, name = rows_at_once(self.losses)
        if fitting < least:
            raise OutOfMemory(
                f"{self.batch} rows at a time do not fit into memory, and the loss term {name!r} compares {least}",
                where=self.title,
                do="lower training.max_length",
            ) from error
        self.accumulation = accumulation
        word = "halved" if fitting * 2 == self.batch else "cut"
        self.batch = fitting
        if self.reference is not None:
            self.reference.forget(0)
        self.tell(f"out of memory: micro-batch {word} to {fitting}, gradients accumulated over {self.accumulation}")
        if self.watch is not None:
            self.watch.read_beside(fitting)

    def _trainer(self, terms: Terms) -> Any:
        from evenhand.run_callback import RunCallback
        from evenhand.trainer import EvenhandTrainer

        settings = self.settings
        arguments = arguments_of(
            self.model, settings, self.folder, seed=self.seed, batch=self.batch, accumulation=self.accumulation
        )
        board = (self.lines.path.parent if self.lines is not None else self.folder) / "tensorboard"
        if hasattr(arguments, "logging_dir"):  # transformers 4
            arguments.logging_dir = str(board)
        most = most_tokens(self.model)
        collator = Collator(tokenizer=self.tokenizer, kind=self.kind, bins=self.bins, seed=self.seed, most=most)
        return EvenhandTrainer(
            labels_only=settings.logits == "labels",
            model=self.model,
            args=arguments,
            train_dataset=self.rows,
            data_collator=collator,
            terms=terms,
            reference=self.reference,
            kind=self.kind,
            settings={
                **settings.model_dump(mode="json"),
                **self.facts,
                **facts_of(self.losses, self.aggregator, self.rows, self.watch, seed=self.seed),
            },
            lines=self.lines,
            tell=self.tell,
            callbacks=[
                RunCallback(terms, self.transforms, collator, self.title, settings.max_steps, self.lines),
                *integrations(settings.report_to, board),
            ],
        )


def smaller(batch: int, effective: int) -> tuple[int, int]:
    """The largest micro-batch of at most half the size that divides the effective batch, and how often it is needed."""
    fitting = next(size for size in range(batch // 2, 0, -1) if effective % size == 0)
    return fitting, effective // fitting
