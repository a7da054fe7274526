"""What architecture steps cost: folded and live ones against the base, and fitting on many sentences.

python tests/performance/architecture.py [--device cuda] [--model NAME] [--rounds 15] [--sentences 20000]
    [--part cost|adapters|fit] [--cases NAME;NAME] [--clock wall|cpu]

Each round runs the base and the changed model in alternating order, right after one another; shown is the median of the
rounds' ratios with its 95 % bootstrap interval. Fitting is run on a tenth of the sentences and on all of them: memory
is the growth of the process (CPU) or of what torch has allotted (CUDA), and must not grow with their number. `--cases`
limits the first two parts; `--clock cpu` counts this process's seconds of computing: on a machine that others use, too,
these compare better.
A target that is missed ends it with status 1.
"""

from __future__ import annotations

import argparse
import copy
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from side_by_side import CLOCKS, Targets, alternately

from evenhand.builtin_texts import read
from evenhand.contributions import Artifact
from evenhand.models import load, resolve
from evenhand.progress import configure
from evenhand_adapterfusion import bottleneck
from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.adapter_sum import AdapterSum
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_adapterfusion.folded_fusion import PLACE
from evenhand_sdk import StepHandle, load_axis
from evenhand_sdk.testing import run_context
from evenhand_standard.architecture.activation_steering import ActivationSteering
from evenhand_standard.architecture.attention_steering import AttentionSteering
from evenhand_standard.architecture.attention_temperature import AttentionTemperature
from evenhand_standard.architecture.eraser import leace, nullspace_directions
from evenhand_standard.architecture.erasure_sites import Site
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.architecture.head_pruning import HeadPruning
from evenhand_standard.architecture.inlp import Inlp
from evenhand_standard.architecture.labelled_states import labelled, stream, tokens_of
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.leace import Leace
from evenhand_standard.architecture.model_editing import ModelEditing
from evenhand_standard.architecture.moments import Moments
from evenhand_standard.architecture.sentence_debias import SentenceDebias

FEW: dict[str, Any] = {"pairs": 120}
AFTER_NORM: dict[str, Any] = {**FEW, "form": "after-norm", "positions": "all", "sequential": False}
CASES: dict[str, Any] = {
    "leace, after-norm": Leace(**AFTER_NORM, shift=False),
    "leace, after-norm with biases": Leace(**AFTER_NORM),
    "inlp, after-norm": Inlp(**AFTER_NORM, layers=(0.3, 0.7)),
    "attention-temperature": AttentionTemperature(beta=0.9),
    "head-pruning": HeadPruning(pairs=4, texts=4, samples=2, quality="any"),
    "model-editing": ModelEditing(pairs=16, texts=8, layers=(0.9, 1.0)),
    "leace, residual": Leace(**FEW, sequential=False),
    "inlp, residual": Inlp(**FEW),
    "sentence-debias": SentenceDebias(pairs=32),
    "activation-steering": ActivationSteering(pairs=240, least_accuracy=0.0),
    "attention-temperature, live": AttentionTemperature(beta=0.9, folded=False),
    "attention-steering": AttentionSteering(grid=(0.5,), pairs=8, texts=8, samples=2, quality=0.01),
}
"""The first ones fold."""
THREE = tuple(f"step:{name}" for name in ("gender", "race", "religion"))
ADAPTERS: dict[str, Any] = {
    "debiasing-adapter": None,
    "adapter-fusion of three": AdapterFusion(adapters=THREE),
    "adapter-sum of three": AdapterSum(adapters=THREE),
}
"""Adapters cost the same whatever they have learnt, so untrained ones serve. A fusion of three may take 2.1 times the
base's time for each decoded token on a CPU."""
MOST = {"adapter-fusion of three": 2.1}
MOST_GROWTH = 64
"""MB that ten times the sentences may need more."""
DECODED = 32
"""Tokens of one answer."""


@dataclass(frozen=True)
class Bench:
    """A model, and how works are timed on it."""

    loaded: Any
    device: str
    rounds: int
    clock: Callable[[], float]
    cases: frozenset[str] | None
    """None: all."""
    targets: Targets

    @cached_property
    def ids(self) -> torch.Tensor:
        """8 texts of 64 tokens."""
        text = " ".join(read("everyday"))
        return torch.tensor(self.loaded.tokenizer(text)["input_ids"][: 8 * 64], device=self.device).view(8, 64)

    def wanted(self, name: str) -> bool:
        return self.cases is None or name in self.cases

    def forward(self, name: str, model: Any, most: float | None = None) -> None:
        """The ratio of a forward pass over all texts."""
        self._show(f"{name}, forward pass", model, partial(passed, self.ids), most)

    def decode(self, name: str, model: Any, most: float | None = None) -> None:
        """The ratio of a decoded token."""
        pad = self.loaded.tokenizer.pad_token_id
        self._show(f"{name}, decoded token", model, partial(decoded, self.ids[:1, :16], pad), most)

    def _show(self, name: str, model: Any, work: Callable[[Any], None], most: float | None) -> None:
        ours, bare = partial(work, model), partial(work, self.loaded.model)
        found = alternately(ours, bare, self.rounds, device=self.device, clock=self.clock)
        self.targets.ratio(name, *found, at_most=most)


def passed(ids: torch.Tensor, model: Any) -> None:
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)


def decoded(prompt: torch.Tensor, pad: int, model: Any) -> None:
    with torch.no_grad():
        model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=DECODED, min_new_tokens=DECODED,
            do_sample=False, pad_token_id=pad,
        )  # fmt: skip


