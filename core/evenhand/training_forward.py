"""One forward pass for text rows and their counterfactuals, split into what each loss term sees.

The one place where a batch becomes outputs: the host's trainer and a user's own training loop share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.filling import as_it_is
from evenhand.training_batch import Batch, Outputs, PairOutputs

if TYPE_CHECKING:
    import torch

    from evenhand.contributions import Needs
    from evenhand.reference import ReferenceModel


ROWS = 32
"""Rows that enter the output layer alone are filled up to a multiple of this."""


def forward(
    model: Any, batch: Batch, needs: Sequence[Needs], *, kind: str, reference: ReferenceModel | None = None
) -> Outputs:
    """Run the text rows [B, T] and all counterfactuals [P, T] together and split the outputs."""
    import torch

    pairs = {key: p for key, p in batch.pairs.items() if len(p.rows)}
    ids = torch.cat([batch.input_ids, *(p.input_ids for p in pairs.values())])
    mask = torch.cat([batch.attention_mask, *(p.attention_mask for p in pairs.values())])
    with as_it_is():
        out = model(
            input_ids=ids,
            attention_mask=mask,
            output_hidden_states=any(n.hidden_states for n in needs),
            output_attentions=any(n.attentions for n in needs),
        )
    sizes = [len(batch.input_ids), *(len(p.rows) for p in pairs.values())]
    logits = out.logits.split(sizes) if pairs else (out.logits,)  # a split copies all gradients once more
    hidden = [h.split(sizes) for h in out.hidden_states] if out.hidden_states is not None else None
    attentions = [a.split(sizes) for a in out.attentions] if out.attentions is not None else None

    def part(parts: list[tuple[torch.Tensor, ...]] | None, k: int) -> tuple[torch.Tensor, ...] | None:
        return None if parts is None else tuple(p[k] for p in parts)

    return Outputs(
        logits=logits[0],
        loss=language_modelling(logits[0], batch.labels, kind=kind),
        hidden_states=part(hidden, 0),
        attentions=part(attentions, 0),
        pairs={
            key: PairOutputs(
                logits=logits[k],
                hidden_states=part(hidden, k),
                attentions=part(attentions, k),
                reference=reference.on_pairs(pairs[key]) if reference else None,
            )
            for k, key in enumerate(pairs, start=1)
        },
        reference=reference.on(batch) if reference else None,
        model=getattr(model, "module", model),  # inside what distributes it
    )


def forward_masked_only(model: Any, batch: Batch) -> Outputs:
    """The outputs of a masked model when nothing but its own loss is asked for: `logits` only at the labels, [n, V].

    Of a small model, the output matrix is half the work, and six of seven of its rows have no label. A model that
    does not end in one output layer over [B, T, H] is run as it is, and gives [B, T, V].
    """
    import torch

    kept = batch.labels != -100
    labels = batch.labels[kept]
    inner = getattr(model, "module", model)  # inside what distributes it
    head: Any = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    entered: list[bool] = []

    def only_labels(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        fits = args[0].ndim == 3 and args[0].shape[:2] == batch.input_ids.shape
        entered.append(fits)
        return (_padded(args[0][kept]), *args[1:]) if fits else args

    handle = head.register_forward_pre_hook(only_labels) if isinstance(head, torch.nn.Module) else None
    try:
        with as_it_is():
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    finally:
        if handle is not None:
            handle.remove()
    if entered != [True]:
        return Outputs(logits=logits, loss=language_modelling(logits, batch.labels, kind="masked"))
    logits = logits[: len(labels)]
    return Outputs(logits=logits, loss=torch.nn.functional.cross_entropy(logits.float(), labels))


def _padded(rows: torch.Tensor) -> torch.Tensor:
    """Rows [n, H] with zeros behind them up to a multiple, so that few shapes occur."""
    import torch

    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % ROWS))


def token_count(batch: Batch) -> int:
    """The tokens that `forward` reads: of the rows and of their counterfactuals, padding left out."""
    masks = [batch.attention_mask, *(pair.attention_mask for pair in batch.pairs.values())]
    return sum(int(mask.sum()) for mask in masks)


def language_modelling(logits: torch.Tensor, labels: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Mean negative log-likelihood in nat of the labels [B, T] that are not -100, under logits [B, T, V]."""
    import torch

    if kind == "causal":
        # The labels move instead of the logits: a part of [B, T, V] would be copied, and its gradient twice.
        labels = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
    kept = labels != -100
    return torch.nn.functional.cross_entropy(logits[kept].float(), labels[kept])


def predicted(labels: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Which labels [B, T] the loss is over: those that are not -100; nothing predicts a causal model's first."""
    kept = labels != -100
    return kept[:, 1:] if kind == "causal" else kept


def total(weighted: dict[str, torch.Tensor]) -> torch.Tensor:
    """The sum of the weighted terms, in float32."""
    import torch

    return torch.stack([value.float() for value in weighted.values()]).sum()


def trained(model: Any) -> list[torch.nn.Parameter]:
    """The parameters that the training moves, in the model's order."""
    return [p for p in model.parameters() if p.requires_grad]
