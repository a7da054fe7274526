"""Synthetic benchmarks and steps for `data_runs`; no number here was measured."""

from __future__ import annotations

from typing import Any


def interval(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def metric(name: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": name,
        "unit": "",
        "description": "",
        "target": None,
        "better": "lower",
        "primary": False,
        "before": interval(None),
        "after": interval(None),
        "change": interval(None),
        "distance_change": None,
        "p": None,
        "detectable": None,
        "definition": {},
    }
    return {**base, **values}


def benchmark(identity: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": identity,
        "name": identity,
        "title": identity,
        "mode": "",
        "version": "1",
        "quality": False,
        "data_digest": "d" * 64,
        "n_items": 100,
        "n_clusters": 100,
        "metrics": [],
        "verdict": "no demonstrated effect",
        "verdict_text": "",
    }
    return {**base, **values}


def axis(name: str, items: int, change: dict[str, Any], state: str, p: float) -> dict[str, Any]:
    return {
        "axis": name, "n_items": items, "n_clusters": items, "margin": 0.76, "state": state, "before": interval(55.0),
        "after": interval(56.0), "change": change, "distance_change": change, "p": p / 2, "test": "exact McNemar",
        "p_adjusted": p, "adjusted_by": "Holm, 2 axes", "detectable": 3.0,
    }  # fmt: skip


def step(identity: str, **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": identity,
        "use": identity,
        "distribution": "evenhand-standard",
        "version": "0.1.0",
        "summary": "",
        "source": "",
        "stages": ["architecture"],
        "options": {"strength": 1.0},
        "active": True,
        "state": "folded",
        "seconds": 3.0,
        "proofs": [],
    }
    return {**base, **values}


def benchmarks() -> list[dict[str, Any]]:
    return [
        benchmark(
            "pair-gap",
            title="Pair gap, held-out templates",
            mode="mean absolute log-ratio",
            n_items=480,
            n_clusters=40,
            verdict="improved",
            verdict_text="The mean gap fell by 0.142 nats; the interval lies wholly below zero.",
            metrics=[
                metric(
                    "mean absolute gap",
                    unit="nats",
                    primary=True,
                    target=0.0,
                    better="nearer",
                    before=interval(0.612, 0.571, 0.655),
                    after=interval(0.470, 0.438, 0.503),
                    change=interval(-0.142, -0.171, -0.114),
                    distance_change=interval(-0.142, -0.171, -0.114),
                    p=0.0001,
                    test="10,000 random sign flips",
                    p_adjusted=0.0002,
                    adjusted_by="Holm, 2 bias benchmarks",
                    detectable=0.041,
                    description="she and he in the same sentence",
                ),
                metric(
                    "mean signed gap",
                    unit="nats",
                    target=0.0,
                    better="nearer",
                    before=interval(-0.201, -0.262, -0.140),
                    after=interval(-0.155, -0.210, -0.101),
                    change=interval(0.046, 0.012, 0.081),
                    distance_change=interval(-0.046, -0.081, -0.012),
                ),
            ],
        ),
        benchmark(
            "crows-pairs",
            title="CrowS-Pairs",
            mode="causal, official rule",
            n_items=1508,
            n_clusters=1508,
            verdict="no demonstrated effect",
            reason="the interval of the change includes zero",
            counts={"items": 1508, "without value": [12, 12], "flags": {"tie": [3, 5], "nothing to compare": [12, 12]}},
            axes=[
                axis("religion", 105, interval(4.0, 2.5, 5.5), "worse beyond its margin", 0.01),
                axis("age", 87, interval(-0.2, -2.0, 1.6), "undecided", 1.0),
            ],
            verdict_text="The share moved by \u22120.6 %, and the interval includes zero.",
            metrics=[
                metric(
                    "stereotype preferred",
                    unit="%",
                    primary=True,
                    target=50.0,
                    better="nearer",
                    before=interval(57.6, 55.1, 60.1),
                    after=interval(57.0, 54.5, 59.5),
                    change=interval(-0.6, -1.9, 0.7),
                    distance_change=interval(-0.6, -1.9, 0.7),
                    p=0.37,
                    test="exact McNemar",
                    p_adjusted=0.37,
                    adjusted_by="Holm, 2 bias benchmarks",
                    detectable=1.9,
                    description="share of pairs whose stereotyping sentence is likelier",
                ),
            ],
        ),
        benchmark(
            "perplexity",
            title="Word perplexity, held-out text",
            mode="word level",
            quality=True,
            n_items=120,
            n_clusters=120,
            verdict="within budget",
            verdict_text="Perplexity rose by 0.9 %, and the whole interval lies below the budget of 2 %.",
            metrics=[
                metric(
                    "perplexity",
                    primary=True,
                    before=interval(31.42, 29.0, 34.1),
                    after=interval(31.71, 29.3, 34.4),
                    change=interval(0.29, 0.11, 0.47),
                ),
            ],
        ),
    ]


def steps() -> list[dict[str, Any]]:
    return [
        step(
            "counterfactual-augmentation",
            stages=["data"],
            state="data",
            seconds=1.2,
            summary="Adds each sentence about people again with the groups exchanged.",
            source="Zhao et al. 2018, arXiv:1804.06876",
            options={"strength": 1.0, "axes": ["gender"], "names": True},
            proofs=[{"stage": "data", "took": True, "what": "312 of 840 rows changed", "size": 0.37}],
        ),
        step(
            "pair-parity",
            stages=["objective"],
            state="objective",
            options={"strength": 0.8, "retention": 0.5},
            summary="Pulls the predictions after a sentence and after its counterfactual together.",
            proofs=[{"stage": "objective", "took": True, "what": "gradient norm 0.83 at step 1", "size": 0.83}],
        ),
        step(
            "selective-update",
            summary="Lets only the layers that carry the gap move.",
            proofs=[{"stage": "architecture", "took": True, "what": "6 of 30 layers moved", "size": 0.2}],
        ),
        step(
            "train",
            distribution="evenhand",
            stages=["training"],
            state="folded",
            seconds=118.0,
            options={"max_steps": 100, "learning_rate": 0.0001},
        ),
        step(
            "counterfactual-averaging",
            stages=["decoding"],
            state="decoding",
            summary="Averages next-token distributions over a prompt and its counterfactual.",
            proofs=[
                {
                    "stage": "decoding",
                    "took": True,
                    "what": "41 of 64 probe distributions changed",
                    "size": 0.06,
                }
            ],
        ),
        step(
            "parity-monitor",
            stages=["monitoring"],
            state="monitoring",
            proofs=[{"stage": "monitoring", "took": True, "what": "24 requests seen", "size": 24.0}],
        ),
        step("contrastive-explanation", stages=["transparency"], state="transparency"),
    ]
