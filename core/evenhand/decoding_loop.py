"""The one decoding loop: runs inside `model.generate(custom_generate=...)` and gives rules their extra contexts.

Extra contexts of all rows share one batched forward pass with the rows themselves and have their own place in the
key-value cache. While every sequence only grows by one token, one token a sequence is computed; when a context changes
further back (a word was completed differently), the batch is read anew, which keeps every rule a pure function of the
prefix. Imported lazily: it loads torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch  # noqa: TID253 - imported inside functions of `generation` only

from evenhand.contributions import DecodingRule, TokenChange

VISIBLE = 1e-6
"""Total variation below which a change of the distribution is rounding, not a change."""


@dataclass
class Decoder:
    """Greedy or sampled decoding with rules; an instance serves one call of `generate`."""

    rules: Sequence[DecodingRule]
    tokenizer: Any
    generators: Sequence[torch.Generator] | None = None
    """One for each row: makes a sampled answer independent of what else is in the batch."""
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
        mask = kwargs.get("attention_mask")
        mask = torch.ones_like(input_ids) if mask is None else mask
        prompts = [row[m.bool()].tolist() for row, m in zip(input_ids, mask, strict=True)]
        self.changes = [[] for _ in prompts]
        pad = _first(generation_config.pad_token_id, generation_config.eos_token_id, 0)
        ends = end_tokens(generation_config)
        reader = _Reader(model, self.rules, pad)
        texts, open_rows = [list(p) for p in prompts], torch.ones(len(prompts), dtype=torch.bool)
        kept: list[torch.Tensor] = []
        while True:
            logits, contexts = reader.read(texts)
            ids = left_padded(texts, logits.device)
            for number, rule in enumerate(self.rules):
                if rule.next_logits is not None:
                    changed = rule.next_logits(ids, logits, contexts[number])
                    self._record(rule.name, logits, changed, open_rows, texts, prompts)
                    logits = changed
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

    def _record(
        self,
        rule: str,
        before: torch.Tensor,
        after: torch.Tensor,
        open_rows: torch.Tensor,
        texts: list[list[int]],
        prompts: list[list[int]],
    ) -> None:
        if after is before:
            return
        for b in open_rows.nonzero().flatten().tolist():
            if torch.equal(before[b], after[b]):
                continue
            moved = 0.5 * float((before[b].float().softmax(-1) - after[b].float().softmax(-1)).abs().sum())
            if moved > VISIBLE:
                place = len(texts[b]) - len(prompts[b])
                self.changes[b].append((place, rule, int(before[b].argmax()), int(after[b].argmax()), moved))


class _Reader:
    """Next-token logits of growing sequences and of their rules' contexts, with one key-value cache for all."""

    def __init__(self, model: Any, rules: Sequence[DecodingRule], pad: int) -> None:
        self.model, self.pad = model, pad
        self.asking = [(k, r) for k, r in enumerate(rules) if r.contexts is not None]
        self.touching = [r for r in rules if r.step is not None]
        self.rules = rules
        self.cached: list[list[int]] = []
        self.cache: Any = None
        self.mask: torch.Tensor | None = None

    def read(self, texts: list[list[int]]) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Logits [B, V] of the texts, and for each rule the logits [k, V] of each text's contexts."""
        wanted = [list(t) for t in texts]
        slots: dict[int, list[list[int]]] = {}
        for number, rule in self.asking:
            assert rule.contexts is not None
            slots[number] = []
            for text in texts:
                found = [list(c) for c in rule.contexts(tuple(text))]
                slots[number].append(list(range(len(wanted), len(wanted) + len(found))))
                wanted += found
        logits = self._forward(wanted)
        none: list[list[int]] = [[]] * len(texts)
        contexts = [[logits[rows] for rows in slots.get(k, none)] for k in range(len(self.rules))]
        return logits[: len(texts)], contexts

    @torch.no_grad()
    def _forward(self, wanted: list[list[int]]) -> torch.Tensor:
        device = self.model.device
        grown = len(wanted) == len(self.cached) and all(
            len(new) == len(old) + 1 and new[:-1] == old for new, old in zip(wanted, self.cached, strict=True)
        )
        if grown and self.mask is not None:
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

    Contexts are read in full at each step; that is slow, but beams may be reordered freely. `padding` says how many
    tokens on the left of each row are padding; without it, all leading padding tokens are taken for padding.
    """

    def __init__(
        self, model: Any, rules: Sequence[DecodingRule], tokenizer: Any, *, padding: Sequence[int] | None = None
    ) -> None:
        self.model, self.rules = model, [r for r in rules if r.next_logits is not None]
        self.padding = padding
        self.pad = _first(tokenizer.pad_token_id, tokenizer.eos_token_id, 0)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self.rules:
            return scores
        rows = input_ids.tolist()
        padding = self.padding or [next((k for k, t in enumerate(row) if t != self.pad), 0) for row in rows]
        texts = [row[start:] for row, start in zip(rows, padding, strict=True)]
        ids = left_padded(texts, scores.device)
        for rule in self.rules:
            assert rule.next_logits is not None
            contexts = [scores[:0]] * len(texts)
            if rule.contexts is not None:
                found = [[list(c) for c in rule.contexts(tuple(t))] for t in texts]
                flat = [c for row in found for c in row]
                if flat:
                    logits = _Reader(self.model, (), self.pad)._forward(flat)
                    contexts = list(torch.split(logits, [len(row) for row in found]))
            scores = rule.next_logits(ids, scores, contexts)
        return scores


def _first(*values: Any) -> int:
    found = next(v for v in values if v is not None)
    return int(found[0] if isinstance(found, list) else found)


def end_tokens(generation_config: Any) -> list[int]:
    """The tokens of which any ends an answer; chat models often have several."""
    value = generation_config.eos_token_id
    if value is None:
        return []
    return [int(v) for v in value] if isinstance(value, list) else [int(value)]
