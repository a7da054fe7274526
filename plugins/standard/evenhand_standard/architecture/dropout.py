"""Increased dropout: the training that follows drops more of attention and hidden states than the model was made with.

    p(s) = p0 + s (p - p0)

Families without dropout (Llama and its relatives) get it behind the output matrices of attention and feed-forward
block, for the time of the training. Afterwards everything is as it was, but for what the weights have learnt.

Source: Webster et al. 2020, Measuring and reducing gendered correlations in pre-trained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import Artifact, Mitigation, ModelShape, ModelTransform, Plugin, RunContext, StrengthOptions, hookimpl
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.own_parameters import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
PROBABILITIES = ("attention_dropout", "dropout_prob")
"""Attributes of attention modules: the rate for attention probabilities as a number, where attention is one product."""
ADDED = "adapters.methods."
"""Where the library `adapters` has the classes of what it adds to a layer."""
ATTENTION = ("attn_dropout", "attention_dropout", "self.dropout")
"""How the paths of modules end that drop attention probabilities; other dropout modules drop hidden states."""


class DropoutOptions(StrengthOptions):
    """Options of `dropout`; `strength` goes from the model's own rates to these in a straight line."""

    attention: Rate = Field(0.15, description="Share of attention probabilities that is dropped.")
    hidden: Rate = Field(0.20, description="Share of hidden states that is dropped.")


class Dropout(Mitigation):
    """Makes the training drop more, so that it relies less on single correlations."""

    name = "dropout"
    summary = "Raises dropout of attention and hidden states for the training that follows."
    source = "Webster et al. 2020, Measuring and reducing gendered correlations in pre-trained models"
    shapes_training = True
    Options = DropoutOptions

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape) if self.options.strength else ()

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        o, raised = self.options, Raised()
        if not o.strength:
            return None

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            raised.put(model, o.attention, o.hidden, o.strength)

        def finish(model: PreTrainedModel) -> Artifact:
            facts = {"rates changed": len(raised.before), "places given dropout": len(raised.hooks.handles)}
            raised.take(model)
            return Artifact(meta=facts)

        return ModelTransform(
            apply=apply,
            revert=raised.take,
            finish=finish,
            fold=lambda model: True,  # nothing is left but what the weights have learnt
        )


@dataclass
class Raised:
    """The rates of one step on a model."""

    hooks: Hooks = field(default_factory=Hooks)
    before: list[tuple[Any, str, float]] = field(default_factory=list)
    """Module, attribute, and its rate before."""

    def put(self, model: PreTrainedModel, attention: float, hidden: float, strength: float) -> None:
        """Raise (or lower) all rates of the layers, and give dropout to layers that have none for hidden states."""
        import torch

        for layer in layers_of(model):
            hidden_states = False
            for path, module in _own_modules(layer.module):
                if isinstance(module, torch.nn.Dropout):
                    of_attention = path.endswith(ATTENTION)
                    hidden_states |= not of_attention
                    self._set(module, "p", attention if of_attention else hidden, strength)
                for name in PROBABILITIES:
                    if isinstance(getattr(module, name, None), float | int):
                        self._set(module, name, attention, strength)
            if not hidden_states:
                for part in (layer.output.module, layer.feed_forward_out.module):
                    self._give(part, strength * hidden)

    def _set(self, module: Any, name: str, rate: float, strength: float) -> None:
        own = float(getattr(module, name))
        self.before.append((module, name, own))
        setattr(module, name, own + strength * (rate - own))

    def _give(self, module: Any, rate: float) -> None:
        import torch

        def dropping(owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.dropout(out, rate, training=owner.training)

        self.hooks.handles.append(module.register_forward_hook(dropping))

    def take(self, model: PreTrainedModel) -> None:
        """All rates as they were, those changed last first."""
        self.hooks.remove()
        while self.before:
            module, name, rate = self.before.pop()
            setattr(module, name, rate)


def _own_modules(module: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The modules of a layer by their paths, without what steps have added: that has rates of its own."""
    if hasattr(module, MARK) or type(module).__module__.startswith(ADDED):
        return
    yield path, module
    for name, child in module.named_children():
        yield from _own_modules(child, f"{path}.{name}".lstrip("."))
