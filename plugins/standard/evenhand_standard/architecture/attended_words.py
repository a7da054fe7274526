"""Hooks that multiply what attention takes from tokens of some roles, by layer.

    v_j -> lambda(layer, role of token j) v_j

The body of the model sees the token ids of a pass; the maps to values, each in its layer, scale the rows of their
output. A pass that is given embeddings has no roles, and nothing is scaled.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, RunContext, UsageError, group_tokens, token_bins
from evenhand_standard.architecture.layer_parts import body_of, layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.passes import refuse_recomputing, token_ids
from evenhand_standard.architecture.switchable_factors import Factors, now

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PREFIX = "role."
_PASS = threading.local()
"""`roles`: by the `Seen` that looked, the roles of the pass that runs in this thread."""


@dataclass(frozen=True)
class Roles:
    """Token ids [n] of each role."""

    tokens: Mapping[str, torch.Tensor]

    @property
    def names(self) -> list[str]:
        return list(self.tokens)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For an artifact."""
        return {PREFIX + name: ids for name, ids in self.tokens.items()}

    @classmethod
    def read(cls, tensors: Mapping[str, torch.Tensor]) -> Roles:
        """The counterpart of `tensors`."""
        return cls({k.removeprefix(PREFIX): ids for k, ids in sorted(tensors.items()) if k.startswith(PREFIX)})

    @classmethod
    def of(cls, run: RunContext, model: PreTrainedModel, axis: Axis) -> Roles:
        """The words of an axis that are one token: `pronouns`, and other `words`; a role without any is left out.

        Raises UsageError where the tokenizer has none of them.
        """
        import torch

        bins = token_bins(run.tokenizer, axis.bins(), model.get_input_embeddings().num_embeddings)
        pronouns = {word.lower() for row in axis.tuples if row.pos == "pronoun" for word in row.words}
        found: dict[str, list[int]] = {"pronouns": [], "words": []}
        for token in sorted(group_tokens(bins)):
            is_pronoun = run.tokenizer.decode([token]).strip().lower() in pronouns
            found["pronouns" if is_pronoun else "words"].append(token)
        if not any(found.values()):
            raise UsageError(
                f"no word of the axis {axis.name!r} in {axis.locale!r} is one token of this tokenizer",
                where=f"step {run.step_id!r}",
                do="take another axis or locale; words of several tokens are not told from others",
            )
        return cls({name: torch.tensor(ids, dtype=torch.long) for name, ids in found.items() if ids})


class Seen:
    """The hook in front of a model's body: which role each token of a pass has, counted from 1; 0 is none.

    An object, as the others here, so that a copy of the model has its own.
    """

    def __init__(self, step: str, tokens: Sequence[torch.Tensor]) -> None:
        self.step, self.tokens = step, tokens

    def __call__(self, owner: Any, args: Any, kwargs: dict[str, Any]) -> None:
        import torch

        do = "switch gradient checkpointing off"
        refuse_recomputing(owner, "attention that takes less from some words", self.step, do)
        ids, roles = token_ids(args, kwargs), None
        if ids is not None:
            roles = torch.zeros_like(ids)
            for number, tokens in enumerate(self.tokens, start=1):
                roles[torch.isin(ids, tokens.to(ids.device))] = number
            roles = roles if bool(roles.any()) else None
        if not hasattr(_PASS, "roles"):
            _PASS.roles = weakref.WeakKeyDictionary()
        _PASS.roles[self] = roles

    def roles(self) -> torch.Tensor | None:
        """[B, T] of the pass that runs in this thread; None where no token has one."""
        found: torch.Tensor | None = _PASS.roles[self]
        return found


class Taken:
    """The hook of the map to values of one layer; `factors` are those of all layers, in force or with gradients."""

    def __init__(self, seen: Seen, factors: list[float] | torch.Tensor, number: int, rows: torch.Tensor | None) -> None:
        self.seen, self.factors, self.number, self.rows = seen, factors, number, rows

    def __call__(self, owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        import torch

        roles = self.seen.roles()
        if roles is None:
            return out
        kinds = len(self.seen.tokens)
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
        seen = Seen(self.step, list(roles.tokens.values()))
        self.hooks.handles.append(body_of(model).register_forward_pre_hook(seen, with_kwargs=True))
        layers = layers_of(model)
        for number in numbers:
            value = layers[number].value
            taken = Taken(seen, factors, number, value.rows)
            self.hooks.handles.append(value.module.register_forward_hook(taken))

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        self.factors.take(model, self.step)
