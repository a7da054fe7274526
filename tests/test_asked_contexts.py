"""What a rule asks for, and what it does to what it is given: its own faults, alike in writing, beams and scoring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from evenhand.asked_contexts import contexts_of, mask_contexts_of
from evenhand.contributions import DecodingRule, Request
from evenhand.errors import EvenhandError, PluginFault, UsageError
from evenhand.filling import fill
from evenhand.generation import generate
from evenhand.rule_contexts import MOST_SEQUENCES
from evenhand.scoring import pll, score_texts
from evenhand_sdk.tiny import tiny_causal, tiny_masked

TEXT = "The nurse said that"


def written(rule: DecodingRule, beams: int = 1) -> Any:
    model, tokenizer = tiny_causal()
    return generate(
        model, tokenizer, [Request(prompt=TEXT, max_new_tokens=3)], rules=[rule], num_beams=beams, title=None
    )


def scored(rule: DecodingRule) -> Any:
    model, tokenizer = tiny_causal()
    return score_texts(model, tokenizer, [TEXT], rules=[rule])


WAYS = {"written": written, "with beams": lambda rule: written(rule, 3), "scored": scored}
"""Whatever reads the contexts of a causal model."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([()], "asked for an empty context"),
        (None, "asked for None where a list of contexts belongs"),
        (7, "asked for int 7 where a list of contexts belongs"),
        ([7], "asked for int 7 where a context belongs, a list of token ids"),
        (["The"], "asked for str 'The' where a context belongs, a list of token ids"),
        ([(1, 2.0)], "asked for tuple (1, 2.0) where a context belongs, a list of token ids"),
        ([(1, 969)], "asked for a context with the token id 969\n  the model has 0 to 968"),
        ([(1, -1)], "asked for a context with the token id -1\n  the model has 0 to 968"),
    ],
)
def test_contexts_that_cannot_be_read_are_a_fault_of_the_rule(way: str, asked: Any, told: str) -> None:
    assert tiny_causal()[0].get_input_embeddings().num_embeddings == 969
    rule = DecodingRule(name="lost", contexts=lambda prefix: asked, next_logits=lambda ids, logits, contexts: logits)
    with pytest.raises(PluginFault) as caught:
        WAYS[way](rule)
    assert str(caught.value) == f"decoding rule 'lost': {told}"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([((), 0)], "asked for an empty context"),
        (None, "asked for None where a list of contexts belongs"),
        ([5], "asked for int 5 where a context and the place of its mask belong"),
        ([((5, 6), "0")], "asked for tuple ((5, 6), '0') where a context and the place of its mask belong"),
        ([((10**6,), 0)], "asked for a context with the token id 1,000,000\n  the model has 0 to {last}"),
    ],
)
def test_so_are_those_of_a_mask(asked: Any, told: str) -> None:
    model, tokenizer = tiny_masked()
    rule = DecodingRule(
        name="lost", mask_contexts=lambda ids, place: asked, mask_logits=lambda ids, logits, contexts, places: logits
    )
    last = f"{model.get_input_embeddings().num_embeddings - 1:,}"
    for ask in (
        lambda: pll(model, tokenizer, [TEXT], [[2]], rules=[rule]),
        lambda: fill(model, tokenizer, f"The {tokenizer.mask_token} said that", rules=[rule]),
    ):
        with pytest.raises(PluginFault) as caught:
            ask()
        assert str(caught.value) == f"decoding rule 'lost': {told.format(last=last)}"


def test_contexts_may_be_anything_that_gives_whole_numbers() -> None:
    asked = iter([torch.tensor([1, 2]), range(3), [True]])
    rule = DecodingRule(name="own", contexts=lambda prefix: asked, next_logits=lambda *given: given[1])  # type: ignore[arg-type, return-value]
    assert contexts_of(rule, (1,), None) == [(1, 2), (0, 1, 2), (1,)]
    assert contexts_of(DecodingRule(name="none", next_logits=lambda *given: given[1]), (1,), None) == []
    at_mask = DecodingRule(
        name="own",
        mask_contexts=lambda ids, p: [(torch.tensor(ids), torch.tensor(p))],
        mask_logits=lambda *given: given[1],  # type: ignore[list-item]
    )
    assert mask_contexts_of(at_mask, (5, 6), 1, None) == [((5, 6), 1)]


def zeroed(ids: Any, logits: torch.Tensor, *others: Any) -> torch.Tensor:
    return logits.zero_()


def quietly(ids: Any, logits: torch.Tensor, *others: Any) -> torch.Tensor:
    out = logits.clone()
    logits[:, 3] += 1.0
    return out


@pytest.mark.parametrize("inside", [contextlib.nullcontext, torch.inference_mode])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", [zeroed, quietly])
def test_logits_that_a_rule_changes_in_place_are_its_fault(way: str, change: Any, inside: Callable[[], Any]) -> None:
    rule = DecodingRule(name="rash", next_logits=change)
    with inside(), pytest.raises(PluginFault) as caught:
        WAYS[way](rule)
    assert str(caught.value) == (
        "decoding rule 'rash': changed the logits that it was given in place\n  return new ones, of `logits.clone()`"
    )


@pytest.mark.parametrize("inside", [contextlib.nullcontext, torch.inference_mode])
@pytest.mark.parametrize("change", [zeroed, quietly])
def test_so_are_those_at_a_mask(change: Any, inside: Callable[[], Any]) -> None:
    model, tokenizer = tiny_masked()
    with inside(), pytest.raises(PluginFault, match="decoding rule 'rash': changed the logits that it was given"):
        pll(model, tokenizer, [TEXT], [[2]], rules=[DecodingRule(name="rash", mask_logits=change)])


