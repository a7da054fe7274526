"""Decoding rules as a plain logits processor, for beam search. Imported lazily: it loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253 - imported inside functions only
from transformers import LogitsProcessor  # noqa: TID253

from evenhand.contributions import DecodingRule
from evenhand.decoding_reader import Read, Reader, demand_context_numbers, demand_tokens, under_rule
from evenhand.errors import EvenhandError
from evenhand.fast_products import fast_products
from evenhand.finite_logits import demand_numbers
from evenhand.given_up import GivenUp
from evenhand.laid_out import LaidOut
from evenhand.rule_application import Change, finishing
from evenhand.rule_contexts import Moved, Plan, after_rules
from evenhand.special_tokens import pad_token


class RuleProcessor(LogitsProcessor):  # type: ignore[misc]
    """Rules as a plain `LogitsProcessor`: for beam search, pipelines, and anything else that takes one.

    Contexts keep a key-value cache of their own, which follows the beams when these change places. It is freed, and
    the rules free what they hold, at the end of a `with`, and where rows come that do not go on from the last ones:
    a new call of `generate`, for which what was changed in the last one is forgotten, too. `padding` says how many
    tokens on the left of each row are padding; without it, all leading padding tokens are taken for padding. `room`
    is how many tokens may be written, as far as that is known. What the rules changed is kept by prefix, so that
    `changes_of` can tell it of the sequences that the search has not dropped.

    A prompt (`beams` rows each) that cannot be written any further raises, or with `given_up` is noted there and ends
    in the token `end`. `instead`: the rules stand for those that the model's own `generate` would decode with.
    """

    def __init__(
        self, model: Any, rules: Sequence[DecodingRule], tokenizer: Any, *, padding: Sequence[int] | None = None,
        beams: int = 1, room: int = 1, end: int | list[int] | None = None, given_up: GivenUp | None = None,
        instead: bool = False,
    ) -> None:  # fmt: skip
        self.instead = instead
        self.model, self.rules = model, [r for r in rules if r.next_logits is not None]
        self.padding, self.beams = padding, beams
        self.pad = pad_token(tokenizer)
        self.end = self.pad if end is None else end[0] if isinstance(end, list) else end
        self.given_up = GivenUp(at_once=True) if given_up is None else given_up
        self.reader = Reader(model, (), self.pad, room)
        self._changed: dict[tuple[int, ...], list[Moved]] = {}
        """By prefix: beams begin alike, and what is changed there is changed once."""
        self._begun = 0
        """The width of the prompts."""
        self._last: set[tuple[int, ...]] = set()
        """The rows that were last read."""
        self._order = LaidOut()

    def __enter__(self) -> RuleProcessor:
        return self

    def __exit__(self, *error: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        self._last = set()
        self._order = LaidOut()
        with finishing(self.rules):
            self.reader.forget()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self.rules:
            return scores
        rows = input_ids.tolist()
        if not all(tuple(row[:-1]) in self._last for row in rows):
            self._let_go()
            self._changed.clear()
            self._begun = input_ids.shape[1]
        self._last = set(map(tuple, rows))
        padding = [next((k for k, t in enumerate(row) if t != self.pad), 0) for row in rows]
        if self.padding is not None:
            padding = [blank for blank in self.padding for _ in range(len(rows) // len(self.padding))]
        while still := [b for b in range(len(rows)) if b // self.beams not in self.given_up.errors]:
            given = scores if len(still) == len(rows) else scores[still]
            try:
                found = self._mapped([rows[b] for b in still], [padding[b] for b in still], given)
            except EvenhandError as error:
                for row in self.given_up.rows_of(error):
                    self.given_up.add(still[row] // self.beams, error)
                continue
            self.reader.room = max(1, self.reader.room - 1)
            if len(still) == len(rows):
                return found
            break
        out = torch.full_like(scores, -torch.inf)
        out[:, self.end] = 0.0
        if still:
            out[still] = found
        return out

    def _mapped(self, rows: list[list[int]], padding: list[int], scores: torch.Tensor) -> torch.Tensor:
        """[n, V] after the rules, log-probabilities where one of them moved a row."""
        demand_numbers(scores, None)
        texts = [row[start:] for row, start in zip(rows, padding, strict=True)]
        demand_tokens(texts)
        plan = self.reader.plan(texts, self.rules)
        changed, moved = after_rules(plan, torch.cat([scores, self._contexts(plan, scores)]), under_rule)
        first = {tuple(row): b for b, row in reversed(list(enumerate(rows)))}
        self._changed |= {row: [change for at, change in moved if at == b] for row, b in first.items()}
        # Beam search adds up what it is given, so these must be log-probabilities; a row that no rule touched is.
        touched = (changed != scores).any(-1, keepdim=True)
        return torch.where(touched, changed.log_softmax(-1), scores)

    def _contexts(self, plan: Plan[Read], scores: torch.Tensor) -> torch.Tensor:
        """The model's logits [n, V] of the contexts of a plan; n may be 0."""
        asked = plan.places[plan.asked :]
        if not asked:
            return scores[:0]
        precision = "float32" if self.model.dtype == torch.float32 else ""
        with fast_products(self.model, precision, blocks=False, order=self._order):
            logits = self.reader.forward([list(ids) for _, ids in asked], [state for state, _ in asked])
        demand_context_numbers(plan, logits)
        return logits.to(scores.device)

    def changes_of(self, sequences: torch.Tensor) -> list[list[Change]]:
        """For each sequence [T] that came out, as `Decoder.changes`."""
        start = self._begun
        found: list[list[Change]] = []
        for row in sequences.tolist():
            known = [
                (t - start, change) for t in range(start, len(row)) for change in self._changed.get(tuple(row[:t]), ())
            ]
            found.append([(place, *change) for place, change in known])
        return found
