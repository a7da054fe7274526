"""Attention entropy: the formula against slow values, what takes part, and that training raises it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from datasets import Dataset
from objective_batches import batch_of

from evenhand.errors import UsageError
from evenhand_standard.objective.attention_entropy import AttentionEntropy, NegativeEntropy, entropy

TEXTS = ["The nurse said that she was good and that the judge was bad.", "Rain fell on the town.", "He left."]


def eager(model: Any) -> Any:
    model.set_attn_implementation("eager")
    return model


def test_entropies_of_known_attentions() -> None:
    """Two heads whose mean is even over two seen tokens: ln 2; the third token is not seen and counts for nothing."""
    one, two = [[0.6, 0.2, 0.2]] * 3, [[0.2, 0.6, 0.2]] * 3
    attention = torch.tensor([[one, two]])
    seen = torch.tensor([[True, True, False]])
    rows = torch.tensor([[False, True, True]])
    assert entropy(attention, seen, rows).item() == pytest.approx(math.log(2))
    sharp = torch.tensor([[[[1.0, 0.0, 0.0]] * 3]])
    assert entropy(sharp, seen, rows).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_term_is_minus_the_entropy_summed_over_layers(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    model = eager(model)
    (term,) = AttentionEntropy(retention=0.0, visible=3, strength=0.5).objective(run_of(model, tokenizer, kind), model)
    assert (term.name, term.weight) == ("attention entropy", 0.005)
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS, kind)
    special = set(tokenizer.all_special_ids)
    expected = 0.0
    for layer in outputs.attentions:
        found = []
        for b in range(len(TEXTS)):
            ids = batch.input_ids[b, : int(batch.attention_mask[b].sum())].tolist()
            seen = [t for t in range(len(ids)) if (t > 0 if kind == "causal" else ids[t] not in special)]
            for t in range(len(ids)):
                if kind == "causal" and t < 3:  # it sees t tokens behind the first
                    continue
                if kind == "masked" and ids[t] in special:
                    continue
                shares = [layer[b, :, t, s].double().mean().item() for s in seen]
                shares = [x / sum(shares) for x in shares]
                found.append(-sum(x * math.log(x) for x in shares if x > 0))
        expected -= sum(found) / len(found)
    assert len(outputs.attentions) == 2
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-4)


def test_attention_to_the_first_token_is_free_in_a_causal_model(tiny: Any) -> None:
    """Mass may move to the first token, where attention rests, without any change of the loss."""
    model, tokenizer = tiny()
    term = NegativeEntropy((), 2)
    ids = torch.arange(6)[None]
    from evenhand_sdk import Batch, Outputs

    batch = Batch(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, rows=torch.zeros(1))
    torch.manual_seed(0)
    shares = torch.rand(1, 1, 6, 6).tril().add(torch.eye(6)).tril()
    rested = shares.clone()
    rested[..., 0] += 5.0
    values = [
        term(batch, Outputs(logits=torch.zeros(1, 6, 4), loss=torch.tensor(0.0), attentions=(x / x.sum(-1, True),)))
        for x in (shares, rested)
    ]
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    assert values[0].item() < -0.1


def test_rows_too_short_add_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    model = eager(model)
    (term,) = AttentionEntropy(retention=0.0).objective(run_of(model, tokenizer), model)
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS[2:]))
    value.backward()
    assert value.item() == 0.0


def test_a_model_without_attention_is_told(tiny: Any) -> None:
    from evenhand_sdk import Batch, Outputs

    ids = torch.arange(6)[None]
    batch = Batch(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, rows=torch.zeros(1))
    with pytest.raises(UsageError, match="the model gives no attention"):
        NegativeEntropy((), 2)(batch, Outputs(logits=torch.zeros(1, 6, 4), loss=torch.tensor(0.0)))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_spreads_attention(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=20, learning_rate=5e-3)
    terms = AttentionEntropy(weight=5.0).objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    with torch.no_grad():
        after, without = (
            terms[0].fn(*batch_of(eager(m), tokenizer, terms, TEXTS, kind)).item() for m in (trained, control)
        )
    assert after < without - 0.2
    assert set(result.terms) == {"language modelling", "attention entropy", "retention"}
    assert result.terms["attention entropy"]["gradient_norm"] > 0


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    assert AttentionEntropy(strength=0.0).objective(run_of(model, tokenizer), model) == []