@pytest.mark.parametrize("way", WAYS)
def test_rules_that_leave_logits_alone_may_give_them_back_in_inference_mode(way: str) -> None:
    plain = WAYS[way](DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits))
    with torch.inference_mode():
        found = WAYS[way](DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits))
    assert repr(found) == repr(plain)


def test_a_context_that_is_too_long_to_be_scored_is_the_rules() -> None:
    model, tokenizer = tiny_causal()
    text = TEXT + " the" * 490
    count = len(tokenizer(text)["input_ids"])
    score_texts(model, tokenizer, [text])  # the text itself has room
    rule = DecodingRule(
        name="long",
        contexts=lambda prefix: [(5,) * 20 + tuple(prefix)],
        next_logits=lambda ids, logits, contexts: logits,
    )
    with pytest.raises(UsageError) as caught:
        score_texts(model, tokenizer, [text], rules=[rule])
    assert caught.value.what.startswith("a context of the rule has ") and "at most 512" in caught.value.what
    assert caught.value.where == "decoding rule 'long'"
    assert count <= 512
    with pytest.raises(UsageError, match="^scoring: a text has"):
        score_texts(model, tokenizer, [text + " the" * 60], rules=[rule])


def many(name: str, number: int) -> DecodingRule:
    """A rule that wants so many contexts, each with one more token in front of the text; different ones by name."""
    first = {"one": 0, "two": 100}[name]
    return DecodingRule(
        name=name, contexts=lambda prefix: [(first + k, *prefix) for k in range(number)],
        next_logits=lambda ids, logits, contexts: logits,
    )  # fmt: skip


def too_many(error: EvenhandError) -> bool:
    return str(error) == (
        "decoding rules 'one', 'two': for one next token, or one mask, of a text, more than 1,024 sequences would have "
        "to be read\n  where rules ask for contexts, or one rule for contexts on several axes, these multiply\n"
        "  use fewer of these rules or axes together, or fewer contexts of each (`max_contexts`)"
    )


def test_contexts_of_contexts_multiply_up_to_a_bound() -> None:
    """(1 + 31) (1 + 31) = 1,024 can be read, and (1 + 31) (1 + 32) = 1,056 are too many."""
    from evenhand.decoding_reader import plan_of

    assert MOST_SEQUENCES == 1024
    prefix = [500, 501]
    assert len(plan_of([prefix], [many("one", 31), many("two", 31)]).places) == 1024
    with pytest.raises(UsageError) as caught:
        plan_of([prefix], [many("one", 31), many("two", 32)])
    assert too_many(caught.value)
    assert len(plan_of([prefix] * 3, [many("one", 31), many("two", 31)]).places) == 3 * 1024  # of each text


@pytest.mark.parametrize("way", WAYS)
def test_more_are_refused_whoever_asks(way: str) -> None:
    plugins = [many("one", 40), many("two", 40)]
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError) as caught:
        if way == "scored":
            score_texts(model, tokenizer, [TEXT], rules=plugins)
        else:
            request = Request(prompt=TEXT, max_new_tokens=2)
            generate(model, tokenizer, [request], rules=plugins, num_beams=1 if way == "written" else 2, title=None)
    assert too_many(caught.value)


def test_in_a_batch_only_the_text_that_needs_too_many_fails() -> None:
    model, tokenizer = tiny_causal()
    word = tokenizer(TEXT)["input_ids"][-1]

    def some(name: str) -> DecodingRule:
        def contexts(prefix: Any) -> list[tuple[int, ...]]:
            return [(k, *prefix) for k in range(40 if word in prefix else 1)]

        return DecodingRule(name=name, contexts=contexts, next_logits=lambda ids, logits, seen: logits)

    asked = [Request(prompt=p, max_new_tokens=2) for p in ("Rain fell", TEXT, "My brother")]
    assert word not in tokenizer("Rain fell")["input_ids"] + tokenizer("My brother")["input_ids"]
    plain = generate(model, tokenizer, asked, title=None)
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, asked, rules=[some("one"), some("two")], title=None)
    assert too_many(caught.value)
    answers = caught.value.answers
    assert [a and a.text for a in answers] == [plain[0].text, None, plain[2].text]


@pytest.mark.parametrize(
    ("axes", "more", "told"),
    [
        (["gender"], {}, []),
        (["gender", "religion"], {}, []),
        (["gender", "religion", "race"], {}, ["3 axes is read {n} times for each token"]),
        (["gender", "religion", "race"], {"max_contexts": 1}, []),
        (["gender", "religion", "race"], {"strength": 0.0}, []),
        (
            ["gender", "religion", "race", "nationality", "age"], {},
            ["5 axes is read {n} times for each token, and more than 1,024 are refused"],
        ),
    ],
)  # fmt: skip
def test_a_recipe_is_told_what_a_step_can_come_to(axes: list[str], more: dict[str, Any], told: list[str]) -> None:
    from evenhand_sdk import load_axis
    from evenhand_standard.decoding.counterfactual_averaging import CounterfactualAveraging

    number = 1
    for name in axes:
        number *= min(len(load_axis(name, "en").groups), 7)
    options = CounterfactualAveraging(axes=axes, **more).options
    assert list(CounterfactualAveraging.remarks_for(options)) == [
        f"a text that names groups of all {line.format(n=f'{number:,}')}" for line in told
    ]
