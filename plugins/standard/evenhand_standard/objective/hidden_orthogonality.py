"""Hidden states of neutral words orthogonal to those of group words, in every layer (Kaneko and Bollegala 2021).

    R = mean over layers i, neutral tokens w, group tokens a of  ( v_i(a) . h_i(w) )^2
    D = mean over layers i and tokens w of                       || h_i(w) - h0_i(w) ||^2

v_i(a) is the mean hidden state of the group word a where it occurred lately, a constant of the loss. Hidden states of
a layer are measured in units of their root mean square length under the untouched model, because lengths differ by
orders of magnitude between layers and between models. The first token of a causal model's text takes no part: it is
where attention rests, and its hidden state is longer than all others together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Batch, Outputs
from evenhand_sdk.processes import count, everyone
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch

Term = Callable[[Batch, Outputs], "torch.Tensor"]


class AttributeVectors:
    """Mean hidden states of group words, from the batches of the last `every` steps; until then, of all so far."""

    def __init__(self, tokens: frozenset[int], every: int) -> None:
        self.tokens, self.every = tokens, every
        self._sums: dict[int, torch.Tensor] = {}
        self._counts: dict[int, int] = {}
        self._held: torch.Tensor | None = None

    def on_step(self, step: int, total: int) -> None:
        if step % self.every == 0 and self._sums:
            self._held = self._means()
            self._sums, self._counts = {}, {}

    def observe(self, ids: torch.Tensor, states: torch.Tensor) -> None:
        """Add hidden states [layers, n, H] of the tokens ids [n], and those of other processes of the training."""
        found = [(t, states[:, k].detach().float()) for k, t in enumerate(ids.tolist()) if t in self.tokens]
        if count() > 1:
            found = everyone([(token, state.cpu()) for token, state in found])
        for token, state in found:
            # What a checkpoint brought back lies on the processor, whatever the model is on.
            known = self._sums.get(token)
            self._sums[token] = state.to(states.device) + (known.to(states.device) if known is not None else 0)
            self._counts[token] = self._counts.get(token, 0) + 1

    def vectors(self) -> torch.Tensor | None:
        """[A, layers, H], or None when no group word was seen yet."""
        if self._held is not None:
            return self._held
        return self._means() if self._sums else None

    def _means(self) -> torch.Tensor:
        import torch

        means = [self._sums[token] / self._counts[token] for token in sorted(self._sums)]
        device = next((m.device for m in means if m.device.type != "cpu"), means[0].device)
        return torch.stack([mean.to(device) for mean in means])

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": {token: found.cpu() for token, found in self._sums.items()},
            "counts": dict(self._counts),
            "held": None if self._held is None else self._held.cpu(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self._sums, self._counts, self._held = dict(saved["sums"]), dict(saved["counts"]), saved["held"]


class LayerStates:
    """Hidden states of a batch in both models; those of the untouched one are computed once for both terms."""

    def __init__(self, tokenizer: Any, kind: str) -> None:
        self.causal = kind == "causal"
        self.special = sorted(set(tokenizer.all_special_ids))
        self._last: tuple[Batch, torch.Tensor] | None = None

    def kept(self, batch: Batch) -> torch.Tensor:
        """[B, T] the tokens that take part: those of the text, which special tokens are not."""
        import torch

        special = torch.tensor(self.special, device=batch.input_ids.device, dtype=torch.long)
        kept = batch.attention_mask.bool() & ~torch.isin(batch.input_ids, special)
        if self.causal:
            kept[:, 0] = False
        return kept

    def pair(self, batch: Batch, outputs: Outputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states h and h0 [layers, n, H] at the tokens that take part, and the units [layers] of the layers."""
        import torch

        assert outputs.hidden_states is not None
        kept = self.kept(batch)
        states = torch.stack([h[kept].float() for h in outputs.hidden_states])
        before = self._untouched(batch, outputs)
        return states, before, before.square().sum(-1).mean(-1).clamp_min(1e-12).sqrt()

    def _untouched(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        if self._last is None or self._last[0] is not batch:
            assert outputs.reference is not None and outputs.reference.model is not None
            with torch.no_grad():
                found = outputs.reference.model(
                    input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
                ).hidden_states
            kept = self.kept(batch)
            self._last = batch, torch.stack([h[kept].float() for h in found])
        return self._last[1]


def neutral_count(layers: LayerStates, attributes: AttributeVectors, batch: Batch) -> float:
    """How many tokens of a batch take part and are no group words."""
    return float(sum(token not in attributes.tokens for token in batch.input_ids[layers.kept(batch)].tolist()))


def orthogonality(layers: LayerStates, attributes: AttributeVectors) -> Term:
    """R [] of a batch; 0 while no group word was seen."""
    import torch

    grouped = torch.tensor(sorted(attributes.tokens), dtype=torch.long)

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        states, _, units = layers.pair(batch, outputs)
        ids = batch.input_ids[layers.kept(batch)]
        if torch.is_grad_enabled():
            attributes.observe(ids, states)
        vectors = attributes.vectors()
        neutral = ~torch.isin(ids, grouped.to(ids.device))
        if vectors is None or not neutral.any():
            return nothing(outputs)
        with torch.autocast(states.device.type, enabled=False):
            products = torch.einsum("lnh,alh->lna", states[:, neutral], vectors.to(states.device))
            return (products / units.square()[:, None, None]).square().mean()

    return fn


def distance(layers: LayerStates) -> Term:
    """D [] of a batch."""

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        states, before, units = layers.pair(batch, outputs)
        return ((states - before) / units[:, None, None]).square().sum(-1).mean()

    return fn
