"""What a rule asks for, and what it does to what it is given: its own faults, alike in writing, beams and scoring."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import evenhand
from evenhand.asked_contexts import contexts_of, mask_contexts_of
from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule, Request
from evenhand.errors import EvenhandError, PluginFault, UsageError
from evenhand.filling import fill
from evenhand.generation import generate
from evenhand.rule_application import called
from evenhand.rule_contexts import MOST_SEQUENCES
from evenhand.scoring import distributions, pll, score_texts
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked

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


@pytest.mark.parametrize("inside", [contextlib.nullcontext, torch.inference_mode])
def test_logits_that_are_given_back_are_those_that_were_given(inside: Callable[[], Any]) -> None:
    """Then nothing was changed, which nobody has to look for in all of them."""
    rule = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)
    with inside():
        logits = torch.tensor([[1.0, float("nan"), -torch.inf]])
        assert called(rule, rule.next_logits, torch.zeros(1, 1), logits, []) is logits  # type: ignore[arg-type]
        new = called(rule, lambda ids, logits, contexts: logits.clone(), torch.zeros(1, 1), logits, [])
        assert new is not logits
        with pytest.raises(PluginFault, match="changed the logits"):
            called(rule, zeroed, torch.zeros(1, 1), logits, [])


@pytest.mark.parametrize("inside", [contextlib.nullcontext, torch.inference_mode])
def test_what_is_no_number_is_the_models_fault_and_no_change(inside: Callable[[], Any]) -> None:
    model, tokenizer = tiny_causal()
    with torch.no_grad():
        model.get_output_embeddings().weight[7] = float("nan")
    rule = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits.clone())
    with inside(), pytest.raises(UsageError, match="^scoring: the model gives no number"):
        score_texts(model, tokenizer, [TEXT], rules=[rule])


@pytest.mark.parametrize("way", WAYS)
def test_contexts_that_are_changed_in_place_harm_nobody(way: str) -> None:
    """It is forbidden all the same, and the conformance checks find it."""

    def change(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
        for seen in contexts:
            seen.mul_(0.5)
        return logits.clone()

    WAYS[way](DecodingRule(name="own", next_logits=change))
    WAYS[way](DecodingRule(name="own", contexts=lambda prefix: [prefix] * (len(prefix) % 2), next_logits=change))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("answer", "told"), [(None, "NoneType"), (torch.zeros(2), "a tensor [2]")])
def test_an_answer_of_another_shape_is_its_fault(way: str, answer: Any, told: str) -> None:
    rule = DecodingRule(name="odd", next_logits=lambda ids, logits, contexts: answer)
    with pytest.raises(PluginFault, match=f"^decoding rule 'odd': returned {re.escape(told)} instead of logits "):
        WAYS[way](rule)


class Typed:
    """What a rule asks for, one after another; the second is not there."""

    def __iter__(self) -> Any:
        yield (1, 2)
        raise TypeError("my own")


def test_an_error_of_what_a_rule_gives_is_its_own() -> None:
    rule = DecodingRule(name="lost", contexts=lambda prefix: Typed(), next_logits=lambda *given: given[1])  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="^my own$"):
        contexts_of(rule, (1,), None)


def test_an_array_is_no_tensor() -> None:
    rule = DecodingRule(name="odd", next_logits=lambda ids, logits, contexts: logits.numpy())  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginFault, match="^decoding rule 'odd': returned ndarray instead of logits "):
        scored(rule)


@pytest.mark.parametrize("contexts", [None, lambda prefix: [prefix[-1:]]])
def test_a_token_that_the_model_does_not_have_is_no_rules_fault(contexts: Any) -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    rule = DecodingRule(name="own", contexts=contexts, next_logits=lambda ids, logits, contexts: logits)
    ids = torch.tensor([[3, 4, 6], [3, 970, 4], [8, 9, 10]])
    attach(model, tokenizer, [rule])
    with pytest.raises(UsageError, match="^tokenizer: a text has the token number 970, and the model") as caught:
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=2)
    assert caught.value.rows == [1] and caught.value.output.shape == (3, 5)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_nor_where_text_is_scored(kind: str) -> None:
    model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    tokenizer.add_tokens(["zzunknownzz"])
    swap = DecodingRule(name="own", contexts=lambda prefix: [prefix[-1:]], next_logits=lambda i, logits, c: logits)
    if kind == "masked":
        swap = DecodingRule(
            name="own", mask_contexts=lambda ids, p: [(ids, p)], mask_logits=lambda i, logits, c, p: logits
        )
    with pytest.raises(UsageError, match="^tokenizer: a text has the token number [0-9,]+, and the model"):
        score_texts(model, tokenizer, ["It rains.", "The zzunknownzz said that"], kind=kind, rules=[swap])  # type: ignore[arg-type]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_prompt_that_is_too_long_itself_is_told_and_not_its_context(beams: int) -> None:
    model, tokenizer = tiny_causal()
    rule = DecodingRule(
        name="swap", contexts=lambda prefix: [(5, *prefix[1:])], next_logits=lambda i, logits, c: logits
    )
    attach(model, tokenizer, [rule])
    ids = torch.full((1, 510), 7)
    told = "^generate: a prompt has 510 tokens and up to 9 more are to be written, but the model takes at most 512"
    with pytest.raises(UsageError, match=told) as caught:
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, num_beams=beams)
    assert caught.value.rows == [0]


@pytest.mark.parametrize("room", [2**30, 100])
def test_a_text_that_is_too_long_is_told_before_rules_are_asked(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_causal()
    monkeypatch.setattr("evenhand.scoring_rules.HELD_BYTES", room * 4 * model.config.vocab_size)
    asked: list[Any] = []
    rule = DecodingRule(
        name="long",
        contexts=lambda prefix: [asked.append(prefix) or (5,) * 20 + tuple(prefix)],  # type: ignore[func-returns-value]
        next_logits=lambda ids, logits, contexts: logits,
    )
    with pytest.raises(UsageError, match="^scoring: a text has 600 tokens, but the model takes at most 512"):
        distributions(model, [[5] * 3, [5] * 600], [[0, 1], [0, 1]], rules=[rule])
    assert not asked


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
    first = 100 * ["one", "two", "after"].index(name)
    return DecodingRule(
        name=name, contexts=lambda prefix: [(first + k, *prefix) for k in range(number)],
        next_logits=lambda ids, logits, contexts: logits,
    )  # fmt: skip


def too_many(error: EvenhandError) -> bool:
    return str(error) == (
        "decoding rules 'one', 'after': for one next token, or one mask, of a text, more than 1,024 sequences would "
        "have to be read\n  where rules ask for contexts, or one rule for contexts on several axes, these multiply\n"
        "  use fewer of these rules or axes together, or fewer contexts of each (`max_contexts`)"
    )


def test_contexts_of_contexts_multiply_up_to_a_bound() -> None:
    """(1 + 31) (1 + 31) = 1,024 can be read, and (1 + 31) (1 + 32) = 1,056 are too many."""
    from evenhand.decoding_reader import plan_of

    assert MOST_SEQUENCES == 1024
    prefix = [500, 501]
    assert len(plan_of([prefix], [many("one", 31), many("after", 31)]).places) == 1024
    with pytest.raises(UsageError) as caught:
        plan_of([prefix], [many("one", 31), many("after", 32)])
    assert too_many(caught.value)
    assert len(plan_of([prefix] * 3, [many("one", 31), many("after", 31)]).places) == 3 * 1024  # of each text


@pytest.mark.parametrize("way", WAYS)
def test_more_are_refused_whoever_asks(way: str) -> None:
    plugins = [many("one", 40), many("after", 40)]
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
        generate(model, tokenizer, asked, rules=[some("one"), some("after")], title=None)
    assert too_many(caught.value)
    answers = caught.value.answers
    assert [a and a.text for a in answers] == [plain[0].text, None, plain[2].text]


def test_a_scoring_ends_without_a_row_to_blame() -> None:
    """The rows of what was planned are positions, of which a caller knows nothing."""
    model, tokenizer = tiny_causal()
    word = tokenizer(TEXT)["input_ids"][-1]
    rules = [
        DecodingRule(
            name=name,
            contexts=lambda prefix, first=first: [(first + k, *prefix) for k in range(40 * (word in prefix))],
            next_logits=lambda ids, logits, seen: logits,
        )
        for name, first in [("one", 0), ("after", 100)]
    ]  # fmt: skip
    with pytest.raises(UsageError) as caught:
        score_texts(model, tokenizer, ["Rain fell", TEXT + " it", "My brother"], rules=rules)
    assert too_many(caught.value) and caught.value.rows == ()


@pytest.mark.parametrize(
    ("axes", "more", "told"),
    [
        (["gender"], {}, []),
        (["gender", "religion"], {}, []),
        (["gender", "religion", "race"], {}, ["gender, religion and race is read {n} times for one token or mask"]),
        (["gender", "religion", "race"], {"max_contexts": 1}, []),
        (["gender", "religion", "race"], {"strength": 0.0}, []),
        (["nationality"], {"max_contexts": 86}, ["nationality is read 87 times for one token or mask"]),
        (
            ["gender", "religion", "race", "nationality", "age"], {},
            ["gender, religion, race, nationality and age is read {n} times for one token or mask, and more than 1,024 "
             "times are refused"],
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
        f"a text that names groups of {line.format(n=f'{number:,}')}" for line in told
    ]


def test_gradient_decoding_reads_the_groups_of_each_axis_beside_one_another() -> None:
    """1 + 86, and on three axes 1 + 86 + 6 + 5, where averaging multiplies."""
    from evenhand_standard.decoding.gradient_decoding import GradientDecoding

    options = GradientDecoding(axes=["nationality", "religion", "race"], max_contexts=86).options
    assert list(GradientDecoding.remarks_for(options)) == [
        "a text that names groups of nationality, religion and race is read 98 times for one token or mask"
    ]
    assert GradientDecoding.remarks_for(GradientDecoding(axes=["gender"]).options) == ()


def test_who_decodes_beside_a_run_is_warned() -> None:
    model, tokenizer = tiny_causal()
    with pytest.warns(UserWarning, match="steps.counterfactual-averaging: a text that names groups of gender, race"):
        evenhand.decode_with(model, tokenizer, [("counterfactual-averaging", {"axes": ["gender", "race", "religion"]})])


def test_a_run_keeps_in_its_record_what_steps_and_benchmarks_and_controls_remark(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand_standard.benchmarks.pair_gap import PairGap
    from evenhand_standard.controls.temperature import Temperature

    for plugin in (PairGap, Temperature):
        monkeypatch.setattr(plugin, "remarks_for", classmethod(lambda cls, options: [f"{cls.name} is dear"]))
    recipe = tmp_path / "dear.toml"
    recipe.write_text(
        f'[model]\nname = "{save_tiny(tmp_path / "model")}"\n[[steps]]\nuse = "contrastive-guidance"\n'
        '[[benchmarks]]\nuse = "pair-gap"\nlimit = 4\n[evaluation]\ncontrols = ["temperature"]\n'
    )
    record = evenhand.run(recipe, output=tmp_path / "runs").record
    assert [event["text"] for event in record["events"] if event["stage"] == "steps"] == [
        "benchmarks.pair-gap: pair-gap is dear", "controls.temperature: temperature is dear",
    ]  # fmt: skip
