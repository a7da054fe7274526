"""The `generate` of a model with decoding rules, as an object, and what becomes of it in a copy of the model.

Rules hold the model that they were made for. So a copy, by `copy.deepcopy` or by way of a pickle, has the rules made
anew for it, or decodes without any and says so: never with the weights of the original.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.saved_without import tell_no_more

Again = Callable[[Any, Any], Sequence[DecodingRule]]
"""Model and tokenizer -> all rules of a recipe, made for this model. Copied and pickled with the model."""

GENERATE = "generate"


class ReplacedGenerate:
    """What stands in the place of a model's `generate` and gives what `plain` gives; `evenhand_rules` are in force.

    `again` makes these rules for a copy. Its first call does that, or the first look at its rules. Without `again` the
    copy is plain (`WithoutRules`).
    """

    def __init__(
        self, model: Any, plain: Callable[..., Any], rules: Sequence[DecodingRule], *, tokenizer: Any = None,
        again: Again | None = None,
    ) -> None:  # fmt: skip
        own = getattr(plain, "__func__", None) is getattr(type(model), GENERATE, plain)
        self._other = None if own and getattr(plain, "__self__", None) is model else plain
        self._making = threading.Lock()
        self._rules: tuple[DecodingRule, ...] | None = tuple(rules)
        self.model, self.tokenizer, self.again = model, tokenizer, again

    @property
    def plain(self) -> Callable[..., Any]:
        """The `generate` in whose place this stands."""
        return MethodType(type(self.model).generate, self.model) if self._other is None else self._other

    @property
    def evenhand_rules(self) -> tuple[DecodingRule, ...]:
        with self._making:
            if self._rules is None:
                assert self.again is not None
                self._rules = tuple(rules_inside(self.again(self.model, self.tokenizer)))
            return self._rules

    @evenhand_rules.setter
    def evenhand_rules(self, rules: Sequence[DecodingRule]) -> None:
        self._rules = tuple(rules)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.plain(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.again is None:
            names = ", ".join(rule.name for rule in self.evenhand_rules)
            return WithoutRules, (self.model, names, self._other)
        return _of_a_copy, (type(self), self.model, self.tokenizer, self.again, self._other)


def replaced(model: Any) -> bool:
    """Whether a model's `generate` decodes with rules, or will: a copy makes them when it is first asked."""
    return isinstance(vars(model).get(GENERATE), ReplacedGenerate)


def _of_a_copy(
    kind: type[ReplacedGenerate], model: Any, tokenizer: Any, again: Again, other: Callable[..., Any] | None
) -> ReplacedGenerate:
    """The counterpart for a copy, which has no attributes yet when this is called: its rules are made later."""
    plain = MethodType(type(model).generate, model) if other is None else other
    made = kind(model, plain, (), tokenizer=tokenizer, again=again)
    made._rules = None
    return made


class WithoutRules:
    """The plain `generate` of a copy whose rules cannot be made for it: says so once, and takes itself off."""

    def __init__(self, model: Any, names: str, other: Callable[..., Any] | None) -> None:
        self.model, self.names, self.other = model, names, other
        self._told = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from evenhand.decoding_loop import Decoder

        if not isinstance(kwargs.get("custom_generate"), Decoder):  # whoever calls with that brings rules along
            self.tell()
        plain = MethodType(type(self.model).generate, self.model) if self.other is None else self.other
        return plain(*args, **kwargs)

    def take_off(self) -> None:
        """Give the copy its own `generate`, where this stands in its place still."""
        if vars(self.model).get(GENERATE) is self:
            del self.model.generate
            tell_no_more(self.model)
            if self.other is not None:
                self.model.generate = self.other

    def tell(self) -> None:
        """Say that the copy has no rules, and give it its own `generate`: the first time."""
        if not self._told:
            self._told = True
            self.take_off()
            warnings.warn(without_rules(self.names), stacklevel=3)


def without_rules(names: str) -> str:
    """What is said of a copy for which the rules of these names cannot be made."""
    return (
        f"this model is a copy of one that decodes with {names}, and decodes without: rules are of the model that they "
        "were made for; give the copy its own with evenhand.decode_with, or load the run again with evenhand.load"
    )


def rules_inside(rules: Sequence[DecodingRule]) -> list[DecodingRule]:
    """Those that act while text is written, which are all that `model.generate` can have."""
    return [rule for rule in rules if rule.around is None]
