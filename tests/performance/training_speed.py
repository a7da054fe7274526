"""What a pair term costs beside plain language modelling, and what a partial update in bf16 saves.

python tests/performance/training_speed.py [--device cpu] [--rounds 10] [--model NAME] [--case pairs|partial]

- pairs: a step of `pair-parity` (pairs and retention, the reference cached) over a language-modelling step on the same
  texts and their counterfactuals as ordinary rows, so that both read the same tokens. Target: at most 1.25.
- partial: tokens per second of training the top third of the layers under bf16 autocast over those of training every
  weight in float32, on the same rows. Target: at least 4.

Each round trains a fresh copy once in each way, in alternating order, right after one another; a training counts with
the median of its steps after the reference was filled. Shown is the median of the rounds' ratios with its 95 %
bootstrap interval. On another machine the ratios are others: they are of this one.
A target that is missed ends it with status 1.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from side_by_side import Targets

from evenhand.builtin_texts import read
from evenhand.contributions import LossTerm, ModelTransform
from evenhand.models import load, resolve
from evenhand.progress import configure
from evenhand.recipe_model import TrainingSection
from evenhand.reference import ReferenceModel
from evenhand.training import train
from evenhand_sdk import counterfactuals, load_axis
from evenhand_standard.objective.pair_parity import PairParity, PairParityOptions

BATCH, BATCHES, LENGTH = 8, 2, 48
FILLING = 2 * BATCHES
"""Steps that do not count: the reference fills in the first pass over the rows, and the first steps warm up."""
COUNTED = 8


class Clock:
    """When each step began; the end of a step is the beginning of the next."""

    def __init__(self, device: str) -> None:
        self.device, self.moments = device, list[float]()

    def on_step(self, step: int, total: int) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.moments.append(time.perf_counter())

    @property
    def step(self) -> float:
        """Seconds of a step, the median."""
        steps = [b - a for a, b in zip(self.moments, self.moments[1:], strict=False)]
        assert len(steps) == FILLING + COUNTED - 1, f"{len(steps)} steps were timed"
        return statistics.median(steps[FILLING:])


def one(
    loaded: Any, texts: Sequence[str], terms: Sequence[LossTerm], *, batch: int, precision: str = "float32",
    trainable: Sequence[str] | None = None,
) -> tuple[float, int]:  # fmt: skip
    """Seconds of a step of a training on a fresh copy, and the tokens that a step reads."""
    device = str(loaded.model.device)
    clock = Clock(device)
    model = copy.deepcopy(loaded.model)
    steps = FILLING + COUNTED
    settings = TrainingSection(
        max_steps=steps, batch_size=batch, save_every=1000, max_length=LENGTH, precision=precision, learning_rate=1e-5
    )
    reference = ReferenceModel(loaded.model, kind="causal")
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            model, loaded.tokenizer, Dataset.from_dict({"text": list(texts)}), terms, kind="causal", settings=settings,
            folder=Path(folder), seed=0, trainable=trainable, transforms=[ModelTransform(on_step=clock.on_step)],
            reference=lambda: reference,
        )  # fmt: skip
    return clock.step, result.tokens // steps


def paired_texts() -> tuple[list[str], list[str]]:
    """Sentences that have exactly one counterfactual, and these."""
    axis = load_axis("gender")
    found = [(text, others[0].text) for text in read("everyday") if len(others := counterfactuals(text, axis)) == 1]
    chosen = found[: BATCH * BATCHES]
    assert len(chosen) == BATCH * BATCHES, f"only {len(chosen)} texts have one counterfactual"
    return [text for text, _ in chosen], [other for _, other in chosen]


def alternately(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> list[tuple[Any, Any]]:
    """What both gave, a pair a round; a round before them warms up."""
    found = []
    for k in range(rounds + 1):
        if k % 2:
            a = first()
            b = second()
        else:
            b = second()
            a = first()
        if k:
            found.append((a, b))
    return found


def pairs(loaded: Any, rounds: int, targets: Targets) -> None:
    texts, others = paired_texts()
    plugin = PairParity(PairParityOptions())

    class Run:
        tokenizer, kind = loaded.tokenizer, "causal"

    def ours() -> tuple[float, int]:
        return one(loaded, texts, plugin.objective(run=Run(), model=loaded.model), batch=BATCH)  # type: ignore[arg-type]

    def plain() -> tuple[float, int]:
        return one(loaded, [*texts, *others], [], batch=2 * BATCH)

    found = alternately(ours, plain, rounds)
    tokens = {number for pair in found for _, number in pair}
    assert max(tokens) - min(tokens) <= 0.02 * max(tokens), f"both must read the same tokens, they read {tokens}"
    detail = f"{statistics.median(a for (a, _), _ in found):.3f} s against "
    detail += f"{statistics.median(b for _, (b, _) in found):.3f} s a step of {max(tokens)} tokens"
    name = "pair-parity step over LM step of equal tokens"
    targets.shown(name, [a / b for (a, _), (b, _) in found], detail, at_most=1.25)


def partial(loaded: Any, rounds: int, targets: Targets) -> None:
    texts = read("everyday")[: 2 * BATCH * BATCHES]
    layers = loaded.model.config.num_hidden_layers
    top = range(layers - max(1, layers // 3), layers)
    names = [n for n, _ in loaded.model.named_parameters() if any(f".layers.{k}." in n for k in top)]

    def ours() -> tuple[float, int]:
        return one(loaded, texts, [], batch=2 * BATCH, precision="bf16", trainable=names)

    def full() -> tuple[float, int]:
        return one(loaded, texts, [], batch=2 * BATCH)

    found = alternately(ours, full, rounds)
    speeds = [(n / a, m / b) for (a, n), (b, m) in found]
    own, other = (statistics.median(pair[k] for pair in speeds) for k in (0, 1))
    detail = f"{own:.0f} against {other:.0f} tokens/s"
    name = f"top {len(top)} of {layers} layers in bf16 over all in float32"
    targets.shown(name, [x / y for x, y in speeds], detail, at_least=4)


if __name__ == "__main__":
    configure("quiet")
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--case", choices=("pairs", "partial"))
    given = parser.parse_args()
    model = load(resolve(given.model), device=given.device, dtype="float32")
    goals = Targets()
    for name, case in (("pairs", pairs), ("partial", partial)):
        if given.case in (None, name):
            case(model, given.rounds, goals)
    goals.end()
