"""A decoding rule at work on a batch of logits: its result is checked, its moves are noted, what it holds is freed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule, TokenChange
from evenhand.errors import PluginFault
from evenhand.finite_logits import demand_numbers

if TYPE_CHECKING:
    import torch

VISIBLE = 1e-6
"""Total variation below which a change of the distribution is rounding, not a change."""

Move = tuple[int, int, int, float]
"""Of a row whose distribution changed: (row, likeliest token before, after, total variation)."""
Change = tuple[int, str, int, int, float]
"""Of a sequence: (position among the new tokens, rule, likeliest token before, after, total variation)."""


def mapped(
    rule: DecodingRule, ids: torch.Tensor, logits: torch.Tensor, contexts: list[torch.Tensor], owners: Sequence[int]
) -> torch.Tensor:
    """The logits [n, V] after a rule with `next_logits`; `owners` [n] are the rows of the batch that need them.

    Raises PluginFault for a row of which no token can be drawn any more.
    """
    assert rule.next_logits is not None
    changed = called(rule, rule.next_logits, ids, logits, contexts)
    if changed is not logits:
        demand_numbers(changed, rule.name, owner=owners)
    return changed


def called(
    rule: DecodingRule, function: Callable[..., torch.Tensor], ids: torch.Tensor, logits: torch.Tensor, *others: Any
) -> torch.Tensor:
    """What a function of a rule gives for logits, and these themselves where it gives them back.

    Raises PluginFault for an answer of another shape, and where it changed them in place: what was read of the model is
    what changes are told against, and what other rules are given.
    """
    import torch

    # What is made in inference mode counts no versions, so there a copy is given away and compared.
    given = logits.clone() if logits.is_inference() else logits
    version = None if logits.is_inference() else given._version
    out = function(ids, given, *others)
    if not same(given, logits) if version is None else given._version != version:
        raise PluginFault(
            "changed the logits that it was given in place",
            where=f"decoding rule {rule.name!r}",
            do="return new ones, of `logits.clone()`",
        )
    if not isinstance(out, torch.Tensor) or out.shape != logits.shape:
        raise PluginFault(
            f"returned {_kind(out)} instead of logits [{logits.shape[0]}, {logits.shape[1]}]",
            where=f"decoding rule {rule.name!r}",
        )
    return logits if out is given else out


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal, also where they are no numbers."""
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def _kind(value: object) -> str:
    import torch

    return f"a tensor {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__


def moves(before: torch.Tensor, after: torch.Tensor) -> list[Move]:
    """The rows whose distribution changed. All at once, so that a model elsewhere than on the processor is waited for
    once."""
    if after is before:
        return []
    chosen = (before != after).any(-1).nonzero().flatten().tolist()
    if not chosen:
        return []
    old, new = before[chosen].float(), after[chosen].float()
    moved = (0.5 * (old.softmax(-1) - new.softmax(-1)).abs().sum(-1)).tolist()
    found = zip(chosen, old.argmax(-1).tolist(), new.argmax(-1).tolist(), moved, strict=True)
    return [change for change in found if change[3] > VISIBLE]


def token_changes(found: Sequence[Change], tokenizer: Any) -> list[TokenChange]:
    """The record of one sequence in words."""
    return [
        TokenChange(
            position=place, rule=rule, before=tokenizer.decode([a]), after=tokenizer.decode([b]), total_variation=moved
        )
        for place, rule, a, b, moved in found
    ]


@contextlib.contextmanager
def finishing(rules: Sequence[DecodingRule]) -> Iterator[None]:
    """A block behind which, however it ends, the rules free what they hold."""
    try:
        yield
    finally:
        for rule in rules:
            if rule.finish is not None:
                rule.finish()
