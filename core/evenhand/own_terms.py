"""What is given to a training of one's own: the terms of its plugins, and its rows; refused where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, Criterion, Kind, LossTerm
from evenhand.errors import UsageError
from evenhand.own_code import OwnSteps
from evenhand.own_data import demand_one_split, require_text, require_texts

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

INSTEAD = 'use a recipe with a step of use = "train", or evenhand.train(model, tokenizer, dataset, plugins)'
"""Where the parts serve that a loop of one's own has no place for."""


def terms_of(
    model: PreTrainedModel, tokenizer: Any, plugins: Sequence[Any], kind: Kind | None, seed: int
) -> tuple[list[LossTerm | Aggregator | Criterion], OwnSteps]:
    """The terms of the plugins, then those that were given as they are."""
    bare: list[LossTerm | Aggregator | Criterion] = []
    if isinstance(plugins, list):
        bare = [p for p in plugins if isinstance(p, LossTerm | Aggregator | Criterion)]
        plugins = [p for p in plugins if not isinstance(p, LossTerm | Aggregator | Criterion)]
    steps = OwnSteps(model, tokenizer, plugins, kind=kind, seed=seed)
    return [*(part for _, part in steps.contributions("objective", model=model)), *bare], steps


def fit_for_a_loop(
    parts: Sequence[LossTerm | Aggregator | Criterion],
) -> tuple[list[LossTerm], Aggregator | None]:
    """The loss terms, and the aggregator if there is one. Raises UsageError for what has no place in a loop of one's
    own: a criterion, an aggregator of gradients, and a second aggregator."""
    if criteria := [p.name for p in parts if isinstance(p, Criterion)]:
        raise UsageError(
            f"{criteria[0]!r} says which moment of a training to keep, and this training is your own",
            where="Objective",
            do=INSTEAD,
        )
    aggregator = _one_of_losses([p for p in parts if isinstance(p, Aggregator)])
    return [p for p in parts if isinstance(p, LossTerm)], aggregator


def _one_of_losses(aggregators: Sequence[Aggregator]) -> Aggregator | None:
    if refused := [a.name for a in aggregators if a.uses == "gradients"]:
        raise UsageError(
            f"the aggregator {refused[0]!r} combines the gradients of single terms, which a training loop of your own "
            "has no place for",
            where="Objective",
            do=INSTEAD,
        )
    if len(aggregators) > 1:
        names = ", ".join(repr(a.name) for a in aggregators)
        raise UsageError(
            f"a training combines its terms in one way, here are {len(aggregators)}: {names}",
            where="Objective",
            do="leave out all but one",
        )
    return aggregators[0] if aggregators else None


def rows_of(dataset: Dataset | Sequence[str], columns: Sequence[str], *, where: str = "encode") -> Dataset:
    """A data set with column `text`, of a data set or of plain texts. Raises UsageError for a missing column, for one
    text, for streamed data and for a list of something else than texts."""
    from datasets import Dataset

    demand_one_split(dataset, where=where)
    if not hasattr(dataset, "__len__"):
        raise UsageError("streamed data has no length", where=where, do="Dataset.from_list(list(stream.take(10_000)))")
    if isinstance(dataset, str):
        raise UsageError("this is one text", where=where, do="give a data set, or a list of texts")
    if not hasattr(dataset, "column_names"):
        require_texts(texts := {"text": list(dataset)}, where=where)
        dataset = Dataset.from_dict(texts)
    rows: Dataset = dataset
    require_text(rows.column_names, where=where)
    if missing := [c for c in columns if c not in rows.column_names]:
        raise UsageError(f"a loss term reads the column {missing[0]!r}, the data set has none", where=where)
    return rows
