"""Plugins in code of one's own: the steps of a recipe that nobody wrote, on a model that is in memory already.

Everything that takes plugins (`Objective`, `transform_data`, `apply`, `decode_with`, `measure`) takes them in the
same three ways, and works off what is written here:

    PairParity(axes=["gender"])                      # configured like any Python object
    "pair-parity"                                    # by name, with its defaults
    ("pair-parity", {"axes": ["gender"]})            # by name, with options

Each function calls one stage of the plugins. A plugin that takes part in several is given to each of them.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from evenhand import own_words
from evenhand.compose import Composer
from evenhand.context import RunContext, StepHandle, axes_of
from evenhand.contributions import Kind
from evenhand.discovery import discover, load
from evenhand.errors import UsageError, WrongModelKind
from evenhand.foreign_precision import copied
from evenhand.opposing_steps import opposing
from evenhand.peft_wrapping import demand_unwrapped
from evenhand.plugin import Plugin
from evenhand.plugin_contract import check_class
from evenhand.recipe_model import StepEntry, TrainingSection
from evenhand.recipe_steps import ResolvedStep, references
from evenhand.remarks import remarks
from evenhand.services import Services
from evenhand.tokenizer_loading import demand_fitting
from evenhand.wording import validated

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evenhand.discovery import Catalogue, PluginRow

Given: TypeAlias = Plugin | type[Plugin] | str | tuple[str, Mapping[str, Any]]
"""A plugin as a user may give it."""

TAKES = {
    "data": "evenhand.transform_data",
    "objective": "evenhand.Objective",
    "architecture": "evenhand.apply",
    "decoding": "evenhand.decode_with",
    "evaluation": "evenhand.measure",
    "monitoring": "a recipe",
    "transparency": "a recipe",
}
"""Stage -> what a plugin of this stage is given to."""


def demand_model(model: Any, tokenizer: Any) -> None:
    """Raises UsageError unless these are a model in memory and its tokenizer."""
    if not hasattr(model, "config") or not callable(getattr(model, "named_parameters", None)):
        raise UsageError(
            f"{_shown(model)} is no model in memory",
            do="load it first: transformers.AutoModelForCausalLM.from_pretrained(NAME), or evenhand.load(RUN).model",
        )
    if not callable(tokenizer) or not hasattr(tokenizer, "encode"):
        raise UsageError(
            f"{_shown(tokenizer)} is no tokenizer",
            do="give the model's own one: transformers.AutoTokenizer.from_pretrained(NAME)",
        )
    demand_fitting(tokenizer, model, where=type(model).__name__)


def _shown(value: Any) -> str:
    return repr(value) if value is None or isinstance(value, str | Path) else type(value).__name__


class OwnSteps:
    """Plugins as configured steps on one model; calls their hooks as a run would, each with its own context."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        plugins: Sequence[Given],
        *,
        kind: Kind | None = None,
        seed: int = 0,
        folder: Path | None = None,
    ) -> None:
        """`folder` keeps the folders of the steps; without one they vanish with this."""
        from evenhand.model_kind import kind_of_model
        from evenhand.remote import RemoteModel

        if not isinstance(model, RemoteModel):
            demand_model(model, tokenizer)
        if isinstance(plugins, str | tuple | Plugin | type):
            raise UsageError("plugins come in a list", do="write [...] around it")
        self.model, self.tokenizer, self.seed = model, tokenizer, seed
        self.kind: Kind = kind or kind_of_model(model)
        self.steps = configured(plugins)
        for step, plugin in self.steps:
            if self.kind not in plugin.kinds:
                raise WrongModelKind(
                    f"it works on {' and '.join(plugin.kinds)} models only, this model is {self.kind}",
                    where=f"plugin {step.use!r}",
                )
        self.folder = Path(tempfile.mkdtemp(prefix="evenhand-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.kept = self.folder if folder is None else folder
        self._composer = Composer(self.steps)
        self.services = Services(
            model=model,
            tokenizer=tokenizer,
            kind=self.kind,
            seed=seed,
            folder=self.folder,
            settings=TrainingSection(),
            load_base=lambda: copied(model),
        )

    def contributions(self, stage: str, **arguments: Any) -> list[tuple[ResolvedStep, Any]]:
        """What the steps contribute to a stage, in order. A step that another one refers to only serves as such.

        Raises UsageError for a plugin that has nothing to do with the stage, and for one that would change a model of
        `peft`; warns of rules that move the same thing
        and of what plugins remark on their options.
        """
        from evenhand.remote import RemoteModel

        if stage == "architecture":
            demand_unwrapped(self.model, TAKES[stage])
        if stage == "decoding":
            steps = [step for step, _ in self.steps]
            for sentence in [*opposing(steps), *remarks(steps)]:
                warnings.warn(sentence, stacklevel=3)
        referred = {i for step, _ in self.steps for ids in step.references.values() for i in ids}
        handles: dict[str, StepHandle] = {}
        found: list[tuple[ResolvedStep, Any]] = []
        for step, plugin in self.steps:
            active = step.id not in referred
            stages = plugin.stages()
            if active and stage not in stages:
                raise UsageError(
                    f"it takes part in {' and '.join(stages)}, not in {stage}",
                    where=f"plugin {step.use!r}",
                    do="leave it out: an endpoint answers with a model that nothing here can change"
                    if isinstance(self.model, RemoteModel)
                    else f"give it to {TAKES[stages[0]]}",
                )
            handle = StepHandle(id=step.id, plugin=plugin, active=active, folder=self.kept / step.id)
            run = self._context(step, handles)
            handles[step.id] = handle
            for asked in (stage,) if active else ("architecture", "decoding"):
                if asked in stages:
                    given = arguments if active else {"model": self.model}
                    with seeded(run.seed_for(asked)):
                        handle.contributions[asked] = self._composer.call(asked, step, run=run, **given)
            if active:
                found += [(step, part) for part in handle.contributions[stage]]
        own_words.note(self.model, stage, self.steps)
        return found

    def _context(self, step: ResolvedStep, handles: Mapping[str, StepHandle]) -> RunContext:
        own = self.kept / step.id
        own.mkdir(parents=True, exist_ok=True)
        return RunContext(
            step_id=step.id,
            seed=self.seed,
            kind=self.kind,
            tokenizer=self.tokenizer,
            device=str(self.model.device),
            folder=own,
            axes=axes_of([s.options for s, _ in self.steps]),
            offline=False,
            logger=logging.getLogger(f"evenhand.{step.id}"),
            services=self.services,
            steps=dict(handles),
        )


# ----------------------------------------------------------------------------------------- plugins as they are given
def configured(plugins: Sequence[Given]) -> list[tuple[ResolvedStep, Plugin]]:
    """Each plugin as a step with its options checked; ids are names, with -2, -3 behind those that are taken."""
    steps: list[tuple[ResolvedStep, Plugin]] = []
    catalogue: Catalogue | None = None
    for number, given in enumerate(plugins, 1):
        row: PluginRow | None = None
        if isinstance(given, Plugin):
            plugin = given
        elif isinstance(given, type) and issubclass(given, Plugin):
            plugin = given()
        else:
            catalogue = catalogue or discover()
            plugin, row = _named(given, number, catalogue)
        if any(plugin is other for _, other in steps):
            raise UsageError(f"{type(plugin).__name__} is given twice", where=f"plugins[{number}]")
        name = type(plugin).name or type(plugin).__name__
        if row is None:
            check_class(type(plugin), where=f"plugin {name!r}")
        taken = {step.id for step, _ in steps}
        ident = next(i for n in range(1, len(steps) + 2) if (i := name if n == 1 else f"{name}-{n}") not in taken)
        steps.append((_step(ident, name, plugin, row), plugin))
    return steps


def _named(given: Any, number: int, catalogue: Catalogue) -> tuple[Plugin, PluginRow]:
    name, options = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise UsageError(
            f"{type(given).__name__} is no plugin",
            where=f"plugins[{number}]",
            do="give a configured plugin, its name, or (name, {option: value})",
        )
    row = catalogue.find(name)
    plugin = load(row)
    checked, problems = validated(plugin.Options, options, name)
    if checked is None or problems:
        raise UsageError("; ".join(problems), where=f"plugins[{number}]")
    return plugin(checked), row


def _step(ident: str, name: str, plugin: Plugin, row: PluginRow | None) -> ResolvedStep:
    options = plugin.options.model_dump(mode="json")
    evaluates = plugin.stages() == ("evaluation",)
    return ResolvedStep(
        id=ident,
        use=name,
        section="benchmarks" if evaluates else "steps",
        plugin=type(plugin),
        row=row,
        options=plugin.options,
        raw_options=options,
        active=True,
        allow_no_effect=True,
        references=references(StepEntry(use=name, id=ident, options=options)),
    )


@contextlib.contextmanager
def foreign_bars_off() -> Iterator[None]:
    """None of the bars of `datasets` inside, since ours are shown; behind it as the caller had it."""
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A fixed random state inside, and the caller's own one again behind it."""
    import random

    import numpy as np
    import torch

    python, array = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
