"""What a training does to a model while it lasts: which parameters may move, in which format, with which attention."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evenhand.contributions import Needs
from evenhand.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CHECKPOINTING = "_gradient_checkpointing_func"
"""Where transformers keeps how a module's activations are computed again."""


def select(model: PreTrainedModel, trainable: Iterable[str] | None) -> dict[str, bool]:
    """Let the named parameters move and no others (None: those that may already); gives the flags from before.

    Names of all parameters stand for the whole model, of which what is frozen stays out; it moves where a selection
    names it. Raises UsageError for a name that no parameter has.
    """
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    if trainable is None:
        return flags
    chosen = set(trainable)
    if unknown := sorted(chosen - flags.keys()):
        raise UsageError(f"no parameter is called {unknown[0]!r}", where="trainable parameters")
    if chosen == flags.keys() and any(flags.values()):
        chosen = {name for name, free in flags.items() if free}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return flags


def release(model: PreTrainedModel, flags: Mapping[str, bool]) -> None:
    """Each parameter requires a gradient or not as before the training, and has none."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(flags[name])
        parameter.grad = None


@contextlib.contextmanager
def selected(model: PreTrainedModel, trainable: Iterable[str] | None) -> Iterator[None]:
    """A block in which the named parameters move (`select`); then the flags are as before, and the model evaluates."""
    flags = select(model, trainable)
    try:
        yield
    finally:
        release(model, flags)
        model.eval()


def eager_if_needed(model: PreTrainedModel, needs: Sequence[Needs]) -> str | None:
    """Scaled-dot-product attention returns no weights; gives the implementation to restore."""
    current = getattr(model.config, "_attn_implementation", None)
    if not any(n.attentions for n in needs) or current == "eager":
        return None
    model.set_attn_implementation("eager")
    return str(current)


@contextlib.contextmanager
def eager_where_needed(model: PreTrainedModel, needs: Sequence[Needs]) -> Iterator[None]:
    """A block in which attention returns its weights to the terms that read them."""
    before = eager_if_needed(model, needs)
    try:
        yield
    finally:
        if before:
            model.set_attn_implementation(before)


@contextlib.contextmanager
def recomputed_anew(model: PreTrainedModel) -> Iterator[None]:
    """A block in which activations that gradient checkpointing computes again can be differentiated term by term.

    The reentrant way of `torch.utils.checkpoint`, which transformers 4 takes where none is named, allows no gradient
    but that of the whole loss. The other way gives the same numbers, and is taken meanwhile.
    """
    from torch.utils.checkpoint import checkpoint

    reentrant = []
    for module in model.modules():
        how = vars(module).get(CHECKPOINTING)
        if isinstance(how, functools.partial) and how.func is checkpoint and how.keywords.get("use_reentrant", True):
            reentrant.append((module, how))
            options = {**how.keywords, "use_reentrant": False}
            setattr(module, CHECKPOINTING, functools.partial(checkpoint, *how.args, **options))
    try:
        yield
    finally:
        for module, how in reentrant:
            setattr(module, CHECKPOINTING, how)


@contextlib.contextmanager
def in_float32(model: PreTrainedModel | None) -> Iterator[str]:
    """A block in which weights of a shorter format are float32; afterwards they are rounded to it again.

    Gives the short formats by name, empty for none. An update is smaller than the last place of a bfloat16 weight can
    show (2 ** -9 of it), so that a training in that format would lose most of them.
    """
    tensors = [] if model is None else [*model.parameters(), *model.buffers()]
    short = [(t, t.dtype) for t in tensors if t.is_floating_point() and t.element_size() < 4]
    for tensor, _ in short:
        tensor.grad = None
        tensor.data = tensor.data.float()
    try:
        yield " and ".join(sorted({str(dtype).removeprefix("torch.") for _, dtype in short}))
    finally:
        for tensor, dtype in short:
            tensor.grad = None
            tensor.data = tensor.data.to(dtype)


def put_back(model: PreTrainedModel, before: Mapping[str, torch.Tensor]) -> None:
    """Give parameters the values that they had."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in before:
                parameter.copy_(before[name])


def moved(model: PreTrainedModel, before: Mapping[str, torch.Tensor]) -> bool:
    """Whether any parameter differs from what it was, in the format that it has now."""
    import torch

    return any(
        not torch.equal(p.detach(), before[name].to(p.device, p.dtype))
        for name, p in model.named_parameters()
        if name in before
    )
