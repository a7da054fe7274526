"""The one decoding loop: runs inside `model.generate(custom_generate=...)` and gives rules their extra contexts.

Extra contexts of all rows share one batched forward pass with the rows themselves and have their own place in the
key-value cache. While every sequence is one that was read before and one token more, one token a sequence is computed,
also where beams change places or a context comes to its end; when a context changes further back (a word was completed
differently), the batch is read anew, which keeps every rule a pure function of the prefix. Imported lazily: it loads
torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch  # noqa: TID253 - imported inside functions of `generation` only

from evenhand.contributions import DecodingRule, TokenChange
from evenhand.errors import PluginFault, UsageError
from evenhand.fast_products import fast_products

VISIBLE = 1e-6
"""Total variation below which a change of the distribution is rounding, not a change."""


@dataclass
class Decoder:
    """Greedy or sampled decoding with rules; an instance serves one call of `generate`."""

    rules: Sequence[DecodingRule]
    tokenizer: Any
    generators: Sequence[torch.Generator] | None = None
    """One for each row: makes a sampled answer independent of what else is in the batch."""
    streamer: Any = None
    """Gets the prompts and each token. Given here, for transformers 4 loses it on its way to a function of ours."""
    changes: list[list[tuple[int, str, int, int, float]]] = field(default_factory=list)
    """For each row: (position, rule, token before, token after, total variation)."""

    def __call__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: Any = None,
        synced_gpus: bool = False,
        streamer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """[B, T] left-padded prompts -> [B, T + new]; called by transformers with its processors and criteria."""
        if self.streamer is not None:
            streamer = self.streamer
            streamer.put(input_ids.cpu())
        mask = kwargs.get("attention_mask")
        mask = torch.ones_like(input_ids) if mask is None else mask
        prompts = [row[m.bool()].tolist() for row, m in zip(input_ids, mask, strict=True)]
        self.changes = [[] for _ in prompts]
        pad = _first(generation_config.pad_token_id, generation_config.eos_token_id, 0)
        ends = end_tokens(generation_config)
        room = (generation_config.max_length or input_ids.shape[1]) - input_ids.shape[1]
        reader = _Reader(model, self.rules, pad, room)
        texts, open_rows = [list(p) for p in prompts], torch.ones(len(prompts), dtype=torch.bool)
        kept: list[torch.Tensor] = []
        with reader, finishing(self.rules):
            while True:
                still = open_rows.nonzero().flatten().tolist()
                logits, contexts = reader.read([texts[b] for b in still])
                ids = left_padded([texts[b] for b in still], logits.device)
                for number, rule in enumerate(self.rules):
                    if rule.next_logits is not None:
                        changed = rule.next_logits(ids, logits, contexts[number])
                        if changed is not logits:
                            demand_numbers(changed, rule.name)
                        for k, a, z, size in moves(logits, changed):
                            b = still[k]
                            self.changes[b].append((len(texts[b]) - len(prompts[b]), rule.name, a, z, size))
                        logits = changed
                if len(still) < len(texts):
                    whole = logits.new_zeros(len(texts), logits.shape[1])
                    whole[still] = logits
                    logits = whole
                scores = logits_processor(input_ids, logits) if logits_processor else logits
                if generation_config.return_dict_in_generate and generation_config.output_scores:
                    kept.append(scores)
                chosen = self._choose(scores, bool(generation_config.do_sample))
                chosen = torch.where(open_rows.to(chosen.device), chosen, torch.full_like(chosen, pad))
                input_ids = torch.cat([input_ids, chosen[:, None]], dim=1)
                for text, token in zip(texts, chosen.tolist(), strict=True):
                    text.append(token)
                if streamer is not None:
                    streamer.put(chosen.cpu())
                if ends:
                    open_rows &= ~torch.isin(chosen.cpu(), torch.tensor(ends))
                if stopping_criteria is not None:
                    open_rows &= ~stopping_criteria(input_ids, scores).cpu()
                if not open_rows.any():
                    break
        if streamer is not None:
            streamer.end()
        if generation_config.return_dict_in_generate:
            from transformers.generation.utils import GenerateDecoderOnlyOutput

            return GenerateDecoderOnlyOutput(sequences=input_ids, scores=tuple(kept) or None)
        return input_ids

    def _choose(self, scores: torch.Tensor, sample: bool) -> torch.Tensor:
        if not sample:
            return scores.argmax(-1)
        chances = scores.float().softmax(-1)
        if self.generators is None:
            return torch.multinomial(chances, 1).squeeze(1)
        drawn = [torch.multinomial(c, 1, generator=g) for c, g in zip(chances.cpu(), self.generators, strict=True)]
        return torch.cat(drawn).to(scores.device)


def moves(before: torch.Tensor, after: torch.Tensor) -> list[tuple[int, int, int, float]]:
    """Of rows whose distribution changed: (row, likeliest token before, after, total variation). All at once, so that a
    model elsewhere than on the processor is waited for once."""
    if after is before:
        return []
    chosen = (before != after).any(-1).nonzero().flatten().tolist()
    if not chosen:
        return []
    old, new = before[chosen].float(), after[chosen].float()
    moved = (0.5 * (old.softmax(-1) - new.softmax(-1)).abs().sum(-1)).tolist()
    found = zip(chosen, old.argmax(-1).tolist(), new.argmax(-1).tolist(), moved, strict=True)
    return [change for change in found if change[3] > VISIBLE]


@contextlib.contextmanager
def finishing(rules: Sequence[DecodingRule]) -> Iterator[None]:
    """A block behind which, however it ends, the rules free what they hold."""
    try:
        yield
    finally:
        for rule in rules:
            if rule.finish is not None:
                rule.finish()


class _Reader:
    """Next-token logits of growing sequences and of their rules' contexts, with one key-value cache for all."""

    def __init__(self, model: Any, rules: Sequence[DecodingRule], pad: int, room: int = 1) -> None:
        self.model, self.pad = model, pad
        self.room = room
        """How many tokens may still be written."""
        self.longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        self.asking = [(k, r) for k, r in enumerate(rules) if r.contexts is not None]
        self.touching = [r for r in rules if r.step is not None]
        self.rules = rules
        self.cached: list[list[int]] = []
        self.cache: Any = None
        self.mask: torch.Tensor | None = None
        self._products = contextlib.ExitStack()
        self._fast = False

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        """Whatever has happened: the model computes as before, and the cache is free."""
        self.multiply_many(False)
        self.cache, self.mask, self.cached = None, None, []

    def multiply_many(self, many: bool) -> None:
        """On a processor, MKL multiplies a few rows at twice the price of one, oneDNN at nearly the same price.

        Rows without contexts are left to the library's own products, so that they stay plain `generate` bit by bit.
        """
        if many != self._fast:
            self._fast = many
            if many and self.model.dtype == torch.float32:
                self._products.enter_context(fast_products(self.model, "float32", blocks=False))
            else:
                self._products.close()

    def read(self, texts: list[list[int]]) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Logits [B, V] of the texts, and for each rule the logits [k, V] of each text's contexts."""
        wanted = [list(t) for t in texts]
        slots: dict[int, list[list[int]]] = {}
        for number, rule in self.asking:
            assert rule.contexts is not None
            slots[number] = []
            for text in texts:
                found = [list(c) for c in rule.contexts(tuple(text))]
                self._demand_room(rule.name, found)
                slots[number].append(list(range(len(wanted), len(wanted) + len(found))))
                wanted += found
        self.room -= 1
        self.multiply_many(len(wanted) > len(texts))
        logits = self.forward(wanted)
        self._demand_numbers(logits, len(texts), slots)
        none: list[list[int]] = [[]] * len(texts)
        contexts = [[logits[rows] for rows in slots.get(k, none)] for k in range(len(self.rules))]
        return logits[: len(texts)], contexts

    def _demand_numbers(self, logits: torch.Tensor, texts: int, slots: dict[int, list[list[int]]]) -> None:
        """The model's own logits are numbers; those after a rule's contexts are the model's, not the rule's."""
        if bool(torch.isfinite(logits.amax(-1)).all()):
            return
        demand_numbers(logits[:texts], None)
        name = next(self.rules[k].name for k, rows in slots.items() if rows)
        demand_numbers(logits[texts:], None, f"after a context of the rule {name!r}")

    def _demand_room(self, rule: str, contexts: Sequence[Sequence[int]]) -> None:
        """Before anything is written, a context that cannot hold the answer is refused."""
        most = max((len(c) for c in contexts), default=0)
        if most and most + self.room - 1 > self.longest:
            raise UsageError(
                f"a context of the rule has {most:,} tokens and up to {self.room:,} more are to be written, but the "
                f"model takes at most {self.longest:,}",
                where=f"decoding rule {rule!r}",
                do="give a shorter prompt, or ask for fewer new tokens",
            )

    @torch.no_grad()
    def forward(self, wanted: list[list[int]]) -> torch.Tensor:
        """The next-token logits [n, V] of sequences; those that continue what was read before cost one token each."""
        device = self.model.device
        place = {tuple(old): k for k, old in enumerate(self.cached)}
        found = [place.get(tuple(new[:-1])) for new in wanted]
        if self.mask is not None and None not in found:
            order = [k for k in found if k is not None]
            if order != list(range(len(self.cached))):
                index = torch.tensor(order, device=device)
                self.cache.reorder_cache(index)
                self.mask = self.mask[index]
            ids = torch.tensor([w[-1:] for w in wanted], device=device)
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
            positions = torch.tensor([[len(w) - 1] for w in wanted], device=device)
        else:
            from transformers import DynamicCache

            width = max(len(w) for w in wanted)
            ids = torch.tensor([[self.pad] * (width - len(w)) + w for w in wanted], device=device)
            self.mask = torch.tensor([[0] * (width - len(w)) + [1] * len(w) for w in wanted], device=device)
            positions = (self.mask.cumsum(-1) - 1).clamp_min(0)
            self.cache = DynamicCache(config=self.model.config)
        for rule in self.touching:
            assert rule.step is not None
            rule.step(self.model, self.cache)
        out = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache, self.cached = out.past_key_values, wanted
        return out.logits[:, -1].float()  # type: ignore[no-any-return]


