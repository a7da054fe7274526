"""Self-Debias: where descriptions stand, the formula, its bound, and generation against a slow reference."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.attached_rules import attach
from evenhand.scoring import distributions
from evenhand_sdk import Request, UsageError
from evenhand_sdk.tiny import tiny_causal, tiny_tokenizer
from evenhand_standard.decoding.self_debias import DESCRIPTION, SUBJECTS, SelfDebias, suppressed
from evenhand_standard.decoding.told_contexts import told_contexts, user_header

WORDS = "The following text is bad:"
CHAT = (
    "{% if messages[0].role != 'system' %}<s>system\nYou are kind.</s>\n{% endif %}"
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


# ------------------------------------------------------------ contexts
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_description_stands_at_the_beginning_behind_the_token_that_begins_every_text(family: str) -> None:
    tokenizer = tiny_tokenizer(family)
    ids = tokenizer("Rain fell")["input_ids"]
    bare = tokenizer("Rain fell", add_special_tokens=False)["input_ids"]
    words = tokenizer(WORDS + "\n", add_special_tokens=False)["input_ids"]
    assert (family == "gemma3") == (len(ids) > len(bare))
    assert told_contexts(tokenizer, [WORDS])(ids) == [(*ids[: len(ids) - len(bare)], *words, *bare)]


def test_in_a_chat_it_stands_in_the_last_turn_of_the_user() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Who fell?"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    [context] = told_contexts(tokenizer, [WORDS])(tokenizer(text)["input_ids"])
    expected = text.replace("Who fell?", f"{WORDS}\nWho fell?")
    assert tokenizer.decode(context) == expected and expected != text
    assert tokenizer.decode(user_header(tokenizer)) == "</s>\n<s>user\n"


def test_a_context_of_a_longer_prefix_continues_that_of_a_shorter_one() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("She said that the king of the old town was late")["input_ids"]
    contexts = told_contexts(tokenizer, [WORDS, "Another one:"])
    for k in range(1, len(ids)):
        assert [c[:-1] for c in contexts(ids[: k + 1])] == contexts(ids[:k])


# ------------------------------------------------------------ formula
def logits_of(*p: float) -> torch.Tensor:
    return torch.tensor(p, dtype=torch.float64).log()


def test_the_rule_against_values_worked_by_hand() -> None:
    own, others = logits_of(0.5, 0.3, 0.2), torch.stack([logits_of(0.4, 0.34, 0.26), logits_of(0.6, 0.2, 0.2)])
    # Likelier by 0.1, 0.04 and 0.06 in the worse of the two contexts; decay 10.
    kept = [0.5 * math.exp(-1.0), 0.3 * math.exp(-0.4), 0.2 * math.exp(-0.6)]
    out = suppressed(own, others, 10.0, 0.01, 1.0)
    assert out.exp().tolist() == pytest.approx([k / sum(kept) for k in kept], rel=1e-12)


def test_a_word_that_is_not_likelier_keeps_its_odds_against_others_that_are_not() -> None:
    out = suppressed(logits_of(0.5, 0.3, 0.2), logits_of(0.2, 0.1, 0.7)[None], 50.0, 0.01, 1.0).exp()
    assert (out[0] / out[1]).item() == pytest.approx(5 / 3, rel=1e-12)
    # The third would keep exp(-25), less than the floor.
    assert (out[2] / out[0]).item() == pytest.approx(0.01 * 0.2 / 0.5, rel=1e-12)


def test_the_change_of_one_distribution_is_bounded() -> None:
    own, other = logits_of(0.6, 0.4), logits_of(0.99, 0.01)[None]
    free = suppressed(own, other, 50.0, 0.01, 1.0).exp()
    assert 0.5 * (free - own.exp()).abs().sum().item() > 0.5
    for most in (0.5, 0.1):
        bound = suppressed(own, other, 50.0, 0.01, most).exp()
        assert 0.5 * (bound - own.exp()).abs().sum().item() == pytest.approx(most, rel=1e-9)
        assert bound.sum().item() == pytest.approx(1.0, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=4, max_size=4), st.lists(st.floats(-8, 8), min_size=4, max_size=4))
def test_probabilities_add_up_and_equal_contexts_change_nothing(a: list[float], b: list[float]) -> None:
    own, other = torch.tensor(a, dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    assert suppressed(own, other, 50.0, 0.01, 0.5).exp().sum().item() == pytest.approx(1.0, rel=1e-9)
    same = suppressed(own, own[None], 50.0, 0.01, 0.5)
    torch.testing.assert_close(same, own.log_softmax(-1), rtol=0, atol=1e-12)


def test_impossible_tokens_stay_impossible() -> None:
    out = suppressed(logits_of(0.0, 0.5, 0.5), logits_of(0.5, 0.5, 0.0)[None], 50.0, 0.01, 0.5)
    assert out.exp().tolist() == pytest.approx([0.0, 0.5, 0.5])


# ------------------------------------------------------------ model
def slow(model: Any, tokenizer: Any, prompt: str, words: list[str], n: int, *, bos: bool) -> list[list[float]]:
    """p' of each step, one sequence at a time, without cache, by the formula as it is printed."""
    ids, rows = list(tokenizer(prompt)["input_ids"]), []
    for _ in range(n):
        contexts = []
        for text in words:
            told = tokenizer(text + "\n", add_special_tokens=False)["input_ids"]
            contexts.append([ids[0], *told, *ids[1:]] if bos else [*told, *ids])
        p, *q = (
            model(input_ids=torch.tensor([c])).logits[0, -1].double().softmax(-1).tolist() for c in [ids, *contexts]
        )
        kept = [a * max(0.01, math.exp(-50.0 * max(0.0, max(x[w] for x in q) - a))) for w, a in enumerate(p)]
        new = [k / sum(kept) for k in kept]
        tv = 0.5 * sum(abs(a - b) for a, b in zip(p, new, strict=True))
        c = min(1.0, 0.5 / tv) if tv else 1.0
        rows.append([a + c * (b - a) for a, b in zip(p, new, strict=True)])
        ids.append(max(range(len(p)), key=rows[-1].__getitem__))
    return rows


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_twenty_steps_in_a_batch_equal_the_slow_reference(family: str, run_of: Any) -> None:
    model, tokenizer = tiny_causal(family)
    model.generation_config.eos_token_id = None
    words = [DESCRIPTION.format(SUBJECTS[name]) for name in ("gender", "religion")]
    rule = SelfDebias(about=("gender", "religion")).decoding(run_of(model, tokenizer), model)
    prompts = ["The nurse said that she", "Rain fell"]
    ids = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(
        **ids, max_new_tokens=20, min_new_tokens=20, do_sample=False, output_scores=True, return_dict_in_generate=True
    )
    del model.generate
    for b, prompt in enumerate(prompts):
        expected = slow(model, tokenizer, prompt, words, 20, bos=family == "gemma3")
        for found, row in zip(out.scores, expected, strict=True):
            special = tokenizer.eos_token_id
            values = torch.tensor(row, dtype=torch.float64)
            kept = torch.arange(len(row)) != special
            torch.testing.assert_close(found[b].double().exp()[kept], values[kept], atol=2e-5, rtol=1e-3)


