"""What decoding rules cost: ratios to plain `generate` on the same prompts, tokens and machine.

python tests/performance/decoding.py [--model NAME] [--device cpu|cuda] [--dtype float32|bfloat16]
                                     [--rounds 10] [--tokens 24] [--rows NAME,NAME] [--clock wall|cpu]

Each round does the work once with plain `generate` and once with the rules, in alternating order, right after one
another; shown is the median of the rounds' ratios with its 95 % bootstrap interval. End tokens are switched off, so
both sides write the same number of tokens. Rules with contexts are compared by what each token after the first costs:
reading a prompt several times is a price of its own, which long answers do not pay.

`--rows` picks rows by name, or by how their names begin (`gradient`); each alone takes less than two minutes on one
core. `--clock cpu` counts this process's seconds of computing: on a machine that others use, too, these compare better.
A target that is missed ends it with status 1.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from side_by_side import CLOCKS, Targets, alternately

from evenhand import decoding_reader
from evenhand.contributions import DecodingRule, Request
from evenhand.generation import generate
from evenhand.models import load, resolve
from evenhand.progress import configure

NAMED = "The nurse told her brother that she"
UNNAMED = "The weather was cold this morning and the"
LONG = (
    "The weather was cold this morning and the old bridge over the river was closed again for repairs. " * 75 + UNNAMED
)
"""Some 1,500 tokens that name nobody: what a rule reads of the text must not grow with it."""
PLAIN_PROMPTS = [
    UNNAMED, "The bridge over the river was", "For the soup you need three", "The train to the coast leaves",
    "In the north of the country the", "The old clock in the hall", "A good sentence is short and",
    "The garden behind the house",
]  # fmt: skip


class Bench:
    """One model, and what is timed on it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rounds, self.tokens, self.device = arguments.rounds, arguments.tokens, arguments.device
        self.clock = CLOCKS[arguments.clock]
        self.targets = Targets()
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

    def adapters(self, count: int, rank: int = 8) -> list[str]:
        """Temporary folders of small LoRA adapters of queries and values, as `peft` writes them."""
        import json
        import tempfile

        from safetensors.torch import save_file

        made, place = [], tempfile.mkdtemp()
        for number in range(count):
            folder = Path(place) / f"adapter-{number}"
            folder.mkdir()
            noise = torch.Generator().manual_seed(number)
            tensors = {}
            for name, module in self.model.named_modules():
                if name.endswith(("q_proj", "v_proj")):
                    rows, columns = module.weight.shape
                    at = f"base_model.model.{name}.lora"
                    tensors[f"{at}_A.weight"] = 0.02 * torch.randn(rank, columns, generator=noise)
                    tensors[f"{at}_B.weight"] = 0.02 * torch.randn(rows, rank, generator=noise)
            save_file(tensors, folder / "adapter_model.safetensors")
            (folder / "adapter_config.json").write_text(
                json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": rank})
            )
            made.append(str(folder))
        return made

    def timed(self, ours: Callable[[], Any], bare: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
        return alternately(ours, bare, rounds, device=self.device, clock=self.clock)

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

        ours, bare = self.timed(*(limited(w, tokens) for w in whole), self.rounds)
        ours_first, bare_first = self.timed(*(limited(w, 1) for w in first), self.rounds)
        self.tokens = tokens
        ours = [a - statistics.median(ours_first) for a in ours]
        bare = [a - statistics.median(bare_first) for a in bare]
        self.targets.ratio(f"{name}, a token", ours, bare, at_most=target)

    def compare(self, name: str, prompts: Sequence[str], rules: Sequence[DecodingRule], target: float) -> None:
        found = self.timed(self.ours(prompts, rules), self.bare(prompts), self.rounds)
        self.targets.ratio(name, *found, at_most=target)

    def price(self, name: str, prompts: Sequence[str], rules: Sequence[DecodingRule]) -> None:
        """What a token costs more, for rules that have no target."""
        ours, bare = self.timed(self.ours(prompts, rules), self.bare(prompts), max(2, self.rounds // 3))
        more = (statistics.median(ours) - statistics.median(bare)) / self.tokens
        print(f"{name}: {1000 * more:.0f} ms more a word", flush=True)

    def each_token(self, make: Callable[[], Callable[[], Any]]) -> float:
        """Milliseconds of a token after the first; `make` gives the work for as many tokens as are set then."""
        whole, found = self.tokens, {}
        for self.tokens in (whole, 1):
            work, times = make(), []
            for k in range(self.rounds + 1):
                start = self.clock()
                work()
                if k:
                    times.append(self.clock() - start)
            found[self.tokens] = statistics.median(times)
        self.tokens = whole
        return 1000 * (found[whole] - found[1]) / (whole - 1)

    def milliseconds(self) -> None:
        """A token by transformers, by the own loop with a rule that changes nothing, and by that loop with the masks
        that transformers makes anew at every token."""
        for prompts in ([UNNAMED], PLAIN_PROMPTS):
            theirs = self.each_token(lambda prompts=prompts: self.bare(prompts))
            loop = self.each_token(lambda prompts=prompts: self.ours(prompts, [SAME]))
            with mock.patch.object(decoding_reader, "takes_ready_masks", return_value=False):
                masks = self.each_token(lambda prompts=prompts: self.ours(prompts, [SAME]))
            print(
                f"a token of {len(prompts)} prompts: transformers {theirs:.1f} ms, own loop {loop:.1f} ms, with the "
                f"library's masks {masks:.1f} ms",
                flush=True,
            )

    def batched(self, name: str, work: Callable[[Sequence[str]], Callable[[], Any]]) -> None:
        """A batch of 8 against 8 single calls."""
        one, eight = [work([p]) for p in PLAIN_PROMPTS], work(PLAIN_PROMPTS)

        def singly() -> None:
            for alone in one:
                alone()

        single, together = self.timed(singly, eight, max(2, self.rounds // 2))
        self.targets.ratio(f"8 single calls over a batch of 8, {name}", single, together, at_least=5)


def by_adapters(bench: Bench) -> list[DecodingRule]:
    one, other = bench.adapters(2)
    return bench.rule("expert-guidance", expert_adapters=[one], anti_expert_adapters=[other])


SAME = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
"""The own loop, and a rule that changes nothing."""
ROWS: dict[str, Callable[[Bench], None]] = {
    "none-1": lambda b: b.compare("no rule, 1 prompt", [UNNAMED], [], 1.02),
    "none-8": lambda b: b.compare("no rule, 8 prompts", PLAIN_PROMPTS, [], 1.02),
    "loop-1": lambda b: b.compare("own loop, a rule that changes nothing", [UNNAMED], [SAME], 1.02),
    "balancing-1": lambda b: b.compare(
        "G10 probability-balancing, 1 prompt", [UNNAMED], b.rule("probability-balancing"), 1.05
    ),
    "balancing-8": lambda b: b.compare(
        "G10 probability-balancing, 8 prompts", PLAIN_PROMPTS, b.rule("probability-balancing"), 1.05
    ),
    "averaging-unnamed": lambda b: b.compare(
        "G3 counterfactual-averaging, no group word", [UNNAMED], b.rule("counterfactual-averaging"), 1.10
    ),
    "balancing-long": lambda b: b.per_token(
        "G10 probability-balancing, 1,500 tokens", [LONG], b.rule("probability-balancing"), 1.05
    ),
    "averaging-long": lambda b: b.per_token(
        "G3 counterfactual-averaging, 1,500 tokens, no group word", [LONG], b.rule("counterfactual-averaging"), 1.10
    ),
    "averaging-1": lambda b: b.per_token(
        "G3 counterfactual-averaging, 1 context", [NAMED], b.rule("counterfactual-averaging"), 1.35
    ),
    "debias-1": lambda b: b.per_token("G1 self-debias, 1 context", [UNNAMED], b.rule("self-debias"), 1.35),
    "debias-2": lambda b: b.per_token(
        "G1 self-debias, 2 contexts", [UNNAMED], b.rule("self-debias", about=["gender", "race"]), 1.45
    ),
    "guidance-1": lambda b: b.per_token(
        "G8 contrastive-guidance, 1 context", [UNNAMED], b.rule("contrastive-guidance"), 1.35
    ),
    "experts-3": lambda b: b.per_token("G5 expert-guidance, 3 contexts", [UNNAMED], b.rule("expert-guidance"), 1.55),
    "experts-adapters": lambda b: b.per_token("G5 expert-guidance, 2 adapters", [UNNAMED], by_adapters(b), 1.45),
    # G7 has no target but to be told, and to cost nothing where it does not act: nobody is named, or below the gate,
    # where only the context is read.
    "gradient-unnamed": lambda b: b.compare(
        "G7 gradient-decoding, no group word", [UNNAMED], b.rule("gradient-decoding", gate=0.0), 1.10
    ),
    "gradient-closed": lambda b: b.per_token(
        "G7 gradient-decoding, 1 context, below gate", [NAMED], b.rule("gradient-decoding", gate=1.0), 1.35
    ),
    "gradient-price": lambda b: b.price(
        "G7 gradient-decoding, each word moved", [NAMED], b.rule("gradient-decoding", gate=0.0)
    ),
    "token": lambda b: b.milliseconds(),  # those of decision 64
    # What the library itself gains by a batch: no loop around it can gain more without other products.
    "batch-library": lambda b: b.batched("bare library", b.bare),
    "batch-none": lambda b: b.batched("no rule", b.ours),
    "batch-loop": lambda b: b.batched("a rule that changes nothing", lambda prompts: b.ours(prompts, [SAME])),
    "batch-debias": lambda b: b.batched("self-debias", functools.partial(b.ours, rules=b.rule("self-debias"))),
}


def picked(words: str) -> list[str]:
    """The names of rows that are one of the words, or begin with one and a hyphen."""
    found = []
    for word in words.split(","):
        mine = [name for name in ROWS if name == word.strip() or name.startswith(f"{word.strip()}-")]
        if not mine:
            raise SystemExit(f"no row is called {word.strip()!r}; there are {', '.join(ROWS)}")
        found += mine
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or a name from the shelf")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rows", help=f"some of {', '.join(ROWS)}, with commas between")
    parser.add_argument("--clock", default="wall", choices=tuple(CLOCKS))
    arguments = parser.parse_args()
    names = picked(arguments.rows) if arguments.rows else list(ROWS)
    configure("quiet")
    bench = Bench(arguments)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(
        f"{Path(arguments.model).name}, {arguments.dtype}, {arguments.device} ({where}), {arguments.tokens} tokens, "
        f"{arguments.clock} clock"
    )
    for name in names:
        ROWS[name](bench)
    bench.targets.end()


if __name__ == "__main__":
    main()
