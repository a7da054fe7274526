"""The one training loop, on `transformers.Trainer`: accelerate, resume, mixed precision and logging come with it.

`train` moves the trainable parameters of a model in place. The text rows and their counterfactuals share one forward
pass; every term sees the same outputs. A training that is interrupted continues from its last complete checkpoint with
the same numbers; a term that becomes infinite stops it by name; when memory runs out, the micro-batch is halved and
accumulated instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Criterion, Kind, LossTerm, ModelTransform, TrainingStart
from evenhand.errors import NoEffect
from evenhand.fast_products import forget_orders
from evenhand.positions import most_tokens
from evenhand.processes import everyone, is_first
from evenhand.split_parameters import demand_whole
from evenhand.training_arguments import current_device_kept
from evenhand.training_attempts import Attempts
from evenhand.training_checkpoints import demand_fresh, read_terms, write_terms
from evenhand.training_checks import demand_movable, demand_rows, demand_sound, one_aggregator, one_criterion
from evenhand.training_log import TrainingLog
from evenhand.training_model import eager_where_needed, in_float32, moved, recomputed_anew, selected
from evenhand.training_result import TrainingResult
from evenhand.training_rows import encoded, in_updates, read_again
from evenhand.training_terms import Terms
from evenhand.training_watch import watch_of

if TYPE_CHECKING:
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
    facts: Mapping[str, Any] = MappingProxyType({}),
    title: str = "Training",
    log: Path | None = None,
    on_event: Callable[[str], None] = lambda text: None,
) -> TrainingResult:
    """Train `model` in place on `data` (column `text`); gives losses per term and what moved.

    `trainable` names the parameters that may move (None: all). `folder` keeps the checkpoints, and `log` the values of
    the terms (None: log.jsonl in the folder). With `retention`, rows that are not trained on, their perplexity is held
    to `budget` times that of the untouched model. Terms named in `idle` may find no pairs. `facts` are plain values
    by name that a checkpoint keeps; where one is another when the training goes on, that is told. Weights of a
    format shorter than float32 are trained in float32 and rounded at the end.

    Raises `TrainingDiverged` when a term is not finite, `OutOfMemory` when not even one row fits, `NoEffect` for a
    term on pairs where there are none and when no parameter moved, `UsageError` for a folder that has checkpoints of
    another training, where no parameter may move, and for micro-batches in which a term has nothing to compare.
    """
    aggregator, criterion = one_aggregator(terms), one_criterion(terms)
    losses = [t for t in terms if isinstance(t, LossTerm)]
    needs = [t.needs for t in losses]
    demand_whole(model, where=title)
    demand_sound(losses, data, model, settings.language_modelling, where=title)
    demand_rows(losses, settings.batch_size, where=title)
    if not resume:
        demand_fresh(folder, where=title)
    events: list[str] = []

    def tell(text: str) -> None:
        events.append(text)
        on_event(text)

    if settings.max_length > (most := most_tokens(model)):
        tell(f"the model takes {most:,} tokens, so that rows are cut there and not at {settings.max_length:,}")
        settings = settings.model_copy(update={"max_length": most})
    rows, bins, unread = encoded(
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
        stack.enter_context(selected(model, trainable))
        demand_movable(model, where=title)
        stack.enter_context(recomputed_anew(model))
        forget_orders(model)
        for term in losses:
            if term.on_start:
                term.on_start(TrainingStart(model=model, rows=data, tell=tell, settings=settings))
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        stack.enter_context(eager_where_needed(model, needs))
        watch = watch_of(
            model, tokenizer, retention, criterion, kind=kind, budget=budget, settings=settings, seed=seed,
            losses=losses,
        )  # fmt: skip
        if reference_model is not None and not read_again(settings, rows):
            reference_model.forget(0)
        attempts = Attempts(
            model=model, tokenizer=tokenizer, rows=rows, bins=bins, losses=losses, aggregator=aggregator,
            reference=reference_model, watch=watch, kind=kind, settings=settings, folder=folder, seed=seed,
            transforms=transforms, facts=facts, title=title, lines=lines, tell=tell,
        )  # fmt: skip
        attempts.begin(reference_model.model if reference_model is not None else model)
        trainer, run = attempts.train(before, resume)
        for text in watch.finish(model, before) if watch is not None else ():
            tell(text)
    left = watch is not None and watch.kept == 0  # no moment kept the budget: the model is as it was, which is told
    if trainer.updates and not left and not idle and not moved(model, trainer.went_on_from or before):
        raise _nothing_moved(trainer.updates, settings, formats, title)
    if is_first():
        write_terms(folder, run)
    return TrainingResult(
        steps=trainer.state.global_step, tokens=sum(everyone([trainer.tokens])), seconds=trainer.seconds,
        terms=run.facts(),
        trainable=sum(p.numel() for p in before.values()), total=sum(p.numel() for p in model.parameters()),
        events=events, watch=watch.facts() if watch is not None else None, text=unread.as_dict(),
    )  # fmt: skip


def _nothing_moved(updates: int, settings: TrainingSection, formats: str, title: str) -> NoEffect:
    known = f"the learning rate rose to {settings.learning_rate:g}"
    return NoEffect(
        f"no parameter moved in {updates} update{'s' if updates > 1 else ''}",
        where=title,
        known=known + (f", and what was learned is rounded to {formats}" if formats else ""),
        do="raise training.learning_rate, or give a weight to a term that depends on what may move",
    )


def restore_terms(terms: Sequence[LossTerm | Aggregator | Criterion], language_modelling: float, folder: Path) -> None:
    """Give terms and aggregator the state they had when a training, finished before an interruption, ended."""
    losses = [t for t in terms if isinstance(t, LossTerm)]
    aggregator = next((t for t in terms if isinstance(t, Aggregator)), None)
    Terms(losses, aggregator, language_modelling).load_state_dict(read_terms(folder))
