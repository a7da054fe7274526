"""What the host costs over the bare library: decoding against `generate`, training against a bare `Trainer`.

python tests/performance/host_overhead.py [repetitions] [model folder or shelf name]

Each round does the work once with and once without the host, in alternating order, right after one another; shown is
the median of the rounds' ratios with its 95 % bootstrap interval.
A target that is missed ends it with status 1.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from side_by_side import Targets, alternately

from evenhand.builtin_texts import read
from evenhand.contributions import DecodingRule, Request
from evenhand.generation import generate
from evenhand.models import load, resolve
from evenhand.progress import configure
from evenhand.recipe_model import TrainingSection
from evenhand.training import train


def decoding(loaded: Any, repetitions: int, targets: Targets) -> None:
    prompts = read("prompts")[:8]
    requests = [Request(prompt=p, max_new_tokens=24) for p in prompts]
    tokenizer = loaded.tokenizer
    tokenizer.padding_side = "left"
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)

    def bare() -> None:
        with torch.no_grad():
            loaded.model.generate(
                **inputs, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.pad_token_id,
                temperature=None, top_p=None, top_k=None,
            )  # fmt: skip

    same = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
    cases = {
        "empty recipe over bare generate": (lambda: generate(loaded.model, tokenizer, requests), 1.02),
        "own loop, one rule that changes nothing": (
            lambda: generate(loaded.model, tokenizer, requests, rules=[same]),
            1.02,
        ),
    }
    for name, (work, target) in cases.items():
        targets.ratio(name, *alternately(work, bare, repetitions), at_most=target)


def training(loaded: Any, repetitions: int, targets: Targets, steps: int = 6) -> None:
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    texts = read("everyday")[:64]
    tokenizer = loaded.tokenizer
    settings = TrainingSection(max_steps=steps, batch_size=8, save_every=1000, max_length=48, precision="float32")
    names = [n for n, _ in loaded.model.named_parameters() if "norm" in n]
    encoded = [tokenizer(t, truncation=True, max_length=48)["input_ids"] for t in texts]

    def collate(rows: list[list[int]]) -> dict[str, torch.Tensor]:
        width = -(-max(map(len, rows)) // 16) * 16
        ids = torch.full((len(rows), width), tokenizer.pad_token_id)
        labels = torch.full((len(rows), width), -100)
        for k, row in enumerate(rows):
            ids[k, : len(row)] = labels[k, : len(row)] = torch.tensor(row)
        return {"input_ids": ids, "labels": labels, "attention_mask": (labels != -100).long()}

    def bare(model: Any) -> None:
        for n, p in model.named_parameters():
            p.requires_grad_(n in set(names))
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=8, learning_rate=1e-4, use_cpu=True,
                lr_scheduler_type="cosine", save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
                remove_unused_columns=False, dataloader_pin_memory=False, seed=0, data_seed=0,
            )  # fmt: skip
            trainer = Trainer(model=model, args=arguments, train_dataset=encoded, data_collator=collate)
            trainer.remove_callback(PrinterCallback)  # it would print a dictionary for each training
            trainer.train()

    def ours(model: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(
                model, tokenizer, Dataset.from_dict({"text": texts}), [], kind="causal", settings=settings,
                folder=Path(folder), seed=0, trainable=names,
            )  # fmt: skip

    found = alternately(ours, bare, repetitions, before=lambda: (copy.deepcopy(loaded.model),))
    targets.ratio(f"LM loss alone over bare Trainer, {steps} steps", *found, at_most=1.03)


if __name__ == "__main__":
    configure("quiet")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    model = load(resolve(sys.argv[2] if len(sys.argv) > 2 else "smollm2-135m-instruct"))
    goals = Targets()
    decoding(model, count, goals)
    training(model, count, goals)
    goals.end()
