"""Golden records: what some items of each likelihood benchmark score on a real model in float32, item by item.

Generated text is not among them: one token that another processor rounds to the other side changes all that follows.

They are numbers beside item ids, and no text of a benchmark. A change of the engine, of a tokenizer or of a rule that
moves a score by more than a rounding shows in `test_golden.py`. When a change is meant, write them again and say in
the commit which scores moved and why:

    python tests/reproduction/golden.py [NAME ...]
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(__file__).parent / "golden"
FIRST = 16
"""Items of a benchmark, in the order of its file; few, since a fault of the engine or of a rule moves most of them."""


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
    files: Callable[[], Sequence[Any]] = tuple
    """The published files that it reads, of `EVENHAND_DATA`."""
    places: int = 3
    """Decimals that are kept."""
    worded: bool = False
    """Item ids are words of the benchmark: their digests are kept instead."""

    def id_of(self, record: Any) -> str:
        """The id under which an item's values are kept."""
        return hashlib.blake2b(record.id.encode(), digest_size=6).hexdigest() if self.worded else str(record.id)


def crows_pairs(rule: str, first: int) -> Callable[[Any, str], Sequence[Any]]:
    def records(measured: Any, kind: str) -> Sequence[Any]:
        from evenhand_standard.benchmarks import crows_pairs as benchmark

        pairs = benchmark.chosen_pairs(benchmark.CrowsPairsOptions(), None)[:first]
        return benchmark.score(measured, pairs, rule)  # type: ignore[arg-type]

    return records


def perplexity(measured: Any, kind: str) -> Sequence[Any]:
    from evenhand_standard.benchmarks import perplexity as benchmark

    return benchmark.score(measured, benchmark.passages("builtin:heldout")[:6], 512, 256)


def pair_gap(measured: Any, kind: str) -> Sequence[Any]:
    from evenhand_sdk import load_axis
    from evenhand_standard.benchmarks import pair_gap as benchmark
    from evenhand_standard.pair_bank import pairs

    axis = load_axis("gender", "en")
    return benchmark.score(measured, axis, pairs(axis, "heldout", FIRST, 0))


def benchmark_of(name: str, options: dict[str, Any]) -> tuple[Callable[[Any, str], Sequence[Any]], Callable[[], Any]]:
    """What a plugin makes of a model under test, and the files that it reads."""

    def plugin() -> Any:
        from evenhand.discovery import discover, load

        return load(discover().find(name))(**options)

    def records(measured: Any, kind: str) -> Sequence[Any]:
        from evenhand_sdk import RunContext

        with tempfile.TemporaryDirectory() as folder:
            run = RunContext(
                step_id=name, seed=0, kind=kind, tokenizer=measured.tokenizer, device="cpu", folder=Path(folder),
                axes=(), offline=True, logger=logging.getLogger(name), services=None,  # type: ignore[arg-type]
            )  # fmt: skip
            made = plugin().evaluation(run)
            (benchmark,) = made if isinstance(made, list) else [made]
            return list(benchmark.score(measured))

    return records, lambda: plugin().files_for(plugin().options)


def of_plugin(
    model: str, label: str, name: str, values: tuple[str, ...], places: int = 3, worded: bool = False, **options: Any
) -> Golden:
    """Golden records of a benchmark with these options."""
    records, files = benchmark_of(name, options)
    return Golden(f"{label}-{name}", model, values, records, files, places, worded)


def pairs_file() -> Sequence[Any]:
    from evenhand.mirrors import CROWS_PAIRS

    return (CROWS_PAIRS,)


CAUSAL, MASKED = "smollm2-135m-instruct", "minilm-l6-body"
S, M = "smollm2", "minilm-body"
ANSWERS = ("amb_margin",)  # shares of right answers jump where two options are almost alike
SCORES = ("stereotype", "antistereotype", "unrelated")
GOLDEN = (
    Golden("smollm2-crows-pairs", CAUSAL, ("more", "less"), crows_pairs("official", FIRST), pairs_file),
    Golden("smollm2-crows-pairs-harness", CAUSAL, ("more", "less"), crows_pairs("harness", FIRST), pairs_file),
    Golden("smollm2-perplexity", CAUSAL, ("logp", "words", "bytes"), perplexity),
    Golden("smollm2-pair-gap", CAUSAL, ("js", "js_unfolded", "likelihood_difference"), pair_gap, places=5),
    of_plugin(CAUSAL, S, "stereoset", SCORES, limit=16),
    of_plugin(CAUSAL, f"{S}-inter", "stereoset", SCORES, task="inter", limit=16),
    of_plugin(CAUSAL, S, "winogender", tuple(f"preference_{g}" for g in ("male", "female", "neutral")), limit=8),
    of_plugin(CAUSAL, S, "seat", ("association", "p"), places=4, tests=("sent-weat6", "weat6")),
    of_plugin(CAUSAL, S, "lpbs", ("lpbs",), limit=3),
    of_plugin(CAUSAL, S, "honest", ("hurtful",), limit=15),
    of_plugin(CAUSAL, S, "lambada", ("logp", "right"), limit=8),
    of_plugin(CAUSAL, S, "pronoun-agreement", ("margin", "right"), limit=12),
    of_plugin(CAUSAL, S, "ethics", ("difference justice", "difference deontology", "difference virtue"), limit=4),
    of_plugin(CAUSAL, S, "winobias", ("margin_pro", "margin_anti"), limit=8),
    of_plugin(CAUSAL, S, "holistic-bias", ("mean nll", "gain woman", "gain man"), worded=True, limit=3, templates=1),
    of_plugin(CAUSAL, S, "seegull", ("association",), worded=True, limit=15),
    of_plugin(CAUSAL, S, "bbq", ANSWERS, limit=8, categories=("Age", "Religion")),
    of_plugin(CAUSAL, S, "cbbq", ANSWERS, limit=8, categories=("ethnicity",)),
    # An untrained head means nothing, but its arithmetic is exact: this holds the masked side of the engine.
    Golden("minilm-body-crows-pairs", MASKED, ("more", "less"), crows_pairs("official", 25), pairs_file),
    of_plugin(MASKED, M, "stereoset", SCORES, limit=25),
    of_plugin(MASKED, M, "aul", ("more", "less"), limit=25),
    of_plugin(MASKED, f"{M}-attention", "aul", ("more", "less"), places=5, limit=25, weights="attention"),
    of_plugin(MASKED, M, "lpbs", ("lpbs",), limit=6),
    of_plugin(MASKED, M, "seat", ("association", "p"), places=4, tests=("sent-weat6",)),
)


def measure(golden: Golden, loaded: Any) -> dict[str, Any]:
    """The golden records as they come out now on its model in float32, rounded; JSON values."""
    from evenhand.measured import Measured

    measured = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, dtype="float32")
    records = golden.records(measured, loaded.info.kind)
    return {
        "model": loaded.info.display_name,
        "model_digest": loaded.info.digest,
        "tokenizer_fingerprint": loaded.info.tokenizer_fingerprint,
        "mode": measured.mode,
        "values": list(golden.values),
        "items": {golden.id_of(r): [_rounded(r.values.get(v), golden.places) for v in golden.values] for r in records},
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def read(golden: Golden) -> SimpleNamespace:
    """The golden records as they were kept."""
    return SimpleNamespace(**json.loads((FOLDER / f"{golden.name}.json").read_text(encoding="utf-8")))


def write(golden: Golden) -> Path:
    """Measure, and keep the result as the golden records."""
    from evenhand.models import load, resolve

    found = measure(golden, load(resolve(golden.model), dtype="float32"))
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
