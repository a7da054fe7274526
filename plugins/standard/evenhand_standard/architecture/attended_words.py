"""Hooks that multiply what attention takes from tokens of some roles, by layer.

    v_j -> lambda(layer, role of token j) v_j

The body of the model sees the token ids of a pass; the maps to values, each in its layer, scale the rows of their
output. Where a pass is given embeddings, and nobody says of which tokens, nothing is scaled.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError
from evenhand_standard.architecture.layer_parts import body_of, layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.passes import refuse_recomputing
from evenhand_standard.architecture.switchable_factors import Factors, now
from evenhand_standard.architecture.word_roles import Roles

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_PASS = threading.local()
"""`roles`: by the `Seen` that looked, the roles of the pass that runs in this thread."""


class Seen:
    """The hook in front of a model's body: which role each token of a pass has, counted from 1; 0 is none.

    An object, as the others here, so that a copy of the model has its own.
    """

    def __init__(self, step: str, roles: Roles) -> None:
        self.step, self.roles = step, roles

    def __call__(self, owner: Any, args: Any, kwargs: dict[str, Any]) -> None:
        do = "switch gradient checkpointing off"
        refuse_recomputing(owner, "attention that takes less from some words", self.step, do)
        if not hasattr(_PASS, "roles"):
            _PASS.roles = weakref.WeakKeyDictionary()
        _PASS.roles[self] = self.roles.of_pass(args, kwargs)

    def now(self) -> torch.Tensor | None:
        """[B, T] of the pass that runs in this thread; None where no token has a role."""
        found: torch.Tensor | None = getattr(_PASS, "roles", {}).get(self)
        return found


class Over:
    """The hook behind a model's body: what is called without it afterwards is no part of the pass."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def __call__(self, owner: Any, args: Any, out: Any) -> None:
        getattr(_PASS, "roles", {}).pop(self.seen, None)


class Taken:
    """The hook of the map to values of one layer; `factors` are those of all layers, in force or with gradients."""

    def __init__(self, seen: Seen, factors: list[float] | torch.Tensor, number: int, rows: torch.Tensor | None) -> None:
        self.seen, self.factors, self.number, self.rows = seen, factors, number, rows

    def __call__(self, owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        import torch

        roles = self.seen.now()
        if roles is None:
            return out
        kinds = len(self.seen.roles.names)
        if isinstance(self.factors, list):
            own = torch.tensor(now(self.factors)[self.number * kinds : (self.number + 1) * kinds])
            if bool((own == 1).all()):
                return out
        else:
            own = self.factors[self.number]
        table = torch.cat([own.new_ones(1), own]).to(out)
        scale = table[roles.to(out.device)][..., None]
        if self.rows is not None:
            values = torch.zeros(out.shape[-1], dtype=torch.bool, device=out.device)
            values[self.rows.to(out.device)] = True
            scale = torch.where(values, scale, 1.0)
        return out * scale


@dataclass
class LiveAttention:
    """The factors of one step on a model."""

    step: str
    factors: Factors
    hooks: Hooks = field(default_factory=Hooks)

    def put(self, model: PreTrainedModel, roles: Roles, table: torch.Tensor, strength: float = 1.0) -> None:
        """Multiply from now on by 1 + strength (table - 1); table [layers, roles]. UsageError for another shape."""
        if len(table) != len(layers_of(model)):
            raise UsageError(
                f"the factors are for {len(table)} layers",
                where=f"step {self.step!r}",
                known=f"the model has {len(layers_of(model))}",
                do="the artifact belongs to another model",
            )
        in_force = self.factors.put(model, self.step, table.flatten().tolist(), strength)
        acting = (table != 1).any(1).tolist()
        self._hook(model, roles, in_force, [number for number, acts in enumerate(acting) if acts])

    def watch(self, model: PreTrainedModel, roles: Roles, table: torch.Tensor) -> None:
        """Multiply by a table that carries gradients."""
        self._hook(model, roles, table, range(len(table)))

    def _hook(
        self, model: PreTrainedModel, roles: Roles, factors: list[float] | torch.Tensor, numbers: Sequence[int]
    ) -> None:
        seen, body = Seen(self.step, roles), body_of(model)
        self.hooks.handles.append(body.register_forward_pre_hook(seen, with_kwargs=True))
        self.hooks.handles.append(body.register_forward_hook(Over(seen), always_call=True))
        layers = layers_of(model)
        for number in numbers:
            value = layers[number].value
            taken = Taken(seen, factors, number, value.rows)
            self.hooks.handles.append(value.module.register_forward_hook(taken))

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        self.factors.take(model, self.step)
