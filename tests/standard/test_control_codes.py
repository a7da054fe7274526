"""Control codes: scores and bins by hand, the rows, decoding against a slow reference, and that no code is written."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from data_steps import applied
from datasets import Dataset

from evenhand.attached_rules import attach
from evenhand.errors import UsageError
from evenhand.generation import generate
from evenhand.scoring import distributions
from evenhand_sdk import Request
from evenhand_standard.objective.control_codes import ControlCodes, conditioned, forbidden, quantised, written

TEXTS = [
    "She said that the nurse was good.",
    "He is an engineer at the house.",
    "Rain fell on the town.",
    "Her brother was tired of the work.",
    "The king met his people.",
]


# --- bins -------------------------------------------------------------------------------------------------------------


def test_bins_are_of_equal_size_and_the_least_scores_come_first() -> None:
    scores = dict(enumerate([0.9, 0.1, 0.5, 0.2, 0.7, 0.4]))
    assert quantised(scores, 2) == {0: 1, 1: 0, 2: 1, 3: 0, 4: 1, 5: 0}
    assert quantised(scores, 3) == {1: 0, 3: 0, 5: 1, 2: 1, 4: 2, 0: 2}


def test_equal_scores_share_a_bin_and_one_bin_is_refused() -> None:
    assert quantised({0: 0.0, 1: 0.0, 2: 0.0, 3: 1.0}, 2) == {0: 0, 1: 0, 2: 0, 3: 1}
    for scores in ({0: 0.3, 1: 0.3}, {}):
        with pytest.raises(UsageError, match=f"the {len(scores)} texts that have a score would all get the same code"):
            quantised(scores, 2)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_texts_get_the_code_of_their_gap_and_those_that_name_no_group_get_none(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    rows, facts, account = applied(ControlCodes, run, Dataset.from_dict({"text": TEXTS}), names=False)

    def mean(text: str) -> float:
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return float(sum(logp[t - 1, ids[t]] for t in range(1, len(ids)))) / (len(ids) - 1)

    swapped = {
        0: "He said that the nurse was good.",
        1: "She is an engineer at the house.",
        3: "His sister was tired of the work.",
        4: "The queen met her people.",
    }
    gaps = {row: abs(mean(TEXTS[row]) - mean(other)) for row, other in swapped.items()}
    even = sorted(gaps, key=gaps.__getitem__)[:2]
    expected = [
        TEXTS[row] if row not in gaps else f"<bias:{0 if row in even else 1}>\n{TEXTS[row]}" for row in range(5)
    ]
    assert rows["text"][:] == expected
    assert facts["texts with a score"] == 4 and facts["<bias:0>"].startswith("2 texts with scores from")
    assert account.changed == 4


def test_a_column_scores_every_text_and_strength_is_the_share_that_gets_a_code(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    texts = [f"Sentence {k} of many." for k in range(200)]
    data = Dataset.from_dict({"text": texts, "mood": [k / 200 for k in range(200)]})
    rows, _, _ = applied(ControlCodes, run, data, by="column:mood", bins=4)
    assert [text.partition("\n")[0] for text in rows["text"]] == [written("bias", k // 50) for k in range(200)]
    half, _, _ = applied(ControlCodes, run, data, by="column:mood", bins=4, strength=0.5)
    marked = [text != own for text, own in zip(half["text"], texts, strict=True)]
    assert 70 < sum(marked) < 130
    assert {(a, b) for a, b, m in zip(half["text"], rows["text"], marked, strict=True) if m and a != b} == set()


def test_rows_that_another_loss_reads_as_they_are_get_no_code_and_move_no_edge(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    mood = [0.1, 9.0, 0.2, -9.0, 0.3, 8.0, 0.4]  # with the fixed ones, 0.3 would be in the middle and 0.4 above it
    fixed = ["", "unlearning", "", "preference-pairs", "", "unlearning", ""]
    texts = [f"Sentence {k} says <bias:3> here." if k == 1 else f"Sentence {k}." for k in range(7)]
    data = Dataset.from_dict({"text": texts, "mood": mood, "evenhand_fixed": fixed})
    rows, facts, account = applied(ControlCodes, run, data, by="column:mood", bins=2)
    codes = {0: 0, 2: 0, 4: 1, 6: 1}
    assert rows["text"][:] == [f"<bias:{codes[k]}>\n{texts[k]}" if k in codes else texts[k] for k in range(7)]
    assert facts == {
        "texts with a score": 4,
        "<bias:0>": "2 texts with scores from 0.1 to 0.2",
        "<bias:1>": "2 texts with scores from 0.3 to 0.4",
    }
    assert (account.changed, account.kept) == (4, 3)
    with pytest.raises(UsageError, match="only one text has a score, and a code tells texts apart"):
        applied(ControlCodes, run, data.select([0, 1, 3, 5]), by="column:mood")


def test_fixed_rows_name_no_gap_and_are_not_scored(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    alone, _, _ = applied(ControlCodes, run, Dataset.from_dict({"text": TEXTS}), names=False)
    both = Dataset.from_dict({"text": [*TEXTS, *TEXTS], "evenhand_fixed": [""] * 5 + ["unlikelihood"] * 5})
    rows, facts, _ = applied(ControlCodes, run, both, names=False)
    assert rows["text"][:] == [*alone["text"], *TEXTS] and facts["texts with a score"] == 4


def test_a_code_in_a_text_is_taken_out_and_a_scorer_ranks_by_its_sign(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    texts = ["<mood:1>\nWhat a lovely, happy day.", "What a horrible, <mood:3>ugly day."]
    rows, _, _ = applied(ControlCodes, run, Dataset.from_dict({"text": texts}), by="vader", code="mood")
    assert rows["text"][:] == ["<mood:0>\nWhat a lovely, happy day.", "<mood:1>\nWhat a horrible, ugly day."]
    more = {"text": [*texts, "It says <mood:0> here."], "score": [0.0, 1.0, None]}
    rows, _, account = applied(ControlCodes, run, Dataset.from_dict(more), by="column:score", code="mood")
    assert rows["text"][2] == "It says  here." and account.changed == 3


def test_bad_options_and_columns(tiny: Any, run_of: Any) -> None:
    with pytest.raises(UsageError, match="decode is 2, and the codes are 0 to 1"):
        ControlCodes(decode=2)
    with pytest.raises(UsageError, match="the data have no column 'mood'"):
        applied(ControlCodes, run_of(*tiny()), Dataset.from_dict({"text": TEXTS}), by="column:mood")


def test_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run, rows = run_of(model, tokenizer), Dataset.from_dict({"text": TEXTS})
    plugin = ControlCodes(strength=0.0, by="transformers:/nowhere#bad")
    assert plugin.data(run, "train", model).fn(rows) is rows
    assert plugin.decoding(run, model) is None


# --- decoding ---------------------------------------------------------------------------------------------------------


def test_what_must_not_follow_is_the_last_piece_of_what_all_codes_begin_with() -> None:
    assert forbidden([[7, 8, 9, 1], [7, 8, 9, 2]]) == [((7, 8), 9)]
    assert forbidden([[5], [6]]) == [((), 5), ((), 6)]


def test_the_mixture_and_the_ban_by_hand() -> None:
    own, behind = torch.tensor([0.5, 0.25, 0.25]).log(), torch.tensor([0.1, 0.1, 0.8]).log()
    ids = torch.tensor([[-1, 4], [4, 9]])
    rule = conditioned(0.5, [((4,), 2)])
    out = rule(ids, torch.stack([own, own]), [behind[None], behind[None]]).exp()
    roots = [math.sqrt(0.5 * 0.1), math.sqrt(0.25 * 0.1), math.sqrt(0.25 * 0.8)]
    assert out[1].tolist() == pytest.approx([r / sum(roots) for r in roots], rel=1e-6)
    assert out[0].tolist() == pytest.approx([roots[0] / sum(roots[:2]), roots[1] / sum(roots[:2]), 0.0], rel=1e-6)
    alone = conditioned(1.0, [])(ids, torch.stack([own, own]), [behind[None], behind[None]])
    torch.testing.assert_close(alone[0].exp(), behind.exp())


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_twenty_steps_in_a_batch_equal_the_slow_reference(strength: float, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    model.generation_config.eos_token_id = None
    rule = ControlCodes(strength=strength).decoding(run_of(model, tokenizer), model)
    prompts = ["The nurse said that she", "Rain fell"]
    code = tokenizer("<bias:0>\n", add_special_tokens=False)["input_ids"]
    parts = [tokenizer(written("bias", k), add_special_tokens=False)["input_ids"] for k in (0, 1)]
    shared = next(k for k, (a, b) in enumerate(zip(*parts, strict=False)) if a != b)
    ids = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    attach(model, tokenizer, [rule])
    out = model.generate(**ids, max_new_tokens=20, do_sample=False, output_scores=True, return_dict_in_generate=True)
    del model.generate
    assert len(out.scores) == 20
    for b, prompt in enumerate(prompts):
        row = list(tokenizer(prompt)["input_ids"])
        for found in out.scores:
            with torch.no_grad():
                own, behind = (
                    model(input_ids=torch.tensor([x])).logits[0, -1].double().log_softmax(-1) for x in (row, code + row)
                )
            expected = (1 - strength) * own + strength * behind
            if row[-(shared - 1) :] == parts[0][: shared - 1]:
                expected[parts[0][shared - 1]] = -math.inf
            torch.testing.assert_close(found[b].double().exp(), expected.softmax(-1), atol=2e-5, rtol=1e-3)
            row.append(int(expected.argmax()))


def test_scores_of_given_text_equal_stepwise_ones(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = ControlCodes().decoding(run, run.services.model)
    ids = run.tokenizer("She said that the king was late")["input_ids"]
    [whole] = distributions(run.services.model, [ids], [range(len(ids))], rules=[rule], dtype="float32")
    for t in range(len(ids)):
        [alone] = distributions(run.services.model, [ids[: t + 1]], [[t]], rules=[rule], dtype="float32")
        torch.testing.assert_close(torch.as_tensor(whole[t]), torch.as_tensor(alone[0]), atol=1e-4, rtol=0)


def test_a_trained_model_follows_its_code_and_never_writes_one(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=80, batch_size=8, learning_rate=3e-3)
    good, bad = "The town was good and good and good.", "The town was bad and bad and bad."
    data = Dataset.from_dict({"text": [good, bad] * 8, "mood": [0.0, 1.0] * 8})
    rows = ControlCodes(by="column:mood").data(run, "train", model).fn(data)
    trained, _ = run.services.train(rows, [], name="coded")
    request = [Request(prompt="The town was", max_new_tokens=5)]
    answers = {}
    for code in (0, 1):
        rule = ControlCodes(by="column:mood", decode=code).decoding(run, trained)
        answers[code] = generate(trained, tokenizer, request, rules=[rule])[0].text
    assert "good" in answers[0] and "bad" not in answers[0]
    assert "bad" in answers[1] and "good" not in answers[1]
    rule = ControlCodes(by="column:mood").decoding(run, trained)
    many = [
        Request(prompt=text, max_new_tokens=30, temperature=1.5, seed=k) for k, text in enumerate(["<", "<bias"] * 6)
    ]
    found = [a.request.prompt + a.text for a in generate(trained, tokenizer, many, rules=[rule], temperature=1.5)]
    assert not any("<bias:" in text for text in found)