def demand_numbers(logits: torch.Tensor, rule: str | None, place: str = "") -> None:
    """A next token can be drawn in each row [n, V], or an error that says who made that impossible, and where."""
    if not bool(torch.isfinite(logits.amax(-1)).all()):  # not a number where any entry is not
        what = "there is no next token to choose: the logits are not finite numbers, or all tokens are impossible"
        if rule is None:
            raise UsageError(what, where="generate", known=place, do="look for weights that are not finite")
        raise PluginFault(what, where=f"decoding rule {rule!r}")


def numbers_only() -> Any:
    """What plain greedy decoding is given, for it takes the largest of numbers that are none for the best token."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class NumbersOnly(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            demand_numbers(scores, None)
            return scores

    return LogitsProcessorList([NumbersOnly()])


def left_padded(texts: Sequence[Sequence[int]], device: Any) -> torch.Tensor:
    """Prefixes as a rule sees them: [B, T] with -1 before the shorter ones."""
    width = max(len(t) for t in texts)
    return torch.tensor([[-1] * (width - len(t)) + list(t) for t in texts], device=device)


def token_changes(found: Sequence[tuple[int, str, int, int, float]], tokenizer: Any) -> list[TokenChange]:
    """The record of one row in words."""
    return [
        TokenChange(
            position=place, rule=rule, before=tokenizer.decode([a]), after=tokenizer.decode([b]), total_variation=moved
        )
        for place, rule, a, b, moved in found
    ]


class RuleProcessor:
    """Rules as a plain `LogitsProcessor`: for beam search, pipelines, and anything else that takes one.

    Contexts keep a key-value cache of their own, which follows the beams when these change places. `padding` says how
    many tokens on the left of each row are padding; without it, all leading padding tokens are taken for padding. What
    the rules changed is kept by prefix, so that `changes_of` can tell it of the sequences that were not given up.
    """

    def __init__(
        self, model: Any, rules: Sequence[DecodingRule], tokenizer: Any, *, padding: Sequence[int] | None = None
    ) -> None:
        self.model, self.rules = model, [r for r in rules if r.next_logits is not None]
        self.padding = padding
        self.pad = _first(tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.readers = [_Reader(model, (), self.pad) for _ in self.rules]
        self._changed: dict[tuple[int, ...], dict[int, tuple[str, int, int, float]]] = {}
        """By prefix and number of the rule: beams begin alike, and that is one change."""
        self._width = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self.rules:
            return scores
        demand_numbers(scores, None)
        given = scores
        rows = input_ids.tolist()
        self._width = min(self._width or input_ids.shape[1], input_ids.shape[1])
        padding = self.padding or [next((k for k, t in enumerate(row) if t != self.pad), 0) for row in rows]
        texts = [row[start:] for row, start in zip(rows, padding, strict=True)]
        ids = left_padded(texts, scores.device)
        for number, (rule, reader) in enumerate(zip(self.rules, self.readers, strict=True)):
            assert rule.next_logits is not None
            contexts = [scores[:0]] * len(texts)
            if rule.contexts is not None:
                found = [[list(c) for c in rule.contexts(tuple(t))] for t in texts]
                flat = [c for row in found for c in row]
                reader._demand_room(rule.name, flat)
                if flat:
                    with fast_products(
                        self.model, "float32" if self.model.dtype == torch.float32 else "", blocks=False
                    ):
                        logits = reader.forward(flat).to(scores.device)
                    demand_numbers(logits, None, f"after a context of the rule {rule.name!r}")
                    contexts = list(torch.split(logits, [len(row) for row in found]))
            changed = rule.next_logits(ids, scores, contexts)
            if changed is not scores:
                demand_numbers(changed, rule.name)
            for b, a, z, size in moves(scores, changed):
                self._changed.setdefault(tuple(rows[b]), {})[number] = (rule.name, a, z, size)
            scores = changed
        if scores is given:
            return scores
        # Beam search adds up what it is given, so these must be log-probabilities; a row that no rule touched is.
        touched = (scores != given).any(-1, keepdim=True)
        return torch.where(touched, scores.log_softmax(-1), scores)

    def changes_of(self, sequences: torch.Tensor) -> list[list[tuple[int, str, int, int, float]]]:
        """For each sequence [T] that came out, as `Decoder.changes`."""
        start = self._width
        found: list[list[tuple[int, str, int, int, float]]] = []
        for row in sequences.tolist():
            known = [
                (t - start, change)
                for t in range(start, len(row))
                for change in self._changed.get(tuple(row[:t]), {}).values()
            ]
            found.append([(place, *change) for place, change in known])
        return found


def _first(*values: Any) -> int:
    found = next(v for v in values if v is not None)
    return int(found[0] if isinstance(found, list) else found)


def end_tokens(generation_config: Any) -> list[int]:
    """The tokens of which any ends an answer; chat models often have several."""
    value = generation_config.eos_token_id
    if value is None:
        return []
    return [int(v) for v in value] if isinstance(value, list) else [int(value)]
