"""The untouched model as a reference during training: exact distributions without storing any.

For a causal model the final hidden states of each row are computed once, before anything moves, and multiplied with a
frozen copy of the output matrix when a term asks. Where logits are no plain product of the two (soft-capping, scaling,
a masked model's transform head), a frozen copy of the model is run instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.training_batch import Batch, PairBatch, Reference

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class ReferenceModel:
    """Gives the reference's logits on a batch; rows are looked up by number, so one instance serves one data set."""

    def __init__(self, model: PreTrainedModel, *, kind: str) -> None:
        self.model = model
        """A frozen copy, in evaluation mode."""
        self.kind = kind
        self.hidden: dict[int | tuple[int, ...], torch.Tensor] = {}
        """By the number of a text row, or by the token ids of a counterfactual."""
        self.plain: bool | None = None if kind == "causal" else False
        self._trunk = getattr(model, model.base_model_prefix, None)

    def on(self, batch: Batch) -> Reference:
        """The reference on the text rows of `batch`, computed when asked."""

        def logits() -> torch.Tensor:
            return self._logits(batch.input_ids, batch.attention_mask, batch.rows.tolist())

        return Reference(logits=logits, model=self.model)

    def on_pairs(self, pairs: PairBatch) -> Reference:
        """The reference on counterfactuals, computed when asked."""
        ids, mask = pairs.input_ids, pairs.attention_mask

        def keys() -> list[tuple[int, ...]]:
            return [tuple(row[: int(kept.sum())].tolist()) for row, kept in zip(ids, mask, strict=True)]

        return Reference(logits=lambda: self._logits(ids, mask, keys()), model=self.model)

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor, keys: Sequence[int | tuple[int, ...]]) -> torch.Tensor:
        import torch

        with torch.no_grad():
            if self.plain is None:
                self.plain = self._is_plain_product(ids[:1], mask[:1])
            if not self.plain:
                return self.model(input_ids=ids, attention_mask=mask).logits  # type: ignore[no-any-return]
            if any(key not in self.hidden for key in keys):
                states = self._final_hidden(ids, mask)
                for k, key in enumerate(keys):
                    self.hidden[key] = states[k, : int(mask[k].sum())].clone()
            width = ids.shape[1]
            rows = [torch.nn.functional.pad(self.hidden[k], (0, 0, 0, width - len(self.hidden[k]))) for k in keys]
            return self.model.get_output_embeddings()(torch.stack(rows))  # type: ignore[no-any-return]

    def _final_hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out: Any = self._trunk(input_ids=ids, attention_mask=mask)  # type: ignore[misc]
        return out.last_hidden_state  # type: ignore[no-any-return]

    def _is_plain_product(self, ids: torch.Tensor, mask: torch.Tensor) -> bool:
        import torch

        if self._trunk is None or self.model.get_output_embeddings() is None:
            return False
        whole = self.model(input_ids=ids, attention_mask=mask).logits
        hidden = self._trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        return bool(torch.allclose(whole, self.model.get_output_embeddings()(hidden), atol=1e-3))
