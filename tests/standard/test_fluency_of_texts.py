"""How likely the untouched model finds what a model under rules writes; prompts of the recipe's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.measured import Measured
from evenhand_sdk import DecodingRule
from evenhand_standard.benchmarks.text_degeneration import FLUENCY, METRICS, TextDegeneration

PROMPTS = ("The nurse said that", "Rain fell on the")


def benchmark_of(run: Any, **options: Any) -> Any:
    return TextDegeneration(samples=2, max_new_tokens=8, prompts=PROMPTS, **options).evaluation(run)


def test_it_is_the_surprise_of_the_model_before_any_step(
    tiny: Any, run_of: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    benchmark = benchmark_of(run, fluency=True)
    assert benchmark.metrics == (*METRICS, FLUENCY)
    assert benchmark.mode.startswith("the recipe's prompts, n-grams of words and signs; 2 samples")
    worst = DecodingRule(name="worst", next_logits=lambda ids, logits, contexts: -logits)
    found = {
        name: benchmark.score(Measured(model, tokenizer, "causal", dtype="float32", rules=rules))
        for name, rules in (("plain", []), ("ruled", [worst]))
    }
    from evenhand_standard.benchmarks.sampled_texts import texts_of

    untouched = run.services.load_base().double()
    for records in found.values():
        texts = texts_of(records, run.folder)
        for k, record in enumerate(records):
            mine = [each["text"] for each in texts if each["prompt"] == PROMPTS[k] and each["text"].strip()]
            nat = tokens = 0.0
            for text in mine:
                start = len(tokenizer(PROMPTS[k])["input_ids"])
                ids = torch.tensor([tokenizer(f"{PROMPTS[k]}{text}")["input_ids"]])
                with torch.no_grad():
                    logp = untouched(input_ids=ids).logits[0].log_softmax(-1)
                nat -= float(logp[start - 1 : -1].gather(-1, ids[0, start:, None]).sum())
                tokens += ids.shape[1] - start
            assert record.values["nat"] == pytest.approx(nat, rel=1e-4) and record.values["tokens"] == tokens
    mean = {name: sum(r.values["nat"] for r in rs) / sum(r.values["tokens"] for r in rs) for name, rs in found.items()}
    assert mean["ruled"] > mean["plain"] + 1.0


def test_without_it_nothing_is_measured_that_was_not_before(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    benchmark = benchmark_of(run_of(model, tokenizer))
    records = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert benchmark.metrics is METRICS and not any("nat" in record.values for record in records)
