"""Masked models under decoding rules: the words that they put at masks, and a forward pass that knows the rules.

`attach` makes the model itself follow the rules wherever its input has a mask, so that whatever fills masks with it
(`transformers.pipeline("fill-mask", ...)`, a loop of one's own) gets the distributions that benchmarks measure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule
from evenhand.errors import UsageError, WrongModelKind

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
    return next((getattr(hook, RULES) for hook in hooks if hasattr(hook, RULES)), ())


def foreign_hooks(model: Any) -> bool:
    """Whether others have put hooks on the whole model, which may change its logits."""
    return any(not hasattr(hook, RULES) for hook in model._forward_hooks.values())


def attach(model: PreTrainedModel, tokenizer: Any, rules: Sequence[DecodingRule]) -> Any:
    """Make the forward pass of a masked model follow the rules at masks; gives the handle that takes them off.

    In evaluation mode, and without `labels`: a training, and the loss that it is watched by, see the model itself.
    Raises UsageError when an input cannot be read as one text a row (`inputs_embeds`, two segments), and in a backward
    pass that comes to a mask: what a rule makes has no gradient.
    """
    mask = tokenizer.mask_token_id
    active = [rule for rule in rules if rule.mask_logits is not None]

    def follow(module: Any, args: tuple[Any, ...], given: dict[str, Any], out: Any) -> Any:
        if module.training or _plain.get() or given.get("labels") is not None or not active:
            return out
        ids = given.get("input_ids", args[0] if args else None)
        if ids is None:
            raise _unreadable("embeddings instead of token ids")
        rows, places = (ids == mask).nonzero(as_tuple=True)
        if not len(rows):
            return out
        segments = given.get("token_type_ids", args[2] if len(args) > 2 else None)
        if segments is not None and bool((segments != 0).any()):
            raise _unreadable("two segments in one row")
        seen = given.get("attention_mask", args[1] if len(args) > 1 else None)
        logits = out[0] if isinstance(out, tuple) else out.logits
        changed = logits.clone()
        changed[rows, places] = _under_rules(module, tokenizer, ids, seen, rows, places, active).to(logits)
        if changed.requires_grad:
            changed.register_hook(lambda gradient: _no_gradient(gradient[rows, places]))
        if isinstance(out, tuple):
            return (changed, *out[1:])
        out.logits = changed
        return out

    setattr(follow, RULES, tuple(rules))
    return model.register_forward_hook(follow, with_kwargs=True)


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
