"""What decoding rules cost: ratios to plain `generate` on the same prompts, tokens and machine.

python tests/performance/decoding.py [--model NAME] [--device cpu|cuda] [--dtype float32|bfloat16]
                                     [--rounds 10] [--tokens 24] [--cases WORD,WORD]

Each round does the work once with plain `generate` and once with the rules, in alternating order, right after one
another; shown is the median of the rounds' ratios with its 95 % bootstrap interval. End tokens are switched off, so
both sides write the same number of tokens. Rules with contexts are compared by what each token after the first costs:
reading a prompt several times is a price of its own, which long answers do not pay.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evenhand.contributions import DecodingRule, Request
from evenhand.generation import generate
from evenhand.models import load, resolve
from evenhand.progress import configure

NAMED = "The nurse told her brother that she"
UNNAMED = "The weather was cold this morning and the"
PLAIN_PROMPTS = [
    UNNAMED, "The bridge over the river was", "For the soup you need three", "The train to the coast leaves",
    "In the north of the country the", "The old clock in the hall", "A good sentence is short and",
    "The garden behind the house",
]  # fmt: skip


def alternately(
    ours: Callable[[], Any], bare: Callable[[], Any], rounds: int, device: str
) -> tuple[list[float], list[float]]:
    """Seconds of both, a pair a round; the first round warms up and is not counted."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for k in range(rounds + 1):
        pair = [("bare", bare), ("ours", ours)]
        for name, work in pair if k % 2 else pair[::-1]:
            if device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            if k:
                times[name].append(time.perf_counter() - start)
    return times["ours"], times["bare"]


