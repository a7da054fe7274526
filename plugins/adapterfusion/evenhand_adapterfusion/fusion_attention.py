"""What a fusion listens to: its attention on each adapter, and each adapter's part in what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evenhand_adapterfusion import fusion_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TEXTS: Final = (
    "The nurse told the patient that she would be back in an hour.",
    "He repaired the engine before his daughter came home from school.",
    "My grandmother worked as a welder, and my grandfather taught music.",
    "The manager asked her assistant to prepare the report.",
    "After the storm, the fishermen mended their nets.",
    "Bread needs flour, water, salt and time.",
    "The train to the coast leaves at nine in the morning.",
    "A short summary of the results is given in the first table.",
)
"""Half of them name a group, half do not."""


@dataclass(frozen=True)
class FusionAttention:
    """Means over all tokens of the texts."""

    adapters: tuple[str, ...]
    layers: torch.Tensor
    """[L, n] attention of each fusion layer on each adapter; rows sum to 1."""
    contribution: torch.Tensor
    """[n] share of each adapter in the length of what is added, |alpha_n V z_n|; all 0 if nothing is."""

    @property
    def attention(self) -> torch.Tensor:
        """[n] mean over the layers."""
        return self.layers.mean(0)


def fusion_attention(
    model: PreTrainedModel, name: str, tokenizer: Any, texts: Sequence[str] = TEXTS
) -> FusionAttention:
    """Read the attention of one fusion, with all its adapters on, while the model reads some texts.

    It is computed in float32 from the inputs of the fusion layers: the library's read-out cannot do bfloat16.
    """
    import torch
    from adapters import AdapterSetup, Fuse

    names = fusion_layers.members(model, name)
    modules = fusion_layers.modules(model, name)
    mass = torch.zeros(len(modules), len(names))
    length = torch.zeros(len(names))
    tokens = 0

    def listen(index: int) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
            query, key, value = inputs[:3]  # [1, T, H], [1, T, n, H], [1, T, n, H]
            scores = torch.einsum("bth,btnh->btn", module.query(query).float(), module.key(key).float())
            alpha = scores.softmax(-1)
            parts = alpha * module.value(value).float().norm(dim=-1)
            mass[index] += alpha.sum((0, 1)).cpu()
            length.add_(parts.sum((0, 1)).cpu())

        return hook

    handles = [module.register_forward_hook(listen(k)) for k, module in enumerate(modules)]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), AdapterSetup(Fuse(*names, name=name)):
            for text in texts:
                ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
                tokens += ids.numel()
                model(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    total = length.sum()
    return FusionAttention(tuple(names), mass / tokens, length / total if total > 0 else length)
