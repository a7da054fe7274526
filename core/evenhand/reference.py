"""The untouched model as a reference during training: exact distributions without storing any.

For a causal model the final hidden states of each row are computed once, before anything moves, and multiplied with a
frozen copy of the output matrix when a term asks. Where logits are no plain product of the two (soft-capping, scaling,
a masked model's transform head), a frozen copy of the model is run instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand.training_batch import Batch, Reference

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class ReferenceModel:
    """Gives the reference's logits on a batch; rows are looked up by number, so one instance serves one data set."""

    def __init__(self, model: PreTrainedModel, *, kind: str) -> None:
        self.model = model
        """A frozen copy, in evaluation mode."""
        self.kind = kind
        self.hidden: dict[int, torch.Tensor] = {}
        self.plain: bool | None = None if kind == "causal" else False
        self._trunk = getattr(model, model.base_model_prefix, None)

    def on(self, batch: Batch) -> Reference:
        """The reference on the text rows of `batch`, computed when asked."""
        return Reference(logits=lambda: self._logits(batch), forward=self._forward)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.no_grad():
            return self.model(input_ids=ids, attention_mask=mask).logits  # type: ignore[no-any-return]

    def _logits(self, batch: Batch) -> torch.Tensor:
        import torch

        with torch.no_grad():
            if self.plain is None:
                self.plain = self._is_plain_product(batch)
            if not self.plain:
                out = self.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
                return out.logits  # type: ignore[no-any-return]
            numbers = batch.rows.tolist()
            if any(n not in self.hidden for n in numbers):
                states = self._final_hidden(batch)
                for k, n in enumerate(numbers):
                    self.hidden[n] = states[k, : int(batch.attention_mask[k].sum())].clone()
            width = batch.input_ids.shape[1]
            rows = [torch.nn.functional.pad(self.hidden[n], (0, 0, 0, width - len(self.hidden[n]))) for n in numbers]
            return self.model.get_output_embeddings()(torch.stack(rows))  # type: ignore[no-any-return]

    def _final_hidden(self, batch: Batch) -> torch.Tensor:
        out: Any = self._trunk(input_ids=batch.input_ids, attention_mask=batch.attention_mask)  # type: ignore[misc]
        return out.last_hidden_state  # type: ignore[no-any-return]

    def _is_plain_product(self, batch: Batch) -> bool:
        import torch

        if self._trunk is None or self.model.get_output_embeddings() is None:
            return False
        ids, mask = batch.input_ids[:1], batch.attention_mask[:1]
        whole = self.model(input_ids=ids, attention_mask=mask).logits
        hidden = self._trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        return bool(torch.allclose(whole, self.model.get_output_embeddings()(hidden), atol=1e-3))
