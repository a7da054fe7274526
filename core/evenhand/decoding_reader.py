"""Reads next-token logits of sequences that grow by a token at a time, and of the contexts that decoding rules ask for.

Extra contexts of all rows share one batched forward pass with the rows themselves and have their own place in the
key-value cache; so do the rows in other states of the model, such as with an adapter, each of which acts on rows of its
own. While every sequence is one that was read before and one token more, one token a sequence is computed, also where
beams change places or a context comes to its end; when a context changes further back (a word was completed
differently), the batch is read anew, which keeps every rule a pure function of the prefix. Imported lazily: it loads
torch.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253 - imported inside functions only

from evenhand.asked_contexts import contexts_of
from evenhand.contributions import DecodingRule, Variant
from evenhand.errors import UsageError
from evenhand.fast_products import fast_products
from evenhand.finite_logits import demand_numbers
from evenhand.ready_masks import for_one_token, takes_ready_masks
from evenhand.rule_application import mapped
from evenhand.rule_contexts import Plan, planned
from evenhand.scored_text import demand_embedded, embeddings

State = Variant | None
"""How a sequence is read: in a state of the model that a rule asks for, or by the model as it is."""
Read = tuple[State, tuple[int, ...]]
"""A sequence, and the state of the model that it is read in."""


def asked_by(rule: DecodingRule, place: Read, tokens: int | None) -> list[Read]:
    """What a rule wants to see besides a text: its contexts, and then the text itself in other states of the model.

    A later rule's state holds for the contexts that an earlier one asks for there, but not for its states.
    """
    state, text = place
    contexts = contexts_of(rule, text, tokens)
    return [*((state, context) for context in contexts), *((variant, text) for variant in rule.variants)]


def plan_of(texts: Sequence[Sequence[int]], rules: Sequence[DecodingRule], tokens: int | None = None) -> Plan[Read]:
    """What must be read for the rules' answers behind texts, by the model as it is; `tokens` is what it has embeddings
    for. Raises PluginFault for contexts that no model, or not this one, can read, and UsageError for too many of them.
    """
    asked: list[Read] = [(None, tuple(text)) for text in texts]
    return planned(asked, rules, lambda rule, place: asked_by(rule, place, tokens))


def under_rule(
    rule: DecodingRule, places: Sequence[Read], logits: torch.Tensor, contexts: list[torch.Tensor],
    owners: Sequence[int],
) -> torch.Tensor:  # fmt: skip
    """The logits [n, V] behind n sequences after a rule."""
    return mapped(rule, left_padded([text for _, text in places], logits.device), logits, contexts, owners)


class Reader:
    """Next-token logits of growing sequences and of their rules' contexts, with one key-value cache for all."""

    def __init__(self, model: Any, rules: Sequence[DecodingRule], pad: int, room: int = 1) -> None:
        self.model, self.pad = model, pad
        self.room = room
        """How many tokens may still be written."""
        self.longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self.tokens = embeddings(model)
        self.mapping = [r for r in rules if r.next_logits is not None]
        self.touching = [r for r in rules if r.step is not None]
        self.ready_masks = takes_ready_masks(model)
        self.takes = inspect.signature(model.forward).parameters
        self.cached: list[tuple[State, list[int]]] = []
        self.cache: Any = None
        self.mask: torch.Tensor | None = None
        self._products = contextlib.ExitStack()
        self._fast = False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        """Whatever has happened: the model computes as before, and the cache is free."""
        self.multiply_many(False)
        self.forget()

    def forget(self) -> None:
        """Free the cache; the next call reads all anew."""
        self.cache, self.mask, self.cached = None, None, []

    def multiply_many(self, many: bool) -> None:
        """A few rows cost PyTorch's own products up to twice the price of one, and fast products nearly the same price.

        Rows without contexts are left to the library's own products, so that they stay plain `generate` bit by bit.
        """
        if many != self._fast:
            self._fast = many
            if many and self.model.dtype == torch.float32:
                self._products.enter_context(fast_products(self.model, "float32", blocks=False))
            else:
                self._products.close()

    def read(self, texts: list[list[int]]) -> tuple[Plan[Read], torch.Tensor]:
        """What the rules need to know of the texts, and the model's logits [n, V] of it, the texts first.

        Raises UsageError, with its `rows`, where a text has no token or a context no room, or logits are no numbers.
        """
        demand_tokens(texts)
        plan = self.plan(texts, self.mapping)
        self.multiply_many(len(plan.places) > len(texts))
        logits = self.forward([list(ids) for _, ids in plan.places], [state for state, _ in plan.places])
        if not bool(torch.isfinite(logits.amax(-1)).all()):
            demand_numbers(logits[: len(texts)], None)
            demand_context_numbers(plan, logits[len(texts) :])
        self.room -= 1
        return plan, logits

    def plan(self, texts: Sequence[Sequence[int]], rules: Sequence[DecodingRule]) -> Plan[Read]:
        """What must be read for the rules' answers; a context that cannot hold what is still to be written is refused.

        Raises UsageError or PluginFault, with `rows` where it is known whose text it is.
        """
        for row, text in enumerate(texts):  # before rules are asked, whose contexts have what their text has
            try:
                demand_embedded(self.model, text)
            except UsageError as error:
                error.rows = [row]
                raise
        plan = plan_of(texts, rules, self.tokens)
        self._demand_room(plan)
        return plan

    def _demand_room(self, plan: Plan[Read]) -> None:
        contexts = zip(plan.places[plan.asked :], plan.owners[plan.asked :], plan.askers, strict=True)
        for (_, ids), row, rule in contexts:
            if len(ids) + self.room - 1 > self.longest:
                own = len(plan.places[row][1])
                itself = own + self.room - 1 > self.longest
                error = UsageError(
                    f"a {'prompt' if itself else 'context of the rule'} has {own if itself else len(ids):,} tokens and "
                    f"up to {self.room:,} more are to be written, but the model takes at most {self.longest:,}",
                    where="generate" if itself else f"decoding rule {rule!r}",
                    do="give a shorter prompt, or ask for fewer new tokens",
                )
                error.rows = [row]
                raise error

    @torch.no_grad()
    def forward(self, wanted: list[list[int]], states: Sequence[State] = ()) -> torch.Tensor:
        """The next-token logits [n, V] of sequences; those that continue what was read before cost one token each.

        `states` has how each is read, none for the model as it is.
        """
        device = self.model.device
        read = list(zip(states or [None] * len(wanted), wanted, strict=True))
        order = self._continued(read)
        if self.mask is not None and order is not None:
            if order != list(range(len(self.cached))):
                index = torch.tensor(order, device=device)
                self.cache.reorder_cache(index)
                self.mask = self.mask[index]
            ids = torch.tensor([w[-1:] for w in wanted], device=device)
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
            positions = torch.tensor([[len(w) - 1] for w in wanted], device=device)
            seen = self.mask
            # Where nothing is padded the library gives the layers no mask at all, and computes otherwise.
            if self.ready_masks and min(map(len, wanted)) < seen.shape[1]:
                seen = for_one_token(seen)
        else:
            from transformers import DynamicCache

            width = max(len(w) for w in wanted)
            ids = torch.tensor([[self.pad] * (width - len(w)) + w for w in wanted], device=device)
            self.mask = torch.tensor([[0] * (width - len(w)) + [1] * len(w) for w in wanted], device=device)
            positions = (self.mask.cumsum(-1) - 1).clamp_min(0)
            seen = self.mask
            self.cache = DynamicCache(config=self.model.config)
        for rule in self.touching:
            assert rule.step is not None
            rule.step(self.model, self.cache)
        extra = {"position_ids": positions, "logits_to_keep": 1}
        with contextlib.ExitStack() as variants:
            for variant in dict.fromkeys(state for state, _ in read if state is not None):
                mine = [row for row, (state, _) in enumerate(read) if state is variant]
                variants.enter_context(variant(self.model, mine))
            out = self.model(
                input_ids=ids,
                attention_mask=seen,
                past_key_values=self.cache,
                use_cache=True,
                **{name: value for name, value in extra.items() if name in self.takes or "kwargs" in self.takes},
            )
        self._keep(getattr(out, "past_key_values", None), read)
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    def _continued(self, wanted: list[tuple[State, list[int]]]) -> list[int] | None:
        """The places of the sequences that were read before and are continued here; None where one was not read."""
        both = zip(wanted, self.cached, strict=False)
        if len(wanted) == len(self.cached) and all(s is t and new[:-1] == old for (s, new), (t, old) in both):
            return list(range(len(wanted)))  # also where several are the same
        place = {(state, tuple(ids)): k for k, (state, ids) in enumerate(self.cached)}
        found = [place.get((state, tuple(ids[:-1]))) for state, ids in wanted]
        return None if None in found else [k for k in found if k is not None]

    def _keep(self, cache: Any, read: list[tuple[State, list[int]]]) -> None:
        """What the next call goes on from; a model without such a cache (Mamba) is read anew for each token."""
        if cache is not None:
            self.cache, self.cached = cache, read
            return
        self.forget()
        if self.touching:
            raise UsageError(
                f"{type(self.model).__name__} has no key-value cache, on which this rule acts",
                where=f"decoding rule {self.touching[0].name!r}",
                do="use a model with attention, or another step",
            )


def demand_context_numbers(plan: Plan[Read], logits: torch.Tensor) -> None:
    """The logits [n, V] behind the contexts of a plan are numbers; they are the model's, not those of the rule."""
    for rule in dict.fromkeys(plan.askers):
        mine = [k for k, asker in enumerate(plan.askers) if asker == rule]
        place = f"after a context of the rule {rule!r}"
        demand_numbers(logits[mine], None, place, owner=[plan.owners[plan.asked + k] for k in mine])


def demand_tokens(texts: Sequence[Sequence[int]]) -> None:
    """What is continued has a token at least; where it has none, the model's logits would be those of padding."""
    if empty := [row for row, text in enumerate(texts) if not text]:
        error = UsageError(
            "a prompt has no token", where="generate", do="begin it with the token that begins a text, or leave it out"
        )
        error.rows = empty
        raise error


def left_padded(texts: Sequence[Sequence[int]], device: Any) -> torch.Tensor:
    """Prefixes as a rule sees them: [B, T] with -1 before the shorter ones."""
    width = max(len(t) for t in texts)
    return torch.tensor([[-1] * (width - len(t)) + list(t) for t in texts], device=device)
