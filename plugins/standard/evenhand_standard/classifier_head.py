"""The head that `text-classification` has trained, kept beside the run: a classifier for the model of that run.

model, tokenizer = evenhand.load(run)
head = read_head(run / "found/tweets/head")           # tweets is the id of the step
head.probabilities(model, tokenizer, ["a tweet"])     # P(label 1) of each

P = sigmoid( w . norm(mean_t h(t)) + b ),      h: the last hidden states, norm: to mean 0 and variance 1
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand_sdk import DigestMismatch, UsageError
from evenhand_sdk.storage import atomic_folder, damage

if TYPE_CHECKING:
    import torch

AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class ClassifierHead:
    """w [H] and b of a linear head, and how its texts are read."""

    weight: torch.Tensor
    bias: float
    kind: str
    """causal or masked, which reads special tokens, too."""
    max_length: int

    def probabilities(self, model: Any, tokenizer: Any, texts: Sequence[str]) -> list[float]:
        """The probability of each text to have the label 1. UsageError for a model of another width."""
        import torch

        width = int(model.config.hidden_size)
        if len(self.weight) != width:
            raise UsageError(
                f"the head is for states of width {len(self.weight)}, those of the model have {width}",
                where="probabilities",
                do="take the model that the head was trained with",
            )
        weight = self.weight.to(model.device, torch.float32)
        found: list[float] = []
        for start in range(0, len(texts), AT_ONCE):
            ids, mask = self._read(tokenizer, texts[start : start + AT_ONCE])
            with torch.no_grad():
                out = model(
                    input_ids=ids.to(model.device), attention_mask=mask.to(model.device), output_hidden_states=True
                )
            kept = mask.to(model.device)[..., None]
            states = (out.hidden_states[-1].float() * kept).sum(1) / kept.sum(1).clamp_min(1)
            normed = torch.nn.functional.layer_norm(states, states.shape[-1:])
            found += (normed @ weight + self.bias).sigmoid().tolist()
        return found

    def _read(self, tokenizer: Any, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and mask [B, T], padded at the right as in the training."""
        import torch

        special = self.kind == "masked"
        rows = [
            tokenizer(text, truncation=True, max_length=self.max_length, add_special_tokens=special)["input_ids"]
            for text in texts
        ]
        width = max(1, *(len(row) for row in rows))
        pad = tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def write_head(folder: Path, head: ClassifierHead) -> None:
    """Keep a head in a sealed folder."""
    from safetensors.torch import save_file

    with atomic_folder(folder) as temporary:
        save_file({"weight": head.weight.detach().cpu().contiguous()}, temporary / "head.safetensors")
        facts = {"bias": head.bias, "kind": head.kind, "max_length": head.max_length}
        (temporary / "head.json").write_text(json.dumps(facts), encoding="utf-8")


def read_head(folder: Path | str) -> ClassifierHead:
    """The counterpart of `write_head`. UsageError where there is none, DigestMismatch for one that is damaged."""
    from safetensors.torch import load_file

    place = Path(folder)
    if not (place / "head.json").is_file():
        raise UsageError("there is no head of a classifier in this folder", where=str(place))
    if what := damage(place, full=True):
        raise DigestMismatch(f"the head is damaged: {what}", where=str(place), do="copy it again, or run again")
    facts = json.loads((place / "head.json").read_text(encoding="utf-8"))
    return ClassifierHead(weight=load_file(place / "head.safetensors")["weight"], **facts)
