"""What the terms of a training must have in common before it begins: told by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from evenhand.contributions import Aggregator, Criterion, LossTerm
from evenhand.errors import NoEffect, UsageError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.training_data import EncodedRow

Part = TypeVar("Part", Aggregator, Criterion)


def one_aggregator(terms: Sequence[LossTerm | Aggregator | Criterion]) -> Aggregator | None:
    """The aggregator, if there is one. Raises UsageError for two."""
    return _one([t for t in terms if isinstance(t, Aggregator)], "combines its terms in one way")


def one_criterion(terms: Sequence[LossTerm | Aggregator | Criterion]) -> Criterion | None:
    """The criterion, if there is one. Raises UsageError for two."""
    return _one([t for t in terms if isinstance(t, Criterion)], "has one criterion for its best moment")


def _one(found: list[Part], rule: str) -> Part | None:
    if len(found) > 1:
        names = ", ".join(repr(part.name) for part in found)
        raise UsageError(
            f"a training {rule}, here are {len(found)}: {names}",
            where="training",
            do="leave out all but one, or put a `train` between their steps",
        )
    return found[0] if found else None


def demand_sound(
    terms: Sequence[LossTerm], data: Dataset, model: PreTrainedModel, language_modelling: float, *, where: str
) -> None:
    """Raises UsageError for a missing column, for weights that are all zero, and for parameters that two want."""
    _demand_columns(terms, list(data.column_names), where)
    if not language_modelling and not any(term.weight for term in terms):
        raise UsageError(
            "there is nothing to learn: every weight is 0",
            where=where,
            known="training.language_modelling is 0" + (", and so is each loss term's weight" if terms else ""),
            do="give one of them a weight",
        )
    _demand_own(terms, model, where)


def _demand_columns(terms: Sequence[LossTerm], there: list[str], where: str) -> None:
    for term in terms:
        if missing := [name for name in term.needs.columns if name not in there]:
            raise UsageError(
                f"the loss term {term.name!r} reads the column {missing[0]!r}, which the training data does not have",
                where=where,
                known=f"its columns are {', '.join(there)}",
                do="put the step that makes it before this one",
            )


def demand_pairs(
    terms: Sequence[LossTerm],
    rows: Sequence[EncodedRow],
    folded: Mapping[str, int],
    *,
    idle: Collection[str],
    where: str,
) -> list[str]:
    """What is to be told about pairs in which nothing is left to compare, one sentence for each pairing.

    Raises NoEffect for a term that compares each text with others where no row has one; anchors, terms of weight 0 and
    those in `idle` may have nothing to do.
    """
    told: dict[str, str] = {}
    for term in terms:
        if (pairing := term.needs.counterfactual) is None:
            continue
        number, lost = sum(len(row.pairs.get(pairing.key, ())) for row in rows), folded.get(pairing.key, 0)
        if number == 0 and term.weight and not term.anchor and term.name not in idle:
            none = f"no row has {pairing.of}"
            same = f"all {lost:,} counterfactuals are left out: no word outside of the groups stands at the same place"
            raise NoEffect(
                f"the loss term {term.name!r} has no pair to learn from",
                where=where,
                known=f"of {len(rows):,} rows " + (same if lost else none),
                do="train on text that names the groups, or set allow_no_effect = true for its step",
            )
        if lost:
            share = f"{lost:,} of {lost + number:,} counterfactuals"
            told[pairing.key] = f"{term.name}: {share} are left out, nothing in them can be compared"
    return list(told.values())


def demand_movable(model: PreTrainedModel, *, where: str) -> None:
    """Raises UsageError where no parameter of the model requires a gradient."""
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError(
            "no parameter of the model may move",
            where=where,
            known="none of them requires a gradient",
            do="model.requires_grad_(True), or that of the parameters that are to move alone",
        )


def rows_at_once(terms: Sequence[LossTerm]) -> tuple[int, str]:
    """How many rows a micro-batch must have for each term to have something to compare, and whose need that is."""
    return max(((t.needs.rows, t.name) for t in terms if t.weight), default=(1, ""))


def demand_rows(terms: Sequence[LossTerm], batch_size: int, *, where: str) -> None:
    """Raises UsageError for micro-batches in which a term finds nothing to compare."""
    least, name = rows_at_once(terms)
    if batch_size < least:
        raise UsageError(
            f"the loss term {name!r} compares rows of one micro-batch, which needs {least} of them",
            where=where,
            known=f"training.batch_size is {batch_size}",
            do=f"set training.batch_size to {least} or more",
        )


def _demand_own(terms: Sequence[LossTerm], model: PreTrainedModel, where: str) -> None:
    """A term's own parameters are moved by its own optimiser alone."""
    owners = {id(p): f"the model, as {name!r}" for name, p in model.named_parameters()}
    for term in terms:
        for parameter in term.parameters() if term.parameters is not None else ():
            if id(parameter) in owners:
                raise UsageError(
                    f"the loss term {term.name!r} brings a parameter that belongs to {owners[id(parameter)]}",
                    where=where,
                    do="let each term make parameters of its own; what the training moves of the model is selected by "
                    "a step such as selective-update",
                )
            owners[id(parameter)] = f"the loss term {term.name!r}"
