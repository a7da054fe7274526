"""What a plugin may know about the run it is part of: frozen facts, and the services that do work for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Artifact, Kind
from evenhand.errors import UsageError
from evenhand.recipe_model import BUDGET

if TYPE_CHECKING:
    import logging

    from evenhand.contributions import DecodingRule, ModelTransform
    from evenhand.plugin import Plugin
    from evenhand.services import Services


@dataclass(kw_only=True)
class StepHandle:
    """Another step of the recipe, as a step that refers to it sees it."""

    id: str
    plugin: Plugin
    active: bool
    contributions: dict[str, list[Any]] = field(default_factory=dict)
    """By stage, once the run has reached the step."""
    artifact: Artifact | None = None
    folder: Path | None = None
    """Where the step's own files lie."""

    def decoding(self) -> list[DecodingRule]:
        """The step's decoding rules; also of an inactive step, as a teacher."""
        return list(self.contributions.get("decoding", []))

    def architecture(self) -> list[ModelTransform]:
        """The step's model transforms."""
        return list(self.contributions.get("architecture", []))


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Frozen facts about the run, seen from one step."""

    step_id: str
    seed: int
    kind: Kind
    tokenizer: Any
    device: str
    folder: Path
    """This step's own folder in the run folder; it exists. What lies in its `scratch` goes when the run is complete."""
    axes: tuple[str, ...]
    """The axes that any step of the recipe names."""
    offline: bool
    logger: logging.Logger
    services: Services
    data_folder: str | None = None
    """The recipe's folder of benchmark files (`evaluation.data`); None: the environment variable EVENHAND_DATA."""
    heldout: str | None = None
    """The recipe's text for language quality (`data.heldout`): builtin:NAME or the path of a file; None: not set."""
    budget: float = BUDGET
    """By which ratio perplexity may rise (`budget.perplexity`): what a step that searches keeps to by default."""
    steps: Mapping[str, StepHandle] = field(default_factory=dict)
    """Steps before this one, by id."""

    @property
    def remote(self) -> bool:
        """Whether the model is behind an endpoint: it answers requests, and has neither tokens nor logits."""
        from evenhand.remote import RemoteModel

        return isinstance(self.services.model, RemoteModel)

    def step(self, reference: str) -> StepHandle:
        """The step that an option value such as "step:averaging" refers to."""
        name = reference.removeprefix("step:")
        if name not in self.steps:
            known = ", ".join(self.steps) or "none"
            raise UsageError(
                f"no earlier step is called {name!r}", where=f"step {self.step_id!r}", known=f"earlier steps: {known}"
            )
        return self.steps[name]

    def seed_for(self, purpose: str) -> int:
        """A seed in [0, 2**31) that depends on the run's seed, this step and the purpose, and on nothing else."""
        text = f"{self.seed}/{self.step_id}/{purpose}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % (2**31)


def axes_of(options: Sequence[Any]) -> tuple[str, ...]:
    """The axes that the options of all steps name, in order of first mention."""
    found: dict[str, None] = {}
    for option in options:
        for name in (*getattr(option, "axes", ()), *((getattr(option, "axis", None),))):
            if isinstance(name, str):
                found.setdefault(name)
    return tuple(found)
