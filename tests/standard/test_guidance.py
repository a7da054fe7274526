"""Guidance by contrast and by experts: the formula, what stays, and generation against a slow reference."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.attached_rules import attach
from evenhand.scoring import distributions
from evenhand_sdk import UsageError
from evenhand_standard.decoding.contrastive_guidance import ContrastiveGuidance
from evenhand_standard.decoding.expert_guidance import ANTI_EXPERTS, EXPERTS, ExpertGuidance
from evenhand_standard.decoding.guidance import guided
from evenhand_standard.decoding.self_debias import DESCRIPTION, SUBJECTS


def logits_of(*p: float) -> torch.Tensor:
    return torch.tensor(p, dtype=torch.float64).log()


def test_contrast_against_values_worked_by_hand() -> None:
    own, minus = logits_of(0.5, 0.4, 0.04, 0.06), logits_of(0.6, 0.2, 0.1, 0.1)[None]
    # Plausible: at least 0.1 * 0.5, so all but the third. p^1.5 / q^0.5, and their mass stays 0.96.
    moved = [0.5**1.5 / 0.6**0.5, 0.4**1.5 / 0.2**0.5, 0.06**1.5 / 0.1**0.5]
    scale = 0.96 / sum(moved)
    out = guided(own, None, minus, 0.5, 0.1)
    assert out.exp().tolist() == pytest.approx([moved[0] * scale, moved[1] * scale, 0.04, moved[2] * scale], rel=1e-12)
    assert out[2] == own.log_softmax(-1)[2]


def test_experts_against_values_worked_by_hand() -> None:
    own, plus = logits_of(0.5, 0.5), logits_of(0.8, 0.2)[None]
    minus = torch.stack([logits_of(0.9, 0.1), logits_of(0.1, 0.9)])
    # The two directions cancel out: what is left is the expert.
    moved = [0.5 * (0.8 / math.sqrt(0.9 * 0.1)) ** 2, 0.5 * (0.2 / math.sqrt(0.1 * 0.9)) ** 2]
    out = guided(own, plus, minus, 2.0, 0.1)
    assert out.exp().tolist() == pytest.approx([m / sum(moved) for m in moved], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-20, 20), min_size=5, max_size=5),
    st.lists(st.floats(-20, 20), min_size=5, max_size=5),
    st.floats(0.0, 2.0),
)
def test_probabilities_add_up_and_no_word_is_lost(a: list[float], b: list[float], weight: float) -> None:
    own, other = torch.tensor(a, dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    out = guided(own, None, other, weight, 0.1)
    assert out.exp().sum().item() == pytest.approx(1.0, rel=1e-9) and torch.isfinite(out).all()
    torch.testing.assert_close(guided(own, None, own[None], weight, 0.1), own.log_softmax(-1), rtol=0, atol=1e-9)


def test_a_word_that_is_impossible_somewhere_becomes_neither_certain_nor_no_number() -> None:
    out = guided(logits_of(0.0, 0.5, 0.5), None, logits_of(0.5, 0.5, 0.0)[None], 0.001, 0.1)
    assert out[0] == -math.inf and not out.isnan().any()
    assert 0.5 < out[2].exp().item() < 0.6


CASES = [
    (ContrastiveGuidance, [], [DESCRIPTION.format(SUBJECTS["gender"])]),
    (ExpertGuidance, list(EXPERTS), list(ANTI_EXPERTS)),
]


def slow(model: Any, tokenizer: Any, prompt: str, plus: list[str], minus: list[str], n: int) -> list[list[float]]:
    """Each step, one sequence at a time, without cache, by the formula as it is printed."""
    ids, rows = list(tokenizer(prompt)["input_ids"]), []

    def log_p(text: str) -> list[float]:
        told = tokenizer(text + "\n", add_special_tokens=False)["input_ids"] if text else []
        out = model(input_ids=torch.tensor([[*told, *ids]])).logits[0, -1]
        return out.double().log_softmax(-1).tolist()  # type: ignore[no-any-return]

    for _ in range(n):
        own = log_p("")
        up, down = [log_p(t) for t in plus or [""]], [log_p(t) for t in minus]
        kept = [v for v, x in enumerate(own) if math.exp(x) >= 0.1 * math.exp(max(own))]
        m = {v: own[v] + 0.5 * (sum(r[v] for r in up) / len(up) - sum(r[v] for r in down) / len(down)) for v in kept}
        mass, total = sum(math.exp(own[v]) for v in kept), sum(math.exp(x) for x in m.values())
        rows.append([math.exp(m[v]) / total * mass if v in m else math.exp(x) for v, x in enumerate(own)])
        ids.append(max(range(len(own)), key=rows[-1].__getitem__))
    return rows


@pytest.mark.parametrize(("plugin", "plus", "minus"), CASES)
def test_twenty_steps_in_a_batch_equal_the_slow_reference(
    plugin: Any, plus: list[str], minus: list[str], tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    model.generation_config.eos_token_id = None
    rule = plugin().decoding(run_of(model, tokenizer), model)
    prompts = ["The nurse said that she", "Rain fell"]
    ids = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(**ids, max_new_tokens=20, do_sample=False, output_scores=True, return_dict_in_generate=True)
    del model.generate
    assert len(out.scores) == 20
    for b, prompt in enumerate(prompts):
        for found, row in zip(out.scores, slow(model, tokenizer, prompt, plus, minus, 20), strict=True):
            expected = torch.tensor(row, dtype=torch.float64)
            torch.testing.assert_close(found[b].double().exp(), expected, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("plugin", [ContrastiveGuidance, ExpertGuidance])
def test_teacher_forced_scores_equal_stepwise_ones(plugin: Any, tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = plugin().decoding(run, run.services.model)
    ids = run.tokenizer("She said that the king was late")["input_ids"]
    [whole] = distributions(run.services.model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(run.services.model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]), torch.as_tensor(alone[0]), atol=1e-4, rtol=0)


def test_strength_0_is_no_rule_and_bad_options_are_refused(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    for plugin in (ContrastiveGuidance, ExpertGuidance):
        assert plugin(strength=0.0).decoding(run, run.services.model) is None
    with pytest.raises(UsageError, match="there is nothing to avoid"):
        ContrastiveGuidance(about=())
    with pytest.raises(UsageError, match="experts"):
        ExpertGuidance(experts=())
    with pytest.raises(UsageError, match="weight"):
        ContrastiveGuidance(weight=0.0)
