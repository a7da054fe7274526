"""Golden records: what the first items of each benchmark score on a real model in float32, item by item.

They are numbers beside item ids, and no text of a benchmark. A change of the engine, of a tokenizer or of a rule that
moves a score by more than a rounding shows in `test_golden.py`. When a change is meant, write them again and say in
the commit which scores moved and why:

    python tests/reproduction/golden.py [NAME ...]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(__file__).parent / "golden"
FIRST = 100
"""Items of a benchmark, in the order of its file."""


@dataclass(frozen=True)
class Golden:
    """One file of golden records."""

    name: str
    model: str
    """On the shelf."""
    values: tuple[str, ...]
    """What is kept of each item."""
    records: Callable[[Any, str], Sequence[Any]]
    """(the model under test, its kind) -> item records."""
    data: bool = True
    """Whether it reads files of `EVENHAND_DATA`."""
    places: int = 3
    """Decimals that are kept."""


def crows_pairs(rule: str, first: int) -> Callable[[Any, str], Sequence[Any]]:
    def records(measured: Any, kind: str) -> Sequence[Any]:
        from evenhand_standard.benchmarks import crows_pairs as benchmark

        pairs = benchmark.chosen_pairs(benchmark.CrowsPairsOptions(), None)[:first]
        return benchmark.score(measured, pairs, rule)  # type: ignore[arg-type]

    return records


def perplexity(measured: Any, kind: str) -> Sequence[Any]:
    from evenhand_standard.benchmarks import perplexity as benchmark

    return benchmark.score(measured, benchmark.passages("builtin:heldout"), 512, 256)


def pair_gap(measured: Any, kind: str) -> Sequence[Any]:
    from evenhand_sdk import load_axis
    from evenhand_standard.benchmarks import pair_gap as benchmark
    from evenhand_standard.pair_bank import pairs

    axis = load_axis("gender", "en")
    return benchmark.score(measured, axis, pairs(axis, "heldout", FIRST, 0))


CAUSAL, MASKED = "smollm2-135m-instruct", "minilm-l6-body"
GOLDEN = (
    Golden("smollm2-crows-pairs", CAUSAL, ("more", "less"), crows_pairs("official", FIRST)),
    Golden("smollm2-crows-pairs-harness", CAUSAL, ("more", "less"), crows_pairs("harness", FIRST)),
    Golden("smollm2-perplexity", CAUSAL, ("logp", "words", "bytes"), perplexity, data=False),
    Golden("smollm2-pair-gap", CAUSAL, ("js", "js_unfolded", "likelihood_difference"), pair_gap, False, 5),
    # An untrained head means nothing, but its arithmetic is exact: this holds the masked side of the engine.
    Golden("minilm-body-crows-pairs", MASKED, ("more", "less"), crows_pairs("official", 25)),
)


def measure(golden: Golden) -> dict[str, Any]:
    """The golden records as they come out now, rounded; JSON values."""
    from evenhand.measured import Measured
    from evenhand.models import load, resolve

    loaded = load(resolve(golden.model), dtype="float32")
    measured = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, dtype="float32")
    records = golden.records(measured, loaded.info.kind)
    return {
        "model": loaded.info.display_name,
        "model_digest": loaded.info.digest,
        "tokenizer_fingerprint": loaded.info.tokenizer_fingerprint,
        "mode": measured.mode,
        "values": list(golden.values),
        "items": {r.id: [_rounded(r.values.get(v), golden.places) for v in golden.values] for r in records},
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def read(golden: Golden) -> SimpleNamespace:
    """The golden records as they were kept."""
    return SimpleNamespace(**json.loads((FOLDER / f"{golden.name}.json").read_text(encoding="utf-8")))


def write(golden: Golden) -> Path:
    """Measure, and keep the result as the golden records."""
    found = measure(golden)
    items = found.pop("items")
    head = json.dumps(found, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(values)}" for key, values in items.items())
    path = FOLDER / f"{golden.name}.json"
    path.write_text(f'{head},\n "items": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    return path


if __name__ == "__main__":
    for each in GOLDEN:
        if each.name in sys.argv[1:] or not sys.argv[1:]:
            print(write(each))
