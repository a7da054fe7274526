"""Is the context still used? Both numbers against models that use it wholly or not at all."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_standard.benchmarks.pronoun_agreement import sentences
from evenhand_standard.objective.context_use import agreement, context_section, information
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.objective.self_distillation import SelfDistillation
from evenhand_standard.objective.subspace_regulariser import SubspaceRegulariser


def deaf(model: Any) -> Any:
    """The same next word after everything: the output layer reads zeros."""
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    return model


def test_information_is_the_mean_divergence_from_the_mean(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    ids = [tokenizer(text)["input_ids"] for text in ("Rain fell on the town.", "She said that he was good.")]
    with torch.no_grad():
        p = torch.cat([model(input_ids=torch.tensor([row])).logits[0].double().softmax(-1) for row in ids])
    mean = p.mean(0)
    expected = float((p * (p.log() - mean.log())).sum(-1).mean())
    assert information(run_of(model, tokenizer), model, ids) == pytest.approx(expected, rel=1e-2, abs=1e-4)
    assert expected > 1e-3


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_model_that_does_not_read_has_none(kind: Any, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    ids = [tokenizer(text)["input_ids"] for text in ("Rain fell on the town.", "She said that he was good.")]
    assert information(run, deaf(model), ids) == pytest.approx(0.0, abs=1e-6)


def test_agreement_counts_both_subjects_and_a_tie_as_half(
    tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)

    class Said:
        def __init__(self, total: float) -> None:
            self.total = total

    def always_herself(texts: Any, **_: Any) -> list[Said]:
        return [Said(float(" herself " in text or " her " in text)) for text in texts]

    monkeypatch.setattr(run.services, "score", always_herself)
    assert agreement(run, model) == 0.5, "right of women, wrong of men"
    monkeypatch.setattr(run.services, "score", lambda texts, **_: [Said(0.0) for _ in texts])
    assert agreement(run, model) == 0.5
    right = {item.whole(k, k) for item in sentences() for k in (0, 1)}
    monkeypatch.setattr(run.services, "score", lambda texts, **_: [Said(float(t in right)) for t in texts])
    assert agreement(run, model) == 1.0


def test_the_section_tells_what_was_lost(tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    same = context_section(run, model, "en")
    assert same.text.endswith("Neither lost more than 10 %.")
    values = {fact.label: fact.value for fact in same.facts}
    name = "what the context says of the next word, nat"
    assert values[f"{name}, before"] == values[f"{name}, after"] and len(values) == 4
    lost = context_section(run, deaf(model), "en")
    assert f"More than 10 % was lost of: {name}" in lost.text
    assert {fact.label: fact.value for fact in lost.facts}[f"{name}, after"] == 0.0
    assert len(context_section(run, model, "de").facts) == 2, "agreement is asked in English"


def test_who_reports_it(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    for plugin in (PairParity, SelfDistillation):
        assert plugin().transparency(run, model, None).title == "Is the context still used?"
        assert plugin(strength=0.0).transparency(run, model, None) is None


@pytest.mark.parametrize(("form", "layer"), [("embedding-projection", 0), ("cosine", 2)])
def test_the_subspace_regulariser_asks_a_fresh_probe(
    form: str, layer: int, tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evenhand_standard.objective.subspace_regulariser as module

    asked = []
    monkeypatch.setattr(module, "probe_section", lambda run, model, axis, at: asked.append((axis.name, at)))
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    assert model.config.num_hidden_layers == 2
    SubspaceRegulariser(form=form).transparency(run, model, None)
    assert SubspaceRegulariser(form=form, strength=0.0).transparency(run, model, None) == []
    assert asked == [("gender", layer)]
