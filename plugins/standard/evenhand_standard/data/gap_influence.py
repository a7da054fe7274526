"""What a text does to the gap between groups when a model learns from it, to first order.

    JSgap(theta)  =  mean over pairs (y, y~) of  mean_t JS( F p(. | y_<t), F p(. | y~_<t) )          in nat
    c(x)          =  - < grad L(x), grad JSgap >,        L(x) = mean token loss of x

One update of gradient descent on x alone, of learning rate eta, changes JSgap by eta c(x) + O(eta^2): above 0 the text
draws the groups apart. F folds aligned group words into one bin, as everywhere. Both gradients are those of the
untouched model, over all of its weights. Long gradients are mostly those of odd texts, so the cosine

    cos(x)        =  c(x) / ( || grad L(x) || || grad JSgap || )                                    in [-1, 1]

ranks texts better. Sources: Pruthi et al. 2020 (TracIn, at one checkpoint); JSgap and folding, techniques 2.3 and 2.4.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, RunContext, UsageError, fold, group_tokens, jensen_shannon, progress, token_bins
from evenhand_standard.data.synthesis_acceptance import positions
from evenhand_standard.data.synthesis_grid import banked_versions, grid, group_pairs

if TYPE_CHECKING:
    import torch

Pair = tuple[str, str]


def pairs_of(axis: Axis, limit: int, seed: int) -> list[Pair]:
    """At most `limit` pairs of sentences that differ in the group: of the pair bank's training split where it knows
    the axis, else of the pack's templates. UsageError where there are none."""
    versions = banked_versions(axis, seed) or grid(axis, seed)
    found = [(version.texts[a], version.texts[b]) for version in versions for a, b in group_pairs(list(version.texts))]
    if not found:
        raise UsageError(
            f"the axis {axis.name!r} has no templates to measure the gap on",
            where="option axes",
            do="use a pack with [[templates]]",
        )
    return found[:limit]


def gap_gradient(run: RunContext, model: Any, pairs: Sequence[tuple[Axis, Pair]]) -> tuple[list[torch.Tensor], float]:
    """The gradient of JSgap over all weights, in the model's order, in float32 or better; and JSgap itself, in nat."""
    import torch

    size = int(model.get_output_embeddings().weight.shape[0])
    bins = {axis.name: token_bins(run.tokenizer, axis.bins(), size) for axis, _ in pairs}
    total: list[torch.Tensor] = []
    gap, counted = 0.0, 0
    with _all_weights(model) as weights, progress("Measuring the gap", total=len(pairs), unit="pairs") as bar:
        for axis, sides in pairs:
            bar.advance(1)
            ids = [_ids(run, text) for text in sides]
            where = positions(ids[0], ids[1], group_tokens(bins[axis.name]))
            logs = [
                fold(_log_probabilities(model, side)[[place[k] for place in where]], bins[axis.name])
                for k, side in enumerate(ids)
            ]
            value = jensen_shannon(*logs).mean()
            gradient = torch.autograd.grad(value, weights, allow_unused=True)
            total = _sum(total, gradient, weights)
            gap += float(value.detach())
            counted += 1
    return [part / max(1, counted) for part in total], gap / max(1, counted)


def contributions(
    run: RunContext, model: Any, texts: Sequence[str], gradient: Sequence[torch.Tensor], *, cosine: bool
) -> list[float]:
    """c(x), or its cosine, of each text [N] by its first `max_length` tokens; nan where nothing is predicted.

    One backward pass for each text: the cosine needs the length of its own gradient, which a batch adds to others.
    """
    import torch

    found: list[torch.Tensor] = []
    length = _norm(gradient)
    with _all_weights(model) as weights, progress("Asking for influence", total=len(texts), unit="texts") as bar:
        for text in texts:
            bar.advance(1)
            ids = _ids(run, text)
            if len(ids) < 2:
                found.append(torch.full_like(length, math.nan))
                continue
            logp = _log_probabilities(model, ids)
            loss = -logp[:-1].gather(-1, torch.tensor(ids[1:], device=logp.device)[:, None]).mean()
            own = torch.autograd.grad(loss, weights, allow_unused=True)
            parts = [(a.detach().to(b.dtype), b) for a, b in zip(own, gradient, strict=True) if a is not None]
            value = -torch.stack([(a * b).sum(dtype=torch.float64) for a, b in parts]).sum()
            if cosine:
                both = _norm([a for a, _ in parts]) * length
                value = torch.where(both > 0, value / both, torch.zeros_like(value))
            found.append(value)  # read at the end: a wait for the device at each weight would cost more than the sums
    return [float(value) for value in torch.stack(found).tolist()] if found else []


def _norm(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The Euclidean length of all parts together, in float64, on their device."""
    import torch

    return torch.stack([part.double().square().sum() for part in parts]).sum().sqrt()


def _log_probabilities(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """[T, V] of one text, in float32 or better."""
    import torch

    logits = model(input_ids=torch.tensor([list(ids)], device=model.device)).logits[0]
    return (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)


def _ids(run: RunContext, text: str) -> list[int]:
    return list(run.tokenizer(text, truncation=True, max_length=run.services.settings.max_length)["input_ids"])


def _sum(
    total: list[torch.Tensor], more: Sequence[torch.Tensor | None], weights: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """The sum so far and a further gradient, in float32 or better."""
    import torch

    new = [torch.zeros_like(w) if g is None else g.detach() for g, w in zip(more, weights, strict=True)]
    new = [g if g.dtype == torch.float64 else g.float() for g in new]
    return [a + b for a, b in zip(total, new, strict=True)] if total else new


@contextlib.contextmanager
def _all_weights(model: Any) -> Iterator[list[torch.Tensor]]:
    """The weights, each of which takes part in gradients within; afterwards those do that did before."""
    weights = list(model.parameters())
    flags = [weight.requires_grad for weight in weights]
    training = model.training
    try:
        model.eval()
        for weight in weights:
            weight.requires_grad_(True)
        yield weights
    finally:
        for weight, flag in zip(weights, flags, strict=True):
            weight.requires_grad_(flag)
        model.train(training)
