"""Where a concept is erased: on the residual stream behind a layer, or on what attention and feed-forward block read.

    residual      behind layer k, so that all later layers read the erased state; stays a live hook
    after-norm    in front of the matrices that read a normalised state: W r(x) + b is one matrix again

Erasers of several steps in front of one matrix act in the order in which they came, so the last one is nearest to the
matrix, and is folded first. Each module therefore keeps the list of its erasers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evenhand_sdk import UsageError
from evenhand_standard.architecture.eraser import Eraser
from evenhand_standard.architecture.families import family_of
from evenhand_standard.architecture.layer_parts import Layer, Matrix, body_of, layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.passes import refuse_recomputing, token_ids

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Form = Literal["residual", "after-norm"]
PLACES: Mapping[Form, tuple[str, ...]] = {"residual": ("residual",), "after-norm": ("attention", "feed-forward")}
KEYS = "feed-forward-keys"
"""A place to read, not to erase: what the output matrix of the feed-forward block gets."""
HELD = "evenhand_erasers"
"""Attribute of a module: the erasers in front of it, in the order in which they act."""


@dataclass(frozen=True, eq=False)
class Site:
    """One place of a layer."""

    layer: Layer
    place: str

    @property
    def key(self) -> str:
        """`12.residual`: the layer, counted from 0, and the place."""
        return f"{self.layer.number}.{self.place}"

    @property
    def readers(self) -> tuple[Matrix, ...]:
        """The whole modules that read it; none of the residual stream, which everything reads."""
        if self.place == "attention":
            return self.layer.attention_in
        if self.place == KEYS:
            return (self.layer.feed_forward_out,)
        return self.layer.feed_forward_in if self.place == "feed-forward" else ()

    def watch(self, hooks: Hooks, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Let `change` have the states of this place."""
        if self.place == "residual":
            hooks.on_output(self.layer.module, change)
        else:
            hooks.on_input(self.readers[0].module, change)


def sites_of(layers: Iterable[Layer], form: Form) -> list[Site]:
    """The places of some layers in the order in which a forward pass meets them."""
    return [Site(layer, place) for layer in layers for place in PLACES[form]]


@dataclass(eq=False)
class Held:
    """An eraser in front of a module."""

    step: str
    eraser: Eraser
    strength: float
    folds: bool
    """Its step is able and willing to be folded here."""


