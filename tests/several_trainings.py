"""Run by `accelerate launch` in `test_processes.py`: trains a tiny model and writes what became of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from evenhand.contributions import Aggregator, LossTerm, Needs
from evenhand.processes import count, rank_and_count
from evenhand.recipe_model import TrainingSection
from evenhand.training import train
from evenhand_sdk.tiny import tiny_causal, tiny_sentences
from evenhand_standard.objective.gradient_aggregation import aggregator

ROWS = 4
"""Rows of an update, over all processes."""


def texts(tokenizer: Any) -> list[str]:
    """Sentences of one length, so that the mean over a batch is the mean over its parts."""
    by_length: dict[int, list[str]] = {}
    for text in tiny_sentences():
        by_length.setdefault(len(tokenizer(text)["input_ids"]), []).append(text)
    return max(by_length.values(), key=len)[: 3 * ROWS]


def terms(name: str, probe: torch.nn.Linear) -> list[LossTerm | Aggregator]:
    def size(batch: Any, outputs: Any) -> torch.Tensor:
        return outputs.logits.float().pow(2).mean()

    def guess(batch: Any, outputs: Any) -> torch.Tensor:
        target = (batch.rows % 2).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(
            probe(outputs.hidden_states[-1].float().mean(1)).squeeze(-1), target
        )

    adversary = LossTerm(
        name="adversary", fn=guess, weight=-0.5, needs=Needs(hidden_states=True), parameters=probe.parameters,
        optimizer=lambda ps: torch.optim.SGD(ps, lr=0.1),
    )  # fmt: skip
    small = LossTerm(name="small", fn=size, weight=4.0, normalise=True)
    found: list[LossTerm | Aggregator] = [small, adversary]
    if name != "sum":
        found.append(aggregator(name, strength=1.0, normalise=False, seed=5))  # type: ignore[arg-type]
    return found


def main(folder: Path) -> None:
    for name in ("sum", "pcgrad", "upgrad"):
        model, tokenizer = tiny_causal()
        torch.manual_seed(0)
        probe = torch.nn.Linear(model.config.hidden_size, 1)
        settings = TrainingSection(
            max_steps=5, batch_size=ROWS // count(), learning_rate=3e-3, precision="float32", save_every=2
        )
        rows = Dataset.from_dict({"text": texts(tokenizer)})
        result = train(
            model, tokenizer, rows, terms(name, probe), kind="causal", settings=settings, folder=folder / name, seed=3
        )
        rank, processes = rank_and_count()
        found = {n: p.detach() for n, p in model.named_parameters()}
        found |= {f"probe.{n}": p.detach() for n, p in probe.named_parameters()}
        torch.save({"moved": found, "steps": result.steps}, folder / f"{name}-{processes}-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
