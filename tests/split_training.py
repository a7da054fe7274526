"""Run by `accelerate launch --use_fsdp` in `test_processes.py`: trains a tiny model whose parameters are split.

The library splits parameters on accelerators alone, and on processors falls back to plain data parallelism; torch
itself splits on both. `on_processors` takes the library past that question.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import state
from accelerate.utils import DistributedType
from datasets import Dataset

from evenhand.contributions import Aggregator, Criterion, LossTerm
from evenhand.errors import UsageError
from evenhand.processes import count, rank_and_count
from evenhand.recipe_model import TrainingSection
from evenhand.training import train
from evenhand_sdk.tiny import tiny_causal, tiny_sentences
from several_trainings import ROWS, texts

begun = state.AcceleratorState.__init__


def on_processors(self: Any, *given: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    begun(self, *given, fsdp_plugin=fsdp_plugin, **options)
    if self.distributed_type == DistributedType.MULTI_CPU and fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def size() -> LossTerm:
    def fn(batch: Any, outputs: Any) -> torch.Tensor:
        split.append(any(hasattr(p, "full_tensor") for p in outputs.model.parameters()))
        return outputs.logits[batch.attention_mask.bool()].float().pow(2).mean()

    return LossTerm(
        name="small", fn=fn, count=lambda batch: float(batch.attention_mask.sum()), weight=4.0, normalise=True
    )


def predicted(batch: Any) -> float:
    return float((batch.labels[:, 1:] != -100).sum())


split: list[bool] = []
"""Whether parameters were split while a term was computed."""


def trained(folder: Path, *, resume: bool = False) -> tuple[Any, Any]:
    model, tokenizer = tiny_causal()
    looks = iter((9.0, 1.0, 3.0, 4.0) if not resume else (9.0, 3.0, 4.0))

    def looked(measured: Any) -> float:
        """What a script says; but the model is read as criteria read it, an odd number of texts in each process."""
        ids = [measured.ids(text) for text in tiny_sentences()[:3]]
        measured.distributions(ids, [[0]] * len(ids))
        return next(looks)

    harm = LossTerm(name="harm", fn=lambda batch, outputs: -outputs.loss, count=predicted)
    criterion = Criterion(name="script", measure=looked)
    settings = TrainingSection(
        max_steps=5, batch_size=ROWS // count(), learning_rate=6e-3, precision="float32", save_every=3,
        evaluate_every=2, language_modelling=0.0,
    )  # fmt: skip
    result = train(
        model, tokenizer, Dataset.from_dict({"text": texts(tokenizer)}), [size(), harm, criterion], kind="causal",
        settings=settings, folder=folder / "split", seed=3, resume=resume, budget=1.07,
        retention=Dataset.from_dict({"text": tiny_sentences()[40:56]}),
    )  # fmt: skip
    return model, result


def refusals(folder: Path, model: Any) -> list[str]:
    """What is said of terms that need a gradient of their own, and of a model that was split before."""
    said = []
    fresh, tokenizer = tiny_causal()
    parts = [
        (fresh, [size(), Aggregator(name="pcgrad", combine=lambda losses, gradients: None, uses="gradients")]),
        (model, [size()]),
    ]
    for number, (given, terms) in enumerate(parts):
        settings = TrainingSection(max_steps=1, batch_size=2, precision="float32")
        try:
            train(
                given, tokenizer, Dataset.from_dict({"text": texts(tokenizer)}), terms, kind="causal",
                settings=settings, folder=folder / f"refused-{number}", seed=3,
            )  # fmt: skip
        except UsageError as error:
            said.append(str(error))
    return said


def main(folder: Path, resume: bool) -> None:
    if count() > 1:
        state.AcceleratorState.__init__ = on_processors
    model, result = trained(folder, resume=resume)
    rank, processes = rank_and_count()
    found = {
        "moved": {n: p.detach() for n, p in copy.deepcopy(model).named_parameters()},
        "class": type(model).__name__,
        "tied": model.lm_head.weight is model.model.embed_tokens.weight,
        "split": all(split),
        "watch": result.watch,
        "norm": result.terms["small"]["gradient_norm"],
        "said": refusals(folder, model) if processes > 1 and not resume else [],
    }
    torch.save(found, folder / f"split-{'resumed' if resume else processes}-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "resume" in sys.argv)