def test_teacher_forced_scores_equal_stepwise_ones(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    model, tokenizer = run.services.model, run.tokenizer
    rule = SelfDebias().decoding(run, model)
    ids = tokenizer("She said that the king was late")["input_ids"]
    [whole] = distributions(model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]), torch.as_tensor(alone[0]), atol=1e-4, rtol=0)


def test_strength_0_is_no_rule_and_a_small_one_changes_less(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert SelfDebias(strength=0.0).decoding(run, run.services.model) is None
    request = Request(prompt="The nurse said that she", max_new_tokens=1)
    moved = {}
    for strength in (0.01, 0.1, 1.0):
        rule = SelfDebias(strength=strength, most=1.0).decoding(run, run.services.model)
        [change] = run.services.generate([request], rules=[rule])[0].changes
        assert change.rule == "step"
        moved[strength] = change.total_variation
    assert 0 < moved[0.01] < moved[0.1] < moved[1.0]


def test_nothing_to_avoid_and_empty_descriptions_are_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing to avoid"):
        SelfDebias(about=())
    with pytest.raises(UsageError, match="descriptions"):
        SelfDebias(descriptions=("",))
    assert SelfDebias(about=(), descriptions=("Bad:", "Bad:")).words == ("Bad:",)


def test_the_context_of_a_description_must_have_room_for_the_answer(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = SelfDebias().decoding(run, run.services.model)
    with pytest.raises(UsageError, match="decoding rule 'step': a context of the rule has"):
        run.services.generate([Request(prompt="The nurse said", max_new_tokens=505)], rules=[rule])
