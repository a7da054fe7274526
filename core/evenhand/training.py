"""The one training loop, on `transformers.Trainer`: accelerate, resume, mixed precision and logging come with it.

`train` moves the trainable parameters of a model in place. The text rows and their counterfactuals share one forward
pass; every term sees the same outputs. A training that is interrupted continues from its last complete checkpoint with
the same numbers; a term that becomes infinite stops it by name; when memory runs out, the micro-batch is halved and
accumulated instead.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Criterion, Kind, LossTerm, ModelTransform, TrainingStart
from evenhand.errors import NoEffect, OutOfMemory, UsageError
from evenhand.foreign_precision import own_precision
from evenhand.memory_errors import out_of_memory
from evenhand.processes import is_first
from evenhand.training_arguments import arguments_of, current_device_kept, in_bf16
from evenhand.training_checkpoints import STATE_OF_TERMS, demand_fresh, go, last_checkpoint
from evenhand.training_checks import demand_pairs, demand_sound, one_aggregator, one_criterion
from evenhand.training_data import Collator, EncodedRow, encode, rows_that_are_read
from evenhand.training_log import TrainingLog, integrations
from evenhand.training_model import eager_if_needed, in_float32, moved, put_back, release, select
from evenhand.training_result import TrainingResult
from evenhand.training_terms import Terms
from evenhand.training_watch import watch_of

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection
    from evenhand.reference import ReferenceModel


def train(
    model: PreTrainedModel,
    tokenizer: Any,
    data: Dataset,
    terms: Sequence[LossTerm | Aggregator | Criterion],
    *,
    kind: Kind,
    settings: TrainingSection,
    folder: Path,
    seed: int,
    trainable: Iterable[str] | None = None,
    transforms: Sequence[ModelTransform] = (),
    reference: Callable[[], ReferenceModel] | None = None,
    retention: Dataset | None = None,
    budget: float | None = None,
    idle: Collection[str] = (),
    resume: bool = False,
    title: str = "Training",
    log: Path | None = None,
    on_event: Callable[[str], None] = lambda text: None,
) -> TrainingResult:
    """Train `model` in place on `data` (column `text`); gives losses per term and what moved.

    `trainable` names the parameters that may move (None: all). `folder` keeps the checkpoints, and `log` the values of
    the terms (None: log.jsonl in the folder). With `retention`, rows that are not trained on, their perplexity is held
    to `budget` times that of the untouched model. Terms named in `idle` may find no pairs. Weights of a format shorter
    than float32 are trained in float32 and rounded at the end.

    Raises `TrainingDiverged` when a term is not finite, `OutOfMemory` when not even one row fits, `NoEffect` for a
    term on pairs where there are none and when no parameter moved, `UsageError` for a folder that has checkpoints of
    another training.
    """
    import torch

    aggregator, criterion = one_aggregator(terms), one_criterion(terms)
    losses = [t for t in terms if isinstance(t, LossTerm)]
    needs = [t.needs for t in losses]
    demand_sound(losses, data, model, settings.language_modelling, where=title)
    if not resume:
        demand_fresh(folder, where=title)
    events: list[str] = []

    def tell(text: str) -> None:
        events.append(text)
        on_event(text)

    rows, bins = _encoded(
        data, losses, model, tokenizer, kind=kind, settings=settings, seed=seed, idle=idle, title=title, tell=tell
    )
    settings = in_updates(settings, rows)
    lines = TrainingLog(log or folder / "log.jsonl") if is_first() else None
    looks_back = any(n.reference for n in needs) or retention is not None
    reference_model = reference() if reference and looks_back else None
    with contextlib.ExitStack() as stack:
        if formats := stack.enter_context(in_float32(model)):
            tell(f"the weights are {formats}: they are trained in float32, and rounded at the end")
        stack.enter_context(in_float32(reference_model.model if reference_model is not None else None))
        stack.enter_context(current_device_kept())
        flags = select(model, trainable)
        _start(losses, TrainingStart(model=model, rows=data, tell=tell, settings=settings), flags)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        attention = eager_if_needed(model, needs)
        batch, accumulation = settings.batch_size, settings.gradient_accumulation
        effective = batch * accumulation
        watch = watch_of(
            retention, criterion, tokenizer, kind=kind, budget=budget, rate=settings.dual_step, batch=batch,
            every=settings.evaluate_every, max_length=settings.max_length, seed=seed,
            vocabulary=model.get_input_embeddings().num_embeddings, criterion_precision=settings.precision,
            precision=lambda: torch.autocast(model.device.type, torch.bfloat16, enabled=in_bf16(settings, model)),
        )  # fmt: skip
        if watch is not None:
            watch.begin(model, reference_model.model if reference_model is not None else model)
        untouched: dict[str, Any] | None = None
        try:
            while True:
                run = Terms(losses, aggregator, settings.language_modelling, settings.normalise, kind=kind)
                run.watch = watch
                if untouched is None:
                    untouched = copy.deepcopy(run.state_dict())
                else:
                    run.load_state_dict(untouched)
                with own_precision(model):
                    trainer = _trainer(
                        model, rows, bins, run, tokenizer, kind, settings, folder, seed, batch, accumulation,
                        transforms, reference_model, title, lines, tell,
                    )  # fmt: skip
                    try:
                        go(trainer, folder, resume)
                        break
                    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                        if not out_of_memory(error):
                            raise
                        batch, accumulation = _cut(batch, effective, error, title=title, tell=tell)
                        if watch is not None:
                            watch.read_beside(batch)
                        resume = last_checkpoint(folder) is not None  # the update of a step is the same: it can go on
                        put_back(model, before)
                    finally:
                        trainer.close()
        finally:
            release(model, flags)
            if attention:
                model.set_attn_implementation(attention)
            model.eval()
        if watch is not None:
            for text in watch.finish(model, before):
                tell(text)
    left = watch is not None and watch.kept == 0  # no moment kept the budget: the model is as it was, which is told
    if trainer.updates and not left and not idle and not moved(model, trainer.went_on_from or before):
        raise _nothing_moved(trainer.updates, settings, formats, title)
    if is_first():
        torch.save(run.state_dict(), folder / STATE_OF_TERMS)
    return TrainingResult(
        steps=trainer.state.global_step,
        tokens=trainer.tokens,
        seconds=trainer.seconds,
        trainable=sum(p.numel() for p in before.values()),
        total=sum(p.numel() for p in model.parameters()),
        terms=run.facts(),
        events=events,
        watch=watch.facts() if watch is not None else None,
    )


def _encoded(
    data: Dataset, losses: Sequence[LossTerm], model: PreTrainedModel, tokenizer: Any, *, kind: Kind,
    settings: TrainingSection, seed: int, idle: Collection[str], title: str, tell: Callable[[str], None],
) -> tuple[list[EncodedRow], dict[str, torch.Tensor]]:  # fmt: skip
    """The rows that are read, as the model reads them, with the pairs and columns that the terms need."""
    needs = [t.needs for t in losses]
    read = rows_that_are_read(data, settings, tokenizer, seed)
    if read is not data:
        tell(f"of {len(data):,} rows {len(read):,} were drawn, which is more than the training reads")
    folded: dict[str, int] = {}
    rows, bins = encode(
        read,
        tokenizer,
        kind=kind,
        max_length=settings.max_length,
        pairings=[n.counterfactual for n in needs if n.counterfactual],
        columns=tuple(dict.fromkeys(c for n in needs for c in n.columns)),
        vocabulary=model.get_input_embeddings().num_embeddings,
        folded=folded,
    )
    if not rows:
        raise UsageError("no row has two tokens or more, there is nothing to learn from", where=title)
    for text in demand_pairs(losses, rows, folded, idle=idle, where=title):
        tell(text)
    return rows, bins


def _start(losses: Sequence[LossTerm], start: TrainingStart, flags: dict[str, bool]) -> None:
    """Show the terms what they are trained on; the model is released when one refuses."""
    try:
        for term in losses:
            if term.on_start:
                term.on_start(start)
    except BaseException:
        release(start.model, flags)
        raise


def _cut(
    batch: int, effective: int, error: BaseException, *, title: str, tell: Callable[[str], None]
) -> tuple[int, int]:
    """A smaller micro-batch and its accumulation, after memory ran out. Raises OutOfMemory for a single row."""
    if batch == 1:
        raise OutOfMemory(
            "one row at a time does not fit into memory", where=title, do="lower training.max_length"
        ) from error
    fitting, accumulation = smaller(batch, effective)
    word = "halved" if fitting * 2 == batch else "cut"
    tell(f"out of memory: micro-batch {word} to {fitting}, gradients accumulated over {accumulation}")
    return fitting, accumulation


def _nothing_moved(updates: int, settings: TrainingSection, formats: str, title: str) -> NoEffect:
    known = f"the learning rate rose to {settings.learning_rate:g}"
    return NoEffect(
        f"no parameter moved in {updates} update{'s' if updates > 1 else ''}",
        where=title,
        known=known + (f", and what was learned is rounded to {formats}" if formats else ""),
        do="raise training.learning_rate, or give a weight to a term that depends on what may move",
    )


def in_updates(settings: TrainingSection, rows: Sequence[EncodedRow]) -> TrainingSection:
    """Settings with `max_steps` updates, where they give a dose in tokens.

    An update reads whole rows, drawn at random, so that what is read comes near the dose without being equal to it.
    """
    if settings.max_tokens is None:
        return settings
    read = sum(len(row.ids) + sum(len(pair.ids) for pairs in row.pairs.values() for pair in pairs) for row in rows)
    an_update = settings.batch_size * settings.gradient_accumulation * read / len(rows)
    return settings.model_copy(update={"max_steps": max(1, round(settings.max_tokens / an_update))})


def restore_terms(terms: Sequence[LossTerm | Aggregator | Criterion], language_modelling: float, folder: Path) -> None:
    """Give terms and aggregator the state they had when a training, finished before an interruption, ended."""
    import torch

    losses = [t for t in terms if isinstance(t, LossTerm)]
    aggregator = next((t for t in terms if isinstance(t, Aggregator)), None)
    saved = torch.load(folder / STATE_OF_TERMS, weights_only=True)
    Terms(losses, aggregator, language_modelling).load_state_dict(saved)


def smaller(batch: int, effective: int) -> tuple[int, int]:
    """The largest micro-batch of at most half the size that divides the effective batch, and how often it is needed."""
    fitting = next(size for size in range(batch // 2, 0, -1) if effective % size == 0)
    return fitting, effective // fitting


def _trainer(
    model: PreTrainedModel,
    rows: list[Any],
    bins: dict[str, torch.Tensor],
    terms: Terms,
    tokenizer: Any,
    kind: Kind,
    settings: TrainingSection,
    folder: Path,
    seed: int,
    batch: int,
    accumulation: int,
    transforms: Sequence[ModelTransform],
    reference: ReferenceModel | None,
    title: str,
    lines: TrainingLog | None,
    tell: Callable[[str], None],
) -> Any:
    from evenhand.trainer import EvenhandTrainer, RunCallback

    arguments = arguments_of(model, settings, folder, seed=seed, batch=batch, accumulation=accumulation)
    board = (lines.path.parent if lines is not None else folder) / "tensorboard"
    if hasattr(arguments, "logging_dir"):  # transformers 4
        arguments.logging_dir = str(board)
    collator = Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=seed)
    return EvenhandTrainer(
        labels_only=settings.logits == "labels",
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
        terms=terms,
        reference=reference,
        kind=kind,
        settings=settings.model_dump(mode="json"),
        lines=lines,
        tell=tell,
        callbacks=[
            RunCallback(terms, transforms, collator, title, settings.max_steps, lines),
            *integrations(settings.report_to, board),
        ],
    )