def interval(ours: Sequence[float], bare: Sequence[float]) -> tuple[float, float, float]:
    """Median of the ratios ours/bare, and its 95 % bootstrap interval."""
    ratios = np.array(ours) / np.array(bare)
    picks = np.random.default_rng(0).integers(0, len(ratios), (5000, len(ratios)))
    low, high = np.quantile(np.median(ratios[picks], axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def show(name: str, ours: list[float], bare: list[float], target: str, met: bool | None = None) -> None:
    middle, low, high = interval(ours, bare)
    if met is None:
        met = middle <= float(target)
    print(
        f"{name:46} ratio {middle:6.3f} [{low:.3f}, {high:.3f}]  target {target:>8} {'met   ' if met else 'MISSED'} "
        f"({statistics.median(ours):.3f} s against {statistics.median(bare):.3f} s, n={len(ours)})",
        flush=True,
    )


class Bench:
    """One model, and what is timed on it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rounds, self.tokens, self.device = arguments.rounds, arguments.tokens, arguments.device
        loaded = load(resolve(arguments.model), dtype=arguments.dtype, device=arguments.device)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.tokenizer.padding_side = "left"
        self.model.generation_config.eos_token_id = None

    def inputs(self, prompts: Sequence[str]) -> Any:
        return self.tokenizer(list(prompts), return_tensors="pt", padding=True).to(self.model.device)

    def bare(self, prompts: Sequence[str]) -> Callable[[], Any]:
        def work() -> None:
            with torch.no_grad():
                self.model.generate(
                    **self.inputs(prompts), max_new_tokens=self.tokens, do_sample=False, temperature=None, top_p=None,
                    top_k=None, pad_token_id=self.tokenizer.pad_token_id,
                )  # fmt: skip

        return work

    def ours(self, prompts: Sequence[str], rules: Sequence[DecodingRule] = ()) -> Callable[[], Any]:
        asked = [Request(prompt=p, max_new_tokens=self.tokens) for p in prompts]
        return lambda: generate(self.model, self.tokenizer, asked, rules=rules, title=None)

    def rule(self, plugin: str, **options: Any) -> list[DecodingRule]:
        """The rules of a plugin, on this model."""
        from evenhand.own_model import decode_with

        undo = decode_with(self.model, self.tokenizer, [(plugin, options)])
        rules = list(undo.rules)
        undo.undo()
        return rules

    def per_token(self, name: str, prompts: Sequence[str], rules: Sequence[DecodingRule], target: float) -> None:
        """As `compare`, for what each further token costs: reading the prompt is taken out on both sides."""
        whole, tokens = [self.ours(prompts, rules), self.bare(prompts)], self.tokens
        self.tokens = 1
        first = [self.ours(prompts, rules), self.bare(prompts)]
        self.tokens = tokens

        def limited(work: Callable[[], Any], limit: int) -> Callable[[], Any]:
            def limited_work() -> None:
                self.tokens = limit
                work()

            return limited_work

        ours, bare = alternately(*(limited(w, tokens) for w in whole), self.rounds, self.device)
        ours_first, bare_first = alternately(*(limited(w, 1) for w in first), self.rounds, self.device)
        self.tokens = tokens
        ours = [a - statistics.median(ours_first) for a in ours]
        bare = [a - statistics.median(bare_first) for a in bare]
        show(f"{name}, a token", ours, bare, f"{target:.2f}")

    def compare(self, name: str, prompts: Sequence[str], rules: Sequence[DecodingRule], target: float) -> None:
        times = alternately(self.ours(prompts, rules), self.bare(prompts), self.rounds, self.device)
        show(name, *times, f"{target:.2f}")

    # ------------------------------------------------------------------------------------------------ the cases
    def none(self) -> None:
        self.compare("no rule, 1 prompt", [UNNAMED], [], 1.02)
        self.compare("no rule, 8 prompts", PLAIN_PROMPTS, [], 1.02)
        same = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
        self.compare("own loop, a rule that changes nothing", [UNNAMED], [same], 1.02)

    def balancing(self) -> None:
        rules = self.rule("probability-balancing")
        self.compare("G10 probability-balancing, 1 prompt", [UNNAMED], rules, 1.05)
        self.compare("G10 probability-balancing, 8 prompts", PLAIN_PROMPTS, rules, 1.05)

    def averaging(self) -> None:
        rules = self.rule("counterfactual-averaging")
        self.compare("G3 counterfactual-averaging, no group word", [UNNAMED], rules, 1.10)
        self.per_token("G3 counterfactual-averaging, 1 context", [NAMED], rules, 1.35)

    def guidance(self) -> None:
        self.per_token("G1 self-debias, 1 context", [UNNAMED], self.rule("self-debias"), 1.35)
        self.per_token("G8 contrastive-guidance, 1 context", [UNNAMED], self.rule("contrastive-guidance"), 1.35)
        two = self.rule("self-debias", about=["gender", "race"])
        self.per_token("G1 self-debias, 2 contexts", [UNNAMED], two, 1.45)
        self.per_token("G5 expert-guidance, 3 contexts", [UNNAMED], self.rule("expert-guidance"), 1.55)

    def gradient(self) -> None:
        """G7: no target but to be told, and to cost nothing where it does not act: nobody is named, or below the gate,
        where only the context is read."""
        rules = self.rule("gradient-decoding", gate=0.0)
        self.compare("G7 gradient-decoding, no group word", [UNNAMED], rules, 1.10)
        self.per_token(
            "G7 gradient-decoding, 1 context, below gate", [NAMED], self.rule("gradient-decoding", gate=1.0), 1.35
        )
        ours, bare = alternately(self.ours([NAMED], rules), self.bare([NAMED]), max(2, self.rounds // 2), self.device)
        price = (statistics.median(ours) - statistics.median(bare)) / self.tokens
        print(f"G7 gradient-decoding, each word moved: {1000 * price:.0f} ms more a word", flush=True)

    def batch(self) -> None:
        """A batch of 8 against 8 single calls, without a rule and with one that asks for contexts."""
        for name, rules in (("no rule", []), ("self-debias", self.rule("self-debias"))):
            one, eight = [self.ours([p], rules) for p in PLAIN_PROMPTS], self.ours(PLAIN_PROMPTS, rules)

            def singly(works: list[Callable[[], Any]] = one) -> None:
                for work in works:
                    work()

            single, together = alternately(singly, eight, max(2, self.rounds // 2), self.device)
            middle = interval(single, together)[0]
            show(f"8 single calls over a batch of 8, {name}", single, together, ">= 5", middle >= 5)

    def plain_batch(self) -> None:
        """What the library itself gains by a batch of 8: no loop around it can gain more."""
        one, eight = [self.bare([p]) for p in PLAIN_PROMPTS], self.bare(PLAIN_PROMPTS)

        def singly() -> None:
            for work in one:
                work()

        single, together = alternately(singly, eight, max(2, self.rounds // 2), self.device)
        middle = interval(single, together)[0]
        show("8 single calls over a batch of 8, bare library", single, together, ">= 5", middle >= 5)


CASES = ("none", "balancing", "averaging", "guidance", "gradient", "plain_batch", "batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or a name from the shelf")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {', '.join(CASES)}, with commas between")
    arguments = parser.parse_args()
    configure("quiet")
    bench = Bench(arguments)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{Path(arguments.model).name}, {arguments.dtype}, {arguments.device} ({where}), {arguments.tokens} tokens")
    for case in arguments.cases.split(","):
        getattr(bench, case.strip())()


if __name__ == "__main__":
    main()
