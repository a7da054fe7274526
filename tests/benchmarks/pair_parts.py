"""What the tests of the benchmarks on sentence pairs share: tiny models, a run, and plain forward passes."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from pathlib import Path

from evenhand.item_records import check_records
from evenhand.measured import Measured
from evenhand.mirrors import KnownFile
from evenhand.planted import check_planted
from evenhand.sample import Table, value_of
from evenhand_sdk import RunContext
from evenhand_sdk.tiny import tiny_causal, tiny_masked

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")


READ = {
    "75": ("stereo", "disability", [("with", "without")]),
    "150": ("stereo", "race-color", [("Chong", "David"), ("Ling", "Smith")]),
    "375": ("stereo", "race-color", [("Manuel", "Jeff")]),
    "450": ("antistereo", "race-color", [("James", "LeBron")]),
    "600": ("stereo", "gender", [("Jeff", "Shannon")]),
    "900": ("stereo", "race-color", [("Diamond's", "Claire's")]),
    "1050": ("antistereo", "nationality", [("American", "Pakistani")]),
    "1275": ("stereo", "gender", [("his", "her"), ("wife's", "husband's")]),
    "1350": ("stereo", "religion", [("Satanists", "Christians")]),
    "1425": ("stereo", "age", [("80.", "30.")]),
}
"""Ten pairs of CrowS-Pairs, read by eye: direction, axis, and the words that differ, of the more stereotyping first."""


def differing(more: str, less: str) -> list[tuple[str, str]]:
    """The words at the same place that differ."""
    return [(a, b) for a, b in zip(more.split(), less.split(), strict=True) if a != b]


@functools.cache
def tiny(family: str):
    """(model, tokenizer, kind)"""
    kind = "masked" if family in ("bert", "roberta") else "causal"
    return (*(tiny_masked if kind == "masked" else tiny_causal)(family), kind)


def measured_of(family: str) -> Measured:
    model, tokenizer, kind = tiny(family)
    return Measured(model, tokenizer, kind, (), dtype="float32")


def run_of(family: str, folder: Path) -> RunContext:
    _, tokenizer, kind = tiny(family)
    return RunContext(
        step_id="b",
        seed=0,
        kind=kind,
        tokenizer=tokenizer,
        device="cpu",
        folder=folder,
        axes=(),
        offline=True,
        logger=logging.getLogger("test"),
        services=None,
    )


def plain_logp(model, ids):
    """[T, V] next-token log-probabilities of one plain forward pass."""
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)


def masked_logp(model, tokenizer, ids, position):
    """[V] log-probabilities at one masked position."""
    import torch

    one = torch.tensor([list(ids)])
    one[0, position] = tokenizer.mask_token_id
    with torch.no_grad():
        return model(input_ids=one).logits[0, position].float().log_softmax(-1)


def continuation_logp(model, tokenizer, context, continuation):
    """Log-probabilities of the tokens of a continuation, one plain forward pass."""
    before, whole = (tokenizer(text)["input_ids"] for text in (context, context + continuation))
    assert whole[: len(before)] == before
    logp = plain_logp(model, whole)
    return [float(logp[k - 1, whole[k]]) for k in range(len(before), len(whole))]


def values_of(benchmark, records) -> dict[str, float]:
    """Every metric of a benchmark, by name."""
    table = Table.of(records)
    return {metric.name: value_of(metric, table) for metric in benchmark.metrics}


def sound(benchmark, records) -> None:
    """Records that the host takes, one primary metric, planted models that come out."""
    check_records(benchmark.name, records, records)
    assert sum(metric.primary for metric in benchmark.metrics) == 1
    assert len(check_planted(benchmark)) == len(benchmark.planted) >= 3
    assert benchmark.good and benchmark.mode
    assert all(metric.description for metric in benchmark.metrics)


def written(folder: Path, known: KnownFile, payload: str) -> KnownFile:
    """Another text under the path of a published file, and its description."""
    path = folder / known.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload.encode())
    digest = hashlib.sha256(payload.encode()).hexdigest()
    if known.canonical:
        value = json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(value.encode()).hexdigest()
    lines = sum(bool(line.strip()) for line in payload.splitlines())
    rows = 0 if known.canonical else lines - 1 if known.path.endswith(".csv") else lines
    return KnownFile(
        path=known.path,
        sha256=digest,
        rows=rows,
        canonical=known.canonical,
        delimiter=known.delimiter,
        origin="here",
        licence="none",
    )
