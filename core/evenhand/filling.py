"""Masked models under decoding rules: the words that they put at masks, and a forward pass that knows the rules.

`attach` makes the model itself follow the rules wherever its input has a mask, so that whatever fills masks with it
(`transformers.pipeline("fill-mask", ...)`, a loop of one's own) gets the distributions that benchmarks measure.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule
from evenhand.errors import UsageError, WrongModelKind
from evenhand.replaced_generate import Again, without_rules
from evenhand.saved_without import MASKED, tell_when_saved

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand.measured import Filling

RULES = "evenhand_rules"
"""Attribute of the hook that `attach` puts on a model, and of a replaced `generate`: the rules in force."""

_plain: ContextVar[bool] = ContextVar("plain forward pass", default=False)


@contextlib.contextmanager
def as_it_is() -> Iterator[None]:
    """A block in which a model with attached rules gives its own logits: the toolkit applies rules by itself."""
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def attached(model: Any) -> tuple[DecodingRule, ...]:
    """The rules that the forward pass of a masked model follows."""
    hooks = getattr(model, "_forward_hooks", {}).values()
    return next((rules for hook in hooks if (rules := getattr(hook, RULES, ()))), ())


def foreign_hooks(model: Any) -> bool:
    """Whether others have put hooks on the whole model, which may change its logits."""
    return any(not hasattr(hook, RULES) for hook in model._forward_hooks.values())


def attach(model: PreTrainedModel, tokenizer: Any, rules: Sequence[DecodingRule], again: Again | None = None) -> Any:
    """Make the forward pass of a masked model follow the rules at masks; gives the handle that takes them off.

    In evaluation mode, and without `labels`: a training, and the loss that it is watched by, see the model itself.
    Raises UsageError when an input cannot be read as one text a row (`inputs_embeds`, two segments), and in a backward
    pass that comes to a mask: what a rule makes has no gradient. `again` makes the rules for a model that is read from
    a pickle; without it, that one follows none and says so.
    """
    tell_when_saved(model, ", ".join(rule.name for rule in rules), following, MASKED)
    return model.register_forward_hook(_Following(model, tokenizer, rules, again), with_kwargs=True)


def following(model: Any) -> bool:
    """Whether the forward pass of a masked model follows rules, or will: a copy makes them when it is first asked."""
    return any(isinstance(hook, _Following) for hook in model._forward_hooks.values())


class _Following:
    """The hook of `attach`; `evenhand_rules` are in force. A copy has the same rules, which work on the model that they
    are asked with."""

    def __init__(self, model: Any, tokenizer: Any, rules: Sequence[DecodingRule], again: Again | None) -> None:
        self._model, self._tokenizer, self._again = model, tokenizer, again
        self._rules: tuple[DecodingRule, ...] | None = tuple(rules)
        self._making = threading.Lock()

    @property
    def evenhand_rules(self) -> tuple[DecodingRule, ...]:
        with self._making:
            if self._rules is None:
                assert self._again is not None
                self._rules = tuple(self._again(self._model, self._tokenizer))
            return self._rules

    def __deepcopy__(self, memo: dict[int, Any]) -> _Following:
        return _Following(copy.deepcopy(self._model, memo), self._tokenizer, self.evenhand_rules, self._again)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._again is None:
            return _FollowingNone, (", ".join(rule.name for rule in self.evenhand_rules),)
        return _read_again, (self._model, self._tokenizer, self._again)

    def __call__(self, module: Any, args: tuple[Any, ...], given: dict[str, Any], out: Any) -> Any:
        if module.training or _plain.get() or given.get("labels") is not None:
            return out
        active = [rule for rule in self.evenhand_rules if rule.mask_logits is not None]
        if not active:
            return out
        ids = given.get("input_ids", args[0] if args else None)
        if ids is None:
            raise _unreadable("embeddings instead of token ids")
        rows, places = (ids == self._tokenizer.mask_token_id).nonzero(as_tuple=True)
        if not len(rows):
            return out
        segments = given.get("token_type_ids", args[2] if len(args) > 2 else None)
        if segments is not None and bool((segments != 0).any()):
            raise _unreadable("two segments in one row")
        seen = given.get("attention_mask", args[1] if len(args) > 1 else None)
        logits = out[0] if isinstance(out, tuple) else out.logits
        changed = logits.clone()
        changed[rows, places] = _under_rules(module, self._tokenizer, ids, seen, rows, places, active).to(logits)
        if changed.requires_grad:
            changed.register_hook(lambda gradient: _no_gradient(gradient[rows, places]))
        if isinstance(out, tuple):
            return (changed, *out[1:])
        out.logits = changed
        return out


def _read_again(model: Any, tokenizer: Any, again: Again) -> _Following:
    """The hook of a model that is being read from a pickle; its rules are made when it is first asked."""
    made = _Following(model, tokenizer, (), again)
    made._rules = None
    return made


class _FollowingNone:
    """The hook of a model that was read from a pickle without its rules: says so once, and changes nothing."""

    evenhand_rules: tuple[DecodingRule, ...] = ()

    def __init__(self, names: str) -> None:
        self._names, self._told = names, False

    def __reduce__(self) -> tuple[Any, ...]:
        return _FollowingNone, (self._names,)

    def __call__(self, module: Any, args: tuple[Any, ...], given: dict[str, Any], out: Any) -> Any:
        if not self._told:
            self._told = True
            warnings.warn(without_rules(self._names), stacklevel=2)
        return out


def _under_rules(
    model: Any, tokenizer: Any, ids: torch.Tensor, seen: Any, rows: torch.Tensor, places: torch.Tensor, rules: Any
) -> torch.Tensor:
    """The logits [n, V] at masks that are given by row and place, after the rules."""
    import torch

    from evenhand.scoring import forward_of
    from evenhand.scoring_packing import Row
    from evenhand.scoring_rules import logits_under_rules

    asked = []
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        kept = torch.ones_like(ids[row]).bool() if seen is None else seen[row].bool()
        asked.append(Row(tuple(ids[row][kept].tolist()), (int(kept[:place].sum()),)))
    forward = forward_of(model, tokenizer, kind="masked", dtype="float32")
    found = torch.empty(len(asked), forward.vocabulary, device=ids.device)

    def keep(at: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
        found[at.to(found.device)] = logits[index.to(logits.device)].to(found)

    logits_under_rules(forward, asked, rules, keep)
    return found


def _no_gradient(at_masks: torch.Tensor) -> None:
    """Refuses a backward pass through logits that rules have made: it would be zero there without a word."""
    if bool(at_masks.any()):
        raise UsageError(
            "a gradient was asked of logits at a mask, and those are made by decoding rules, which have none",
            where="backward",
            do="compute it on the model as transformers loads it from the run's model/, or in training mode",
        )


def _unreadable(what: str) -> UsageError:
    return UsageError(
        f"decoding rules read one text a row, and this input has {what}",
        where="forward",
        do="score such inputs on the model as transformers loads it from the run's model/",
    )


def fill(
    model: PreTrainedModel,
    tokenizer: Any,
    texts: str | Sequence[str],
    *,
    rules: Sequence[DecodingRule] = (),
    k: int = 5,
) -> Any:
    """The k likeliest words at the one mask of a text, likeliest first, or such a list for each of several texts.

    The mask is written as `tokenizer.mask_token`. Raises WrongModelKind for a model that continues text, and UsageError
    for a text without a mask, or with several, and for a k below 1.
    """
    from evenhand.measured import Measured
    from evenhand.model_kind import kind_of

    # Some models that continue text have a mask among their tokens; nobody has taught them what it is.
    if tokenizer.mask_token_id is None or kind_of(model.config, where="fill") != "masked":
        raise WrongModelKind("this model continues text, it fills no masks", where="fill", do="use `generate`")
    many = [texts] if isinstance(texts, str) else list(texts)
    found: list[list[Filling]] = Measured(model, tokenizer, "masked", rules, dtype="float32").top(many, k)
    return found[0] if isinstance(texts, str) else found
