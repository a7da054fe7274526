"""Work that plugins order instead of doing it themselves: train, score, generate, look inside.

One implementation each, cached by content where that is safe, with the run's seed and settings. `Services` always acts
on the model as it is now; another one can be named.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, DecodingRule, Kind, LossTerm, Request, Response
from evenhand.foreign_precision import copied

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection
    from evenhand.reference import ReferenceModel
    from evenhand.scoring import SequenceScore
    from evenhand.training import TrainingResult


@dataclass(kw_only=True)
class Services:
    """What a plugin reaches as `run.services`."""

    model: PreTrainedModel
    tokenizer: Any
    kind: Kind
    seed: int
    folder: Path
    settings: TrainingSection
    load_base: Callable[[], PreTrainedModel]
    """Gives a fresh copy of the untouched model."""
    rules: Sequence[DecodingRule] = ()
    """The active decoding rules so far."""
    on_event: Callable[[str], None] = lambda text: None
    on_train: Callable[[Dataset, str], None] = lambda data, name: None
    """Told of the data and the name of each training before it begins."""

    def train(
        self,
        data: Dataset,
        terms: Sequence[LossTerm | Aggregator] = (),
        *,
        model: PreTrainedModel | None = None,
        trainable: Iterable[str] | None = None,
        max_steps: int | None = None,
        in_place: bool = False,
        name: str = "extra",
        title: str = "Training a copy",
    ) -> tuple[PreTrainedModel, TrainingResult]:
        """Train a copy of the model (or, `in_place`, the model itself) and give it back with what happened."""
        from evenhand.training import train

        self.on_train(data, name)
        target = model or self.model
        if not in_place:
            target = copied(target)
        settings = self.settings.model_copy(update={"max_steps": max_steps} if max_steps else {})
        result = train(
            target,
            self.tokenizer,
            data,
            terms,
            kind=self.kind,
            settings=settings,
            folder=self.folder / "services" / name,
            seed=self.seed,
            trainable=trainable,
            reference=self.reference,
            title=title,
            on_event=self.on_event,
        )
        shutil.rmtree(self.folder / "services" / name, ignore_errors=True)
        return target, result

    def score(
        self, texts: Sequence[str], *, model: PreTrainedModel | None = None, rules: Sequence[DecodingRule] = ()
    ) -> list[SequenceScore]:
        """Log-likelihood in nat of each text, per token (masked models: pseudo-log-likelihood)."""
        from evenhand.scoring import pll, score_texts

        target = model or self.model
        if self.kind == "masked":
            return pll(target, self.tokenizer, texts)
        return score_texts(target, self.tokenizer, texts, kind=self.kind, rules=rules)

    def distributions(
        self,
        ids: Sequence[Sequence[int]],
        *,
        model: PreTrainedModel | None = None,
        rules: Sequence[DecodingRule] = (),
        positions: Sequence[Sequence[int]] | None = None,
    ) -> list[torch.Tensor]:
        """Next-token log-probabilities [n, V] of each sequence at `positions` (None: all), decoding rules applied."""
        from evenhand.scoring import distributions

        where = positions if positions is not None else [range(len(row)) for row in ids]
        return distributions(model or self.model, [list(r) for r in ids], [list(p) for p in where], rules=rules)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        model: PreTrainedModel | None = None,
        rules: Sequence[DecodingRule] | None = None,
        temperature: float = 0.0,
    ) -> list[Response]:
        """Answers to requests in the host's decoding path; `rules` None means the active rules of the run."""
        from evenhand.generation import generate

        return generate(
            model or self.model,
            self.tokenizer,
            requests,
            rules=self.rules if rules is None else rules,
            temperature=temperature,
            seed=self.seed,
        )

    def hidden_states(
        self, texts: Sequence[str], *, model: PreTrainedModel | None = None, batch_size: int = 16
    ) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Stream (texts, hidden states [layers + 1, b, T, H], attention mask [b, T]); nothing is kept.

        The first entry is the embeddings; in most families the last has passed the final norm already.
        """
        import torch

        target = (model or self.model).eval()
        side, self.tokenizer.padding_side = self.tokenizer.padding_side, "right"
        try:
            for start in range(0, len(texts), batch_size):
                chunk = list(texts[start : start + batch_size])
                batch = self.tokenizer(
                    chunk, return_tensors="pt", padding=True, truncation=True, max_length=self.settings.max_length
                ).to(target.device)
                with torch.no_grad():
                    out = target(
                        input_ids=batch["input_ids"],
                        attention_mask=batch["attention_mask"],
                        output_hidden_states=True,
                    )
                yield chunk, torch.stack(out.hidden_states), batch["attention_mask"]
        finally:
            self.tokenizer.padding_side = side

    def gradients(
        self, fn: Callable[[PreTrainedModel], torch.Tensor], *, model: PreTrainedModel | None = None
    ) -> dict[str, torch.Tensor]:
        """The gradient of a scalar of the model with respect to each of its parameters, by name."""
        import torch

        target = (model or self.model).eval()
        named = dict(target.named_parameters())
        frozen = {name: p.requires_grad for name, p in named.items()}
        try:
            for p in named.values():
                p.requires_grad_(True)
            grads = torch.autograd.grad(fn(target), list(named.values()), allow_unused=True)
        finally:
            for name, p in named.items():
                p.requires_grad_(frozen[name])
        return {n: g for n, g in zip(named, grads, strict=True) if g is not None}

    def reference(self) -> ReferenceModel:
        """The untouched model, for terms that hold on to it; one instance serves one training."""
        from evenhand.reference import ReferenceModel

        return ReferenceModel(self.load_base().eval().requires_grad_(False), kind=self.kind)
