"""What a conformance check gets, and the two ways in which it can end other than well."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evenhand.context import RunContext, StepHandle
from evenhand.contributions import DecodingRule, Kind
from evenhand.hookspecs import hookimpl
from evenhand.plugin import Mitigation, Plugin

if TYPE_CHECKING:
    from transformers import PreTrainedModel


FEW = 8
"""Items that a benchmark is checked on."""


class CheckFailed(Exception):
    """The plugin breaks the contract; the message says how, and what to do."""


class Skipped(Exception):
    """The check does not apply to this plugin; the message says why."""


class Neighbour(Plugin):
    """Another step, for options that refer to one: it flattens next-token distributions a little."""

    name = "neighbour"
    kinds = ("causal",)

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule:
        return DecodingRule(name="neighbour", next_logits=lambda ids, logits, contexts: logits / 1.1)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One plugin class, on one kind of tiny model, with the options that it is checked with."""

    plugin: type[Plugin]
    kind: Kind = "causal"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plugin: type[Plugin], kind: Kind | None = None) -> Case:
        """The case of a class with its defaults, completed by its `example_options` where it has some.

        A benchmark with an option `limit` is checked on few items.
        """
        kinds: Any = plugin.kinds
        options = dict(plugin.example_options)
        if "evaluation" in plugin.stages() and "limit" in plugin.Options.model_fields:
            options.setdefault("limit", FEW)
        return cls(plugin=plugin, kind=kind or kinds[0], options=options)

    @property
    def has_strength(self) -> bool:
        return issubclass(self.plugin, Mitigation) or "strength" in self.plugin.Options.model_fields

    def instance(self, **options: Any) -> Plugin:
        """A configured step."""
        return self.plugin(**{**self.options, **options})

    def run(self, plugin: Plugin, *, step_id: str = "", model: Any = None, tokenizer: Any = None) -> RunContext:
        """A context on a fresh tiny model (or the one given), in a folder of its own.

        Steps that the options refer to are there: those of `example_steps`, placed in a fresh model and trained
        for a moment; without an example, a decoding rule that flattens a little.
        """
        from evenhand_sdk.testing import contributions, place, run_context

        def context(step: Plugin, name: str, model: Any, tokenizer: Any) -> RunContext:
            folder = tempfile.mkdtemp(prefix="evenhand-")
            return run_context(folder, step, self.kind, step_id=name, model=model, tokenizer=tokenizer)

        run = context(plugin, step_id, model, tokenizer)
        handles = {}
        for name in _references(self.options):
            other = self.plugin.example_steps.get(name) or Neighbour()
            beside = context(other, name, run.services.model, run.tokenizer)
            parts = {stage: contributions(other, stage, beside) for stage in type(other).stages()}
            if model is None:
                place(parts.get("architecture", []), beside)
            acts = "architecture" in parts
            handles[name] = StepHandle(id=name, plugin=other, active=acts, contributions=parts)
        return replace(run, steps=handles)


def _references(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value.removeprefix("step:")] if value.startswith("step:") else []
    if isinstance(value, Mapping):
        value = list(value.values())
    return [name for item in value for name in _references(item)] if isinstance(value, list | tuple) else []
