"""The untouched model as a reference during training: exact distributions without storing any.

For a causal model the final hidden states of each row are computed once, when it is first read, and multiplied with a
frozen copy of the output matrix when a term asks; as many are kept as `MOST` allows, and none where no row is read
twice. Where logits are no plain product of the two (soft-capping, scaling,
a masked model's transform head), a frozen copy of the model is run instead. The copy of a model that `peft` has wrapped
has its adapters, as they were when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.peft_wrapping import unwrapped
from evenhand.training_batch import Batch, PairBatch, Reference

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


Key = int | tuple[int, ...]
MOST = 2**30
"""Bytes of hidden states that are kept, at most; what comes after is computed whenever it is asked."""


class ReferenceModel:
    """Gives the reference's logits on a batch; rows are looked up by number, so one instance serves one data set."""

    def __init__(self, model: PreTrainedModel, *, kind: str) -> None:
        self.model = model
        """A frozen copy, in evaluation mode."""
        self.kind = kind
        self.hidden: dict[Key, torch.Tensor] = {}
        """By the number of a text row, or by the token ids of a counterfactual."""
        self.limit, self._held = MOST, 0
        """Bytes of hidden states that may be kept."""
        self.plain: bool | None = None if kind == "causal" else False
        whole = unwrapped(model)
        self._trunk = getattr(whole, whole.base_model_prefix, None)

    def on(self, batch: Batch) -> Reference:
        """The reference on the text rows of `batch`, computed when asked."""
        return self._asked(batch.input_ids, batch.attention_mask, lambda: batch.rows.tolist())

    def on_pairs(self, pairs: PairBatch) -> Reference:
        """The reference on counterfactuals, computed when asked."""
        ids, mask = pairs.input_ids, pairs.attention_mask

        def keys() -> list[tuple[int, ...]]:
            return [tuple(row[: int(kept.sum())].tolist()) for row, kept in zip(ids, mask, strict=True)]

        return self._asked(ids, mask, keys)

    def _asked(self, ids: torch.Tensor, mask: torch.Tensor, keys: Callable[[], Sequence[Key]]) -> Reference:
        """The reference on sequences; several terms that ask of one batch share the pass through the model."""
        states: list[torch.Tensor] = []

        def logits() -> torch.Tensor:
            import torch

            with torch.no_grad():
                if self.plain is None:
                    self.plain = self._is_plain_product(ids[:1], mask[:1])
                if not self.plain:
                    return self.model(input_ids=ids, attention_mask=mask).logits  # type: ignore[no-any-return]
                if not states:
                    states.append(self._states(ids, mask, keys()))
                return self.model.get_output_embeddings()(states[0])  # type: ignore[no-any-return]

        return Reference(logits=logits, model=self.model)

    def _states(self, ids: torch.Tensor, mask: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """The final hidden states [B, T, H], 0 at padding: kept ones where all of them are."""
        import torch

        if all(key in self.hidden for key in keys):
            width = ids.shape[1]
            rows = [torch.nn.functional.pad(self.hidden[k], (0, 0, 0, width - len(self.hidden[k]))) for k in keys]
            return torch.stack(rows)
        states = self._final_hidden(ids, mask).masked_fill(mask[..., None] == 0, 0)
        self._keep(states, mask, keys)
        return states

    def _keep(self, states: torch.Tensor, mask: torch.Tensor, keys: Sequence[Key]) -> None:
        """Keep the states [B, T, H] of rows that are new, as long as there is room."""
        for k, key in enumerate(keys):
            own = states[k, : int(mask[k].sum())]
            if key not in self.hidden and self._held + own.nbytes <= self.limit:
                self.hidden[key] = own.clone()
                self._held += own.nbytes

    def forget(self, limit: int = MOST) -> None:
        """Drop what is kept, and keep at most `limit` bytes from now on."""
        self.hidden.clear()
        self.limit, self._held = limit, 0

    def _final_hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out: Any = self._trunk(input_ids=ids, attention_mask=mask)  # type: ignore[misc]
        return out.last_hidden_state  # type: ignore[no-any-return]

    def _is_plain_product(self, ids: torch.Tensor, mask: torch.Tensor) -> bool:
        import torch

        if self._trunk is None or self.model.get_output_embeddings() is None:
            return False
        whole = self.model(input_ids=ids, attention_mask=mask).logits
        hidden = getattr(self._trunk(input_ids=ids, attention_mask=mask), "last_hidden_state", None)
        if hidden is None or hidden.shape[:2] != whole.shape[:2]:
            return False
        return bool(torch.allclose(whole, self.model.get_output_embeddings()(hidden), atol=1e-3))
