"""The other steps in whose company a plugin is checked: one of each stage that changes the model or its answers."""

from __future__ import annotations

from typing import Any

from evenhand.contributions import DataTransform, DecodingRule, LossTerm, ModelTransform


def _louder() -> DataTransform:
    """A neighbour that adds one row."""
    from datasets import concatenate_datasets

    return DataTransform(fn=lambda rows: concatenate_datasets([rows, rows.select([0])]))


def _z_loss() -> LossTerm:
    """A neighbour that keeps the normaliser small."""
    return LossTerm(
        name="neighbour",
        fn=lambda batch, outputs: outputs.logits.float().logsumexp(-1).pow(2).mean(),
        weight=1e-4,
    )


def _scaled_embedding() -> ModelTransform:
    """A neighbour that scales what the embeddings give, by a hook that it can take away."""
    handles: list[Any] = []

    def apply(model: Any, artifact: Any) -> None:
        layer = model.get_input_embeddings()
        handles.append(layer.register_forward_hook(lambda module, args, out: out * 1.01))

    def revert(model: Any) -> None:
        handles.pop().remove()

    return ModelTransform(apply=apply, revert=revert)


def _flatter() -> DecodingRule:
    """A neighbour that flattens distributions."""
    return DecodingRule(name="neighbour", next_logits=lambda ids, logits, contexts: logits / 1.1)


def flatter_at_masks() -> DecodingRule:
    """The same for masked models."""
    return DecodingRule(name="neighbour", mask_logits=lambda ids, logits, contexts, places: logits / 1.1)


NEIGHBOURS: dict[str, Any] = {
    "data": _louder,
    "objective": _z_loss,
    "architecture": _scaled_embedding,
    "decoding": _flatter,
}
