"""Each rule on tokens in beam search against scoring, and each decoding plugin at strength 0 in every way to decode."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import evenhand
from evenhand.contributions import Request
from evenhand.discovery import discover
from evenhand.generation import generate
from evenhand.scoring import distributions

RULES: list[tuple[str, dict[str, Any]]] = [
    ("counterfactual-averaging", {}),
    ("counterfactual-averaging", {"axes": ["gender", "religion"], "form": "published"}),
    ("probability-balancing", {"axes": ["gender", "age"]}),
    ("self-debias", {"about": ["gender", "race"]}),
    ("contrastive-guidance", {}),
    ("expert-guidance", {}),
    ("gradient-decoding", {"gate": 0.0, "steps": 2}),
]
PROMPTS = ["The nurse told her brother that the", "A Muslim man", "Rain fell on the town and"]
DECODING = (
    "abstention", "answer-rewriting", "contrastive-guidance", "counterfactual-averaging", "expert-guidance",
    "gradient-decoding", "masked-rewriting", "probability-balancing", "prompt-intervention", "reranking", "self-debias",
)  # fmt: skip


@pytest.mark.parametrize(("plugin", "options"), RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_scores_of_beams_are_sums_of_what_scoring_gives(plugin: str, options: Any, tiny: Any) -> None:
    """In a left-padded batch: log p' of each token that was chosen, by the same rules on given text."""
    model, tokenizer = tiny()
    model.generation_config.eos_token_id = None
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    with evenhand.decode_with(model, tokenizer, [(plugin, options)]) as decoding:
        out = model.generate(
            **batch, max_new_tokens=6, num_beams=3, num_return_sequences=2, length_penalty=0.0, do_sample=False,
            return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        rules = list(decoding.rules)
    acted = 0.0
    for number, sequence in enumerate(out.sequences):
        blanks = int((batch["attention_mask"][number // 2] == 0).sum())
        ids, start = sequence[blanks:].tolist(), batch["input_ids"].shape[1] - blanks
        ruled, plain = (
            torch.as_tensor(distributions(model, [ids], [range(len(ids))], rules=r, dtype="float32")[0])
            for r in (rules, [])
        )
        chosen = torch.tensor(ids[start:])[:, None]
        expected = ruled[start - 1 : -1].log_softmax(-1).gather(1, chosen).sum()
        assert out.sequences_scores[number].item() == pytest.approx(expected.item(), abs=2e-3)
        acted += float((ruled[start - 1 :].softmax(-1) - plain[start - 1 :].softmax(-1)).abs().sum())
    assert acted > 0.01


def test_every_decoding_plugin_is_here() -> None:
    rows = discover().rows
    ours = {row.name for row in rows if row.target.startswith("evenhand_standard.decoding.")}
    assert ours == set(DECODING)


@pytest.mark.parametrize("plugin", DECODING)
def test_at_strength_0_every_way_to_decode_is_plain_bit_by_bit(plugin: str, tiny: Any) -> None:
    model, tokenizer = tiny()
    bare = copy.deepcopy(model)
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    ways: list[dict[str, Any]] = [
        {"do_sample": False},
        {"do_sample": True, "top_k": 40},
        {"do_sample": False, "num_beams": 3},
    ]
    with evenhand.decode_with(model, tokenizer, [(plugin, {"strength": 0.0})]):
        for way in ways:
            found = []
            for each in (model, bare):
                torch.manual_seed(2)
                found.append(
                    each.generate(
                        **batch, **way, max_new_tokens=6, return_dict_in_generate=True, output_scores=True
                    )
                )  # fmt: skip
            assert torch.equal(found[0].sequences, found[1].sequences)
            assert all(torch.equal(a, b) for a, b in zip(found[0].scores, found[1].scores, strict=True))


@pytest.mark.parametrize("plugin", DECODING)
def test_at_strength_0_answers_by_beams_are_those_without_rules(plugin: str, tiny: Any) -> None:
    model, tokenizer = tiny()
    plain = generate(model, tokenizer, [Request(prompt=p, max_new_tokens=6) for p in PROMPTS], num_beams=3, title=None)
    with evenhand.decode_with(model, tokenizer, [(plugin, {"strength": 0.0})]) as decoding:
        found = decoding.generate(PROMPTS, max_new_tokens=6, num_beams=3)
    assert found == [answer.text for answer in plain]


AROUND: list[tuple[str, dict[str, Any], str, str]] = [
    ("prompt-intervention", {"form": "instruction"}, "prompt", "The nurse said that she"),
    ("reranking", {}, "choice", "The nurse said that she"),
]


@pytest.mark.parametrize(("plugin", "options", "what", "prompt"), AROUND, ids=lambda value: str(value)[:19])
def test_rules_around_requests_ask_by_beams(plugin: str, options: Any, what: str, prompt: str, tiny: Any) -> None:
    """Together with a rule on tokens: what they were asked, or answered, is what beams find under that rule."""
    model, tokenizer = tiny()

    def answer(text: str, *plugins: Any) -> Any:
        with evenhand.decode_with(model, tokenizer, [*plugins, "self-debias"]) as decoding:
            rules = decoding.rules
        [found] = generate(
            model, tokenizer, [Request(prompt=text, max_new_tokens=8)], rules=rules, num_beams=3, title=None
        )
        return found

    found = answer(prompt, (plugin, options))
    [change] = found.request_changes
    assert change.what == what
    assert {c.rule for c in found.changes} == {"self-debias"}
    if what == "prompt":
        assert found.text == answer(change.after).text and change.after != prompt
    else:
        assert change.before == answer(prompt).text and found.text == change.after