def cost(bench: Bench) -> None:
    """Steps that need no training: folded ones may cost nothing."""
    loaded = bench.loaded
    if bench.wanted("copy"):
        bench.forward("a copy of the base", copy.deepcopy(loaded.model), 1.02)
    for name, plugin in CASES.items():
        if not bench.wanted(name):
            continue
        model = copy.deepcopy(loaded.model)
        run = run_context(tempfile.mkdtemp(), plugin, loaded.info.kind, model=model, tokenizer=loaded.tokenizer)
        transform = plugin.architecture(run, model)
        transform.apply(model, transform.fit(model) or Artifact())
        if transform.fold is not None and transform.fold(model):
            bench.forward(f"{name} (folded)", model, 1.02)
        else:
            bench.forward(f"{name} (live)", model)
            bench.decode(f"{name} (live)", model)


def adapters(bench: Bench) -> None:
    """One adapter, and three together."""
    for name, plugin in ADAPTERS.items():
        if not bench.wanted(name):
            continue
        model = with_adapters(bench.loaded, plugin)
        passed(bench.ids, model)
        if plugin is not None:
            demand_products(model)
        bench.forward(name, model)
        bench.decode(name, model, MOST.get(name))


def with_adapters(loaded: Any, plugin: Any | None) -> Any:
    """A copy of the model with one adapter, or with three and what a step makes of them, as after their trainings."""
    model = copy.deepcopy(loaded.model)
    handles: dict[str, StepHandle] = {}
    for ident in ("gender", "race", "religion")[: 1 if plugin is None else 3]:
        adapter = DebiasingAdapter()
        place(adapter, model, loaded, ident, {})
        handles[ident] = StepHandle(id=ident, plugin=adapter, active=True)
    if plugin is not None:
        place(plugin, model, loaded, "together", handles)
    return model.eval()


def demand_products(model: Any) -> None:
    """Stop where a pass has not gone through products in every layer: what is timed would be the library's own way."""
    places = [layer for layer in bottleneck.layers(model) if layer.adapter_fusion_layer]
    kept = [list(vars(layer)[PLACE]._kept.values()) for layer in places]
    if not places or not all(len(one) == 1 and one[0].products is not None for one in kept):
        raise SystemExit("the fusion is not multiplied out: something of it still waits for a training")


def place(plugin: Any, model: Any, loaded: Any, ident: str, handles: dict[str, StepHandle]) -> None:
    """Apply a step that nothing is fitted for, and end its training: what still learns is not multiplied out."""
    run = run_context(
        tempfile.mkdtemp(), plugin, loaded.info.kind, model=model, tokenizer=loaded.tokenizer, step_id=ident,
        steps=handles,
    )  # fmt: skip
    transform = plugin.architecture(run, model)
    transform.apply(model, Artifact())
    if transform.finish is not None:
        transform.finish(model)


def fit(bench: Bench, sentences: int) -> None:
    """LEACE and INLP at one place of the middle layer, on a tenth of the sentences and on all."""
    loaded, device = bench.loaded, bench.device
    model = loaded.model
    plugin = Leace()
    run = run_context(tempfile.mkdtemp(), plugin, loaded.info.kind, model=model, tokenizer=loaded.tokenizer)
    axis = load_axis("gender")
    some = labelled(run, axis, fitting_pairs(axis), (), "all")
    site = Site(chosen_layers(layers_of(model), 0.5, 0.5)[0], "residual")
    width = int(model.get_input_embeddings().embedding_dim)
    for count in (sentences // 10, sentences):
        rows = [some[k % len(some)] for k in range(count)]
        moments = Moments(width, len(axis.groups))
        before, start = memory(device), time.perf_counter()

        def sink(states: torch.Tensor, few: Any, moments: Moments = moments) -> None:
            found, groups, _ = tokens_of(states, few)
            moments.update(found, groups)

        stream(run, model, rows, {site: sink})
        read_in, start = time.perf_counter() - start, time.perf_counter()
        leace(moments)
        nullspace_directions(moments, 10)
        solved = time.perf_counter() - start
        grown = memory(device) - before
        print(
            f"fit on {count:6} sentences, {moments.count:7} states: {read_in:6.1f} s to read, {solved:.2f} s to solve "
            f"both, memory {grown:+.0f} MB",
            flush=True,
        )
        if count == sentences and grown > MOST_GROWTH:
            bench.targets.missed.append(f"memory grew by {grown:.0f} MB with ten times the sentences")


def memory(device: str) -> float:
    """The most that was used so far, in MB."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sentences", type=int, default=20_000)
    parser.add_argument("--part", choices=("cost", "adapters", "fit", "all"), default="all")
    parser.add_argument("--cases", help=f"of: copy; {'; '.join([*CASES, *ADAPTERS])}")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    asked = parser.parse_args()
    cases = frozenset(asked.cases.split(";")) if asked.cases else None
    if unknown := sorted((cases or set()) - {"copy", *CASES, *ADAPTERS}):
        parser.error(f"no such case: {'; '.join(unknown)}")
    configure("quiet")
    loaded = load(resolve(asked.model), device=asked.device)
    print(f"{loaded.info.display_name} on {asked.device}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    bench = Bench(loaded, asked.device, asked.rounds, CLOCKS[asked.clock], cases, Targets())
    if asked.part in ("cost", "all"):
        cost(bench)
    if asked.part in ("adapters", "all"):
        adapters(bench)
    if asked.part in ("fit", "all"):
        fit(bench, asked.sentences)
    bench.targets.end()


if __name__ == "__main__":
    main()
