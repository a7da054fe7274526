"""A small host: it takes adapter steps over a tiny model in the order and way in which a run does."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from evenhand.recipe_model import TrainingSection
from evenhand.services import Services
from evenhand_sdk import Artifact, LossTerm, ModelTransform, RunContext, StepHandle
from evenhand_sdk.tiny import CAUSAL_FAMILIES, tiny_sentences

TEXT = "The nurse said that she was good to the man."
FAMILIES = ["llama", "gpt2", "bert", "roberta"]


class Host:
    """The model as it is now, and the steps that were taken over it."""

    def __init__(self, family: str, model: Any, tokenizer: Any, folder: Path) -> None:
        self.kind: Any = "causal" if family in CAUSAL_FAMILIES else "masked"
        self.family, self.model, self.tokenizer, self.folder = family, model, tokenizer, folder
        self.base = copy.deepcopy(model)
        self.handles: dict[str, StepHandle] = {}
        self.transforms: dict[str, ModelTransform] = {}
        self.pending: list[str] = []
        self.terms: list[LossTerm] = []

    def context(self, step_id: str) -> RunContext:
        services = Services(
            model=self.model,
            tokenizer=self.tokenizer,
            kind=self.kind,
            seed=0,
            folder=self.folder,
            settings=TrainingSection(),
            load_base=lambda: copy.deepcopy(self.base),
        )
        return RunContext(
            step_id=step_id,
            seed=0,
            kind=self.kind,
            tokenizer=self.tokenizer,
            device="cpu",
            folder=self.folder,
            axes=(),
            offline=True,
            logger=logging.getLogger("test"),
            services=services,
            steps={k: h for k, h in self.handles.items() if k != step_id},
        )

    def declare(self, plugin: Any, step_id: str, *, active: bool = True, **options: Any) -> ModelTransform:
        """Call the hooks of a step, without applying anything."""
        made = plugin(**options)
        self.handles[step_id] = StepHandle(id=step_id, plugin=made, active=active)
        run = self.context(step_id)
        if active and "objective" in plugin.stages() and (term := made.objective(run, self.model)) is not None:
            self.terms.append(term)
        self.transforms[step_id] = made.architecture(run, self.model)
        return self.transforms[step_id]

    def step(self, plugin: Any, step_id: str, **options: Any) -> ModelTransform:
        """Reach a step: declare and apply it."""
        transform = self.declare(plugin, step_id, **options)
        if transform.apply is not None:
            transform.apply(self.model, Artifact())
        self.pending.append(step_id)
        return transform

    def train(self, *terms: LossTerm, steps: int = 3, precision: Any = "float32") -> dict[str, Artifact]:
        """Train what the pending steps select, and finish them; gives their artifacts."""
        from datasets import Dataset

        from evenhand.training import train

        pending = [self.transforms[s] for s in self.pending]
        names = {n for t in pending for n in t.trainable(self.model)}
        self.result = train(
            self.model,
            self.tokenizer,
            Dataset.from_dict({"text": tiny_sentences()[:16]}),
            [*self.terms, *terms],
            kind=self.kind,
            settings=TrainingSection(
                max_steps=steps, batch_size=4, max_length=32, precision=precision, learning_rate=1e-2, warmup=0.0
            ),
            folder=self.folder / f"training-{len(list(self.folder.glob('training-*')))}",
            seed=0,
            trainable=names or None,
            transforms=pending,
        )
        artifacts = {s: self.transforms[s].finish(self.model) for s in self.pending}
        self.pending, self.terms = [], []
        return artifacts

    def learn(self) -> dict[str, Artifact]:
        """As `train`, but what the pending steps select gets noise instead of a training: much faster."""
        import torch

        pending = [self.transforms[s] for s in self.pending]
        names = {n for t in pending for n in t.trainable(self.model)}
        noise = torch.Generator().manual_seed(len(names))
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if name in names:
                    p.add_(0.2 * torch.randn(p.shape, generator=noise).to(p.dtype))
        artifacts = {s: self.transforms[s].finish(self.model) for s in self.pending}
        self.pending, self.terms = [], []
        return artifacts

    def logits(self, model: Any = None) -> Any:
        """Logits [1, T, V] on one sentence."""
        import torch

        ids = self.tokenizer(TEXT, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return (model if model is not None else self.model)(input_ids=ids).logits

    def weights(self) -> dict[str, Any]:
        return {n: p.detach().clone() for n, p in self.model.named_parameters()}
