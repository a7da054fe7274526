"""A rule gets what the rules before it have made of the text and of its contexts: one plan, read once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from evenhand.contributions import DecodingRule, Request
from evenhand.decoding_reader import plan_of
from evenhand.generation import generate
from evenhand.rule_contexts import after_rules, planned
from evenhand_sdk.tiny import tiny_causal


def rule(name: str, contexts: dict[str, list[str]]) -> DecodingRule:
    return DecodingRule(name=name, contexts=lambda text: contexts.get(text, []), next_logits=lambda *given: given[1])  # type: ignore[arg-type, return-value]


def ask(rule: DecodingRule, text: str) -> list[str]:
    assert rule.contexts is not None
    return rule.contexts(text)  # type: ignore[arg-type, return-value]


FIRST = rule("first", {"x": ["x1"], "y": ["x1"], "x2": ["x21", "x1"]})
SECOND = rule("second", {"x": ["x2"]})


def test_contexts_of_contexts_are_read_and_each_once() -> None:
    """The second rule needs what the first one makes of `x2`, and so its contexts."""
    plan = planned(["x", "y"], [FIRST, SECOND], ask)
    assert plan.places == ["x", "y", "x2", "x1", "x1", "x21"]
    assert plan.owners == [0, 1, 0, 0, 1, 0]
    assert (plan.asked, plan.askers) == (2, ["second", "first", "first", "first"])
    assert plan.levels == [(FIRST, [[3], [4], [5, 3]]), (SECOND, [[2], []])]
    assert planned(["x", "y"], [FIRST, SECOND], ask, shared=True).places == ["x", "y", "x2", "x1", "x21"]


def test_a_rule_before_the_one_with_contexts_acts_on_them_too() -> None:
    """f(x) = 10 x and then the sum with the contexts: each place is its number."""
    plan = planned(["x", "y"], [rule("ten", {}), SECOND], ask)
    raw = torch.tensor([[1.0], [2.0], [3.0]])

    def mapped(rule: Any, places: Any, logits: torch.Tensor, contexts: Any, owners: Any) -> torch.Tensor:
        if rule.name == "ten":
            assert (list(places), list(owners)) == (["x", "y", "x2"], [0, 1, 0])
            return 10 * logits
        return logits + torch.stack([found.sum(0) for found in contexts])

    found, _ = after_rules(plan, raw, mapped, noted=False)
    assert found.tolist() == [[40.0], [20.0]]


def test_of_two_states_the_one_that_the_earlier_rule_asks_for_holds() -> None:
    def state(model: Any, rows: Any) -> Any: ...
    def other(model: Any, rows: Any) -> Any: ...

    def look(*given: Any) -> Any:
        return given[1]

    rules = [
        DecodingRule(name="earlier", next_logits=look, contexts=lambda ids: [(9, *ids)], variants=[state]),
        DecodingRule(name="later", next_logits=look, variants=[other]),
    ]
    plan = plan_of([[1]], rules)
    assert plan.places == [(None, (1,)), (other, (1,)), (None, (9, 1)), (state, (1,)), (other, (9, 1))]


def doubled() -> tuple[Any, Any]:
    """A model, and a state of it in which the output of its first layer is doubled."""
    model, tokenizer = tiny_causal()

    @contextlib.contextmanager
    def state(model: Any, rows: Sequence[int] | None) -> Iterator[None]:
        def double(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            out = output.clone()
            chosen = slice(None) if rows is None else list(rows)
            out[chosen] = 2 * out[chosen]
            return out

        handle = model.model.layers[0].mlp.register_forward_hook(double)
        try:
            yield
        finally:
            handle.remove()

    return (model, tokenizer), state


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
def test_rules_with_contexts_and_with_states_are_a_slow_reference(order: tuple[int, ...], beams: int) -> None:
    (model, tokenizer), state = doubled()
    model.generation_config.eos_token_id = None

    def mix(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor]) -> torch.Tensor:
        return logits + 0.5 * torch.stack([found.mean(0) for found in contexts]).roll(1, -1)

    both = [
        DecodingRule(name="turned", contexts=lambda ids: [tuple(reversed(ids))], next_logits=mix),
        DecodingRule(name="state", variants=[state], next_logits=mix),
    ]
    rules = [both[k] for k in order]

    def after(ids: tuple[int, ...], rules: Sequence[DecodingRule], inside: Any = None) -> torch.Tensor:
        if not rules:
            with torch.no_grad(), inside(model, None) if inside else contextlib.nullcontext():
                return model(input_ids=torch.tensor([ids])).logits[:, -1]
        *before, last = rules
        other = after(ids, before, state) if last.variants else after(tuple(reversed(ids)), before, inside)
        return last.next_logits(None, after(ids, before, inside), [other])  # type: ignore[misc]

    seen: list[torch.Tensor] = []
    note = DecodingRule(name="note", next_logits=lambda ids, logits, contexts: seen.append((ids, logits)) or logits)  # type: ignore[func-returns-value, arg-type]
    prompts = ["The nurse said that she", "Rain fell"]
    generate(model, tokenizer, [Request(prompt=p, max_new_tokens=5) for p in prompts], rules=[*rules, note],
             num_beams=beams, title=None)  # fmt: skip
    assert len(seen) == 5
    for ids, logits in seen:
        for row, found in zip(ids.tolist(), logits, strict=True):
            wanted = after(tuple(t for t in row if t >= 0), rules)[0]
            # With beams the text's logits are log-probabilities, which moves all of a row by one number.
            torch.testing.assert_close(found.log_softmax(-1), wanted.log_softmax(-1), atol=1e-4, rtol=1e-4)