@dataclass
class LiveErasure:
    """The erasers of one step on a model."""

    step: str
    strength: float
    folds: bool = False
    spared: torch.Tensor | None = None
    """Token ids [n] at whose positions nothing is erased."""
    hooks: Hooks = field(default_factory=Hooks)
    _modules: list[tuple[Any, Held]] = field(default_factory=list)
    _acted: threading.local = field(default_factory=threading.local)
    """`places`: where the pass that runs in this thread erases."""

    def put(self, model: PreTrainedModel, erasers: Mapping[str, Eraser]) -> None:
        """Erase from now on; keys are those of sites. UsageError for a site that the model does not have."""
        if not erasers:
            return
        layers = layers_of(model)
        known = {s.key: s for form in PLACES for s in sites_of(layers, form)}
        if stray := [key for key in erasers if key not in known]:
            raise UsageError(
                f"there is no place {stray[0]!r} to erase at",
                where=f"step {self.step!r}",
                known=f"the model has {len(layers)} layers",
                do="the artifact belongs to another model",
            )
        for key, eraser in erasers.items():
            if len(eraser.left) != int(model.get_input_embeddings().embedding_dim):
                raise UsageError(
                    f"the eraser at {key} is for states of width {len(eraser.left)}, those of the model have "
                    f"{model.get_input_embeddings().embedding_dim}",
                    where=f"step {self.step!r}",
                    do="the artifact belongs to another model",
                )
        self.look(model)
        for key, eraser in erasers.items():
            self.put_at(known[key], eraser, model)

    def put_at(self, site: Site, eraser: Eraser, model: PreTrainedModel) -> None:
        """Erase at one place."""
        if site.place == "residual":
            self.hooks.on_output(site.layer.module, lambda states: self._erased(states, eraser, self.strength))
            return
        folds = self.folds and self.spared is None and can_fold(model, site, eraser)
        for matrix in site.readers:
            held = Held(self.step, eraser, self.strength, folds)
            _held(matrix.module).append(held)
            self._modules.append((matrix.module, held))
            self.hooks.on_input(matrix.module, lambda states, h=held: self._erased(states, h.eraser, h.strength))

    def _erased(self, states: torch.Tensor, eraser: Eraser, strength: float) -> torch.Tensor:
        import torch

        erased = eraser(states, strength)
        acted = getattr(self._acted, "places", None)
        return erased if acted is None else torch.where(acted[..., None].to(states.device), erased, states)

    def look(self, model: PreTrainedModel) -> None:
        """Keep, for each forward pass, at which positions [B, T] to erase; at all when only embeddings are given.

        A pass whose layers are computed again for their gradients raises UsageError: by then, the positions may be
        those of another pass.
        """
        import torch

        spared = self.spared
        if spared is None:
            return
        body = body_of(model)

        def look(args: Any, kwargs: dict[str, Any]) -> None:
            do = 'switch gradient checkpointing off, or set positions = "all", which spares none'
            refuse_recomputing(body, "erasure that spares tokens", self.step, do)
            ids = token_ids(args, kwargs)
            self._acted.places = None if ids is None else ~torch.isin(ids, spared.to(ids.device))

        self.hooks.seen(body, look)

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        self.hooks.remove()
        for module, held in self._modules:
            _held(module).remove(held)
            if not _held(module):
                delattr(module, HELD)
        self._modules.clear()
        self._acted.places = None

    def fold(self, model: PreTrainedModel) -> bool:
        """Write the erasers into the matrices that read the states; False, and nothing done, where one cannot be.

        With a later step's eraser between this one and a matrix, it cannot be until that one is folded.
        """
        if not self._modules or not all(held.folds and _held(module)[-1] is held for module, held in self._modules):
            return False
        # By eraser and not by module: a library may have put another module in its place, with the same list.
        readers = [m for s in sites_of(layers_of(model), "after-norm") for m in s.readers if hasattr(m.module, HELD)]
        matrices = {id(held): m for m in readers for held in _held(m.module)}
        give_biases(model, [matrices[id(h)].module for _, h in self._modules if h.eraser.mean is not None])
        for _, held in self._modules:
            matrix = matrices[id(held)]
            matrix.write(*held.eraser.folded(matrix.weight(), matrix.bias(), held.strength))
        self.take(model)
        for matrix in readers:
            if not _held(matrix.module):
                delattr(matrix.module, HELD)
        return True


def can_fold(model: PreTrainedModel, site: Site, eraser: Eraser) -> bool:
    """Whether the matrices at a place can take the eraser: its shift needs biases, or a setting that gives them."""
    if eraser.mean is None:
        return True
    switches = family_of(model).paths.bias_switches
    given = {path for name, paths in switches.items() if hasattr(model.config, name) for path in paths}
    return all(matrix.module.bias is not None or matrix.path in given for matrix in site.readers)


def give_biases(model: PreTrainedModel, modules: Iterable[Any]) -> None:
    """Zero biases for modules without, and for all that the same setting of the configuration gives one."""
    import torch

    lacking = [module for module in modules if module.bias is None]
    if not lacking:
        return
    for name, paths in family_of(model).paths.bias_switches.items():
        members = [layer.module.get_submodule(path) for layer in layers_of(model) for path in paths]
        if not any(member is module for member in members for module in lacking):
            continue
        setattr(model.config, name, True)
        for member in members:
            if member.bias is None:
                zeros = torch.zeros(member.weight.shape[0], dtype=member.weight.dtype, device=member.weight.device)
                member.bias = torch.nn.Parameter(zeros, requires_grad=member.weight.requires_grad)


def _held(module: Any) -> list[Held]:
    if not hasattr(module, HELD):
        setattr(module, HELD, [])
    found: list[Held] = getattr(module, HELD)
    return found
