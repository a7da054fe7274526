"""Contrastive explanations: exact on a linear model, finite differences on a deep one, and honest about itself."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError
from evenhand_standard.transparency.contrastive_explanation import (
    PROMPTS,
    WHAT,
    ContrastiveExplanation,
    Explanation,
    Question,
    ask,
    correlation,
    explain,
    facts,
    heat,
)


class Linear(torch.nn.Module):
    """Logits that are a weighted sum of all embeddings: every attribution is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(3, 5, bias=False)
        self.device = torch.device("cpu")

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def forward(self, inputs_embeds: torch.Tensor) -> Any:
        summed = inputs_embeds.cumsum(1)
        return SimpleNamespace(logits=self.out(summed))


def test_on_a_linear_model_both_attributions_are_the_exact_shares() -> None:
    torch.manual_seed(0)
    model = Linear()
    found = explain(model, Question(ids=(1, 4, 2), position=2, words=(0, 1, 2)), 3, 0)
    direction = model.out.weight[3] - model.out.weight[0]
    shares = [float((model.embedding.weight[t] @ direction).detach()) for t in (1, 4, 2)]
    assert found.attributions == pytest.approx(shares, abs=1e-6)
    assert found.erasures == pytest.approx(shares, abs=1e-6)
    assert found.gap == pytest.approx(sum(shares), abs=1e-6)
    assert found.faithfulness == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_on_a_tiny_model_against_finite_differences_and_single_erasures(kind: str, tiny: Any) -> None:
    model, tokenizer = tiny(kind)
    model = model.double()
    question = ask("The nurse said that ___ was good.", tokenizer, masked=kind == "masked")
    target, foil = (tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in (" she", " he"))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    found = explain(model, question, target, foil)
    embedded = model.get_input_embeddings()(torch.tensor([question.ids])).detach()

    def gap(embeddings: torch.Tensor) -> float:
        with torch.no_grad():
            logits = model(inputs_embeds=embeddings).logits[0, question.position]
        return float(logits[target] - logits[foil])

    assert found.gap == pytest.approx(gap(embedded), abs=1e-5)
    for k in range(len(question.ids)):
        if k not in question.words:
            assert found.attributions[k] == found.erasures[k] == 0.0
            continue
        up, down, gone = embedded.clone(), embedded.clone(), embedded.clone()
        up[0, k] *= 1 + 1e-3
        down[0, k] *= 1 - 1e-3
        gone[0, k] = 0
        slope = (gap(up) - gap(down)) / 2e-3  # along the embedding itself: gradient x input
        assert found.attributions[k] == pytest.approx(slope, abs=2e-3)
        assert found.erasures[k] == pytest.approx(gap(embedded) - gap(gone), abs=1e-5)
        assert found.gradients[k] * float(embedded[0, k].abs().max()) >= abs(found.attributions[k])
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())


