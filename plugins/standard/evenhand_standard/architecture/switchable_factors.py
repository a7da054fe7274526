"""Factors that a step keeps on a model, and their strength, which a request may set: 1 + s (factor - 1).

Each technique has a kind of its own. What is in force is a list that its hooks hold, too, so that a copy of the model
has its own; `using` puts other values in its place, in the thread (or task) that calls it and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any

from evenhand_sdk import UsageError
from evenhand_sdk.request_settings import offer, withdraw

_SWITCHED: ContextVar[Mapping[int, list[float]]] = ContextVar("switched", default=MappingProxyType({}))
"""What is put in the place of lists of factors, by their identity."""


@dataclass(frozen=True)
class Factors:
    """The factors of one technique."""

    setting: str
    """What a request sets in its meta: the plugin's name."""
    kept: str
    """Attribute of a model: by step, (the full factors, the factors in force)."""
    within: Any
    """within(model, strength), a function of a module that gives `using` of these, so that copies work."""
    noun: str
    """What they are factors of, in a message."""
    kept_live: str = ""
    """How a recipe keeps the step beside the weights, where it must say so."""

    def put(self, model: Any, step: str, factors: Sequence[float], strength: float) -> list[float]:
        """Keep them on the model, and let requests set their strength; gives what is in force."""
        if not hasattr(model, self.kept):
            setattr(model, self.kept, {})
        in_force = _at(factors, strength)
        self.on(model)[step] = (list(factors), in_force)
        offer(model, self.setting, self.within)
        return in_force

    def take(self, model: Any, step: str) -> None:
        """The model as it was before."""
        self.on(model).pop(step, None)
        if hasattr(model, self.kept) and not self.on(model):
            delattr(model, self.kept)
            withdraw(model, self.setting)

    def on(self, model: Any) -> dict[str, tuple[list[float], list[float]]]:
        """By step, the full factors and those in force; of a model without any, an empty table."""
        found: dict[str, tuple[list[float], list[float]]] = getattr(model, self.kept, {})
        return found

    @contextmanager
    def using(self, model: Any, strength: float) -> Iterator[None]:
        """Within the `with` block, in this thread, the steps on the model act with this strength; 0 is without them.

        Raises UsageError for a model on which no such step acts, and for what is no strength.
        """
        if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength <= 1:
            raise UsageError(
                f"{strength!r} is no strength of the {self.noun}", where="using", do="give a number from 0 to 1"
            )
        state = self.on(model)
        if not state:
            raise UsageError(
                f"no {self.setting} acts on this model that could be switched",
                do=f"run the step{self.kept_live}, and load the finished run with evenhand.load",
            )
        switched = {id(in_force): _at(factors, float(strength)) for factors, in_force in state.values()}
        token = _SWITCHED.set({**_SWITCHED.get(), **switched})
        try:
            yield
        finally:
            _SWITCHED.reset(token)


def now(in_force: list[float]) -> list[float]:
    """The factors in force, or what this thread has put in their place."""
    return _SWITCHED.get().get(id(in_force), in_force)


def _at(factors: Sequence[float], strength: float) -> list[float]:
    return [1.0 + strength * (factor - 1.0) for factor in factors]
