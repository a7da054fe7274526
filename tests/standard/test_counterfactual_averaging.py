"""Averaged decoding: contexts made on tokens, the formula, parity at strength 1, and generation in step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.contributions import DecodingRule
from evenhand.scoring import distributions
from evenhand_sdk import Request, load_axis
from evenhand_sdk.counterfactual import swap_prefix
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.decoding.contrastive_guidance import ContrastiveGuidance
from evenhand_standard.decoding.counterfactual_averaging import (
    CounterfactualAveraging,
    averaged,
    published,
    swapped_contexts,
)
from evenhand_standard.decoding.self_debias import SelfDebias
from evenhand_standard.decoding.token_edits import TokenEditor

TOKENIZER = tiny_tokenizer("llama")
CONTEXTS = swapped_contexts(TokenEditor(TOKENIZER), [load_axis("gender")], names=True)


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text)["input_ids"])


def text_of(ids: Any) -> str:
    return TOKENIZER.decode(list(ids), clean_up_tokenization_spaces=False)


# ------------------------------------------------------------ contexts
@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("She said that her brother", "He said that his sister"),
        ("The ballerina and the policewoman sang", None),
        ("A café – naïve, 東京 – where he", "A café – naïve, 東京 – where she"),
        ("I met Mary", "I met John"),
        ("(he)", "(she)"),
    ],
)
def test_a_context_reads_as_the_swapped_text(text: str, swapped: str | None) -> None:
    expected = swapped or swap_prefix(text, load_axis("gender"))
    assert expected != text
    assert [text_of(c) for c in CONTEXTS(ids_of(text))] == [expected]


def test_tokens_outside_the_edits_keep_their_ids() -> None:
    # No tokenizer would split "town" like this, but a prefix may.
    odd = (
        *ids_of("The t"),
        *ids_of("o"),
        *ids_of("wn of the"),
        *ids_of(" king"),
        *ids_of(" wa"),
        *ids_of("s"),
    )
    (context,) = CONTEXTS(odd)
    place = len(ids_of("The t")) + 1 + len(ids_of("wn of the"))
    assert context == (*odd[:place], *ids_of(" queen"), *odd[place + 1 :])


def test_a_prefix_without_a_group_word_has_no_context() -> None:
    assert CONTEXTS(ids_of("The town is on a river")) == []
    assert CONTEXTS(()) == []


def test_special_tokens_stay_and_are_no_part_of_words() -> None:
    bos, eos = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id
    prefix = (bos, *ids_of("He"), eos, *ids_of("She said"))
    assert CONTEXTS(prefix) == [(bos, *ids_of("She"), eos, *ids_of("He said"))]


def test_exempt_phrases_leave_the_text_alone_once_they_are_complete() -> None:
    contexts = swapped_contexts(
        TokenEditor(TOKENIZER), [load_axis("gender")], names=True, exempt=["Ruth Bader Ginsburg"]
    )
    assert len(contexts(ids_of("She was with Ruth Bader"))) == 1
    assert contexts(ids_of("She was with ruth bader ginsburg")) == []


def test_k_groups_give_k_minus_1_contexts(belief: str) -> None:
    contexts = swapped_contexts(TokenEditor(TOKENIZER), [load_axis(belief)], names=True)
    assert [text_of(c) for c in contexts(ids_of("My church is"))] == ["My synagogue is", "My mosque is"]


@pytest.mark.parametrize(
    ("axis", "text", "first"),
    [
        ("race", "Black people are", "White people are"),
        ("race", "My Black neighbour", "My White neighbour"),
        ("race", "The African American man said", "The Caucasian man said"),
        ("religion", "Muslims are", "Christians are"),
        ("religion", "She is a Muslim and", "She is a Christian and"),
        ("age", "The old man said", "The young man said"),
        ("age", "An elderly woman", "A young woman"),
        ("disability", "Disabled people are", "Non-disabled people are"),
        ("nationality", "The German man", "The American man"),
        ("sexual-orientation", "Gay people are", "Straight people are"),
        ("socioeconomic", "The homeless man", "The wealthy man"),
        ("body-size", "The fat woman", "The thin woman"),
    ],
)
def test_on_other_axes_what_follows_a_word_says_whether_it_names_a_person(axis: str, text: str, first: str) -> None:
    contexts = swapped_contexts(TokenEditor(TOKENIZER), [load_axis(axis)], names=True)
    assert text_of(contexts(ids_of(text))[0]) == first


WORDS = st.sampled_from(
    [
        "She",
        "he",
        "her",
        "his",
        "said",
        "that",
        "the",
        "king",
        "queen",
        "with",
        "café",
        "town",
        ".",
        ",",
        "東京",
        "Mary",
        "mother's",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_contexts_are_a_pure_function_of_the_prefix_and_grow_with_it(text: str) -> None:
    ids = ids_of(text)
    fresh = swapped_contexts(TokenEditor(tiny_tokenizer("llama")), [load_axis("gender")], names=True)
    growing = [CONTEXTS(ids[:k]) for k in range(len(ids) + 1)]
    assert growing[-1] == fresh(ids)
    assert [CONTEXTS(ids[:k]) for k in reversed(range(len(ids) + 1))] == growing[::-1]
    # what a pronoun stands for, a surname and a queen mother only the following words tell
    if {"Mary", "her", "his"}.isdisjoint(text.split()) and "queen mother" not in text:
        assert [text_of(c) for c in growing[-1]] == [t for t in [swap_prefix(text, load_axis("gender"))] if t != text]


def test_sentencepiece_tokens_that_carry_their_space_are_edited() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "a", "▁a", "▁The", "▁king", "▁queen", "▁said", ".", "▁", "k", "q"]
    core = Tokenizer(models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    contexts = swapped_contexts(TokenEditor(tokenizer), [load_axis("gender")], names=True)
    assert contexts((3, 4, 6)) == [(3, 5, 6)]


# ------------------------------------------------------------ formula
BINS = torch.tensor([0, 0, 2, 3])  # tokens 0 and 1 are aligned group words


def logits_of(*p: float) -> torch.Tensor:
    return torch.tensor(p).log()


def test_the_average_against_values_worked_by_hand() -> None:
    own, other = logits_of(0.1, 0.3, 0.4, 0.2), logits_of(0.2, 0.0, 0.5, 0.3)
    out = averaged(own, other[None], BINS, 1.0)
    # Half and half in logarithms; the bin has mass .4 and .2, split 1 : 3 as in the original context.
    whole = math.sqrt(0.4 * 0.2)
    expected = [whole / 4, whole * 3 / 4, math.sqrt(0.4 * 0.5), math.sqrt(0.2 * 0.3)]
    assert out.exp().tolist() == pytest.approx(expected, rel=1e-5)
    half = averaged(own, other[None], BINS, 0.5)
    assert half[2].exp().item() == pytest.approx(0.4**0.75 * 0.5**0.25, rel=1e-5)


def test_three_groups_weigh_the_same_at_strength_1() -> None:
    own = logits_of(0.1, 0.3, 0.4, 0.2)
    others = torch.stack([logits_of(0.2, 0.1, 0.6, 0.1), logits_of(0.3, 0.3, 0.1, 0.3)])
    out = averaged(own, others, BINS, 1.0)
    assert out[3].exp().item() == pytest.approx((0.2 * 0.1 * 0.3) ** (1 / 3), rel=1e-5)


def test_impossible_tokens_stay_impossible_and_nothing_becomes_nan() -> None:
    own = logits_of(0.0, 0.0, 0.5, 0.5)
    out = averaged(own, logits_of(0.2, 0.3, 0.5, 0.0)[None], BINS, 1.0)
    assert out.exp().tolist() == pytest.approx([0.0, 0.0, 0.5, 0.0], abs=1e-6)


def test_words_that_the_model_got_later_are_words_of_no_group() -> None:
    """Two more of them than there are bins: `[0.1, 0.3]` is still one bin, all others are averaged by themselves."""
    own, other = logits_of(0.1, 0.3, 0.2, 0.1, 0.1, 0.2), logits_of(0.1, 0.1, 0.3, 0.1, 0.3, 0.1)
    whole = math.sqrt(0.4 * 0.2)
    expected = [whole / 4, whole * 3 / 4, *(math.sqrt(x) for x in (0.06, 0.01, 0.03, 0.02))]
    assert averaged(own, other[None], BINS, 1.0).exp().tolist() == pytest.approx(expected, rel=1e-5)
    assert averaged(own, other[None], torch.tensor([0, 0, 2, 3, 4, 5]), 1.0).exp().tolist() == pytest.approx(
        expected, rel=1e-5
    )


def test_the_published_rule_against_values_worked_by_hand() -> None:
    p, q = [0.1, 0.3, 0.4, 0.2], [0.2, 0.1, 0.41, 0.29]
    moved = [0.1, 0.3, 0.4 * (1 + math.tanh(1.0)), 0.2 * (1 + math.tanh(9.0))]
    expected = [0.01 * a + 0.99 * b / sum(moved) for a, b in zip(p, moved, strict=True)]
    out = published(logits_of(*p), logits_of(*q)[None], BINS, 1.0)
    assert out.exp().tolist() == pytest.approx(expected, rel=1e-4)


# ------------------------------------------------------------ model
def rules_of(run: Any, **options: Any) -> list[DecodingRule]:
    return CounterfactualAveraging(**options).decoding(run, run.services.model)


def rule_of(run: Any, **options: Any) -> Any:
    [rule] = rules_of(run, **options)
    return rule


def test_at_strength_1_folded_distributions_are_the_same_for_both_groups(tiny: Any, run_of: Any) -> None:
    from evenhand_sdk import fold, token_bins

    run = run_of(*tiny())
    rule = rule_of(run)
    bins = token_bins(TOKENIZER, load_axis("gender").bins(names=True), run.services.model.config.vocab_size)
    pair = [list(ids_of(t)) for t in ("She said that the king", "He said that the queen")]
    gaps = []
    for rules in ([], [rule]):
        left, right = (torch.as_tensor(d[-1]) for d in run.services.distributions(pair, rules=rules))
        gaps.append((fold(left, bins).exp() - fold(right, bins).exp()).abs().sum().item() / 2)
    assert gaps[0] > 0.05
    assert gaps[1] < 1e-5


def test_rows_without_a_group_word_are_bit_identical(tiny: Any, run_of: Any) -> None:
    rule = rule_of(run_of(*tiny()))
    torch.manual_seed(0)
    logits, other = torch.randn(3, 969), torch.randn(1, 969)
    out = rule.next_logits(torch.zeros(3, 1), logits, [logits[:0], other, logits[:0]])
    assert torch.equal(out[0], logits[0]) and torch.equal(out[2], logits[2])
    assert not torch.equal(out[1], logits[1])
    assert rule.next_logits(torch.zeros(3, 1), logits, [logits[:0]] * 3) is logits


@pytest.mark.parametrize("form", ["folded", "published"])
def test_a_model_may_get_words_after_its_rules(form: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    rules = rules_of(run, form=form)
    ids = ids_of("The woman said that")
    model.resize_token_embeddings(976, mean_resizing=False)
    [found] = distributions(model, [ids], [[len(ids) - 1]], rules=rules)
    [plain] = distributions(model, [ids], [[len(ids) - 1]])
    assert found.shape == plain.shape == (1, 976) and not torch.equal(found, plain)


def test_strength_0_is_no_rule(tiny: Any, run_of: Any) -> None:
    assert rules_of(run_of(*tiny()), strength=0.0) == []


CROSSED = [
    f"The {faith} {person} works as a" for faith in ("Muslim", "Christian", "Jewish") for person in ("woman", "man")
]


def spread(run: Any, rules: Sequence[DecodingRule], axes: Sequence[str]) -> float:
    """The largest total variation between what is expected behind two of the texts, group words folded."""
    from evenhand_sdk import fold, token_bins

    words = [bin for axis in axes for bin in load_axis(axis).bins(names=True)]
    bins = token_bins(TOKENIZER, words, run.services.model.config.vocab_size)
    found = run.services.distributions([list(ids_of(text)) for text in CROSSED], rules=rules)
    last = [fold(torch.as_tensor(d[-1]).log_softmax(-1), bins).exp() for d in found]
    return max(float((a - b).abs().sum()) / 2 for a in last for b in last)


def test_two_axes_of_one_text_are_averaged_over_all_pairs_of_their_groups(tiny: Any, run_of: Any) -> None:
    run, axes = run_of(*tiny()), ("gender", "religion")
    rules = rules_of(run, axes=axes)
    assert [rule.name for rule in rules] == ["step (gender)", "step (religion)"]
    assert spread(run, [], axes) > 0.05
    assert spread(run, rules, axes) < 1e-5
    assert spread(run, rules[:1], axes) > 0.05


@pytest.mark.parametrize("later", [ContrastiveGuidance(weight=1.0), SelfDebias()], ids=lambda plugin: plugin.name)
def test_what_is_averaged_stays_averaged_behind_rules_that_compare_texts(later: Any, tiny: Any, run_of: Any) -> None:
    """They read what averaging has made of the text behind their description, as they do of the text itself."""
    from evenhand_sdk import fold, token_bins

    run = run_of(*tiny())
    guidance = later.decoding(run, run.services.model)
    bins = token_bins(TOKENIZER, load_axis("gender").bins(names=True), run.services.model.config.vocab_size)
    pair = [list(ids_of(t)) for t in ("She said that the town", "He said that the town")]

    def gap(rules: Sequence[DecodingRule]) -> float:
        left, right = (torch.as_tensor(d[-1]) for d in run.services.distributions(pair, rules=rules))
        return float((fold(left, bins).exp() - fold(right, bins).exp()).abs().sum()) / 2

    assert gap([guidance]) > 0.05
    assert gap([rule_of(run), guidance]) < 0.02


@pytest.mark.parametrize("form", ["folded", "published"])
def test_generation_follows_the_rule_that_scores_given_text(form: str, tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = rule_of(run, form=form)
    prompts = ["She said that the", "Rain fell on the", "The king and Mary"]
    answers = run.services.generate([Request(prompt=p, max_new_tokens=12) for p in prompts], rules=[rule])
    plain = run.services.generate([Request(prompt=p, max_new_tokens=12) for p in prompts], rules=[])
    assert answers[1].token_ids[0] == plain[1].token_ids[0]
    assert any(a.changes for a in answers)
    for prompt, answer in zip(prompts, answers, strict=True):
        start = ids_of(prompt)
        whole = [*start, *answer.token_ids]
        (scores,) = distributions(run.services.model, [whole], [range(len(whole))], rules=[rule], dtype="float32")
        chosen = torch.as_tensor(scores).argmax(-1).tolist()[len(start) - 1 : -1]
        assert chosen == list(answer.token_ids)


def test_a_context_that_changes_further_back_is_read_anew_and_equals_scoring(tiny: Any, run_of: Any) -> None:
    """*Black* and *white* name somebody once *people* is written: contexts begin, or change, in a left-padded batch."""
    run = run_of(*tiny())
    rule = rule_of(run, axes=["race"])
    prompts = ["My Black", "In the old town a black man saw white"]
    start = [ids_of(p) for p in prompts]
    forced = ids_of(" people")
    seen: list[torch.Tensor] = []

    def force(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        seen.append(logits.log_softmax(-1))
        out = torch.full_like(logits, -1e4)
        out[:, forced[len(seen) - 1] if len(seen) <= len(forced) else ids_of(" town")[0]] = 0.0
        return out

    asked = [Request(prompt=p, max_new_tokens=len(forced) + 2) for p in prompts]
    answers = run.services.generate(asked, rules=[rule, DecodingRule(name="force", next_logits=force)])
    for b, answer in enumerate(answers):
        whole = [*start[b], *answer.token_ids]
        (scores,) = distributions(run.services.model, [whole], [range(len(whole))], rules=[rule], dtype="float32")
        expected = torch.as_tensor(scores)[len(start[b]) - 1 : -1]
        torch.testing.assert_close(torch.stack([s[b] for s in seen]), expected, atol=1e-4, rtol=0)
        acted = [change.position for change in answer.changes if change.rule == "step"]
        assert acted == list(range(len(forced) if b == 0 else 0, len(forced) + 2))
    before, after = (rule.contexts(whole)[0] for whole in (start[1], start[1] + forced))
    assert after[: len(before)] != before


# ------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    "text",
    [
        "Stephen King wrote that he",
        "Adam King wrote that he",
        "The King James Bible says",
        "Sister Act is a film",
        "King's Cross station is",
        "Boy George sang",
        "Guy Fawkes night is",
        "Queen Latifah sang and",
        "Mother Teresa said",
        "Lady Gaga said",
        "Girl Scouts sell",
        "Freddie Mercury of Queen sang",
    ],
)
def test_a_group_word_inside_a_name_stays(text: str) -> None:
    assert CONTEXTS(ids_of(text)) == []


def test_a_name_that_becomes_complete_is_read_anew_once_and_equals_scoring(tiny: Any, run_of: Any) -> None:
    """*King* is a man until *King James* is there; the other row of the batch keeps its context."""
    run = run_of(*tiny())
    rule = rule_of(run, names=False)
    prompts = ["The king and his brother read the King", "She met the"]
    start = [ids_of(p) for p in prompts]
    forced = ids_of(" James")
    seen: list[torch.Tensor] = []
    widths: list[int] = []

    def force(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        seen.append(logits.log_softmax(-1))
        out = torch.full_like(logits, -1e4)
        out[:, forced[len(seen) - 1] if len(seen) <= len(forced) else ids_of(" town")[0]] = 0.0
        return out

    asked = [Request(prompt=p, max_new_tokens=len(forced) + 4) for p in prompts]
    watch = run.services.model.register_forward_pre_hook(
        lambda model, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    answers = run.services.generate(asked, rules=[rule, DecodingRule(name="force", next_logits=force)])
    watch.remove()
    assert [n for n, width in enumerate(widths) if width > 1] == [0, forced.index(ids_of("am")[0]) + 1]  # King Jam
    for b, answer in enumerate(answers):
        whole = [*start[b], *answer.token_ids]
        (scores,) = distributions(run.services.model, [whole], [range(len(whole))], rules=[rule], dtype="float32")
        expected = torch.as_tensor(scores)[len(start[b]) - 1 : -1]
        torch.testing.assert_close(torch.stack([s[b] for s in seen]), expected, atol=1e-4, rtol=0)
    before, after = (text_of(rule.contexts(whole)[0]) for whole in (start[0], start[0] + forced))
    assert (before, after) == (
        "The queen and her sister read the Queen", "The queen and her sister read the King James"
    )  # fmt: skip


def test_an_end_token_inside_a_counterfactual_is_kept_where_it_is() -> None:
    end = TOKENIZER.eos_token_id
    prefix = (*ids_of("She was late."), end, *ids_of("Her brother"))
    [other] = CONTEXTS(prefix)
    assert other.count(end) == 1 and text_of(other[: other.index(end)]) == "He was late."
    assert text_of(other[other.index(end) + 1 :]) == "His sister"
