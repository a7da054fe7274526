"""The gradient of one loss over many rows: which way the model would be pushed, before anything pushes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Kind, LossTerm
from evenhand.errors import UsageError
from evenhand.positions import most_tokens
from evenhand.progress import progress
from evenhand.training_data import Collator, encode, too_short
from evenhand.training_forward import forward

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.reference import ReferenceModel


def loss_gradients(
    model: PreTrainedModel,
    tokenizer: Any,
    data: Dataset,
    term: LossTerm | None = None,
    *,
    kind: Kind,
    max_length: int,
    seed: int,
    batch_size: int = 8,
    reference: ReferenceModel | None = None,
    title: str = "Measuring gradients",
) -> dict[str, torch.Tensor]:
    """The mean over micro-batches of the gradient of a term, or of the language-modelling loss without one.

    The term's weight is left out. By parameter name, float32; parameters that it does not depend on are left out, too.
    The rows are read as a training reads them, in evaluation mode and in their order. Raises UsageError when no row has
    two tokens.
    """
    import torch

    needs = [term.needs] if term is not None else []
    pairings = [n.counterfactual for n in needs if n.counterfactual is not None]
    columns = tuple(c for n in needs for c in n.columns)
    rows, bins = encode(
        data, tokenizer, kind=kind, max_length=min(max_length, most_tokens(model)), pairings=pairings, columns=columns,
        vocabulary=model.get_input_embeddings().num_embeddings,
    )  # fmt: skip
    if not rows:
        raise UsageError(f"no row has {too_short(kind)}, there is nothing to measure a gradient on", where=title)
    collate = Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=seed, most=most_tokens(model))
    named = dict(model.named_parameters())
    flags, was_training = {name: p.requires_grad for name, p in named.items()}, model.training
    found: dict[str, torch.Tensor] = {}
    batches = range(0, len(rows), batch_size)
    model.eval()
    try:
        for p in named.values():
            p.requires_grad_(True)
        with torch.enable_grad(), progress(title, total=len(rows), unit="texts") as bar:
            for start in batches:
                part = rows[start : start + batch_size]
                batch = collate(part)["batch"].to(model.device)
                outputs = forward(model, batch, needs, kind=kind, reference=reference)
                value = outputs.loss if term is None else term.fn(batch, outputs)
                _add(found, named, torch.autograd.grad(value, list(named.values()), allow_unused=True))
                bar.advance(len(part))
    finally:
        for name, p in named.items():
            p.requires_grad_(flags[name])
        model.train(was_training)
    return {name: total / len(batches) for name, total in found.items()}


def _add(found: dict[str, torch.Tensor], names: Any, gradients: Sequence[torch.Tensor | None]) -> None:
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is not None:
            found[name] = gradient.float() if name not in found else found[name].add_(gradient)
