"""The toolkit's own training on a model in memory: what a recipe's `train` step can do, without a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Criterion, Kind, LossTerm
from evenhand.errors import NoEffect, UsageError
from evenhand.own_code import Given
from evenhand.own_data import demand_one_split, require_text, require_texts
from evenhand.own_terms import rows_of, terms_of
from evenhand.recipe_model import BUDGET, TrainingSection
from evenhand.retention_text import retention_text
from evenhand.wording import validated

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.own_code import OwnSteps
    from evenhand.own_model import Applied
    from evenhand.training_result import TrainingResult


def train(
    model: PreTrainedModel,
    tokenizer: Any,
    dataset: Dataset,
    plugins: Sequence[Given | LossTerm | Aggregator | Criterion] = (),
    *,
    applied: Applied | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    kind: Kind | None = None,
    seed: int = 0,
    retention: Dataset | Sequence[str] | None = None,
    budget: float = BUDGET,
    **options: Any,
) -> TrainingResult:
    """Train the model in place on the objectives of plugins and loss terms; gives losses by term and what moved.

    `options` are those of a recipe's `[training]`: `max_steps`, `batch_size`, `learning_rate` and so on. Parameters
    that do not require gradients stay as they are; `applied` is what `apply` gave, for its schedules. `folder` keeps
    the checkpoints that `resume` goes on from, and a log of the terms. With `retention` (a data set
    with column `text`, or plain texts), perplexity on it stays within `budget` times (at least 1) that of the model as
    it is now, unless `constraint="none"`; with `constraint="lagrangian"` and no `retention`, on rows that are held out
    of the training. Raises UsageError, TrainingDiverged, OutOfMemory, NoEffect.
    """
    from evenhand import training
    from evenhand.models import note_moved
    from evenhand.proofs import tensor_digests
    from evenhand.training_terms import LANGUAGE_MODELLING, seen_by

    settings, problems = validated(TrainingSection, options, "train")
    if settings is None or problems:
        raise UsageError("; ".join(problems), where="evenhand.train")
    if resume and folder is None:
        raise UsageError("there is nothing to resume from", where="evenhand.train", do="give the folder")
    demand_one_split(dataset)
    require_text(getattr(dataset, "column_names", None))
    require_texts(dataset)
    if not budget >= 1:
        raise UsageError(
            f"budget is {budget:g}, and cannot be below 1",
            where="evenhand.train",
            known="it is the most that perplexity on the retention text may be, as a multiple of what it is now",
        )
    if retention is not None:
        retention = rows_of(retention, (), where="retention")
        require_texts(retention, where="retention")
    terms, steps = terms_of(model, tokenizer, list(plugins), kind, seed)
    own = [LANGUAGE_MODELLING] if settings.language_modelling else []
    combined = [(term, [*own, *seen_by(term, terms)]) for term in terms if isinstance(term, Aggregator)]
    _demand_acts([(a, names) for a, names in combined if len(names) < 2], known="nothing was trained")
    place = Path(folder) if folder is not None else steps.folder / "training"
    before = tensor_digests(model)
    constrained = settings.constraint == "lagrangian" or (settings.constraint == "auto" and retention is not None)
    dataset, held = retention_text(dataset, retention) if constrained else (dataset, None)
    result = training.train(
        model,
        tokenizer,
        dataset,
        terms,
        kind=steps.kind,
        settings=settings,
        folder=place,
        seed=seed,
        transforms=applied.transforms if applied is not None else (),
        reference=steps.services.reference,
        retention=held,
        budget=budget,
        resume=resume,
        facts=_options(steps),
    )
    note_moved(model, [name for name, digest in tensor_digests(model).items() if digest != before[name]])
    _demand_effects([term for term in terms if isinstance(term, LossTerm)], result)
    _demand_acts(combined, known="the model has learned from the plain sum")
    return result


def _options(steps: OwnSteps) -> dict[str, Any]:
    """Each option of the plugins, as a training that goes on from here is told of where it is another then."""
    return {
        f"the option {name!r} of {step.id!r}": value
        for step, plugin in steps.steps
        for name, value in plugin.options.model_dump(mode="json").items()
    }


def _demand_acts(combined: Sequence[tuple[Aggregator, Sequence[str]]], *, known: str) -> None:
    """Raises NoEffect for an aggregator that says that it changed nothing where there was something to do."""
    from evenhand.proofs import aggregator_proof, not_called_for

    for aggregator, terms in combined:
        proof = aggregator_proof(aggregator, terms)
        if proof is None or proof.took or (len(terms) > 1 and not_called_for(aggregator)):
            continue
        raise NoEffect(
            f"the aggregator changed nothing: {proof.what}",
            where="evenhand.train",
            known=known,
            do="give terms that it can combine, or leave it out",
        )


def _demand_effects(losses: Sequence[LossTerm], result: TrainingResult) -> None:
    """Raises NoEffect for a term with a weight, no anchor, whose gradient was zero wherever it was measured."""
    from evenhand.training_terms import told_apart

    for term in told_apart(losses):
        if term.weight and not term.anchor and result.terms[term.name]["gradient_norm"] == 0:
            raise NoEffect(
                f"the loss term {term.name!r} changed nothing: its gradient was zero in each step that was looked at",
                where="evenhand.train",
                known="the model has learned from the other terms",
                do="mend the term, or leave it out",
            )
