"""What the terms of a training must have in common before it begins: told by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from evenhand.contributions import Aggregator, Criterion, LossTerm
from evenhand.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

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
        raise UsageError(f"a training {rule}, here are {len(found)}: {names}")
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
