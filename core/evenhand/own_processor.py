"""Decoding rules as a logits processor, for a `generate` or a pipeline of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError, WrongModelKind
from evenhand.own_code import Given, OwnSteps

if TYPE_CHECKING:
    from transformers import LogitsProcessor, PreTrainedModel


def logits_processor(
    model: PreTrainedModel,
    tokenizer: Any,
    plugins: Sequence[Given],
    *,
    seed: int = 0,
    padding: Sequence[int] | None = None,
) -> LogitsProcessor:
    """The plugins' decoding rules as a `LogitsProcessor` of transformers, for `generate(logits_processor=[...])`.

    It reads the contexts of its rules itself, in a forward pass of its own for each token, and frees their cache when
    the next call of `generate` begins, or at the end of a `with` of its own. `padding` says how many
    tokens on the left of each prompt are padding; without it all leading padding tokens are. Raises UsageError for
    rules that are no map of logits: those around whole requests, and those on the key-value cache. A row that cannot
    be written any further raises at once.
    """
    from evenhand.rule_processor import RuleProcessor

    steps = OwnSteps(model, tokenizer, plugins, seed=seed)
    if steps.kind != "causal":
        raise WrongModelKind(
            "this model fills gaps, it does not continue text", where="logits_processor", do="use a causal model"
        )
    rules = [rule for _, rule in steps.contributions("decoding", model=model)]
    if other := [rule.name for rule in rules if rule.next_logits is None]:
        raise UsageError(
            f"the decoding rule {other[0]!r} is no map of next-token logits",
            where="logits_processor",
            do="use evenhand.decode_with",
        )
    return RuleProcessor(model, rules, tokenizer, padding=padding)