def test_a_causal_prompt_ends_before_the_gap_and_a_masked_one_has_a_mask_in_it(tiny: Any) -> None:
    _, tokenizer = tiny("causal")
    question = ask("The nurse said that ___ was good.", tokenizer, masked=False)
    assert tokenizer.decode(question.ids) == "The nurse said that"
    assert question.position == question.words[-1] == len(question.ids) - 1
    _, tokenizer = tiny("masked")
    question = ask("The nurse said that ___ was good.", tokenizer, masked=True)
    assert question.ids[question.position] == tokenizer.mask_token_id
    assert set(question.words) == set(range(1, len(question.ids) - 1)) - {question.position}


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_section_has_a_colouring_for_each_prompt_and_method(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    with torch.no_grad():
        next(iter(model.parameters())).mul_(1.5)
    section = ContrastiveExplanation(methods=("gradient-x-input", "gradient", "erasure")).transparency(run, model, None)
    assert section.title == "Why 'she' and not 'he'"
    assert len(section.figures) == 3 * len(PROMPTS) == 12
    for figure in section.figures:
        assert len(figure.tokens) == len(figure.weights) >= 6
        assert any(figure.weights)
    by_input, plain, erased = section.figures[:3]
    start = f"\u201c{PROMPTS[0]}\u201d "
    shown = re.fullmatch(
        start + r"Gradient times input\. Gap ([+\u2212]\d\.\d{3}) before, ([+\u2212]\d\.\d{3}) after; "
        r"faithfulness [+\u2212]\d\.\d\d\.", by_input.caption
    )  # fmt: skip
    assert shown and shown[1] != shown[2]
    assert plain.caption.startswith(start + "Size of the gradient. Gap") and not plain.negative
    assert min(plain.weights) >= 0
    assert erased.caption == f"{start}Erasing each token. Gap {shown[1]} before, {shown[2]} after." and not erased.doubt
    assert [fact.label for fact in section.facts] == [
        "mean size of the gap before", "mean size of the gap after", "faithful by gradient times input",
    ]  # fmt: skip
    doubted = sum(bool(f.doubt) for f in section.figures[::3])
    assert section.facts[2].value == f"{4 - doubted} of 4 prompts"
    assert section.facts[0].value == float(f"{section.facts[0].value:.3g}")


def test_a_gap_that_nothing_changed_is_told_once() -> None:
    found = Explanation(0.5, [0.1], [0.3], [0.5], 0.4, 0.9)
    assert heat("erasure", "The ___", ["The"], 0.5, found, "she", "he").caption == (
        "\u201cThe ___\u201d Erasing each token. Gap +0.500 before and after."
    )
    assert [(f.label, f.value) for f in facts([0.5], [found])] == [
        ("mean size of the gap before and after", 0.5), ("faithful by gradient times input", "1 of 1 prompts"),
    ]  # fmt: skip


@pytest.mark.parametrize("faithfulness", [-0.395, 0.0, None, 0.4])
def test_a_colouring_that_is_not_faithful_says_so_and_erasure_never_does(faithfulness: float | None) -> None:
    found = Explanation(0.5, [0.1, 0.2], [0.3, 0.4], [0.5, 0.6], faithfulness, 0.9)
    drawn = {m: heat(m, "The ___", ["The", " a"], 0.1, found, "she", "he") for m in WHAT}
    doubt = (
        ""
        if faithfulness == 0.4
        else ("Not faithful: erasing these words does not change the choice as the colours say; do not read them.")
    )
    assert [drawn[m].doubt for m in ("gradient-x-input", "gradient", "erasure")] == [doubt, "", ""]
    assert drawn["gradient-x-input"].weights == [0.1, 0.2] and drawn["erasure"].weights == [0.5, 0.6]


def test_correlation_against_values_worked_by_hand() -> None:
    assert correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(1.0)
    assert correlation([1.0, 2.0, 3.0], [1.0, 0.0, 1.0]) == pytest.approx(0.0)
    assert correlation([1.0, 2.0, 3.0], [3.0, 3.0, 0.0]) == pytest.approx(-3 / (2 * 6) ** 0.5)
    assert correlation([1.0, 1.0], [0.0, 1.0]) is None


def test_words_that_are_no_partners_or_no_single_tokens_are_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError) as caught:
        ContrastiveExplanation(target="she", foil="king").transparency(run, model, None)
    assert str(caught.value) == (
        "options target and foil: 'she' and 'king' are no partners in the axis 'gender'\n  partners of 'she': he"
    )
    with pytest.raises(UsageError, match="'heroine' is not one token of this model"):
        ContrastiveExplanation(target="heroine", foil="hero").transparency(run, model, None)


def test_a_prompt_without_a_gap_is_refused_when_options_are_read() -> None:
    with pytest.raises(UsageError, match="'The nurse.' must have ___ once"):
        ContrastiveExplanation(prompts=["The nurse."])
    with pytest.raises(UsageError, match="has nothing before ___ that could be explained"):
        ContrastiveExplanation(prompts=["___ is good."])
