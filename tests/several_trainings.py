"""Run by `accelerate launch` in `test_processes.py`: trains a tiny model and writes what became of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from evenhand.contributions import Aggregator, LossTerm
from evenhand.processes import count, rank_and_count
from evenhand.recipe_model import TrainingSection
from evenhand.reference import ReferenceModel
from evenhand.training import train
from evenhand_sdk import Needs, Pairing, load_axis
from evenhand_sdk.tiny import tiny_causal, tiny_sentences
from evenhand_standard.objective.continuation_likelihoods import differing_others
from evenhand_standard.objective.gradient_aggregation import aggregator
from evenhand_standard.objective.group_dro import RobustLoss
from evenhand_standard.objective.hidden_orthogonality import (
    AttributeVectors,
    LayerStates,
    neutral_count,
    orthogonality,
)
from evenhand_standard.objective.unlearning import (
    KEY,
    OTHER,
    PAIRS,
    STEREOTYPE,
    Swap,
    UnlearningOptions,
    unlearning,
)

ROWS = 4
"""Rows of an update, over all processes."""


def texts(tokenizer: Any) -> list[str]:
    """Sentences of unequal length, so that the mean over a batch is not that of the means of its parts."""
    by_length = sorted(tiny_sentences(), key=lambda text: len(tokenizer(text)["input_ids"]))
    return [*by_length[: 2 * ROWS], *by_length[-ROWS:]]


def terms(name: str, probe: torch.nn.Linear) -> list[LossTerm | Aggregator]:
    def size(batch: Any, outputs: Any) -> torch.Tensor:
        return outputs.logits[batch.attention_mask.bool()].float().pow(2).mean()

    def asked(batch: Any) -> torch.Tensor:
        return batch.rows % 3 > 0  # some processes have no such row

    def guess(batch: Any, outputs: Any) -> torch.Tensor:
        kept = asked(batch)
        states = outputs.hidden_states[-1].float() * batch.attention_mask[..., None]
        logits = probe(states.sum(1) / batch.attention_mask.sum(1, keepdim=True)).squeeze(-1)
        if not kept.any():
            return logits.sum() * 0.0
        target = (batch.rows % 2).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits[kept], target[kept])

    adversary = LossTerm(
        name="adversary", fn=guess, count=lambda batch: float(asked(batch).sum()), weight=-0.5,
        needs=Needs(hidden_states=True), parameters=probe.parameters, optimizer=lambda ps: torch.optim.SGD(ps, lr=0.1),
    )  # fmt: skip
    small = LossTerm(
        name="small", fn=size, count=lambda batch: float(batch.attention_mask.sum()), weight=4.0, normalise=True
    )
    found: list[LossTerm | Aggregator] = [small, adversary]
    if name == "squares":
        found.append(Aggregator(name=name, combine=lambda losses: sum(v * v.abs() for v in losses.values())))
    elif name != "sum":
        found.append(aggregator(name, strength=1.0, normalise=False, seed=5))  # type: ignore[arg-type]
    return found


def with_states(tokenizer: Any) -> tuple[Dataset, list[LossTerm], dict[str, Any]]:
    """Rows, and the terms of three plugins that keep something from batch to batch; the second half of each batch has
    no pair and no group word in the first row, so that processes see different things."""
    read = texts(tokenizer)
    pairs = [(" she left early.", " he left early.") if k % ROWS < ROWS // 2 else ("", "") for k in range(len(read))]
    columns = {STEREOTYPE: [s for s, _ in pairs], OTHER: [a for _, a in pairs]}
    swap, needs = Swap(tolerance=0.02), Needs(columns=("text", STEREOTYPE, OTHER), reference=True, hidden_states=True)
    pairing = Pairing(key=KEY, pair=lambda text: [], of_row=PAIRS.both_texts, aligned=False)
    robust = RobustLoss(load_axis("gender"), names=True, eta=0.3, causal=True)
    words = frozenset(i for w in ("she", "he", "her", "his") for i in tokenizer(f" {w}")["input_ids"])
    vectors = AttributeVectors(words, every=2)
    layers = LayerStates(tokenizer, "causal")
    options = UnlearningOptions()
    made = [
        LossTerm(
            name="unlearning", fn=unlearning(options, swap), count=differing_others(KEY), needs=Needs(
                columns=(STEREOTYPE, OTHER), counterfactual=pairing, reference=True
            ), weight=0.1,
        ),
        LossTerm(name="group DRO", fn=robust, needs=needs, weight=0.1),
        LossTerm(
            name="orthogonality", fn=orthogonality(layers, vectors), needs=needs, weight=0.1, on_step=vectors.on_step,
            count=lambda batch: neutral_count(layers, vectors, batch),
        ),
    ]  # fmt: skip
    kept = {"swap": swap.state_dict, "weights": robust.state_dict, "vectors": vectors.vectors}
    return Dataset.from_dict({"text": read, **columns}), made, kept


def train_with_states(folder: Path) -> None:
    model, tokenizer = tiny_causal()
    base, _ = tiny_causal()
    rows, made, kept = with_states(tokenizer)
    settings = TrainingSection(
        max_steps=5, batch_size=ROWS // count(), learning_rate=1e-3, precision="float32", save_every=9
    )
    result = train(
        model, tokenizer, rows, made, kind="causal", settings=settings, folder=folder / "states", seed=3,
        reference=lambda: ReferenceModel(base.eval(), kind="causal"),
    )  # fmt: skip
    rank, processes = rank_and_count()
    states = {name: state() for name, state in kept.items()}
    found = {n: p.detach() for n, p in model.named_parameters()}
    torch.save({"states": states, "steps": result.steps, "moved": found}, folder / f"states-{processes}-{rank}.pt")


def main(folder: Path) -> None:
    train_with_states(folder)
    for name in ("sum", "squares", "pcgrad", "upgrad"):
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
